"""The one job: a face and a speech in, the video of that face saying it out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lipglance.geometry import Image
from lipglance.media import PathLike, Speech, as_speech, audio_info, hear, iter_audio
from lipglance.models import LipModel
from lipglance.portrait import FaceInput, Portrait, open_portrait
from lipglance.sound_intake import Intake
from lipglance.sound_track import TRACK_RATE
from lipglance.stream import start_session
from lipglance.writer import VideoWriter

log = logging.getLogger("lipglance")

Progress = Callable[[int], None]


def generate(
    model: LipModel,
    face: FaceInput,
    speech: Speech,
    *,
    view: str = "face",
    face_index: int | None = None,
    max_side: int = 1920,
) -> Video:
    """Make a face say a speech.

    face: path of a photo or video, or an array (H, W, 3) uint8 RGB. speech: path of a sound or
    video, or ``(samples, rate)`` with samples (n,) or (channels, n), float in [-1, 1] or integer.
    view: "face" gives the whole picture, "lips" the lip crop at the model's size. face_index: 0 is
    the leftmost face; None takes the largest. max_side: px to which a larger picture is scaled.
    Both inputs are checked here (InputError, see `lipglance.portrait.open_portrait`); the frames
    are made when they are asked for.
    """
    source = as_speech(speech)
    once = Once()
    with once.said():
        # Speech that is too short is found out only by reading it.
        next(iter_audio(source, model.audio.sample_rate), None)
    portrait = open_portrait(face, model.crop, view=view, face_index=face_index, max_side=max_side)
    return Video(model, portrait, source, view, once)


class Video:
    """A talking face. Its frames are made anew each time they are gone through, in constant memory.

    model, portrait, speech, view: what it is made of. fps: frames a second. width, height: px.
    """

    def __init__(
        self,
        model: LipModel,
        portrait: Portrait,
        speech: Speech,
        view: str,
        once: Once | None = None,
    ) -> None:
        self.model = model
        self.portrait = portrait
        self.speech = speech
        self.view = view
        self.fps = model.audio.video_fps
        size = model.crop.size
        self.height, self.width = portrait.picture.shape[:2] if view == "face" else (size, size)
        self._once = once or Once()

    def __iter__(self) -> Iterator[Image]:
        """Go through the frames, each (height, width, 3) uint8 RGB; round(duration * fps) in all.

        Raises InputError where the speech turns out to be unreadable on the way.
        """
        if "frames" in self.__dict__:
            yield from self.frames
            return
        session = start_session(self.model, self.portrait, self.view)
        intake = Intake(self.model.audio.sample_rate)
        for piece in hear(self.speech, intake):
            yield from session.feed(piece[0])
        yield from session.finish(intake.video_frames(self.fps))

    @cached_property
    def frames(self) -> NDArray[np.uint8]:
        """All frames at once, (T, height, width, 3) uint8 RGB; kept."""
        with self._once.said():
            return np.stack(list(self))

    @cached_property
    def expected_frames(self) -> int | None:
        """About how many frames there will be, by what the speech's file says of its length."""
        duration = audio_info(self.speech).duration
        return None if duration is None else max(1, round(duration * self.fps))

    def save(self, path: PathLike, *, force: bool = False, progress: Progress | None = None) -> int:
        """Write picture and speech to an .mp4 (H.264, AAC) or .webm (VP9, Opus).

        Frames go to the file as they are made. `force` replaces a file that is there; `progress`
        is told after each frame how many are done. Returns the number of frames. Raises InputError
        where the file cannot be written; whatever happens, no half-written file stays behind.
        """
        with self._once.said():
            return write_talking(
                path, self, (self.width, self.height), self.speech,
                fps=self.fps, force=force, progress=progress,
            )  # fmt: skip


def write_talking(
    path: PathLike,
    frames: Iterable[Image],
    size: tuple[int, int],
    speech: Speech,
    *,
    fps: float = 25.0,
    force: bool = False,
    progress: Progress | None = None,
) -> int:
    """Write frames, each of `size` (width, height) px, and their speech; returns their number.

    For the rest see `Video.save`.
    """
    channels = min(audio_info(speech).channels, 2)
    sound = iter_audio(speech, TRACK_RATE, channels)
    with VideoWriter(path, *size, fps, sound, TRACK_RATE, force=force) as writer:
        for frame in frames:
            writer.write(frame)
            if progress is not None:
                progress(writer.frames)
    return writer.frames


class Once(logging.Filter):
    """Lets each warning through once: the speech is read to be checked, heard and written."""

    def __init__(self) -> None:
        super().__init__()
        self._known: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record's words are new."""
        message = record.getMessage()
        known = message in self._known
        self._known.add(message)
        return not known

    @contextmanager
    def said(self) -> Iterator[None]:
        """While this is open, the package's log passes through."""
        log.addFilter(self)
        try:
            yield
        finally:
            log.removeFilter(self)
