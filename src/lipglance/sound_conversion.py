"""Samples from one form into another: type, channels, rate."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from lipglance.errors import InputError

FloatArray = NDArray[np.float32]

# Where the speech of a surround recording sits; low frequency effects carry none.
_WEIGHTS = {"FC": 4.0, "FL": 1.0, "FR": 1.0, "LFE": 0.0, "LFE2": 0.0}
_OTHER_WEIGHT = 0.5


class Resampler:
    """Resampling by libswresample of blocks whose rate may change on the way.

    The sound keeps its place to a few microseconds and its length to the nearest sample.
    """

    def __init__(self, rate: int, channels: int) -> None:
        self._rate = rate
        self._layout = "mono" if channels == 1 else "stereo"
        self._swr: AudioResampler | None = None
        self._source_rate = 0
        self._due = Fraction(0)
        self._given = 0

    def feed(self, samples: FloatArray, source_rate: int) -> Iterator[FloatArray]:
        """Take samples (channels, n) at ``source_rate``; give what is ready at the wanted rate."""
        if not samples.shape[1]:
            return
        if source_rate != self._source_rate:
            yield from self.finish()
            self._source_rate = source_rate
            if source_rate != self._rate:
                self._swr = AudioResampler("fltp", self._layout, self._rate)
        self._due += Fraction(samples.shape[1] * self._rate, source_rate)
        if self._swr is None:
            yield from self._counted(samples)
            return
        frame = AudioFrame.from_ndarray(
            np.ascontiguousarray(samples), format="fltp", layout=self._layout
        )
        frame.sample_rate = source_rate
        for out in self._swr.resample(frame):
            yield from self._counted(out.to_ndarray())

    def finish(self) -> Iterator[FloatArray]:
        """Give what is left of the sound, to the nearest sample of its length."""
        if self._swr is None:
            return
        for out in self._swr.resample(None):
            yield from self._counted(out.to_ndarray())
        self._swr = None
        missing = round(self._due) - self._given
        if missing > 0:
            yield from self._counted(np.zeros((1 if self._layout == "mono" else 2, missing)))

    def _counted(self, samples: NDArray[Any]) -> Iterator[FloatArray]:
        samples = samples[:, : max(0, round(self._due) - self._given)]
        self._given += samples.shape[1]
        if samples.shape[1]:
            yield np.clip(samples, -1.0, 1.0).astype(np.float32)


def planar(frame: AudioFrame) -> FloatArray:
    """The samples of a frame, (channels, n) float32."""
    if frame.format.name in ("s64", "s64p"):  # which numpy frames cannot hold
        (frame,) = AudioResampler("fltp", frame.layout, frame.sample_rate).resample(frame)
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    return as_float(samples)


def as_float(samples: NDArray[Any]) -> FloatArray:
    """Integers scaled from full scale to [-1, 1]; floats as they are."""
    kind, bits = samples.dtype.kind, 8 * samples.dtype.itemsize
    if kind == "f":
        with np.errstate(over="ignore"):
            return samples.astype(np.float32)
    if kind == "u" and bits == 8:
        return (samples.astype(np.float32) - 128.0) / np.float32(128.0)
    if kind == "i":
        return samples.astype(np.float32) * np.float32(2.0 ** (1 - bits))
    raise InputError(
        f"got samples of type {samples.dtype}; expected float in [-1, 1], int16, int32 or uint8"
    )


def mixed(samples: FloatArray, names: tuple[str, ...], channels: int) -> FloatArray:
    """Samples (C, n) mixed to one or two channels, never louder than the loudest of them."""
    if samples.shape[0] == channels:
        return samples
    if samples.shape[0] == 1:
        return np.repeat(samples, channels, axis=0)
    weights = np.zeros((channels, samples.shape[0]), np.float32)
    for column in range(samples.shape[0]):
        name = names[column] if column < len(names) else ""
        weight = _WEIGHTS.get(name, _OTHER_WEIGHT)
        # "FL", "SL", "BL" are to the left; the centre and what has no side go to both.
        side = {"L": 0, "R": 1}.get(name[-1:]) if channels == 2 and len(name) == 2 else None
        weights[slice(None) if side is None else side, column] = weight
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)
    # One channel after the other: how a product of matrices rounds depends on the block's length.
    mix = np.zeros((channels, samples.shape[1]), np.float32)
    for column, channel in enumerate(samples):
        mix += weights[:, column, None] * channel
    return mix
