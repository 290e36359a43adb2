"""Training pairs of frames: a picture of a mouth, and the same person's mouth as it is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .config import DataConfig, TrainConfig
from .crop import CropConfig, picture_crops
from .errors import InputError
from .geometry import LUMA, Floats, apply, crop_image, in_turn
from .mouth_warp import WARP_POINTS, dense_flow, mouth_maps, net_inputs
from .picture_styles import styled
from .shards import Sample, ShardDataset
from .tensor_batch import TensorBatch

THREADS = 2


@dataclass(frozen=True)
class RendererBatch(TensorBatch):
    """A batch of pairs.

    Attributes:
        seen: ``(B, 12, S, S)`` of `mouth_warp.net_inputs`.
        flow: ``(B, 2, S, S)`` crop px.
        source: ``(B, 3, S, S)`` the given picture in [-1, 1].
        wanted: ``(B, 3, S, S)`` the frame to make, in [-1, 1].
        mouth: ``(B, 2, S, S)`` of `mouth_warp.mouth_maps` in the frame to make.
    """

    seen: Tensor
    flow: Tensor
    source: Tensor
    wanted: Tensor
    mouth: Tensor


def face_crops(
    roots: Sequence[str | Path], split: str, config: TrainConfig, learner: str
) -> ShardDataset:
    """The clips of shards of face crops as large as a config's renderer has them.

    Raises:
        InputError: the shards, from which `learner` was to learn, are of another region or size.
    """
    samples = ShardDataset(roots, split=split, corpora=config.data.corpora or None)
    wanted = config.renderer.size
    region = samples[0].meta.get("crop", {}).get("region", "lips")
    if region != "face" or samples.size != wanted:
        raise InputError(
            f"shards of {region} crops of {samples.size} px; {learner} learns from face crops of "
            f"{wanted} px: lipglance prepare --region face --size {wanted}"
        )
    return samples


def as_input(pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Pictures (..., S, S, 3) uint8 RGB as networks see them: (..., 3, S, S) in [-1, 1]."""
    shown = pictures.astype(np.float32) / np.float32(127.5) - 1
    return np.ascontiguousarray(np.moveaxis(shown, -1, -3))


@dataclass(frozen=True)
class _Clip:
    """A clip's pictures.

    Attributes:
        frames: (T, S, S, 3) uint8 RGB, the crops that are stored.
        points: (T, len(WARP_POINTS), 2) px in them.
        seen: the frames that show a face.
        cuts: (T, 2, 3) px of the crops to px of the crop that one picture alone would get.
    """

    frames: npt.NDArray[np.uint8]
    points: npt.NDArray[np.float32]
    seen: npt.NDArray[np.intp]
    cuts: Floats


class RendererSource:
    """Draws pairs; every batch is a pure function of (seed, step, rank).

    Args:
        roots: shard folders of face crops (``lipglance prepare --region face``).
        split: split to draw from.
        config: of the run.
        cache_gib: memory for decoded clips; what does not fit is decoded again when drawn.
        plain: draw the pictures as they are.

    Raises:
        InputError: the shards are of another region or size.
    """

    def __init__(
        self,
        roots: Sequence[str | Path],
        split: str,
        config: TrainConfig,
        cache_gib: float = 6.0,
        *,
        plain: bool = False,
    ) -> None:
        self.config, self.plain = config, plain
        self.samples = face_crops(roots, split, config, "the renderer")
        lengths = np.array([sample.frames for sample in self.samples], np.float64)
        self.weights = lengths / lengths.sum()
        self._cache: dict[int, _Clip | None] = {}
        self._room = int(cache_gib * 2**30)
        self._threads = ThreadPoolExecutor(THREADS)

    def batch(self, seed: int, step: int, size: int, rank: int = 0) -> RendererBatch:
        """Return the batch of a step: always the same for the same arguments."""
        keys = [(seed, step, rank, item) for item in range(size)]
        return stacked(list(self._threads.map(self._draw, keys)))

    def clip(self, index: int) -> _Clip | None:
        """A clip's crops and points, None where fewer than two frames show a face."""
        if index in self._cache:
            return self._cache[index]
        clip = _read(self.samples[index], self.config.renderer.size)
        self._room -= 0 if clip is None else clip.frames.nbytes
        if self._room > 0:
            self._cache[index] = clip
        return clip

    def _draw(self, key: tuple[int, ...]) -> tuple[npt.NDArray[np.float32], ...]:
        rng = np.random.default_rng(key)
        clip = None
        while clip is None:
            clip = self.clip(int(rng.choice(len(self.samples), p=self.weights)))
        one, other = rng.choice(clip.seen, 2)
        pictures, points, _ = self.views(clip, one, [other], rng)
        return pair(*pictures, *points)

    def views(
        self, clip: _Clip, one: int, others: Sequence[int], rng: np.random.Generator
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32], Floats]:
        """A frame of a clip and N others, as a model sees them that is given the first alone.

        The clip's own crops are centred on its mouth as it is on the whole: a painter that saw them
        would know how the mouth is going to be, and a photo's crop does not tell.

        Returns:
            The pictures (1 + N, S, S, 3) uint8 RGB, their points (1 + N, len(WARP_POINTS), 2) px,
            and the matrix (2, 3) from px of the clip's crops.
        """
        data, size = self.config.data, self.config.renderer.size
        cut = clip.cuts[one]
        if not self.plain:
            cut = in_turn(cut, moving(size, data.geometry, rng))
        frames = [one, *others]
        pictures = np.stack([crop_image(clip.frames[k], cut, size) for k in frames])
        if not self.plain:
            pictures = varied(pictures, data, rng)
        return pictures, apply(cut, clip.points[frames]).astype(np.float32), cut


def pair(
    source: npt.NDArray[np.uint8],
    wanted: npt.NDArray[np.uint8],
    from_points: npt.NDArray[np.float32],
    to_points: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.float32], ...]:
    """Return one item of a `RendererBatch` as arrays.

    Args:
        source: (S, S, 3) uint8 RGB, the given picture.
        wanted: the frame to make.
        from_points: (len(WARP_POINTS), 2) crop px in the source.
        to_points: the same in the frame to make.
    """
    size = len(source)
    flow = dense_flow(from_points, to_points, size)
    maps = mouth_maps(from_points, size), mouth_maps(to_points, size)
    seen = net_inputs(source, flow, *maps)
    return seen, flow.transpose(2, 0, 1), as_input(source), as_input(wanted), maps[1]


def stacked(items: Sequence[tuple[npt.NDArray[np.float32], ...]]) -> RendererBatch:
    """Return items of `pair` as a batch."""
    return RendererBatch(*(torch.from_numpy(np.stack(part)) for part in zip(*items, strict=True)))


def moving(size: int, strength: float, rng: np.random.Generator) -> Floats:
    """A small turn, zoom and shift of a crop of `size` px about its middle: (2, 3), px to px.

    strength: largest angle (radians), zoom less 1, and shift as a share of half the crop.
    """
    angle, zoom, *shift = rng.uniform(-strength, strength, 4)
    turn = (1.0 + zoom) * np.array(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    )
    middle = np.full(2, (size - 1) / 2)
    return np.column_stack([turn, middle - turn @ middle + np.array(shift) * size / 2])


def varied(
    pictures: npt.NDArray[np.uint8], data: DataConfig, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Vary style, light and colour of one person's pictures (N, S, S, 3) alike."""
    if data.styles and rng.random() < data.styles:
        pictures = styled(pictures, rng)
    return tinted(pictures, data, rng)


def tinted(
    pictures: npt.NDArray[np.uint8], data: DataConfig, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Vary light and colour of pictures (N, S, S, 3) alike."""
    strength = data.colour
    gain = 1.0 + rng.uniform(-strength, strength, 3) + rng.uniform(-strength, strength)
    shift = rng.uniform(-strength, strength) * 80.0
    if data.cast:
        red, blue = np.exp(rng.uniform(-data.cast, data.cast, 2))
        # As bright as before, so that a cast does not make teeth white by clipping them.
        gain *= np.array([red, 1.0, blue]) / (LUMA @ (red, 1.0, blue))
    varied = pictures.astype(np.float32) * gain.astype(np.float32) + np.float32(shift)
    return np.asarray(np.clip(varied, 0, 255), np.uint8)


def _read(sample: Sample, size: int) -> _Clip | None:
    track = sample.landmarks()
    seen = np.flatnonzero(np.isfinite(track).all(axis=(1, 2)))
    if len(seen) < 2:
        return None
    cuts = np.full((len(track), 2, 3), np.nan)
    cuts[seen] = picture_crops(track[seen], CropConfig.face(size))
    return _Clip(sample.crops(), track[:, list(WARP_POINTS)], seen, cuts)
