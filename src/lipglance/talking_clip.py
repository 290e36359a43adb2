"""Who is dubbed in a clip: one face followed through it, and where its lips lie in each frame."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

from lipglance.clip_frames import looped, read_frames
from lipglance.crop import CropConfig, video_crops
from lipglance.errors import InputError
from lipglance.face import Landmarks
from lipglance.face_points import (
    INNER_LIP_BOTTOM,
    INNER_LIP_TOP,
    LIPS,
    MOUTH_LEFT,
    MOUTH_RIGHT,
    N_POINTS,
)
from lipglance.geometry import Floats, Image, invert
from lipglance.media import PathLike
from lipglance.portrait import Portrait, check_usable, face_finder, first_usable

log = logging.getLogger("lipglance")

#: Frames over which the new mouth comes and goes where the face does.
FADE = 4
# From one frame to the next no face moves by more than this part of its size, or changes its size
# by more than this factor (natural logarithm): it is a cut.
_CUT = 0.25
# Frames that are steadied at once, and how many more are looked at on either side.
_PIECE, _CONTEXT = 1500, 100
# Opening between the lips at which most teeth are seen, as a part of the mouth's width.
_TEETH = 0.15


@dataclass(frozen=True)
class Clip:
    """A video and the face in it that is to be dubbed, at the model's rate.

    path, fps, max_side: how its frames are read. portrait: its first frame with a usable face.
    points: the face's mesh in each frame, (N, 468, 2) float32 px, NaN where no usable face is.
    matrices: (N, 2, 3), picture px to crop px, steady over time, held where no face is.
    strength: (N,) how much of the new mouth is shown, 0 without a face to 1. shots: first frame and
    the one after the last of each stretch that shows the face without a cut. references: of each
    shot the frame that shows its mouth best. wanted: how many frames the speech has; beyond N the
    clip is gone through back and forth.
    """

    path: str
    fps: float
    max_side: int
    portrait: Portrait
    points: NDArray[np.float32]
    matrices: Floats
    strength: Floats
    shots: tuple[tuple[int, int], ...]
    references: tuple[int, ...]
    wanted: int

    def __len__(self) -> int:
        return len(self.points)

    @property
    def without_face(self) -> int:
        """How many of the frames show no usable face."""
        return int((self.strength == 0).sum())

    def frames(self) -> Iterator[tuple[int, Image]]:
        """All frames that the speech needs, each (H, W, 3) uint8 RGB, and their numbers."""
        return looped(self._read(), len(self), self.wanted)

    def reference_pictures(self) -> Iterator[Image]:
        """The frames that `references` names, each (H, W, 3) uint8 RGB."""
        wanted = set(self.references)
        frames = islice(self._read(), max(wanted) + 1)
        return (frame for k, frame in enumerate(frames) if k in wanted)

    def _read(self) -> Iterator[Image]:
        return (frame for frame, _ in read_frames(self.path, self.fps, self.max_side))

    def describe(self) -> list[str]:
        """What will be done with the clip, a line each, for the user."""
        lines = self.portrait.describe()
        if self.wanted > len(self):
            lines.append(
                f"the speech ({self.wanted / self.fps:.2f} s) is longer than the clip "
                f"({len(self) / self.fps:.2f} s): it is played back and forth"
            )
        return lines


def open_clip(
    path: PathLike,
    crop: CropConfig,
    wanted: int,
    *,
    fps: float = 25.0,
    view: str = "face",
    face_index: int | None = None,
    max_side: int = 1920,
    progress: Callable[[int], None] | None = None,
) -> Clip | None:
    """Choose a face in a video and follow it through the first `wanted` frames.

    crop, view, face_index, max_side: as for `lipglance.portrait.open_portrait`. progress: told
    after each frame how many were looked through. Frames without a face, and those where it is too
    small or in profile, are left as they are, with one warning that counts them. Returns None for
    view "lips" of a video of a mouth alone. InputError where no frame is usable.
    """
    name = os.fspath(path)
    frames = _counted(islice(read_frames(path, fps, max_side), wanted), progress)
    portrait = first_usable(frames, name, crop, view=view, face_index=face_index)
    if portrait.face is None or portrait.frame is None or portrait.box is None:
        return None
    first = portrait.frame
    nowhere = np.full((N_POINTS, 2), np.nan, np.float32)
    points = [nowhere] * first
    shape = portrait.picture.shape
    following = chain([portrait.picture], (frame for frame, _ in frames))
    for marks in face_finder().track(following, portrait.box, alone=portrait.faces == 1):
        usable = marks is not None and _usable(marks, shape)
        points.append(marks.points if usable and marks is not None else nowhere)
    # Here a usable face was seen, even if the tracker, which looks in its own way, did not.
    points[first] = np.asarray(portrait.points, np.float32)
    track = np.stack(points)
    seen = np.isfinite(track[:, 0, 0])
    missing = int((~seen).sum())
    if missing:
        log.warning("%d of %d frames show no usable face and stay as they are", missing, len(track))
    shots = _shots(track, seen)
    matrices = np.full((len(track), 2, 3), np.nan)
    for begin, end in shots:
        for first in range(begin, end, _PIECE):
            # In pieces, because steadying ten minutes at once takes half a GiB.
            low, high = max(first - _CONTEXT, begin), min(first + _PIECE + _CONTEXT, end)
            last = min(first + _PIECE, end)
            steadied = video_crops(track[low:high], crop)
            matrices[first:last] = steadied[first - low : last - low]
    return Clip(
        path=name,
        fps=fps,
        max_side=max_side,
        portrait=portrait,
        points=track,
        matrices=_held(matrices, seen),
        strength=_strength(seen),
        shots=shots,
        references=tuple(begin + _reference(track[begin:end]) for begin, end in shots),
        wanted=wanted,
    )


def _counted(
    frames: Iterator[tuple[Image, float]], progress: Callable[[int], None] | None
) -> Iterator[tuple[Image, float]]:
    for count, frame in enumerate(frames, 1):
        yield frame
        if progress is not None:
            progress(count)


def _usable(marks: Landmarks, shape: tuple[int, ...]) -> bool:
    """Whether a face can be dubbed: large enough, seen from the front, its mouth in the picture."""
    try:
        check_usable(marks, "", shape)
    except InputError:
        return False
    return True


def _reference(points: NDArray[np.float32]) -> int:
    """Which frame of a shot shows its mouth best: a little open, so that teeth are seen, at rest.

    points: (T, 468, 2) px.
    """
    lips = points[:, list(LIPS)].astype(np.float64)
    width = np.linalg.norm(points[:, MOUTH_RIGHT] - points[:, MOUTH_LEFT], axis=1)
    gap = points[:, INNER_LIP_BOTTOM] - points[:, INNER_LIP_TOP]
    opening = np.linalg.norm(gap, axis=1) / width
    # What moves is blurred.
    speed = np.zeros(len(points))
    steps = np.linalg.norm(np.diff(lips, axis=0), axis=2).mean(axis=1)
    speed[1:] += steps
    speed[:-1] += steps
    wanted = min(_TEETH, float(np.percentile(opening, 90)))
    return int(np.argmin(np.abs(opening - wanted) + speed / width))


def _shots(points: NDArray[np.float32], seen: NDArray[np.bool_]) -> tuple[tuple[int, int], ...]:
    """Stretches of frames in which a face is seen and does not jump."""
    low, high = points.min(axis=1), points.max(axis=1)
    size = np.maximum(np.ptp(np.stack([low, high]), axis=0).max(axis=1), 1e-6)
    moved = np.linalg.norm(np.diff(low + high, axis=0), axis=1) / 2 / size[1:]
    jumped = (moved > _CUT) | (np.abs(np.diff(np.log(size))) > _CUT)
    begins = seen & np.concatenate([[True], ~seen[:-1] | jumped])
    ends = seen & np.concatenate([begins[1:] | ~seen[1:], [True]])
    return tuple(
        (int(begin), int(end) + 1)
        for begin, end in zip(np.flatnonzero(begins), np.flatnonzero(ends), strict=True)
    )


def _held(matrices: Floats, seen: NDArray[np.bool_]) -> Floats:
    """Matrices with those of frames without a face between their neighbours'."""
    known = np.flatnonzero(seen)
    # Between the ways back, which are squares of the picture: a sum of squares is one, too.
    back = invert(matrices[known]).reshape(-1, 6)
    at = np.arange(len(matrices))
    filled = np.column_stack([np.interp(at, known, column) for column in back.T])
    held = invert(filled.reshape(-1, 2, 3))
    held[known] = matrices[known]
    return held


def _strength(seen: NDArray[np.bool_]) -> Floats:
    """0 without a face, rising from there over `FADE` frames to 1."""
    at = np.arange(len(seen))
    gone = np.flatnonzero(~seen)
    if not gone.size:
        return np.ones(len(seen))
    after = np.searchsorted(gone, at).clip(0, len(gone) - 1)
    before = np.maximum(np.searchsorted(gone, at, side="right") - 1, 0)
    apart = np.minimum(np.abs(gone[after] - at), np.abs(at - gone[before]))
    t = np.minimum(apart / (FADE + 1), 1.0)
    return np.asarray(t * t * (3 - 2 * t), np.float64)
