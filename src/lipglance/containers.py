"""Opening sound and video files: what both readers need, and what can be wrong with a file."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import av.error
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from lipglance.errors import InputError

PathLike = str | os.PathLike[str]

log = logging.getLogger("lipglance")

# Demuxers that "play" a picture or a plain text file as a video; such a file is no video here.
_STILL_FORMATS = {"image2", "gif", "apng", "tty", "ico", "webp_anim"}


def existing_file(path: PathLike, expected: str) -> Path:
    """The path of a readable, non-empty file; InputError naming what was ``expected`` otherwise."""
    path = Path(path)
    try:
        if path.is_dir():
            raise InputError(f"{path} is a directory; expected {expected}; name a file in it")
        if not path.exists():
            raise InputError(f"{path} does not exist; expected {expected}; check the name")
        if not path.is_file():
            raise InputError(f"{path} is not an ordinary file; expected {expected}; name a file")
        if path.stat().st_size == 0:
            raise InputError(f"{path} is empty (0 bytes); expected {expected}; copy it again")
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); expected {expected}; check the name and "
            "its permissions"
        ) from None
    except ValueError:
        raise InputError(f"{str(path)!r} is no file name; expected {expected}") from None
    return path


@contextmanager
def opened(path: PathLike, expected: str) -> Iterator[InputContainer]:
    """Open a media file for reading and close it in the end.

    InputError where the file is missing or is no media file that can be decoded.
    """
    container = open_media(path, expected)
    try:
        yield container
    finally:
        container.close()


def open_media(path: PathLike, expected: str) -> InputContainer:
    """Open a media file for reading; the caller closes it. InputError where it is none."""
    path = existing_file(path, expected)
    try:
        # The prefix keeps a name such as "a:b.wav" or "concat:x" from being taken for an address,
        # and the whitelist keeps a playlist from fetching anything.
        return av.open(f"file:{path}", options={"protocol_whitelist": "file"})
    except PermissionError:
        raise InputError(
            f"{path} may not be read; expected {expected}; check its permissions"
        ) from None
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise InputError(
            f"{path} is no sound or video that can be decoded ({_reason(error)}); expected "
            f"{expected}; if it is, it is damaged or cut short: copy or convert it again"
        ) from None


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or type(error).__name__).lower()


def video_stream(container: InputContainer) -> VideoStream | None:
    """The moving pictures of a container; None for pure sound, cover art, pictures and texts."""
    name = container.format.name
    if name in _STILL_FORMATS or name.endswith("_pipe"):
        return None
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic and stream.codec_context is not None:
            return stream
    return None


def time_zero(container: InputContainer) -> float | None:
    """The second at which the first picture is shown; None without video or where not stated.

    Sound is placed relative to this moment, so that both readers count time alike.
    """
    stream = video_stream(container)
    if stream is None or stream.time_base is None or stream.start_time is None:
        return None
    return float(stream.start_time * stream.time_base)


def decoded(container: InputContainer, stream: Any, path: Path) -> Iterator[Any]:
    """Frames of a stream; damaged packets are left out with one warning at the end."""
    damaged = 0
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            break
        except (av.error.FFmpegError, OSError) as error:
            log.warning("%s breaks off (%s): using what came before", path, _reason(error))
            break
        try:
            yield from stream.decode(packet)
        except (av.error.FFmpegError, OSError):
            damaged += 1
    if damaged:
        log.warning("%s is damaged: %d pieces of its %s left out", path, damaged, stream.type)


def warn_if_short(path: Path, kind: str, found: float, promised: float | None) -> None:
    """Warn where a file ends long before the duration (s) its header promises."""
    if promised is not None and found < promised - max(0.25, 0.02 * promised):
        log.warning(
            "%s is cut short: %.2f s of %s where its header promises %.2f s",
            path, found, kind, promised,
        )  # fmt: skip
