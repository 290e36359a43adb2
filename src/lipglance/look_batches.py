"""Training pictures of mouths with what they are doing; no sound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .config import TrainConfig
from .crop import CropConfig, picture_crops
from .errors import InputError
from .face_points import MOUTH_20
from .face_shape import ShapeBasis, fit_basis
from .geometry import Floats, apply, crop_image, in_turn
from .mouth_track import filled, steadied
from .renderer_batches import THREADS, as_input, face_crops, moving, varied
from .shards import Sample
from .tensor_batch import TensorBatch

FloatArray = npt.NDArray[np.float32]
Hear = Callable[[FloatArray, int], npt.NDArray[np.floating[Any]]]


@dataclass(frozen=True)
class LookBatch(TensorBatch):
    """A batch of pictures.

    Attributes:
        crop: ``(B, 3, S, S)`` in [-1, 1].
        shape: ``(B, P, 2)`` of the mesh, less the template's.
        code: ``(B, K)`` of motion: how far the mouth is from its clip's own level.
        points: ``(B, 20, 2)`` of the mouth, crop px.
    """

    crop: Tensor
    shape: Tensor
    code: Tensor
    points: Tensor


@dataclass(frozen=True)
class _Clip:
    """A clip's frames as they are looked at.

    Attributes:
        sample: where its pictures are.
        cuts: (T, 2, 3) px of its crops to those of the crop that one picture alone would get.
        shapes: (T, P, 2) less the template.
        codes: (T, K) of motion.
        points: (T, 20, 2) of the mouth, px of `cuts`' crops.
    """

    sample: Sample
    cuts: Floats
    shapes: FloatArray
    codes: FloatArray
    points: FloatArray


class LookSource:
    """Draws pictures; every batch is a pure function of (seed, step, rank).

    Args:
        roots: shard folders of face crops.
        split: split to draw from.
        config: of the run.
        basis: None to learn it from these clips.
        hear: says of sound (n,) at 16 kHz the codes (T, K) of T frames; a clip's own level is then
            how far its codes lie, on the whole, from what is heard, else it is their mean.
        cache_gib: memory for decoded clips; what does not fit is decoded again when drawn.

    Raises:
        InputError: the shards are of another region or size, or show no face for long enough.
    """

    def __init__(
        self,
        roots: Sequence[str | Path],
        split: str,
        config: TrainConfig,
        basis: ShapeBasis | None = None,
        hear: Hear | None = None,
        cache_gib: float = 6.0,
    ) -> None:
        self.config, self._hear = config, hear
        samples = face_crops(roots, split, config, "a look")
        tracks = [(sample, filled(sample.landmarks())) for sample in samples]
        seen = [(sample, track) for sample, track in tracks if track is not None]
        self.basis = basis or fit_basis([track for _, track in seen], config.motion.codes)
        self.clips = [self._clip(sample, track) for sample, track in seen]
        if not self.clips:
            raise InputError(f"no clip of split {split} shows a face for long enough to learn from")
        lengths = np.array([len(clip.codes) for clip in self.clips], np.float64)
        self.weights = lengths / lengths.sum()
        self._cache: dict[int, npt.NDArray[np.uint8]] = {}
        self._room = int(cache_gib * 2**30)
        self._threads = ThreadPoolExecutor(THREADS)

    def _clip(self, sample: Sample, track: npt.NDArray[np.float64]) -> _Clip:
        shapes = steadied(self.basis.track_shapes(track))
        # One picture's own similarity, trembling and all: in use there is no more.
        seen = self.basis.shapes(track)
        codes = self.basis.encode(shapes)
        level = codes.mean(0)
        if self._hear is not None:
            level = level - self._hear(sample.audio(), len(codes)).mean(0)
        # A clip's crops are centred on its mouth as it is on the whole, and that is not to be seen.
        cuts = picture_crops(track, CropConfig.face(self.config.renderer.size))
        return _Clip(
            sample,
            cuts,
            (seen - self.basis.mean).astype(np.float32),
            (codes - level).astype(np.float32),
            apply(cuts, track[:, list(MOUTH_20)]).astype(np.float32),
        )

    def everything(self) -> tuple[Tensor, Tensor]:
        """All frames' shapes ``(N, P, 2)`` and codes ``(N, K)``."""
        shapes = np.concatenate([clip.shapes for clip in self.clips])
        codes = np.concatenate([clip.codes for clip in self.clips])
        return torch.from_numpy(shapes), torch.from_numpy(codes)

    def batch(self, seed: int, step: int, size: int, rank: int = 0) -> LookBatch:
        """Return the batch of a step: always the same for the same arguments."""
        keys = [(seed, step, rank, item) for item in range(size)]
        items = list(self._threads.map(self._draw, keys))
        return LookBatch(*(torch.from_numpy(np.stack(part)) for part in zip(*items, strict=True)))

    def some(self, count: int) -> LookBatch:
        """`count` frames spread over the clips, as they are."""
        items = []
        for index in np.linspace(0, len(self.clips) - 1, count).round().astype(int):
            frame = (index * 7) % len(self.clips[index].codes)
            picture, *rest = self._item(int(index), int(frame), np.eye(2, 3))
            items.append((as_input(picture), *rest))
        return LookBatch(*(torch.from_numpy(np.stack(part)) for part in zip(*items, strict=True)))

    def _draw(self, key: tuple[int, ...]) -> tuple[FloatArray, ...]:
        rng = np.random.default_rng(key)
        index = int(rng.choice(len(self.clips), p=self.weights))
        frame = int(rng.integers(len(self.clips[index].codes)))
        data = self.config.data
        moved = moving(self.config.renderer.size, data.geometry, rng)
        picture, shape, code, points = self._item(index, frame, moved)
        seen = as_input(varied(picture[None], data, rng)[0])
        return seen, shape, code, points

    def _item(
        self, index: int, frame: int, moved: Floats
    ) -> tuple[npt.NDArray[np.uint8], FloatArray, FloatArray, FloatArray]:
        clip, size = self.clips[index], self.config.renderer.size
        cut = in_turn(clip.cuts[frame], moved)
        picture = crop_image(self._frames(index)[frame], cut, size, smooth=True)
        points = apply(moved, clip.points[frame]).astype(np.float32)
        return picture, clip.shapes[frame], clip.codes[frame], points

    def _frames(self, index: int) -> npt.NDArray[np.uint8]:
        if index in self._cache:
            return self._cache[index]
        frames = self.clips[index].sample.crops()
        self._room -= frames.nbytes
        if self._room > 0:
            self._cache[index] = frames
        return frames
