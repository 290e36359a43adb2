"""Reading the pictures of a video file: upright, with square pixels, at a constant rate."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from lipglance.containers import (
    PathLike,
    Restarts,
    decoded,
    existing_file,
    open_media,
    opened,
    promised_duration,
    time_zero,
    video_stream,
)
from lipglance.errors import InputError

Picture = NDArray[np.uint8]

_EXPECTED = "a video file such as mp4, mov, mkv, webm, avi or mpg"

# Containers round time stamps (1 ms in mkv and webm) and cameras jitter: a picture that comes this
# little after the moment (s) asked for counts as shown.
_JITTER = 0.002


@dataclass(frozen=True)
class VideoInfo:
    """What a video file says of itself.

    ``width`` and ``height`` in pixels as shown (upright, square pixels); ``fps`` the average rate;
    ``duration`` in s; ``frames`` the number of its own pictures, estimated where it is not stated.
    """

    width: int
    height: int
    fps: float
    duration: float
    has_audio: bool
    frames: int


def is_video(path: PathLike) -> bool:
    """Whether a file holds moving pictures.

    Photographs (animated ones too) and sounds with cover art do not. InputError where the file is
    missing, a directory or empty.
    """
    existing_file(path, "a picture or a video")
    try:
        with opened(path, _EXPECTED) as container:
            return video_stream(container) is not None
    except InputError:
        return False


def video_info(path: PathLike) -> VideoInfo:
    """Size, rate and length of a video. InputError where the file holds no moving pictures."""
    with opened(path, _EXPECTED) as container:
        stream = _needed_stream(container, path)
        frame = next(decoded(container, stream, Path(path)), None)
        if frame is None:
            raise _nothing_decoded(path)
        fps = _rate(stream)
        duration = promised_duration(container, stream)
        if duration is None:
            duration = (stream.frames or 1) / fps
        height, width = _upright(frame, _pixel_aspect(stream), VideoReformatter()).shape[:2]
        return VideoInfo(
            width=width,
            height=height,
            fps=fps,
            duration=round(duration, 6),
            has_audio=len(container.streams.audio) > 0,
            frames=stream.frames or max(1, round(duration * fps)),
        )


def iter_video(path: PathLike, fps: float | None = 25.0) -> Iterator[Picture]:
    """Pictures of a video, each (H, W, 3) uint8 RGB, in constant memory.

    Picture k is the one shown k/fps seconds after the first, by the file's time stamps; the last
    is shown until its own end, so a video of D seconds gives round(D * fps) pictures. With ``fps``
    None the file's own pictures come one by one. Rotation and mirroring stated by the file are
    carried out and pixels made square. Damaged parts are skipped with a warning. A picture that is
    shown twice is the same array twice.
    Raises InputError where nothing can be decoded (a missing file at the call, else at the first
    picture).
    """
    if fps is not None and not (math.isfinite(fps) and fps > 0):
        raise InputError(f"got a rate of {fps} pictures a second; expected more than 0, such as 25")
    container = open_media(path, _EXPECTED)
    try:
        stream = _needed_stream(container, path)
    except InputError:
        container.close()
        raise
    return _pictures(container, stream, Path(path), fps)


def _pictures(
    container: InputContainer, stream: VideoStream, path: Path, fps: float | None
) -> Iterator[Picture]:
    try:
        stream.thread_type = "AUTO"
        aspect = _pixel_aspect(stream)
        converter = VideoReformatter()
        given = 0
        shown_until = 0.0
        shown: VideoFrame | None = None
        picture: Picture | None = None  # of the frame shown; made when first asked for
        for frame, start, end in _timed(container, stream, path):
            if fps is None:
                yield _upright(frame, aspect, converter)
                given += 1
                shown_until = end
                continue
            while shown is not None and given / fps < start - _JITTER:
                picture = _upright(shown, aspect, converter) if picture is None else picture
                yield picture
                given += 1
            shown, picture, shown_until = frame, None, end
        if fps is not None and shown is not None:
            picture = _upright(shown, aspect, converter)
            for _ in range(given, max(1, round(shown_until * fps))):
                yield picture
                given += 1
        if not given:
            raise _nothing_decoded(path)
    finally:
        container.close()


def _timed(
    container: InputContainer, stream: VideoStream, path: Path
) -> Iterator[tuple[VideoFrame, float, float]]:
    """Frames with their start and end in s after the video's start, in rising order."""
    period = 1.0 / _rate(stream)
    zero = time_zero(container)
    # MPEG programme streams (GRID's .mpg) do not stamp every picture, and the stamps the demuxer
    # fills in wander by one picture: counting is truer, unless something is really missing.
    guessed = container.format.name == "mpeg"
    clock = Restarts(path, 2.5 * period if guessed else 0.0)
    start, end = -period, 0.0
    for frame in decoded(container, stream, path):
        # How long mp4 says that a picture is shown is how long another one is, where their order in
        # the file is not the one in which they are shown: a stamp knows better.
        due = end if guessed else start + period
        start = end
        if frame.pts is not None and frame.time_base is not None:
            stamp = float(frame.pts * frame.time_base)
            zero = clock(stamp, stamp if zero is None else zero, due)
            if not guessed or abs(stamp - zero - end) > 2.5 * period:
                start = stamp - zero
        length = float(frame.duration * frame.time_base) if frame.duration else period
        end = start + length
        yield frame, start, end


def _needed_stream(container: InputContainer, path: PathLike) -> VideoStream:
    stream = video_stream(container)
    if stream is None:
        raise InputError(f"{path} holds no moving pictures; expected {_EXPECTED}")
    return stream


def _nothing_decoded(path: PathLike) -> InputError:
    return InputError(
        f"{path} holds no picture that can be decoded; expected {_EXPECTED}; it is damaged or cut "
        "short: copy or convert it again"
    )


def _rate(stream: VideoStream) -> float:
    rate = stream.average_rate or stream.guessed_rate or stream.base_rate
    return float(rate) if rate else 25.0


def _pixel_aspect(stream: VideoStream) -> float:
    """Width of a pixel over its height; 1 where the file says nothing or nonsense."""
    ratio = stream.sample_aspect_ratio
    aspect = float(ratio) if ratio else 1.0
    return aspect if 0.25 < aspect < 4.0 and abs(aspect - 1.0) > 0.01 else 1.0


def _upright(frame: VideoFrame, aspect: float, converter: VideoReformatter) -> Picture:
    """A frame as it is to be looked at: (H, W, 3) uint8 RGB."""
    # One thread: starting more for each picture takes longer than the work.
    options: dict[str, Any] = {"format": "rgb24", "threads": 1}
    if aspect != 1.0:
        options |= {"width": max(1, round(frame.width * aspect)), "height": frame.height}
        options["interpolation"] = "BICUBIC"
    picture: Picture = np.asarray(converter.reformat(frame, **options).to_ndarray(), np.uint8)
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    if matrix is not None:
        picture = _turned(picture, np.frombuffer(bytes(matrix), np.int32))
    return picture


def _turned(picture: Picture, matrix: NDArray[np.int32]) -> Picture:
    """Apply a display matrix (libavutil/display.h: x' = a x + c y, y' = b x + d y).

    Only quarter turns and mirrorings, which is all that cameras write.
    """
    a, b, c, d = (int(matrix[i]) for i in (0, 1, 3, 4))
    if abs(a) + abs(d) < abs(b) + abs(c):
        picture = picture.transpose(1, 0, 2)
        mirror_x, mirror_y = c < 0, b < 0
    else:
        mirror_x, mirror_y = a < 0, d < 0
    picture = picture[:: -1 if mirror_y else 1, :: -1 if mirror_x else 1]
    return np.ascontiguousarray(picture)
