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
# Photographs in the mp4 family by their "ftyp" brand (ISO/IEC 23008-12 and AV1 Image File Format).
HEIF_BRANDS = {"heic", "heix", "hevc", "hevx", "heim", "heis", "mif1", "msf1"}
_AVIF_BRANDS = {"avif", "avis"}

# Demuxers that read a duration from the header; others estimate it from the size.
_EXACT_FORMATS = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "flac", "aiff", "caf"}


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
        # Tags in another encoding than they should be are no reason not to hear the sound.
        return av.open(
            f"file:{path}", options={"protocol_whitelist": "file"}, metadata_errors="replace"
        )
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
    if container.metadata.get("major_brand") in HEIF_BRANDS | _AVIF_BRANDS:
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


class Restarts:
    """Keeps time where a file's time stamps begin anew, as those of files put one after another do.

    A stamp before the last one is the first of another recording, or a wrong one. Either is taken
    to come when it is due; if what follows goes on where the stamps were before, it was wrong.

    Args:
        path: of the file, for the warning.
        slack: s by which stamps may run backwards and mean nothing.
    """

    def __init__(self, path: Path, slack: float = 0.0) -> None:
        self._path, self._slack = path, slack
        self._last: float | None = None
        self._older: float | None = None
        self._told = False

    def __call__(self, stamp: float, zero: float, due: float) -> float:
        """Return the stamp (s) of the moment 0, in use `zero`, for what is stamped and is due."""
        last, older = self._last, self._older
        self._last, self._older = stamp, None
        if last is not None and stamp < last - self._slack:
            self._older = zero
            return stamp - due
        if older is not None and abs(stamp - older - due) < abs(stamp - zero - due):
            return older
        if older is not None and not self._told:
            self._told = True
            log.warning("%s begins its time stamps anew: its parts are played in a row", self._path)
        return zero


def decoded(container: InputContainer, stream: Any, path: Path) -> Iterator[Any]:
    """Frames of a stream; damage, and an end before the one promised, give one warning each."""
    damaged = 0
    end = 0.0
    # All streams, because the header's duration is that of the longest.
    packets = container.demux([*container.streams.video, *container.streams.audio])
    while True:
        try:
            packet = next(packets)
            if packet.pts is not None and packet.time_base is not None:
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        except StopIteration:
            _warn_if_short(container, path, end)
            break
        except (av.error.FFmpegError, OSError) as error:
            log.warning("%s breaks off (%s): using what came before", path, _reason(error))
            break
        if packet.stream.index != stream.index:
            continue
        try:
            yield from stream.decode(packet)
        except (av.error.FFmpegError, OSError):
            damaged += 1
    if damaged:
        log.warning("%s is damaged: %d pieces of its %s left out", path, damaged, stream.type)


def promised_duration(container: InputContainer, stream: Any) -> float | None:
    """Length (s) of a stream as its file states it, else of the whole file; None if neither."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    tag = stream.metadata.get("DURATION", "")  # Matroska, the time of the end: 00:00:02.300000000
    try:
        hours, minutes, seconds = tag.split(":")
        end = 3600.0 * int(hours) + 60.0 * int(minutes) + float(seconds)
        return end - float((stream.start_time or 0) * (stream.time_base or 0))
    except ValueError:
        return container.duration / av.time_base if container.duration else None


def _warn_if_short(container: InputContainer, path: Path, end: float) -> None:
    if container.format.name in ("wav", "avi"):
        # Their demuxers believe the file's size rather than its header.
        size = path.stat().st_size
        with path.open("rb") as file:
            promised_size = int.from_bytes(file.read(8)[4:], "little") + 8
        if size < promised_size - 8 < 2**32 - 8:
            log.warning(
                "%s is cut short: it has %d bytes where its header promises %d",
                path, size, promised_size,
            )  # fmt: skip
    if container.duration is None or container.format.name not in _EXACT_FORMATS:
        return
    found = end - (container.start_time or 0) / av.time_base
    promised = container.duration / av.time_base
    if found < promised - max(0.25, 0.02 * promised):
        log.warning(
            "%s is cut short: it holds %.2f s where its header promises %.2f s",
            path, found, promised,
        )  # fmt: skip
