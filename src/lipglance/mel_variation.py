"""Ways in which the log-mel of one and the same speech may differ: voice, pace, room, line.

All take and give log-mel ``(N, 128)`` float32 in [-1, 1], 50 dB a unit and 1 at 0 dB, as
`lipglance.audio.log_mel` makes it with its defaults. What is drawn comes from the generator given.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .audio import AudioConfig, mel_filters
from .rows_between import rows_at

FloatArray = NDArray[np.float32]

_DB = 50.0
"""dB to a unit."""


@lru_cache(maxsize=1)
def _bands() -> tuple[FloatArray, FloatArray]:
    """Each band's middle (Hz), and its share of the power of white noise."""
    config = AudioConfig()
    filters = mel_filters(config)
    hz = filters.argmax(0) * (config.sample_rate / config.n_fft)
    width = filters.sum(0)
    return hz.astype(np.float32), (width / width.sum()).astype(np.float32)


def power(mel: FloatArray) -> FloatArray:
    """Power of each band, 1 for a sine of amplitude 1."""
    return np.asarray(10.0 ** ((mel - 1.0) * (_DB / 10.0)), np.float32)


def level(power: FloatArray) -> FloatArray:
    """The log-mel of a power: the inverse of :func:`power`, at least -1."""
    floor = 10.0 ** (-2.0 * _DB / 10.0)
    return np.asarray(np.log10(np.maximum(power, floor)) * (10.0 / _DB) + 1.0, np.float32)


def resampled(values: FloatArray, count: int) -> FloatArray:
    """Rows ``(N, C)`` spread over `count` rows."""
    return rows_at(values, (np.arange(count) + 0.5) * (len(values) / count) - 0.5)


def moved_bands(mel: FloatArray, bands: float) -> FloatArray:
    """Move the bands up, or down where `bands` < 0: another voice."""
    return np.ascontiguousarray(rows_at(mel.T, np.arange(mel.shape[1]) - bands).T)


def hidden(mel: FloatArray, masks: int, rng: np.random.Generator) -> FloatArray:
    """Hide stretches of time (at most 80 ms) and bands (at most 16); `masks` of either.

    Each is set to the mean of all (Park et al. 2019, *SpecAugment*).
    """
    if not masks:
        return mel
    mel = mel.copy()
    mean = mel.mean()
    for _ in range(masks):
        start, count = int(rng.integers(len(mel))), int(rng.integers(9))
        mel[start : start + count] = mean
        start, count = int(rng.integers(mel.shape[1])), int(rng.integers(17))
        mel[:, start : start + count] = mean
    return mel


def without_lows(mel: FloatArray, hz: float, slope: float) -> FloatArray:
    """Take away what is below `hz`, by `slope` dB an octave, as telephones do."""
    middles, _ = _bands()
    loss = slope * np.log2(hz / np.maximum(middles, 1.0)).clip(min=0.0)
    return np.maximum(mel - loss.astype(np.float32) / _DB, -1.0)


def loudness(mel: FloatArray) -> float:
    """Mean power of the louder half of the rows: that of the speech, without its pauses."""
    rows = power(mel).sum(1)
    return float(rows[rows >= np.median(rows)].mean())


def with_noise(mel: FloatArray, snr_db: float, rng: np.random.Generator) -> FloatArray:
    """Add white noise, `snr_db` below the speech."""
    _, shares = _bands()
    # A band holds some bins of a spectrum whose powers are exponentially distributed.
    bins = np.maximum(shares * 513.0, 1.0)
    drawn = rng.gamma(bins, 1.0 / bins, mel.shape) * shares
    noise = drawn * (loudness(mel) * 10.0 ** (-snr_db / 10.0))
    return level(np.asarray(power(mel) + noise, np.float32))


def with_babble(
    mel: FloatArray, others: Sequence[FloatArray], snr_db: float, rng: np.random.Generator
) -> FloatArray:
    """Add others who talk in the background, each from somewhere in its log-mel, over and over."""
    total = np.zeros_like(mel)
    for other in others:
        rolled = np.roll(other, int(rng.integers(len(other))), axis=0)
        total += np.resize(power(rolled), mel.shape) / max(loudness(other), 1e-10)
    factor = loudness(mel) * 10.0 ** (-snr_db / 10.0) / max(1, len(others))
    return level(power(mel) + total * np.float32(factor))
