"""The log-mel spectrogram: against librosa, in time, streamed."""

import time

import numpy as np
import pytest

from generated import clicks, speech_like, tone
from lipglance.audio import AudioConfig, LogMelStream, frames_for, log_mel, mel_filters
from lipglance.errors import InputError

PAPER = AudioConfig(sample_rate=44100, window=1024, hop=441, fmax=16000)


def to_db(rows):
    return (rows - 1) * 50


@pytest.mark.parametrize("config", [AudioConfig(), PAPER, AudioConfig(mels=40, fmin=80, fmax=7600)])
def test_mel_filters_are_librosas(config):
    librosa = pytest.importorskip("librosa")
    oracle = librosa.filters.mel(
        sr=config.sample_rate, n_fft=config.n_fft, n_mels=config.mels, fmin=config.fmin,
        fmax=config.fmax, htk=False, norm=None,
    )  # fmt: skip
    assert pytest.approx(oracle, abs=2e-6) == mel_filters(config).T
    assert mel_filters(config).max() <= 1
    assert (mel_filters(config).max(axis=0) > 0).all()  # no band without a bin


@pytest.mark.parametrize("config", [AudioConfig(), PAPER])
def test_log_mel_is_librosas(config):
    librosa = pytest.importorskip("librosa")
    sound = speech_like(2, config.sample_rate)[0]
    frames = 50
    # librosa centres frame i on sample i * hop and the window in n_fft: shift by half a hop.
    lead = config.n_fft // 2 - config.hop // 2
    padded = np.pad(sound, (lead, config.n_fft))
    power = np.abs(
        librosa.stft(
            padded, n_fft=config.n_fft, hop_length=config.hop, win_length=config.window,
            window="hann", center=False,
        )
    ) ** 2  # fmt: skip
    window = librosa.filters.get_window("hann", config.window)
    power *= (2 / window.sum()) ** 2
    mel = librosa.feature.melspectrogram(
        S=power, sr=config.sample_rate, n_mels=config.mels, fmin=config.fmin, fmax=config.fmax,
        norm=None,
    )  # fmt: skip
    oracle = np.clip(librosa.power_to_db(mel, ref=1.0, amin=1e-10, top_db=None), -100, 0) / 50 + 1
    rows = log_mel(sound, config)
    assert rows.shape == (4 * frames, 128)
    assert rows.dtype == np.float32
    assert np.abs(rows - oracle.T[: 4 * frames]).max() < 2e-5


@pytest.mark.parametrize("hz", [500, 1000, 3000, 7000])
@pytest.mark.parametrize("level", [1.0, 0.1, 0.001])
def test_levels_are_those_of_a_full_scale_sine(hz, level):
    rows = to_db(log_mel(tone(1, 16000, hz, level)[0]))
    wanted = 20 * np.log10(level)
    # A wide band holds the whole main lobe of the window, a few dB more than its highest bin.
    assert -1.5 < min(rows[40:60].max(axis=1)) - wanted < (4.5 if level < 0.5 else 0.1)
    # An octave below there is nothing.
    below = np.searchsorted(mel_filters(AudioConfig()).argmax(axis=0) * 16000 / 1024, hz / 2)
    assert rows[50, :below].max() <= max(-100, wanted - 60)


def test_silence_is_the_floor_and_nothing_leaves_the_range():
    assert (log_mel(np.zeros(16000, np.float32)) == -1).all()
    loud = log_mel(np.sign(tone(1)[0]))
    assert loud.max() <= 1
    assert loud.min() >= -1


@pytest.mark.parametrize("frame", [0, 3, 24])
def test_the_rows_of_a_video_frame_are_centred_in_it(frame):
    """A click in the middle of row i's hop is loudest in row i."""
    config = AudioConfig()
    for row in range(4 * frame, 4 * frame + 4):
        sound = np.zeros(16000, np.float32)
        sound[row * config.hop + config.hop // 2] = 1
        assert log_mel(sound).sum(axis=1).argmax() == row


def test_the_derivative_of_a_click_is_symmetric_in_time():
    config = AudioConfig()
    sound = np.zeros(16000, np.float32)
    sound[40 * 160 + 80] = 1
    rows = log_mel(sound, config).sum(axis=1)
    assert rows[39] == pytest.approx(rows[41], rel=1e-5)


@pytest.mark.parametrize(
    ("samples", "rate", "fps", "frames"),
    [
        (16000, 16000, 25, 25),
        (1, 16000, 25, 1),
        (0, 16000, 25, 1),
        (16000 + 319, 16000, 25, 25),
        (16000 + 321, 16000, 25, 26),
        (44100 * 3, 44100, 25, 75),
        (48000 * 600, 48000, 25, 15000),
        (48000, 48000, 29.97, 30),
        (48000 * 100, 48000, 30000 / 1001, 2997),
        (132300 + 7, 22050, 25, 150),
    ],
)
def test_frames_for(samples, rate, fps, frames):
    assert frames_for(samples, rate, fps) == frames


@pytest.mark.parametrize("samples", [0, 1, 319, 640, 5000, 16000, 16319])
def test_one_video_frame_is_four_rows_whatever_the_length(samples):
    sound = speech_like(2)[0][:samples]
    assert len(log_mel(sound)) == 4 * frames_for(samples, 16000)
    for frames in (1, 7, 60):
        assert len(log_mel(sound, video_frames=frames)) == 4 * frames
    longer = log_mel(np.pad(sound, (0, 6400)), video_frames=40)
    assert (log_mel(sound, video_frames=40) == longer).all()


def test_a_shorter_wish_is_the_beginning():
    sound = speech_like(2)[0]
    assert (log_mel(sound, video_frames=10) == log_mel(sound)[:40]).all()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("config", [AudioConfig(), PAPER])
def test_streaming_gives_the_same_bits(seed, config):
    rng = np.random.default_rng(seed)
    sound = speech_like(3 + 0.37 * seed, config.sample_rate, seed)[0]
    whole = log_mel(sound, config)
    stream = LogMelStream(config)
    rows, first = [], 0
    while first < sound.size:
        size = int(rng.choice([1, 7, 160, 333, 640, 5000, 40000]))
        rows.append(stream.feed(sound[first : first + size]))
        first += size
        # Nothing certain is held back: 11 ms look-ahead at 16 kHz.
        look_ahead = (config.window - config.hop) // 2 / config.sample_rate
        certain = int((min(first, sound.size) / config.sample_rate - look_ahead) * 25 + 1e-6)
        assert sum(map(len, rows)) >= 4 * certain
    rows.append(stream.finish())
    assert all(len(part) % 4 == 0 for part in rows)
    assert np.array_equal(np.concatenate(rows), whole)


def test_a_stream_can_be_finished_longer_but_not_shorter():
    sound = speech_like(1)[0]
    stream = LogMelStream()
    rows = [stream.feed(sound), stream.finish(30)]
    assert np.array_equal(np.concatenate(rows), log_mel(sound, video_frames=30))
    stream = LogMelStream()
    stream.feed(sound)
    with pytest.raises(InputError, match="10 video frames"):
        stream.finish(10)
    with pytest.raises(ValueError, match="finished"):
        stream.feed(sound)
    with pytest.raises(ValueError, match="finished"):
        stream.finish()


def test_only_one_channel_is_heard():
    with pytest.raises(InputError, match="expected \\(n,\\)"):
        log_mel(speech_like(1))


@pytest.mark.parametrize(
    "wrong",
    [
        {"hop": 0},
        {"window": 2048},
        {"fmax": 9000.0},
        {"fmin": 8000.0},
        {"floor_db": 0.0},
        {"mels": -1},
    ],
)
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(InputError):
        AudioConfig(**wrong)


def test_a_minute_takes_far_less_than_a_minute():
    sound = np.tile(speech_like(6)[0], 10)
    log_mel(sound[:16000])
    start = time.perf_counter()
    log_mel(sound)
    assert time.perf_counter() - start < 3  # 0.05 s on an idle core


def test_a_click_reaches_only_the_rows_around_it():
    with_click = log_mel(clicks(1, [0.5])[0])
    touched = np.flatnonzero((with_click > -1).any(axis=1))
    assert touched.min() >= 48
    assert touched.max() <= 52
