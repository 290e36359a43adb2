"""Writing a video with its sound: all of it under its name, or nothing."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import count
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import Self

import av
import av.error
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from lipglance.audio import frames_for
from lipglance.behind import Behind
from lipglance.containers import PathLike
from lipglance.encodings import ENCODINGS
from lipglance.errors import InputError
from lipglance.runtime import cpu_count
from lipglance.sound_track import TRACK_RATE, SoundSource, SoundTrack
from lipglance.yuv import Changes, Patch, YuvPicture

__all__ = ["SUFFIXES", "VideoWriter", "check_target", "frames_for"]

FloatArray = NDArray[np.float32]
Picture = NDArray[np.uint8]
_Part = tuple[Patch | None, FloatArray | None]

# How many pictures may wait for the encoder: enough for its dearer ones, whole pictures.
_WAITING = 3

# Pixels from which H.264 looks no farther ahead than this, so that its memory stays small.
_LARGE, _LOOK_AHEAD = 4_000_000, 3

# CPUs up to which the encoder has one thread: it then takes a quarter less of their time, which
# those who make the pictures can use.
_FEW = 2

# The largest side x264 takes.
_LARGEST_SIDE = 16384


SUFFIXES = tuple(ENCODINGS)


def check_target(path: PathLike, force: bool = False) -> Path:
    """The path a video can be written to; InputError where it cannot.

    Checked: the suffix, that the directory exists and is writable, that nothing is there already
    (or ``force``). Worth calling before long work.
    """
    path = Path(path)
    if "\0" in str(path):
        raise InputError(f"{str(path)!r} is no file name; expected one ending in .mp4 or .webm")
    if path.suffix.lower() not in ENCODINGS:
        raise InputError(
            f"{path} ends in {path.suffix or 'nothing'!r}; expected a name ending in "
            f"{' or '.join(SUFFIXES)}"
        )
    try:
        if path.is_dir():
            raise InputError(f"{path} is a directory; expected a file; give another name")
        if not path.parent.is_dir():
            raise InputError(
                f"the directory {path.parent} does not exist; expected one for "
                f"{path.name}; make it first"
            )
        if path.exists() and not force:
            raise InputError(
                f"{path} exists already; expected a new name; give another or --force (force=True) "
                "to replace it"
            )
    except (OSError, ValueError) as error:
        raise _not_written(path, error) from None
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise InputError(
            f"the directory {path.parent} may not be written to; expected to write {path.name} "
            "there; choose another or change its permissions"
        )
    return path


class VideoWriter:
    """Writes pictures and sound to an .mp4 (H.264 yuv420p, AAC) or a .webm (VP9, Opus).

    A context manager; ``write`` takes the pictures one by one, the sound is pulled from its
    iterator as they come, so that memory stays constant. A thread encodes them while the next is
    made; its errors come out of the next ``write`` or at the end. Pictures and sound start at time
    0. The sound ends with the pictures: it is continued by silence or cut; up to half a picture
    more is kept, so that with ``frames_for`` pictures none of it is lost.

    The file appears under its name only when all is written; on any exception, Ctrl-C included,
    nothing stays behind. H.264 in yuv420p needs even sizes: an odd width or height grows by one
    column or row, a copy of the last.

    Parameters: ``path`` to write; ``width`` and ``height`` of the pictures in pixels; ``fps``;
    ``audio`` pieces (channels, n) float32 in [-1, 1] at ``audio_rate`` Hz with 1 or 2 channels, or
    None; ``force`` replaces an existing file; ``crf`` the quality (lower is better; by default 18
    for H.264 and 24 for VP9, hardly distinguishable from the original).
    Raises InputError where the file cannot be written: at the start as far as that can be known
    then, later where the disk is full.
    """

    def __init__(
        self,
        path: PathLike,
        width: int,
        height: int,
        fps: float = 25.0,
        audio: Iterator[FloatArray] | None = None,
        audio_rate: int = TRACK_RATE,
        force: bool = False,
        crf: int | None = None,
    ) -> None:
        self._path = check_target(path, force)
        if not (16 <= width <= _LARGEST_SIDE and 16 <= height <= _LARGEST_SIDE):
            raise InputError(
                f"got pictures of {width}x{height} pixels; expected sides of 16 to {_LARGEST_SIDE}"
            )
        if not 1 <= fps <= 240:
            raise InputError(f"got {fps} pictures a second; expected 1 to 240, such as 25")
        self._kind = ENCODINGS[self._path.suffix.lower()]
        self._crf = self._kind.crf if crf is None else crf
        if not 0 <= self._crf <= 51:
            raise InputError(f"got a quality (crf) of {crf}; expected 0 (best) to 51")
        self._size = (width, height)
        self._rate = Fraction(fps).limit_denominator(1001)
        self._sound = None if audio is None else SoundSource(audio, audio_rate)
        # Through a link the file it points to is replaced, not the link.
        self._target = Path(os.path.realpath(self._path))
        # A name of its own, so that two jobs for one file do not write into each other's.
        self._part = self._target.with_name(f".{self._target.stem[:60]}.{token_hex(4)}.part")
        self._container: OutputContainer | None = None
        self._video: VideoStream | None = None
        self._track: SoundTrack | None = None
        self._changes = Changes(width, height)
        self._encoding: Behind[_Part] | None = None
        self.frames = 0

    def __enter__(self) -> Self:
        try:
            # Made here, because the encoder's own error would not say what is wrong.
            self._part.open("xb").close()
            self._container = av.open(
                f"file:{self._part}",
                "w",
                format=self._kind.container,
                container_options=self._kind.options,
            )
            self._video = self._add_video(self._container)
            if self._sound is not None:
                channels = self._sound.channels()
                self._track = SoundTrack(
                    self._container, self._kind.audio, self._kind.bit_rate, channels
                )
            encode = self._encoder(self._container, self._video, self._track)
            self._encoding = Behind(encode, _WAITING)
        except BaseException as error:
            self._discard()
            if isinstance(error, av.error.FFmpegError | OSError):
                raise _not_written(self._path, error) from None
            raise
        return self

    def write(self, frame: Picture) -> None:
        """Append one picture, (height, width, 3) uint8 RGB."""
        if self._encoding is None:
            raise RuntimeError("the writer is not open: use it in a with statement")
        width, height = self._size
        if frame.shape != (height, width, 3) or frame.dtype != np.uint8:
            raise InputError(
                f"got a picture of shape {frame.shape} and type {frame.dtype}; expected "
                f"{(height, width, 3)} and uint8"
            )
        # Sound is pulled here, so that its source need not bear another thread.
        until = self._samples(self.frames + 1)
        sound = None if self._sound is None else self._sound.take(until - self._sound.taken, True)
        try:
            self._encoding.put((self._changes.of(frame), sound))
        except (av.error.FFmpegError, OSError) as error:
            raise _not_written(self._path, error) from None
        self.frames += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._discard()
            return
        try:
            self._finish()
        except BaseException as failure:
            self._discard()
            if isinstance(failure, av.error.FFmpegError | OSError):
                raise _not_written(self._path, failure) from None
            raise

    def _finish(self) -> None:
        assert self._container is not None
        assert self._video is not None
        assert self._encoding is not None
        if not self.frames:
            raise InputError(f"no picture was written to {self._path}; expected at least one")
        self._encoding.finish()
        end = self._samples(self.frames)
        if self._sound is not None:
            rest = self._samples(self.frames + Fraction(1, 2)) - end
            tail = self._sound.take(rest + 1)
            if tail.shape[1] <= rest and self._track is not None:
                self._container.mux(self._track.encode(tail))
        self._container.mux(self._video.encode(None))
        if self._track is not None:
            self._container.mux(self._track.finish())
        self._container.close()
        self._container = self._encoding = None
        if self._sound is not None:
            self._sound.close()
        with self._part.open("rb+") as file:  # Windows flushes only what may be written
            os.fsync(file.fileno())
        self._part.replace(self._target)

    def _encoder(
        self, container: OutputContainer, video: VideoStream, track: SoundTrack | None
    ) -> Callable[[_Part], None]:
        picture = YuvPicture(*self._size)
        stamps = count()

        def encode(part: _Part) -> None:
            patch, sound = part
            if patch is not None:
                picture.change(patch)
            picture.frame.pts = next(stamps)
            picture.frame.time_base = 1 / self._rate
            container.mux(video.encode(picture.frame))
            if track is not None and sound is not None:
                container.mux(track.encode(sound))

        return encode

    def _samples(self, frames: int | Fraction) -> int:
        return round(frames / self._rate * TRACK_RATE)

    def _add_video(self, container: OutputContainer) -> VideoStream:
        options = self._kind.video_options | {"crf": str(self._crf)}
        if self._kind.video == "libx264" and self._size[0] * self._size[1] > _LARGE:
            options["rc-lookahead"] = str(_LOOK_AHEAD)
        stream = container.add_stream(self._kind.video, rate=self._rate, options=options)
        assert isinstance(stream, VideoStream)
        if cpu_count() <= _FEW:
            stream.codec_context.thread_count = 1
        stream.width = self._size[0] + self._size[0] % 2
        stream.height = self._size[1] + self._size[1] % 2
        stream.pix_fmt = "yuv420p"
        # Stated, because players guess: one matrix for small pictures, another for large ones.
        stream.colorspace = stream.color_primaries = stream.color_trc = 1  # BT.709
        stream.color_range = 1  # MPEG
        return stream

    def _discard(self) -> None:
        try:
            if self._encoding is not None:
                self._encoding.stop()
            if self._container is not None:
                self._container.close()
        except (av.error.FFmpegError, OSError, ValueError):
            pass  # what is closed is thrown away
        finally:
            self._container = self._encoding = None
            self._part.unlink(missing_ok=True)
            if self._sound is not None:
                self._sound.close()


def _not_written(path: Path, error: Exception) -> InputError:
    code = getattr(error, "errno", None)
    if code in (errno.ENOSPC, errno.EDQUOT):
        return InputError(
            f"the disk is full: {path} cannot be written; expected room for the video; make "
            "room or choose another place"
        )
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return InputError(
        f"{path} cannot be written ({reason.lower()}); expected a place for the video; choose "
        "another"
    )
