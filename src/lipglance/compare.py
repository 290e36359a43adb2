"""Models side by side: one face, one speech, a column for each, so that anyone sees the difference.

Beside the models two rows of the evaluation may stand: ``real``, the frames of the video that the
speech is taken from, and ``still``, the picture unmoved.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as Pictures
from PIL import ImageDraw, ImageFont

from lipglance.audio import frames_for
from lipglance.crop import CropConfig
from lipglance.errors import InputError
from lipglance.generate import Once, Progress, Video, generate, write_talking
from lipglance.geometry import Image
from lipglance.media import Speech, as_speech, is_video, iter_audio, iter_video, video_info
from lipglance.models import available, find_model, load_model
from lipglance.portrait import VIEWS, FaceInput, Portrait, open_portrait
from lipglance.video_lips import FPS, VideoLips, track_lips

REAL, STILL = "real", "still"
MAX_COLUMNS = 6
#: Largest side of the whole video, px; players and graphics cards stop at about this.
MAX_SIDE = 3840
#: Lip crops are shown at least this high, px: next to a face of 64 px no caption can be read.
MIN_LIPS = 256
_GAP = 8
_PAPER, _INK = 24, 235
# Share of the columns' height that the caption takes, and its least height, px.
_CAPTION, _MIN_CAPTION = 0.06, 28
_RATE = 16000


@dataclass(frozen=True)
class Column:
    """What stands beside the others: its name and its frames, each (height, width, 3) uint8 RGB."""

    name: str
    frames: Iterable[Image]
    width: int
    height: int


def compare(
    face: FaceInput,
    speech: Speech,
    models: Sequence[str | Path],
    *,
    view: str = "face",
    face_index: int | None = None,
    max_side: int = 1920,
    threads: int | None = None,
) -> Comparison:
    """Let each of `models` say a speech with the same face.

    face, speech, view, face_index, max_side: as in `lipglance.generate.generate`. models: 1 to
    `MAX_COLUMNS` names or directories of models, "real" and "still", in the order of the columns;
    "real" is the speech's own video, which must then be one. threads: for each network.
    The lips of "real" and "still" are cut as for the first model named.
    Raises InputError for a model that is not known, one named twice, too many or none, "real"
    without a video, and all that `generate` refuses.
    """
    names = [str(name) for name in models]
    _check_names(names)
    if view not in VIEWS:
        raise InputError(f"unknown view {view!r}; expected {' or '.join(VIEWS)}")
    if REAL in names:
        _check_real(speech)
    folders = {name: _found(name) for name in names if name not in (REAL, STILL)}
    once = Once()
    with once.said():
        source = as_speech(speech)
        samples = sum(piece.shape[1] for piece in iter_audio(source, _RATE))
        videos = {
            name: generate(
                load_model(folder, threads=threads), face, source,
                view=view, face_index=face_index, max_side=max_side, still=True,
            )
            for name, folder in folders.items()
        }  # fmt: skip
        first = next(iter(videos.values()), None)
        crop = first.model.crop if first else CropConfig()
        portrait = None
        if first:
            portrait = first.portrait
        elif STILL in names:
            portrait = open_portrait(
                face, crop, view=view, face_index=face_index, max_side=max_side
            )
        labels = _labels(videos)
        columns = []
        for name in names:
            if name == REAL:
                assert isinstance(speech, str | Path)
                columns.append(_real(speech, view, crop, max_side))
            elif name == STILL:
                assert portrait is not None
                columns.append(_still(portrait, view, crop))
            else:
                video = videos[name]
                columns.append(Column(labels[name], video, video.width, video.height))
    least = MIN_LIPS if view == "lips" else 0
    count = frames_for(samples, _RATE, FPS)
    return Comparison(columns, source, count, portrait, least_height=least, once=once)


class Comparison:
    """Columns side by side, captions above. Its frames are made anew each time, in constant memory.

    columns, speech, portrait: what it is made of (portrait None where only "real" is shown). fps:
    frames a second. count: how many there are. width, height: px, even, at most `MAX_SIDE`.
    """

    fps = FPS

    def __init__(
        self,
        columns: Sequence[Column],
        speech: Speech,
        count: int,
        portrait: Portrait | None = None,
        *,
        least_height: int = 0,
        once: Once | None = None,
    ) -> None:
        self.columns = tuple(columns)
        self.speech = speech
        self.count = count
        self.portrait = portrait
        self._once = once or Once()
        shown = max(least_height, *(column.height for column in columns))
        gaps = _GAP * (len(columns) - 1)
        across = sum(column.width / column.height for column in columns)
        # Half a pixel a column may be added by rounding.
        shown = min(shown, int((MAX_SIDE - gaps - len(columns)) / across))
        shown = min(shown, MAX_SIDE - max(_MIN_CAPTION, round(_CAPTION * shown)) - 1)
        self._shown = max(shown, 16)
        self._widths = [max(1, round(c.width * self._shown / c.height)) for c in columns]
        strip = max(_MIN_CAPTION, round(_CAPTION * self._shown))
        self._strip = strip + (strip + self._shown) % 2
        self.height = self._strip + self._shown
        self.width = sum(self._widths) + gaps
        self.width += self.width % 2

    def __iter__(self) -> Iterator[Image]:
        """Go through the frames, each (height, width, 3) uint8 RGB.

        A column that has fewer than `count` (a video whose pictures end before its sound) holds its
        last. Raises InputError where an input turns out to be unreadable on the way.
        """
        sheet = np.full((self.height, self.width, 3), _PAPER, np.uint8)
        left = 0
        places = []
        for column, width in zip(self.columns, self._widths, strict=True):
            sheet[: self._strip, left : left + width] = caption(column.name, width, self._strip)
            places.append(slice(left, left + width))
            left += width + _GAP
        sources = [iter(column.frames) for column in self.columns]
        shown: list[Image | None] = [None] * len(sources)
        for _ in range(self.count):
            for k, (source, place) in enumerate(zip(sources, places, strict=True)):
                frame = next(source, None)
                if frame is not None and frame is not shown[k]:
                    sheet[self._strip :, place] = _resized(frame, self._widths[k], self._shown)
                    shown[k] = frame
            yield sheet.copy()

    def save(
        self, path: str | Path, *, force: bool = False, progress: Progress | None = None
    ) -> int:
        """Write the columns and the speech; see `lipglance.generate.Video.save`."""
        with self._once.said():
            return write_talking(
                path, self, (self.width, self.height), self.speech,
                fps=self.fps, force=force, progress=progress,
            )  # fmt: skip


def caption(text: str, width: int, height: int) -> Image:
    """A name on a plain strip, (height, width, 3) uint8, as large as fits; else cut short."""
    strip = Pictures.new("L", (width, height), _PAPER)
    draw = ImageDraw.Draw(strip)
    room = width - 4
    size = max(10, round(0.62 * height))
    font = ImageFont.load_default(size)
    while size > 10 and draw.textlength(text, font) > room:
        size -= 1
        font = ImageFont.load_default(size)
    while len(text) > 1 and draw.textlength(text, font) > room:
        text = text[:-2] + "…"
    draw.text((width / 2, height / 2), text, _INK, font, anchor="mm")
    return np.repeat(np.asarray(strip, np.uint8)[..., None], 3, axis=2)


def _check_names(names: Sequence[str]) -> None:
    known = ", ".join([*(info.name for info in available()), REAL, STILL])
    if not any(names):
        raise InputError(f"no model is named; expected 1 to {MAX_COLUMNS} of: {known}")
    if not all(names):
        raise InputError(
            f"name {names.index('') + 1} of {len(names)} is empty; expected one of: {known}; take "
            "a comma away"
        )
    if len(names) > MAX_COLUMNS:
        raise InputError(f"got {len(names)} models; expected at most {MAX_COLUMNS} columns")
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise InputError(f"{twice[0]} is named twice; expected each model once")


def _check_real(speech: Speech) -> None:
    given = f"{speech}" if isinstance(speech, str | Path) else "an array"
    if not isinstance(speech, str | Path) or not is_video(speech):
        raise InputError(
            f"'real' shows the frames of the speech's own video, but {given} holds none; expected "
            "a video of a talking face; give one or leave 'real' out"
        )


def _found(name: str) -> Path:
    try:
        return find_model(name)
    except InputError as error:
        raise InputError(f"{error}, {REAL} or {STILL}") from None


def _labels(videos: dict[str, Video]) -> dict[str, str]:
    """What to call each model: its own name, or its folder's where two have the same."""
    own = {name: video.model.info.name for name, video in videos.items()}
    times = Counter(own.values())
    return {name: told if times[told] == 1 else Path(name).name for name, told in own.items()}


def _real(speech: str | Path, view: str, crop: CropConfig, max_side: int) -> Column:
    if view == "lips":
        lips: VideoLips = track_lips(speech, crop)
        return Column(REAL, lips, crop.size, crop.size)
    info = video_info(speech)
    scale = min(1.0, max_side / max(info.width, info.height))
    width, height = max(round(info.width * scale), 1), max(round(info.height * scale), 1)
    return Column(REAL, _Frames(speech), width, height)


@dataclass(frozen=True)
class _Frames:
    video: str | Path

    def __iter__(self) -> Iterator[Image]:
        return iter_video(self.video, FPS)


def _still(portrait: Portrait, view: str, crop: CropConfig) -> Column:
    picture = portrait.picture if view == "face" else portrait.lips(crop.size)
    height, width = picture.shape[:2]
    return Column(STILL, _Same(picture), width, height)


@dataclass(frozen=True)
class _Same:
    picture: Image

    def __iter__(self) -> Iterator[Image]:
        return repeat(self.picture)


def _resized(frame: Image, width: int, height: int) -> Image:
    if frame.shape[:2] == (height, width):
        return frame
    way = cv2.INTER_AREA if height < frame.shape[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(frame, (width, height), interpolation=way), np.uint8)
