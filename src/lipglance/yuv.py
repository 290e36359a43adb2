"""Pictures for a video encoder: RGB to YUV 4:2:0, only where a picture differs from the last.

A talking face moves in a few hundredths of its picture, and to look for what has changed takes a
fifth of the time that it takes to convert everything. What comes out is the same to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

# How many px around a changed one its colour may reach when colours are halved, and how many more
# a patch needs around it so that its own edge is not seen. Both are wide of the filters' few px;
# patches begin where blocks of the converter's dither do.
_REACH = 8
_EDGE = 16
_BLOCK = 16


@dataclass(frozen=True)
class Patch:
    """Part of a picture, to be put in place.

    pixels: (h, w, 3) uint8 RGB, even sizes, with its surroundings as far as the picture goes. left,
    top: of it in the picture, px. core: what of the picture it changes (left, top, right, bottom).
    """

    pixels: Picture
    left: int
    top: int
    core: tuple[int, int, int, int]


class Changes:
    """Says of picture after picture what of it differs from the one before.

    Odd sizes grow by one column or row, a copy of the last.
    """

    def __init__(self, width: int, height: int) -> None:
        self._size = (width, height)
        self._last: Picture | None = None
        # As many bytes of a row at once as it can be cut into: four times as fast as one by one.
        self._piece = next(np.dtype(f"u{n}") for n in (8, 4, 2, 1) if width * 3 % n == 0)
        self._differs = np.zeros((height, width * 3 // self._piece.itemsize), np.bool_)

    def of(self, picture: Picture) -> Patch | None:
        """Look at the next picture, (height, width, 3) uint8 RGB; None where nothing has changed.

        The picture is copied as far as it is needed: the caller may do with it what it likes.
        """
        width, height = self._size
        if self._last is None:
            self._last = picture.copy()
            return self._patch(picture, (0, 0, width, height))
        new, old = (
            np.ascontiguousarray(whole).reshape(height, -1).view(self._piece)
            for whole in (picture, self._last)
        )
        np.not_equal(new, old, out=self._differs)
        x, top, wide, high = cv2.boundingRect(self._differs.view(np.uint8))
        if not wide:
            return None
        bytes_ = self._piece.itemsize
        left, right, bottom = x * bytes_ // 3, ((x + wide) * bytes_ + 2) // 3, top + high
        self._last[top:bottom, left:right] = picture[top:bottom, left:right]
        return self._patch(picture, (left, top, right, bottom))

    def _patch(self, picture: Picture, box: tuple[int, int, int, int]) -> Patch:
        ends = tuple(side + side % 2 for side in self._size)
        spans = []
        for axis, end in enumerate(ends):
            low = (box[axis] - _REACH) // _BLOCK * _BLOCK
            high = -(-(box[axis + 2] + _REACH) // _BLOCK) * _BLOCK
            outer = (max(low - _EDGE, 0), min(high + _EDGE, end))
            spans.append((max(low, 0), min(high, end), *outer))
        (left, right, x0, x1), (top, bottom, y0, y1) = spans
        width, height = self._size
        inside = picture[y0:y1, x0:x1]
        down, across = max(y1 - height, 0), max(x1 - width, 0)
        odd = down or across  # np.pad takes longer than all the rest
        pixels = np.pad(inside, ((0, down), (0, across), (0, 0)), "edge") if odd else inside.copy()
        return Patch(pixels, x0, y0, (left, top, right, bottom))


class YuvPicture:
    """One picture in yuv420p, BT.709, MPEG range, kept up to date by patches.

    frame: to be encoded; the next patch changes it, or its copy where the encoder still has it.
    """

    def __init__(self, width: int, height: int) -> None:
        self.frame = VideoFrame(width + width % 2, height + height % 2, "yuv420p")
        self._converter = VideoReformatter()

    def change(self, patch: Patch) -> None:
        """Put a patch in its place."""
        new = self._converter.reformat(
            VideoFrame.from_ndarray(patch.pixels),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            threads=1,  # starting threads for each picture takes longer than the work
        )
        self.frame.make_writable()
        for plane, (kept, made) in enumerate(zip(self.frame.planes, new.planes, strict=True)):
            scale = 2 if plane else 1
            left, top, right, bottom = (edge // scale for edge in patch.core)
            x, y = patch.left // scale, patch.top // scale
            core = _pixels(made)[top - y : bottom - y, left - x : right - x]
            _pixels(kept)[top:bottom, left:right] = core


def _pixels(plane: VideoPlane) -> Picture:
    # A view: what is written into it is in the frame.
    buffer: Any = plane
    rows: Picture = np.frombuffer(buffer, np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]
