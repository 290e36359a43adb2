"""Training batches: windows of 16 frames with their log-mel, an identity and someone else's audio.

Every batch is a pure function of (seed, step, rank), so a resumed run sees exactly the batches the
unbroken run would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from .audio import AudioConfig, log_mel
from .config import DataConfig
from .crop import CropConfig
from .errors import InputError
from .face_points import INNER_LIP_BOTTOM, INNER_LIP_TOP, MOUTH_LEFT, MOUTH_RIGHT
from .mel_variation import level, power
from .mouth_track import CLOSED, openings
from .shards import ShardDataset
from .tensor_batch import TensorBatch

TOP, BOTTOM = 0, 17
"""Mesh points: outer lips' middle."""
SHAPE = 4
"""Numbers of a mouth's shape: inner and outer opening, width, height of the lower lip."""


@dataclass(frozen=True)
class Batch(TensorBatch):
    """One batch: ``video (B,3,T,S,S)`` and ``identity (B,3,S,S)`` in [-1, 1], log-mels.

    ``shape (B,T,SHAPE)`` is the mouth's in each frame of the video, as of :func:`mouth_shape`.
    """

    video: Tensor
    identity: Tensor
    mel: Tensor
    other_mel: Tensor
    shape: Tensor


@dataclass
class _Clip:
    frames: npt.NDArray[np.uint8]
    mel: npt.NDArray[np.float32]
    opening: npt.NDArray[np.float32]
    shape: npt.NDArray[np.float32]


def _check_crop(samples: ShardDataset) -> None:
    """InputError where crops are not cut as models that learn from them will have theirs."""
    found, wanted = samples[0].meta.get("crop"), CropConfig(size=samples.size)
    if found is not None and CropConfig(**found) != wanted:
        raise InputError(
            f"shards of {found.get('region', 'lips')} crops with half sides of "
            f"{found.get('half_side')} mouths; this learns from lip crops of {wanted.half_side}, "
            "which it will be given: lipglance prepare without --region and --half-side"
        )


class BatchSource:
    """Draws batches from shards, keeping decoded clips in memory up to a limit.

    Args:
        roots: shard folders.
        split: split to draw from.
        data: which clips, and how they are varied.
        audio: log-mel settings.
        frames: window length T.
        cache_gib: memory for decoded clips; what does not fit is decoded again when drawn.

    Raises:
        InputError: no clip of the split and corpora is long enough.
    """

    def __init__(
        self,
        roots: Sequence[str | Path],
        split: str,
        data: DataConfig,
        audio: AudioConfig,
        frames: int = 16,
        cache_gib: float = 6.0,
    ) -> None:
        self.samples = ShardDataset(roots, split=split, corpora=data.corpora or None)
        _check_crop(self.samples)
        self.data = data
        self.audio = audio
        self.frames = frames
        lengths = np.array([sample.frames for sample in self.samples])
        self.corpus = [sample.entry.corpus for sample in self.samples]
        self.usable = np.flatnonzero(lengths >= frames)
        if not len(self.usable):
            wanted = ", ".join(data.corpora) or "any corpus"
            raise InputError(
                f"no clip of {frames} frames or more in split {split!r} of {wanted} in "
                f"{', '.join(map(str, roots))}; run lipglance prepare, or name another --data"
            )
        self.weights = lengths[self.usable] / lengths[self.usable].sum()
        self.peers = {
            name: np.array([i for i in self.usable if self.corpus[i] == name])
            for name in set(self.corpus)
        }
        self._cache: dict[int, _Clip] = {}
        self._room = int(cache_gib * 2**30)
        self._threads = ThreadPoolExecutor(2)

    def _clip(self, index: int) -> _Clip:
        clip = self._cache.get(index)
        if clip is not None:
            return clip
        sample = self.samples[index]
        points = sample.landmarks()
        frames = sample.crops()
        clip = _Clip(
            frames,
            log_mel(sample.audio(), self.audio, len(frames)),
            # A frame without landmarks (NaN) must never be taken for the most closed one.
            np.nan_to_num(openings(points), nan=1.0).astype(np.float32),
            mouth_shape(points),
        )
        self._room -= frames.nbytes + clip.mel.nbytes
        if self._room > 0:
            self._cache[index] = clip
        return clip

    def _window(
        self, clip: _Clip, start: int
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
        steps = self.audio.frames_per_video_frame
        stop = start + self.frames
        return clip.frames[start:stop], clip.mel[start * steps : stop * steps]

    def _draw(self, seed: tuple[int, ...]) -> tuple[npt.NDArray[np.generic], ...]:
        rng = np.random.default_rng(seed)
        index = int(rng.choice(self.usable, p=self.weights))
        clip = self._clip(index)
        last = len(clip.frames) - self.frames
        start = int(rng.integers(last + 1))
        video, mel = self._window(clip, start)
        identity = clip.frames[int(rng.integers(len(clip.frames)))]
        # A mismatched pair from another corpus would be told apart by its microphone alone.
        far = [s for s in range(last + 1) if abs(s - start) >= self.frames // 4]
        if far and rng.random() < 0.5:
            other = self._window(clip, int(rng.choice(far)))[1]
        else:
            stranger = self._clip(int(rng.choice(self.peers[self.corpus[index]])))
            other = self._window(
                stranger, int(rng.integers(len(stranger.frames) - self.frames + 1))
            )[1]
        mel = vary_audio(mel, self.data, rng)
        shape = clip.shape[start : start + self.frames]
        if rng.random() < self.data.silence:
            closed = int(np.argmin(clip.opening))
            if clip.opening[closed] < CLOSED:
                video = np.repeat(clip.frames[closed : closed + 1], self.frames, axis=0)
                mel = hush(mel.shape, rng)
                shape = np.repeat(clip.shape[closed : closed + 1], self.frames, axis=0)
        return video, identity, mel, vary_audio(other, self.data, rng), shape

    def spoken(self, seed: int, step: int, size: int, rank: int = 0) -> tuple[Tensor, Tensor]:
        """Return log-mel ``(B, 1, 4T, 128)`` and the mouth shapes ``(B, T, SHAPE)`` with it."""
        mels, shapes = [], []
        for item in range(size):
            rng = np.random.default_rng((seed, step, rank, item))
            clip = self._clip(int(rng.choice(self.usable, p=self.weights)))
            start = int(rng.integers(len(clip.frames) - self.frames + 1))
            mels.append(vary_audio(self._window(clip, start)[1], self.data, rng))
            shapes.append(clip.shape[start : start + self.frames])
        return torch.from_numpy(np.stack(mels))[:, None], torch.from_numpy(np.stack(shapes))

    def batch(self, seed: int, step: int, size: int, rank: int = 0) -> Batch:
        """Return the batch of a step: always the same for the same arguments."""
        seeds = [(seed, step, rank, item) for item in range(size)]
        drawn = list(self._threads.map(self._draw, seeds))
        video, identity, mel, other, shape = (np.stack(part) for part in zip(*drawn, strict=True))
        shown = torch.from_numpy(np.concatenate([video, identity[:, None]], axis=1))
        shown = shown.permute(0, 4, 1, 2, 3).float().div_(127.5).sub_(1.0)
        shown = vary_picture(shown, self.data, np.random.default_rng((seed, step, rank)))
        return Batch(
            shown[:, :, :-1].contiguous(),
            shown[:, :, -1].contiguous(),
            torch.from_numpy(mel.astype(np.float32))[:, None],
            torch.from_numpy(other.astype(np.float32))[:, None],
            torch.from_numpy(shape.astype(np.float32)),
        )


def mouth_shape(points: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the shape of a mouth over time, ``(T, SHAPE)``, free of who it is.

    Args:
        points: ``(T, 468, 2)`` mesh points in any px, NaN where there is no face.

    Each number is in mouth widths, less the clip's median; 0 where there is no face.
    """
    pairs = ((INNER_LIP_TOP, INNER_LIP_BOTTOM), (TOP, BOTTOM), (MOUTH_LEFT, MOUTH_RIGHT))
    tall = [np.linalg.norm(points[:, a] - points[:, b], axis=1) for a, b in pairs]
    shape = np.stack([*tall, points[:, BOTTOM, 1]], axis=1)
    if np.isfinite(shape).any():
        shape = (shape - np.nanmedian(shape, axis=0)) / max(float(np.nanmedian(shape[:, 2])), 1e-3)
    return np.asarray(np.nan_to_num(shape), np.float32)


def hush(shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return the log-mel of silence: digital, or a quiet steady noise floor."""
    quiet = np.full(shape, -1.0, np.float32)
    if rng.random() < 0.5:
        return quiet
    level = rng.uniform(-0.95, -0.5) + rng.normal(0, 0.1, (1, shape[1]))
    return np.clip(level + rng.normal(0, 0.08, shape), -1, 1).astype(np.float32)


def vary_audio(
    mel: npt.NDArray[np.float32], data: DataConfig, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Vary loudness, bandwidth and noise of a log-mel in [-1, 1] (1 = 0 dB, 50 dB a unit)."""
    mel = mel + np.float32(rng.uniform(-data.gain_db, data.gain_db) / 50.0)
    if rng.random() < data.noise:
        loud = np.percentile(mel, 90)
        tilt = np.linspace(0, rng.uniform(-0.6, 0.2), mel.shape[1])
        noise = loud - rng.uniform(0.2, 0.8) + tilt + rng.normal(0, 0.08, mel.shape)
        mel = level(power(mel) + power(np.asarray(noise, np.float32)))
    if rng.random() < data.band_limit:
        mel = mel.copy()
        # 128 Slaney bands to 8 kHz: band 88 is about 3.1 kHz, a telephone's edge.
        mel[:, int(rng.integers(88, mel.shape[1])) :] = -1.0
    return np.clip(mel, -1.0, 1.0).astype(np.float32)


def vary_picture(shown: Tensor, data: DataConfig, rng: np.random.Generator) -> Tensor:
    """Vary colour, side and place of ``(B, 3, T, S, S)``, alike for all frames of a sample."""
    batch = shown.shape[0]

    def draw(*shape: int, scale: float) -> Tensor:
        return torch.from_numpy(rng.uniform(-scale, scale, shape).astype(np.float32))

    if data.flip:
        mirrored = torch.from_numpy(rng.random(batch) < 0.5)
        shown = torch.where(mirrored[:, None, None, None, None], shown.flip(-1), shown)
    if data.geometry:
        frames, size = shown.shape[2], shown.shape[-1]
        angle, zoom = draw(batch, scale=data.geometry), 1.0 + draw(batch, scale=data.geometry)
        shift = draw(batch, 2, scale=data.geometry)
        cos, sin = angle.cos() * zoom, angle.sin() * zoom
        rows = [torch.stack([cos, -sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1)]
        theta = torch.stack(rows, 1).repeat_interleave(frames, 0)
        flat = shown.transpose(1, 2).reshape(-1, 3, size, size)
        grid = F.affine_grid(theta, list(flat.shape), align_corners=False)
        flat = F.grid_sample(flat, grid, padding_mode="reflection", align_corners=False)
        shown = flat.view(batch, frames, 3, size, size).transpose(1, 2)
    if data.colour:
        contrast = 1.0 + draw(batch, 1, 1, 1, 1, scale=data.colour)
        tint = draw(batch, 3, 1, 1, 1, scale=data.colour) * 0.5
        shade = draw(batch, 1, 1, 1, 1, scale=data.colour)
        shown = (shown * contrast + tint + shade).clamp(-1.0, 1.0)
    return shown
