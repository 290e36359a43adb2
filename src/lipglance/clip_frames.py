"""The frames of a clip, as many as are wanted: forth, and back, and forth again.

A clip that is long enough is read once, frame by frame. One that must be gone through several times
is kept in memory while its frames fit into `KEPT`; beyond that they are written to a temporary
folder in pieces, each a small H.264 file of a quality that shows no loss, and read back piece by
piece. Seeking in the clip itself would cost no disk, but where a file has no index, or stamps that
wander, it does not lead to the same frame twice. Either way memory stays constant, however long
clip and speech are.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np

from lipglance.geometry import Image
from lipglance.media import PathLike, iter_video
from lipglance.portrait import scaled
from lipglance.writer import VideoWriter

#: Bytes of decoded frames that are kept in memory.
KEPT = 256 * 2**20
#: Quality (crf) of the temporary files.
_QUALITY = 6


def read_frames(path: PathLike, fps: float, max_side: int) -> Iterator[tuple[Image, float]]:
    """A video's frames at `fps`, and by how much they were scaled down; all of one size.

    Each is (H, W, 3) uint8 RGB, its longer side at most `max_side` px. InputError as `iter_video`.
    """
    size: tuple[int, int] | None = None
    for frame in iter_video(path, fps):
        picture, scale = scaled(frame, max_side)
        height, width = picture.shape[:2]
        size = size or (width, height)
        if size != (width, height):
            # A stream may change its size on the way; what is written may not.
            picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
        yield picture, scale


def back_and_forth(count: int) -> Iterator[int]:
    """Numbers 0, 1, ... count - 1, count - 2, ... 0, 1 and so on without end."""
    yield 0
    while True:
        yield from range(1, count)
        yield from reversed(range(count - 1))
        if count == 1:
            yield 0


def looped(frames: Iterator[Image], count: int, wanted: int) -> Iterator[tuple[int, Image]]:
    """The first `count` frames of a clip back and forth, `wanted` in all, with their numbers.

    frames: at least `count` of (H, W, 3) uint8 RGB, all of one size; gone through once. InputError
    where they must be written and the disk is full.
    """
    if wanted <= count:
        yield from enumerate(islice(frames, wanted))
        return
    with TemporaryDirectory(prefix="lipglance-") as folder:
        store = _Store(Path(folder))
        given = 0
        for frame in islice(frames, count):
            store.add(frame)
            # What is written comes back a grey level darker: it is shown so from the first time.
            for number in range(given, store.written):
                yield number, store.get(number)
            given = store.written
        store.finish()
        for number in islice(back_and_forth(count), given, wanted):
            yield number, store.get(number)


class _Store:
    """Frames that are added one by one and then read in rising or falling order."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept: list[Image] = []
        self._written: list[Path] = []
        # Frames in a piece, 0 while all are in memory; the piece that was read last.
        self._each = 0
        self._piece: tuple[int, list[Image]] = (-1, [])

    def add(self, frame: Image) -> None:
        self._kept.append(frame)
        if not self._each and len(self._kept) * frame.nbytes > KEPT:
            self._each = max(KEPT // 4 // frame.nbytes, 1)
        while self._each and len(self._kept) >= self._each:
            self._write(self._kept[: self._each])
            del self._kept[: self._each]

    @property
    def written(self) -> int:
        """How many frames are out of memory for good."""
        return self._each * len(self._written)

    def finish(self) -> None:
        """Say that there are no more: once some frames are written, all are."""
        if self._each and self._kept:
            self._write(self._kept)
            self._kept = []

    def get(self, number: int) -> Image:
        if not self._each:
            return self._kept[number]
        piece, at = divmod(number, self._each)
        if self._piece[0] != piece:
            # Let go of the one before the next is read.
            self._piece = (-1, [])
            self._piece = (piece, list(iter_video(self._written[piece], None)))
        height, width = self._size
        # H.264 grows odd sides by one.
        return self._piece[1][at][:height, :width]

    def _write(self, frames: list[Image]) -> None:
        path = self._folder / f"{len(self._written)}.mp4"
        self._size = height, width = frames[0].shape[:2]
        with VideoWriter(path, width, height, crf=_QUALITY) as writer:
            for frame in frames:
                writer.write(frame)
        self._written.append(path)
