"""Converting what has changed gives what converting everything gives."""

import numpy as np
import pytest
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from lipglance.yuv import Changes, YuvPicture


def planes(frame):
    for plane in frame.planes:
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        yield rows[: plane.height, : plane.width].copy()


def converted(picture):
    height, width = picture.shape[:2]
    even = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return VideoReformatter().reformat(
        VideoFrame.from_ndarray(even), format="yuv420p", threads=1,
        dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG,
    )  # fmt: skip


@pytest.mark.parametrize("size", [(96, 64), (97, 65), (333, 211), (640, 480)])
def test_patches_give_the_whole_picture_to_the_bit(size):
    """Noise in boxes of any place and size, in one array that the caller alters."""
    width, height = size
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    changes, kept = Changes(width, height), YuvPicture(width, height)
    smaller = 0
    for _ in range(40):
        patch = changes.of(picture)
        smaller += patch.pixels.shape < picture.shape
        kept.change(patch)
        for got, expected in zip(planes(kept.frame), planes(converted(picture)), strict=True):
            assert np.array_equal(got, expected)
        x, y, side = rng.integers(0, width), rng.integers(0, height), rng.integers(1, 60)
        box = picture[y : y + side, x : x + side]
        box[:] = ~box
    assert smaller > 15


def test_nothing_changed_is_no_patch():
    changes = Changes(64, 48)
    picture = np.full((48, 64, 3), 7, np.uint8)
    assert changes.of(picture).core == (0, 0, 64, 48)
    assert changes.of(picture.copy()) is None
    picture[47, 63, 2] = 8
    assert changes.of(picture[::-1][::-1]).core == (48, 32, 64, 48)


def test_the_picture_may_be_altered_once_it_was_looked_at():
    picture = np.zeros((64, 64, 3), np.uint8)
    patch = Changes(64, 64).of(picture)
    picture[:] = 255
    assert not patch.pixels.any()
