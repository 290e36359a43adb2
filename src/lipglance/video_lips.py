"""The lips of a talking-face video: its face followed, its lip crops steadied."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from lipglance.crop import CropConfig, crop_image, video_crops
from lipglance.errors import InputError
from lipglance.face import N_POINTS
from lipglance.geometry import Floats, Image
from lipglance.media import PathLike, iter_video
from lipglance.portrait import face_finder

log = logging.getLogger("lipglance")

FPS = 25.0


@dataclass(frozen=True)
class VideoLips:
    """Where the lips lie in each frame of a video, at `FPS`; iterating cuts them out.

    video: path. matrices: (T, 2, 3), picture px to crop px. size: side of the crops, px. missing:
    how many frames show no face; their crops lie between their neighbours'.
    """

    video: PathLike
    matrices: Floats
    size: int
    missing: int = 0

    @property
    def count(self) -> int:
        """Number of frames."""
        return len(self.matrices)

    def __iter__(self) -> Iterator[Image]:
        """Go through the crops, each (size, size, 3) uint8 RGB; the video is read anew."""
        for frame, matrix in zip(iter_video(self.video, FPS), self.matrices, strict=False):
            yield crop_image(frame, matrix, self.size)


def track_lips(
    video: PathLike, config: CropConfig, progress: Callable[[int], None] | None = None
) -> VideoLips:
    """Follow the largest face through a video and place its lip crops.

    `progress` is told after each frame how many are done. Frames without a face get a warning.
    Raises InputError where the video cannot be read and where no frame shows a face.
    """
    points = track_points(iter_video(video, FPS), progress)
    missing = int(np.isnan(points[:, 0, 0]).sum())
    if missing == len(points):
        raise InputError(
            f"no face in any of the {len(points)} frames of {video}; expected a video of a "
            "talking face"
        )
    if missing:
        log.warning(
            "%d of %d frames show no face; their crops lie between their neighbours'",
            missing, len(points),
        )  # fmt: skip
    return VideoLips(video, video_crops(points, config), config.size, missing)


def track_points(frames: Iterator[Image], progress: Callable[[int], None] | None = None) -> Floats:
    """Landmarks of the face followed through `frames`, (T, 468, 2) px, NaN where it is lost."""
    nowhere = np.full((N_POINTS, 2), np.nan, np.float32)
    points = []
    for marks in face_finder().track(frames):
        points.append(nowhere if marks is None else marks.points)
        if progress is not None:
            progress(len(points))
    return np.array(points, np.float64)
