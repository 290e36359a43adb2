"""What may differ about a voice's log-mel differs as it does in sound."""

import numpy as np
import pytest

from lipglance import mel_variation as variation
from lipglance.audio import log_mel

RNG = np.random.default_rng


def speech(seconds=2.0, seed=0):
    """Bursts of tones with pauses."""
    t = np.arange(int(seconds * 16000)) / 16000
    tones = sum(np.sin(2 * np.pi * hz * t) for hz in (140, 300, 800, 1900, 3000)) / 20
    return (tones * (np.sin(2 * np.pi * 3 * t + seed) > 0)).astype(np.float32)


def test_resampling_keeps_rows_in_their_places():
    ramp = np.linspace(-1, 1, 80, dtype=np.float32)[:, None].repeat(128, 1)
    longer = variation.resampled(ramp, 104)
    assert longer.shape == (104, 128)
    np.testing.assert_allclose(longer[1:-1, 0], np.linspace(-1, 1, 104)[1:-1], atol=0.01)


def test_another_voice_is_higher():
    mel = np.zeros((2, 128), np.float32)
    mel[:, 40] = 1
    assert variation.moved_bands(mel, 3.0).argmax(1).tolist() == [43, 43]
    assert variation.moved_bands(mel, -3.0).argmax(1).tolist() == [37, 37]


def test_hidden_stretches_and_bands_are_the_mean_and_few():
    mel = RNG(0).normal(size=(192, 128)).astype(np.float32)
    rng = RNG(1)
    for _ in range(20):
        made = variation.hidden(mel, 1, rng)
        changed = made != mel
        assert np.allclose(made[changed], mel.mean())
        assert changed.all(axis=1).sum() <= 8
        assert changed.all(axis=0).sum() <= 16
    assert variation.hidden(mel, 0, rng) is mel


def test_power_and_level_are_inverse():
    mel = RNG(0).uniform(-1, 1, (5, 128)).astype(np.float32)
    np.testing.assert_allclose(variation.level(variation.power(mel)), mel, atol=1e-5)
    assert variation.power(np.ones(1, np.float32)) == 1.0


@pytest.mark.parametrize("snr", [5.0, 15.0])
def test_white_noise_is_that_of_sound(snr):
    sound = speech()
    spoken = sound[sound != 0]
    noise = RNG(0).standard_normal(len(sound)) * np.sqrt(np.mean(spoken**2) * 10 ** (-snr / 10))
    wanted = log_mel((sound + noise).astype(np.float32))
    made = variation.with_noise(log_mel(sound), snr, RNG(1))
    apart = np.abs(made.mean(0) - wanted.mean(0)) * 50
    # dB, over the bands; a tone's side lobes aside.
    assert np.median(apart) < 1.5
    assert apart.mean() < 2.5
    spreads = made[:, 90:].std(), wanted[:, 90:].std()
    assert 0.7 < spreads[0] / spreads[1] < 1.4


def test_babble_is_as_far_below_the_speech_as_asked():
    mel, other = log_mel(speech()), log_mel(speech(1.3, seed=2))
    made = variation.with_babble(mel, [other, other[20:]], 10.0, RNG(0))
    added = variation.power(made) - variation.power(mel)
    rows = np.sort(added.sum(1))
    ratio = 10 * np.log10(variation.loudness(mel) / rows[rows > rows.max() / 100].mean())
    assert 7 < ratio < 14
    assert (made >= mel - 1e-4).all()


def test_low_tones_go_and_high_ones_stay():
    made = variation.without_lows(np.zeros((3, 128), np.float32), 300.0, 24.0)
    hz, _ = variation._bands()
    assert not made[:, hz >= 300].any()
    near = int(np.abs(hz - 150).argmin())
    octaves = np.log2(300 / hz[near])
    np.testing.assert_allclose(made[0, near], -24 * octaves / 50, rtol=1e-4)
    assert made.min() >= -1
