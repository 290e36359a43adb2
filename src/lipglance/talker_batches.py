"""Speech, and frames of the people who say it: for hearing and painting that learn together."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
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


@dataclass(frozen=True)
class Pictures:
    """Frames that are to be made, N of them, somewhere in a batch's sequences.

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

    def to(self, device: torch.device) -> Pictures:
        """Return them on a device."""
        parts = (getattr(self, field.name) for field in fields(self))
        return Pictures(*(part.to(device, non_blocking=True) for part in parts))


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
        drawn = self.motion.drawn(seed, step, size, rank)
        wanted = [
            ((seed, step, rank, row, k), row, drawn[row][1])
            for row in range(size)
            for k in range(self.config.talker.pictures)
        ]
        found = [item for item in self._threads.map(self._picture, wanted) if item is not None]
        if not found:
            raise InputError(
                f"none of {len(wanted)} frames drawn shows a face that speaks; expected face crops "
                "in which most frames do"
            )
        stacks = (np.stack(part) for part in zip(*found, strict=True))
        return self.motion.stacked(drawn), Pictures(*map(torch.from_numpy, stacks))

    def _picture(
        self, asked: tuple[tuple[int, ...], int, list[Piece]]
    ) -> tuple[npt.ArrayLike, ...] | None:
        key, row, pieces = asked
        rng = np.random.default_rng(key)
        begins = np.cumsum([0, *(len(piece.code) for piece in pieces)])
        for _ in range(20):
            frame = int(rng.integers(begins[-1]))
            owner = int(np.searchsorted(begins, frame, side="right")) - 1
            piece, place = pieces[owner], frame - int(begins[owner])
            spoken = piece.before <= place < len(piece.code) - piece.after
            clip = self.renderer.clip(piece.clip.sample)
            if not (spoken and piece.taught[place]) or clip is None:
                continue
            true = piece.frame(place)
            # What is taught to be closed there is no picture of.
            if piece.clip.hushed[true]:
                continue
            if true not in clip.seen or piece.given not in clip.seen:
                continue
            pictures, places, cut = self.renderer.views(clip, piece.given, true, rng)
            return (
                np.int64(row),
                np.int64(frame),
                *as_input(pictures),
                *places,
                piece.clip.true[piece.given],
                np.concatenate([mouth_maps(p, self.config.renderer.size) for p in places]),
                (cut[:, :2] @ piece.clip.unit).astype(np.float32),
            )
        return None
