"""Noise, telephone, haste and another voice, each held to what it promises in figures."""

import shutil
import wave
from types import SimpleNamespace

import numpy as np
import pytest

from lipglance import voice_changes as changes
from lipglance.errors import InputError

RATE = changes.RATE
WORDS = [[0.0, 0.5, "sil"], [0.5, 1.0, "bin"], [1.0, 1.6, "blue"], [1.6, 2.0, "sil"]]


def tone(seconds, hertz, level=0.3):
    return (level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)).astype(
        np.float32
    )


def speech():
    """Two seconds, something said from 0.5 to 1.6 s, faint hiss around it."""
    sound = 0.001 * changes.white_noise(2 * RATE, 7)
    sound[RATE // 2 : round(1.6 * RATE)] += tone(1.1, 220)
    return sound


def decibel(ratio):
    return 10 * np.log10(ratio)


def level_at(sound, hertz):
    """Amplitude of a frequency in the middle half of `sound`."""
    middle = sound[len(sound) // 4 : 3 * len(sound) // 4].astype(np.float64)
    turn = np.exp(-2j * np.pi * hertz * np.arange(len(middle)) / RATE)
    return 2 * np.abs(np.mean(middle * turn))


@pytest.mark.parametrize("words", [WORDS, ()])
def test_the_spoken_part_is_where_the_words_or_the_loud_blocks_are(words):
    spoken = changes.spoken_part(speech(), words)
    assert spoken.shape == (2 * RATE,)
    edges = np.flatnonzero(np.diff(spoken.astype(int)))
    np.testing.assert_allclose(edges / RATE, [0.5, 1.6], atol=0.021)


def test_one_word_of_a_longer_speech_does_not_tell_where_speech_is():
    spoken = changes.spoken_part(speech(), [[0.9, 1.1, "about"]])
    assert spoken.sum() == pytest.approx(1.1 * RATE, abs=0.05 * RATE)


@pytest.mark.parametrize("kind", ["white", "babble"])
@pytest.mark.parametrize("words", [WORDS, ()])
def test_noise_is_ten_decibels_below_the_speech(kind, words):
    sound = speech()
    voices = [tone(0.7, 150 + 40 * k, 0.1 * (k + 1)) for k in range(4)]
    noise = changes.white_noise(len(sound), 1)
    if kind == "babble":
        noise = changes.babble(voices, len(sound), 1)
    mix = changes.with_noise(sound, noise, words)
    assert mix.shape == sound.shape
    part = changes.spoken_part(sound, words)
    ratio = changes.power(sound, part) / changes.power(mix - sound, part)
    assert decibel(ratio) == pytest.approx(10, abs=0.1)
    # Not in the spoken part alone.
    assert changes.power(mix, ~part) > 100 * changes.power(sound, ~part)


def test_a_mix_that_would_clip_is_less_loud_and_keeps_its_ratio():
    sound = 3 * speech()
    noise = changes.white_noise(len(sound), 1)
    mix = changes.with_noise(sound, noise, WORDS)
    assert np.abs(mix).max() == pytest.approx(1)
    part = changes.spoken_part(sound, WORDS)
    gain, rest = np.linalg.lstsq(
        np.stack([sound, noise], 1)[part].astype(np.float64), mix[part], rcond=None
    )[0]
    ratio = changes.power(gain * sound, part) / changes.power(rest * noise, part)
    assert decibel(ratio) == pytest.approx(10, abs=0.01)


def test_noise_for_nobody_is_one_clear_line():
    with pytest.raises(InputError, match="nobody speaks"):
        changes.with_noise(np.zeros(RATE, np.float32), changes.white_noise(RATE, 0))


def test_noise_is_the_same_at_every_run_and_another_for_every_clip():
    one, two = (changes.seed_of("white", "grid", key) for key in ("a", "b"))
    assert one == changes.seed_of("white", "grid", "a") != two
    np.testing.assert_array_equal(changes.white_noise(100, one), changes.white_noise(100, one))
    assert not np.array_equal(changes.white_noise(100, one), changes.white_noise(100, two))
    spectrum = np.abs(np.fft.rfft(changes.white_noise(2**16, one))) ** 2
    quarters = spectrum[: 4 * (len(spectrum) // 4)].reshape(4, -1).mean(1)
    np.testing.assert_allclose(quarters / quarters.mean(), 1, atol=0.05)


def test_babble_hears_every_voice_alike_and_to_the_end():
    pitches = [200, 700, 1500, 2600]
    voices = [tone(0.5, hertz, 0.05 * (k + 1)) for k, hertz in enumerate(pitches)]
    mix = changes.babble([*voices, np.zeros(RATE, np.float32)], 3 * RATE, 3)
    assert mix.shape == (3 * RATE,)
    levels = [level_at(mix, hertz) for hertz in pitches]
    # Tones of power 1 have an amplitude of the root of 2.
    np.testing.assert_allclose(levels, np.sqrt(2), rtol=0.1)
    assert mix[-RATE // 4 :].std() == pytest.approx(mix[: RATE // 4].std(), rel=0.2)


@pytest.mark.parametrize(
    ("hertz", "low", "high"),
    [
        (50, -200, -35),
        (200, -200, -35),
        (400, -0.5, 0.5),
        (1000, -0.5, 0.5),
        (3200, -0.5, 0.5),
        (3600, -200, -35),
        (6000, -200, -35),
    ],
)
def test_a_telephone_lets_its_band_through(hertz, low, high):
    line = changes.telephone(tone(1, hertz))
    gain = 20 * np.log10(max(level_at(line, hertz), 1e-9) / 0.3)
    assert low <= gain <= high


def test_a_telephone_keeps_time_and_length_and_has_no_more_than_4_kilohertz():
    for length in (RATE, RATE + 1, 777):
        assert changes.telephone(np.zeros(length, np.float32)).shape == (length,)
    sound = np.zeros(RATE, np.float32)
    sound[4000:4800] = tone(0.05, 1000)
    line = changes.telephone(sound)
    lag = np.argmax(np.correlate(line, sound, "same")) - RATE // 2
    assert abs(lag) <= 1
    loud = changes.telephone(0.2 * np.clip(changes.white_noise(RATE, 5), -3, 3))
    spectrum = np.abs(np.fft.rfft(loud * np.hanning(RATE))) ** 2
    assert decibel(spectrum[4000:].sum() / spectrum.sum()) < -30


def test_the_mu_law_leaves_the_noise_of_eight_bits():
    sound = tone(1, 1000)
    wrong = (changes.telephone(sound) - sound)[RATE // 4 : -RATE // 4]
    assert 25 < decibel(np.mean(sound**2) / np.mean(wrong**2)) < 45


@pytest.mark.parametrize("tempo", [0.3, 0.8, 1.3, 2.5])
def test_tempo_changes_times_and_not_the_pitch(tempo):
    sound = np.zeros(2 * RATE, np.float32)
    starts = [0.2, 0.7, 1.1, 1.6]
    for start in starts:
        sound[round(start * RATE) :][: RATE // 5] = tone(0.2, 300)
    made = changes.at_tempo(sound, tempo)
    assert made.shape == (round(2 * RATE / tempo),)
    time = np.arange(len(made)) / RATE
    for start in starts:
        # The middle of each tone, for a window's slope makes its edges soft.
        near = np.abs(time - (start + 0.1) / tempo) < 0.18 / tempo
        middle = np.sum(time[near] * made[near] ** 2) / np.sum(made[near] ** 2)
        assert middle == pytest.approx((start + 0.1) / tempo, abs=0.02 * max(1, 1 / tempo))
    spectrum = np.abs(np.fft.rfft(made))
    assert np.argmax(spectrum) * RATE / len(made) == pytest.approx(300, abs=8)
    np.testing.assert_array_equal(made, changes.at_tempo(sound, tempo))


def test_a_tempo_that_is_none_is_refused():
    with pytest.raises(InputError, match=r"tempo 0; expected 0\.1 to 10"):
        changes.at_tempo(np.zeros(100, np.float32), 0)


@pytest.fixture
def synthesiser(monkeypatch):
    """Stands in for espeak-ng: tones with pauses around them, shorter the faster it speaks."""
    said, voices = [], set()

    def speak(*options, text=""):
        pace, path = int(options[options.index("-s") + 1]), options[options.index("-w") + 1]
        said.append((text, pace))
        voices.add((options[options.index("-v") + 1], options[options.index("-p") + 1]))
        pause = np.zeros(3000, np.float32)
        # Half as fast only as it is asked to be, as the real one.
        word = tone(0.3 * (175 / pace) ** 0.5, 500 if text == "bin" else 900)
        with wave.open(path, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes((np.concatenate([pause, word, pause]) * 32767).astype("<i2").tobytes())

    changes._spoken_word.cache_clear()
    monkeypatch.setattr(changes, "_espeak", speak)
    yield SimpleNamespace(said=said, voices=voices)
    changes._spoken_word.cache_clear()


def test_a_synthetic_voice_says_each_word_in_its_time(synthesiser):
    sound = speech()
    made = changes.in_another_voice(sound, WORDS)
    assert made.shape == sound.shape
    assert {text for text, _ in synthesiser.said} == {"bin", "blue"}
    assert not made[: RATE // 2].any()
    assert not made[round(1.6 * RATE) :].any()
    first, second = made[RATE // 2 : RATE], made[RATE : round(1.6 * RATE)]
    for word, hertz, other in ((first, 500, 900), (second, 900, 500)):
        assert level_at(word, hertz) > 10 * level_at(word, other)
        # From its beginning to its end, apart from the fades.
        loud = np.flatnonzero(np.abs(word) > 0.05)
        assert loud[0] < 0.01 * RATE
        assert loud[-1] > len(word) - 0.02 * RATE
    part = changes.spoken_part(sound, WORDS)
    assert decibel(changes.power(made, part) / changes.power(sound, part)) == pytest.approx(
        0, abs=0.1
    )


def test_others_say_the_same_words_in_the_same_time(synthesiser):
    assert changes.OWN not in changes.SPEAKERS
    sound = speech()
    for speaker in changes.SPEAKERS:
        made = changes.in_another_voice(sound, WORDS, speaker)
        assert made.shape == sound.shape
        assert not made[: RATE // 2].any()
        assert made[RATE // 2 : round(1.6 * RATE)].std() > 0
    assert synthesiser.voices == {(s.voice, str(s.pitch)) for s in changes.SPEAKERS}
    # One speaks at its usual pace, the others' paces are few.
    usual = {175}
    assert all(pace % 30 == 0 or pace in usual or pace == 80 for _, pace in synthesiser.said)


@pytest.mark.parametrize("words", [(), [[0.9, 1.1, "about"]], [[0.0, 2.0, "sil"]]])
def test_a_synthetic_voice_needs_the_times_of_all_words(synthesiser, words):
    with pytest.raises(InputError, match="no times of all its words"):
        changes.in_another_voice(speech(), words)


def test_without_espeak_a_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(changes.shutil, "which", lambda name: None)
    with pytest.raises(InputError, match=r"espeak-ng is not installed.*apt-get install espeak-ng"):
        changes.synthesiser_version()


def test_an_espeak_that_fails_is_told_in_one_line(monkeypatch):
    monkeypatch.setattr(changes, "synthesiser", lambda: shutil.which("false"))
    with pytest.raises(InputError, match="espeak-ng failed on '--version'"):
        changes.synthesiser_version()


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs espeak-ng")
def test_with_the_real_espeak():
    changes._spoken_word.cache_clear()
    assert changes.synthesiser_version().startswith("eSpeak NG")
    made = changes.in_another_voice(speech(), WORDS)
    assert not made[: RATE // 2].any()
    assert not made[round(1.6 * RATE) :].any()
    for start, end in ((0.5, 1.0), (1.0, 1.6)):
        word = made[round(start * RATE) : round(end * RATE)]
        loud = np.flatnonzero(np.abs(word) > 0.02 * np.abs(word).max())
        assert loud[-1] - loud[0] > 0.9 * len(word)
    np.testing.assert_array_equal(made, changes.in_another_voice(speech(), WORDS))
