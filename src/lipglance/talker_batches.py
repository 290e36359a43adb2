"""Speech, and frames of the people who say it: for hearing and painting that learn together."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .config import TrainConfig
from .errors import InputError
from .face_shape import ShapeBasis
from .motion_batches import Look, MotionBatch, MotionSource, Piece
from .mouth_warp import mouth_maps
from .renderer_batches import THREADS, RendererSource, as_input
from .tensor_batch import TensorBatch


@dataclass(frozen=True)
class Pictures(TensorBatch):
    """Frames that are to be made, N of them, somewhere in a batch's sequences.

    With a sync expert those of a sequence follow each other, `TalkerConfig.pictures` of them.

    Attributes:
        row: ``(N,)`` the sequence.
        frame: ``(N,)`` the frame of the sequence.
        source: ``(N, 3, S, S)`` the given picture in [-1, 1].
        wanted: ``(N, 3, S, S)`` the true frame.
        points: ``(N, len(WARP_POINTS), 2)`` of the given picture, crop px.
        driven: the same of the true frame.
        given: ``(N, K)`` code of the given picture's mouth.
        mouths: ``(N, 4, S, S)`` of `mouth_warp.mouth_maps`, given and true.
        unit: ``(N, 2, 2)`` a displacement in the basis' unit to crop px.
    """

    row: Tensor
    frame: Tensor
    source: Tensor
    wanted: Tensor
    points: Tensor
    driven: Tensor
    given: Tensor
    mouths: Tensor
    unit: Tensor


class TalkerSource:
    """Draws sequences and pictures; every batch is a pure function of (seed, step, rank).

    Args:
        roots: shard folders of face crops.
        split: split to draw from.
        config: of the run.
        basis: of the motion.
        look: see `MotionSource`.
        cache_gib: memory for decoded clips.
    """

    def __init__(
        self,
        roots: Sequence[str | Path],
        split: str,
        config: TrainConfig,
        basis: ShapeBasis,
        look: Look,
        cache_gib: float = 6.0,
    ) -> None:
        self.config = config
        self.motion = MotionSource(roots, split, config, basis, look)
        self.renderer = RendererSource(roots, split, config, cache_gib)
        self._threads = ThreadPoolExecutor(THREADS)

    def batch(self, seed: int, step: int, size: int, rank: int = 0) -> tuple[MotionBatch, Pictures]:
        """Return the batch of a step: always the same for the same arguments."""
        drawn, talker = self.motion.drawn(seed, step, size, rank), self.config.talker
        times, run = (1, talker.pictures) if talker.sync else (talker.pictures, 1)
        wanted = [
            ((seed, step, rank, row, k), row, drawn[row][1], run)
            for row in range(size)
            for k in range(times)
        ]
        found = [item for part in self._threads.map(self._pictures, wanted) for item in part]
        if not found:
            raise InputError(
                f"none of {len(wanted)} frames drawn shows a face that speaks; expected face crops "
                "in which most frames do"
            )
        stacks = (np.stack(part) for part in zip(*found, strict=True))
        return self.motion.stacked(drawn), Pictures(*map(torch.from_numpy, stacks))

    def _pictures(
        self, asked: tuple[tuple[int, ...], int, list[Piece], int]
    ) -> list[tuple[npt.ArrayLike, ...]]:
        """A `run` of frames one after the other of one person's, none where none was found."""
        key, row, pieces, run = asked
        rng = np.random.default_rng(key)
        begins = np.cumsum([0, *(len(piece.code) for piece in pieces)])
        for _ in range(20):
            first = int(rng.integers(begins[-1] - run + 1))
            owner = int(np.searchsorted(begins, first, side="right")) - 1
            piece, place = pieces[owner], first - int(begins[owner])
            places = range(place, place + run)
            spoken = piece.before <= place and places[-1] < len(piece.code) - piece.after
            clip = self.renderer.clip(piece.clip.sample)
            if not spoken or clip is None or not piece.taught[place : place + run].all():
                continue
            true = [piece.frame(k) for k in places]
            # What is taught to be closed there is no picture of.
            if piece.clip.hushed[true].any() or not np.isin([piece.given, *true], clip.seen).all():
                continue
            pictures, points, cut = self.renderer.views(clip, piece.given, true, rng)
            shown = as_input(pictures)
            maps = [mouth_maps(p, self.config.renderer.size) for p in points]
            return [
                (
                    np.int64(row),
                    np.int64(first + k),
                    shown[0],
                    shown[1 + k],
                    points[0],
                    points[1 + k],
                    piece.clip.true[piece.given],
                    np.concatenate([maps[0], maps[1 + k]]),
                    (cut[:, :2] @ piece.clip.unit).astype(np.float32),
                )
                for k in range(run)
            ]
        return []
