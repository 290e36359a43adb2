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
from .mel_variation import hidden, moved_bands, resampled, with_babble, with_noise, without_lows
from .motion_net import ROWS
from .rows_between import rows_at
from .shards import ShardDataset

FloatArray = npt.NDArray[np.float32]

SETTLING = 4
"""Frames that a mouth takes to close when the speech ends; what it does there is not taught."""
SHORTEST = 12
"""Clips of fewer frames are left out."""


@dataclass(frozen=True)
class MotionBatch:
    """A batch of sequences, in each of which up to S people speak one after the other.

    Attributes:
        mel: ``(B, 4T, 128)`` log-mel in [-1, 1].
        code: ``(B, T, K)`` of the true shapes, relative to the template.
        taught: ``(B, T)`` 1 where the shape is known, 0 where it is not.
        owner: ``(B, T)`` which of the sequence's people speaks.
        shape: ``(B, S, P, 2)`` of the given picture of each, less the template.
        given: ``(B, S, K)`` its code.
    """

    mel: Tensor
    code: Tensor
    taught: Tensor
    owner: Tensor
    shape: Tensor
    given: Tensor

    def to(self, device: torch.device) -> MotionBatch:
        """Return the batch on a device."""
        parts = (self.mel, self.code, self.taught, self.owner, self.shape, self.given)
        return MotionBatch(*(part.to(device, non_blocking=True) for part in parts))


@dataclass(frozen=True)
class MotionClip:
    """A clip's log-mel (4T, 128), shapes (T, P, 2) less the template, codes, closed frame."""

    mel: FloatArray
    shapes: FloatArray
    codes: FloatArray
    closed: int | None
    corpus: str


@dataclass(frozen=True)
class _Piece:
    """A clip's part in a sequence: log-mel (4N, 128), codes (N, K), which are taught (N,).

    The first `before` and the last `after` frames are silence; then the given picture's shape
    (P, 2) and code (K,).
    """

    mel: FloatArray
    code: FloatArray
    taught: FloatArray
    before: int
    after: int
    shape: FloatArray
    given: FloatArray


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
        people = max(len(pieces) for _, pieces in drawn)
        codes, points = self.config.motion.codes, self.basis.mean.shape
        shape = np.zeros((size, people, *points), np.float32)
        given = np.zeros((size, people, codes), np.float32)
        code, taught, owner = [], [], []
        for row, (_, pieces) in enumerate(drawn):
            code.append(np.concatenate([piece.code for piece in pieces]))
            taught.append(np.concatenate([piece.taught for piece in pieces]))
            owner.append(np.repeat(np.arange(len(pieces)), [len(p.code) for p in pieces]))
            for k, piece in enumerate(pieces):
                shape[row, k], given[row, k] = piece.shape, piece.given
        return MotionBatch(
            torch.from_numpy(np.stack([sound for sound, _ in drawn])),
            torch.from_numpy(np.stack(code)),
            torch.from_numpy(np.stack(taught)),
            torch.from_numpy(np.stack(owner)),
            torch.from_numpy(shape),
            torch.from_numpy(given),
        )

    def _draw(self, rng: np.random.Generator) -> tuple[FloatArray, list[_Piece]]:
        """One sequence (4T, 128) and its pieces: clips of one person after another.

        Many in a row, because a net that only knew clips of a second or two would learn that
        speech is over after a second or two, and fall silent in longer ones.
        """
        frames, pieces, room = self.config.motion.frames, [], self.config.motion.frames
        while room:
            pieces.append(self._piece(rng, room))
            room -= len(pieces[-1].code)
        sound = np.concatenate([piece.mel for piece in pieces])
        if not self.plain:
            sound = self._varied(sound, rng)
        begin = 0
        for piece in pieces:
            end = begin + len(piece.code)
            # Else what was laid over the speech is alone there: noise is no reason to speak.
            hushed = self.plain or rng.random() < 0.5
            for start, stop in ((begin, begin + piece.before), (end - piece.after, end)):
                part = sound[start * ROWS : stop * ROWS]
                if hushed:
                    part[:] = hush(part.shape, rng)
            begin = end
        assert begin == frames
        return sound, pieces

    def _piece(self, rng: np.random.Generator, room: int) -> _Piece:
        """A clip, with silence around it or not, or as much of it as there is room for."""
        motion = self.config.motion
        clip = self.clips[int(rng.choice(len(self.clips), p=self.weights))]
        given = int(rng.integers(len(clip.codes)))
        mel, codes = clip.mel, clip.codes
        if not self.plain:
            frames = len(codes)
            if motion.stretch:
                frames = round(frames * (1.0 + rng.uniform(-motion.stretch, motion.stretch)))
                mel, codes = resampled(mel, frames * ROWS), resampled(codes, frames)
            if motion.pitch:
                mel = moved_bands(mel, rng.uniform(-motion.pitch, motion.pitch))
        before = after = 0
        if not self.plain and room >= 2 * SHORTEST and rng.random() < motion.quiet:
            before, after = (int(rng.integers(room // 6 + 1)) for _ in range(2))
        count = min(len(codes), room - before - after)
        after = min(after, room - before - count)
        start = int(rng.integers(len(codes) - count + 1))
        codes, mel = codes[start : start + count], mel[start * ROWS : (start + count) * ROWS]
        closed = None if clip.closed is None else clip.codes[clip.closed]
        code, taught = _surrounded(codes, closed, before, after)
        if count < SHORTEST:
            taught[:] = 0.0
        mel = np.pad(mel, ((before * ROWS, after * ROWS), (0, 0)), constant_values=-1.0)
        return _Piece(mel, code, taught, before, after, clip.shapes[given], clip.codes[given])

    def _varied(self, mel: FloatArray, rng: np.random.Generator) -> FloatArray:
        motion = self.config.motion
        if rng.random() < motion.babble:
            chosen = rng.integers(len(self.clips), size=int(rng.integers(1, 5)))
            others = [self.clips[k].mel for k in chosen]
            mel = with_babble(mel, others, rng.uniform(*motion.snr_db), rng)
        if rng.random() < motion.noise:
            mel = with_noise(mel, rng.uniform(*motion.snr_db), rng)
        if rng.random() < motion.low_cut:
            mel = without_lows(mel, rng.uniform(80.0, 400.0), rng.uniform(12.0, 80.0))
        return hidden(vary_audio(mel, self.config.data, rng), motion.masks, rng)


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
    return rows_at(points[seen], np.interp(np.arange(len(points)), seen, np.arange(len(seen))))


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
