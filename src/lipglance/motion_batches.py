"""Training sequences of sound and the shape of the mouth that goes with it; no pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .audio import AudioConfig, log_mel
from .batches import CLOSED, hush, vary_audio
from .config import TrainConfig
from .face_points import INNER_LIP_BOTTOM, INNER_LIP_TOP, MOUTH_LEFT, MOUTH_RIGHT
from .face_shape import ShapeBasis, fit_basis
from .geometry import Floats
from .motion_net import ROWS
from .shards import ShardDataset

FloatArray = npt.NDArray[np.float32]

SETTLING = 4
"""Frames that a mouth takes to close when the speech ends; what it does there is not taught."""
SHORTEST = 12
"""Clips of fewer frames are left out."""


@dataclass(frozen=True)
class MotionBatch:
    """A batch of sequences.

    Attributes:
        mel: ``(B, 4T, 128)`` log-mel in [-1, 1].
        code: ``(B, T, K)`` of the true shapes, relative to the template.
        taught: ``(B, T)`` 1 where the shape is known, 0 where it is not.
        shape: ``(B, P, 2)`` of the given picture, less the template.
        given: ``(B, K)`` its code.
    """

    mel: Tensor
    code: Tensor
    taught: Tensor
    shape: Tensor
    given: Tensor

    def to(self, device: torch.device) -> MotionBatch:
        """Return the batch on a device."""
        parts = (self.mel, self.code, self.taught, self.shape, self.given)
        return MotionBatch(*(part.to(device, non_blocking=True) for part in parts))


@dataclass(frozen=True)
class MotionClip:
    """A clip's log-mel (4T, 128), shapes (T, P, 2) less the template, codes, closed frame."""

    mel: FloatArray
    shapes: FloatArray
    codes: FloatArray
    closed: int | None
    corpus: str


class MotionSource:
    """Draws sequences; every batch is a pure function of (seed, step, rank).

    Args:
        roots: shard folders.
        split: split to draw from.
        config: of the run.
        basis: None to learn it from these clips.
        plain: draw the sequences as they are, without variation or added silence.

    Raises:
        InputError: no clip of the split and corpora shows a face for long enough.
    """

    def __init__(
        self,
        roots: Sequence[str | Path],
        split: str,
        config: TrainConfig,
        basis: ShapeBasis | None = None,
        *,
        plain: bool = False,
    ) -> None:
        self.config, self.plain = config, plain
        samples = ShardDataset(roots, split=split, corpora=config.data.corpora or None)
        tracks = [_filled(sample.landmarks()) for sample in samples]
        seen = [track for track in tracks if track is not None]
        self.basis = basis or fit_basis(seen, config.motion.codes)
        self.clips = []
        for sample, track in zip(samples, tracks, strict=True):
            if track is None or len(track) < SHORTEST:
                continue
            shapes = _steadied(self.basis.track_shapes(track))
            closed = _most_closed(track)
            self.clips.append(
                MotionClip(
                    log_mel(sample.audio(), AudioConfig(), len(track)),
                    (shapes - self.basis.mean).astype(np.float32),
                    self.basis.encode(shapes).astype(np.float32),
                    closed,
                    sample.entry.corpus,
                )
            )
        lengths = np.array([len(clip.codes) for clip in self.clips], np.float64)
        self.weights = lengths / lengths.sum()

    def batch(self, seed: int, step: int, size: int, rank: int = 0) -> MotionBatch:
        """Return the batch of a step: always the same for the same arguments."""
        drawn = [self._draw(np.random.default_rng((seed, step, rank, k))) for k in range(size)]
        parts = (np.stack(part).astype(np.float32) for part in zip(*drawn, strict=True))
        return MotionBatch(*(torch.from_numpy(part) for part in parts))

    def _draw(self, rng: np.random.Generator) -> tuple[FloatArray, ...]:
        """One sequence: a clip, silence around it or not, and before and after others' speech.

        Others' speech is heard and not taught: without it the net would learn from clips of a
        second or two that speech is over after a second or two, and fall silent in longer ones.
        """
        motion = self.config.motion
        clip = self.clips[int(rng.choice(len(self.clips), p=self.weights))]
        given = int(rng.integers(len(clip.codes)))
        mel, codes = clip.mel, clip.codes
        if not self.plain and motion.stretch:
            mel, codes = stretched(mel, codes, 1.0 + rng.uniform(-motion.stretch, motion.stretch))
        quiet = not self.plain and rng.random() < motion.quiet
        before = int(rng.integers(0, motion.frames // 6)) if quiet else 0
        after = int(rng.integers(0, motion.frames // 6)) if quiet else 0
        room = max(motion.frames - before - after, 1)
        start = int(rng.integers(max(len(codes) - room, 0) + 1))
        codes, mel = codes[start : start + room], mel[start * ROWS : (start + room) * ROWS]
        spare = motion.frames - before - len(codes) - after
        first = 0 if self.plain else int(rng.integers(spare + 1))
        sound = self._others(rng)
        at = (first + before) * ROWS
        sound[at : at + len(mel)] = mel
        if not self.plain:
            sound = self._varied(sound, rng)
        for begin, count in ((first, before), (first + before + len(codes), after)):
            part = sound[begin * ROWS : (begin + count) * ROWS]
            part[:] = hush(part.shape, rng)
        closed = None if clip.closed is None else clip.codes[clip.closed]
        code, taught = _surrounded(codes, closed, before, after)
        left = spare - first
        code = np.pad(code, ((first, left), (0, 0)), mode="edge")
        taught = np.pad(taught, (first, left))
        return sound, code, taught, clip.shapes[given], clip.codes[given]

    def _others(self, rng: np.random.Generator) -> FloatArray:
        """Log-mel of people talking on, (4T, 128)."""
        rows = self.config.motion.frames * ROWS
        heard: list[FloatArray] = []
        while sum(map(len, heard)) < rows:
            heard.append(self.clips[int(rng.choice(len(self.clips), p=self.weights))].mel)
        return np.concatenate(heard)[:rows].copy()

    def _varied(self, mel: FloatArray, rng: np.random.Generator) -> FloatArray:
        motion = self.config.motion
        if motion.pitch:
            mel = moved_bands(mel, rng.uniform(-motion.pitch, motion.pitch))
        if rng.random() < motion.babble:
            other = self.clips[int(rng.integers(len(self.clips)))].mel
            other = np.resize(np.roll(other, int(rng.integers(len(other))), axis=0), mel.shape)
            quieter = rng.uniform(5.0, 20.0) / 50.0
            both = np.log10(10 ** (mel * 5.0) + 10 ** ((other - quieter) * 5.0)) / 5.0
            mel = np.asarray(both, np.float32)
        return hidden(vary_audio(mel, self.config.data, rng), motion.masks, rng)


def stretched(mel: FloatArray, codes: FloatArray, factor: float) -> tuple[FloatArray, FloatArray]:
    """Make a clip `factor` times as long: log-mel ``(4T, 128)`` and codes ``(T, K)``."""
    frames = max(round(len(codes) * factor), 2)

    def resampled(values: FloatArray, count: int) -> FloatArray:
        at = (np.arange(count) + 0.5) * (len(values) / count) - 0.5
        at = at.clip(0, len(values) - 1)
        low = np.minimum(at.astype(int), len(values) - 2)
        share = (at - low)[:, None].astype(np.float32)
        return np.asarray(values[low] * (1 - share) + values[low + 1] * share, np.float32)

    return resampled(mel, frames * ROWS), resampled(codes, frames)


def hidden(mel: FloatArray, masks: int, rng: np.random.Generator) -> FloatArray:
    """Hide stretches of time (at most 80 ms) and bands (at most 16) of log-mel ``(N, 128)``.

    Each is set to the sequence's mean (Park et al. 2019, *SpecAugment*); `masks` of either.
    """
    if not masks:
        return mel
    mel = mel.copy()
    mean = mel.mean()
    for _ in range(masks):
        start, count = int(rng.integers(len(mel))), int(rng.integers(2 * ROWS + 1))
        mel[start : start + count] = mean
        start, count = int(rng.integers(mel.shape[1])), int(rng.integers(17))
        mel[:, start : start + count] = mean
    return mel


def moved_bands(mel: FloatArray, bands: float) -> FloatArray:
    """Move the bands of log-mel ``(N, 128)`` up, or down where `bands` < 0: another voice."""
    at = (np.arange(mel.shape[1]) - bands).clip(0, mel.shape[1] - 1)
    low = np.minimum(at.astype(int), mel.shape[1] - 2)
    share = (at - low).astype(np.float32)
    moved: FloatArray = mel[:, low] * (1 - share) + mel[:, low + 1] * share
    return moved


def _surrounded(
    codes: FloatArray, closed: FloatArray | None, before: int, after: int
) -> tuple[FloatArray, FloatArray]:
    """Codes with silent frames on both sides, and which of all are taught."""
    frames = before + len(codes) + after
    code = np.repeat((codes[0] if closed is None else closed)[None], frames, axis=0)
    code[before : before + len(codes)] = codes
    taught = np.full(frames, 0.0 if closed is None else 1.0, np.float32)
    taught[before : before + len(codes)] = 1.0
    taught[max(before - SETTLING, 0) : before] = 0.0
    taught[frames - after : frames - after + SETTLING] = 0.0
    return code, taught


def _filled(landmarks: FloatArray) -> Floats | None:
    """Landmarks (T, 468, 2) with frames without a face filled from their neighbours."""
    points = landmarks.astype(np.float64)
    seen = np.flatnonzero(np.isfinite(points).all(axis=(1, 2)))
    if len(seen) < SHORTEST:
        return None
    near = np.arange(len(points))
    flat = points[seen].reshape(len(seen), -1)
    at = np.interp(near, seen, np.arange(len(seen)))
    low = np.minimum(at.astype(int), len(seen) - 2)
    share = (at - low)[:, None]
    filled = flat[low] * (1 - share) + flat[low + 1] * share
    return np.asarray(filled.reshape(points.shape), np.float64)


def _steadied(shapes: Floats) -> Floats:
    """Shapes (T, P, 2) whose common trembling (shift of all points) is smoothed away.

    The lips' own motion, relative to the lower face's middle, is left as it is.
    """
    middle = shapes.mean(axis=1, keepdims=True)
    padded = np.concatenate([middle[:1], middle, middle[-1:]])
    smooth = 0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:]
    return np.asarray(shapes - middle + smooth, np.float64)


def _most_closed(track: Floats) -> int | None:
    """The frame whose mouth is closed best, None where it is never closed."""
    gap = np.linalg.norm(track[:, INNER_LIP_TOP] - track[:, INNER_LIP_BOTTOM], axis=1)
    width = np.linalg.norm(track[:, MOUTH_LEFT] - track[:, MOUTH_RIGHT], axis=1)
    opening = gap / np.maximum(width, 1e-6)
    least = int(opening.argmin())
    return least if opening[least] < CLOSED else None
