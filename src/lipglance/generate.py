"""The one job: a face and a speech in, the video of that face saying it out."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lipglance.blink import check_life
from lipglance.clip_frames import back_and_forth
from lipglance.geometry import Image, crop_image
from lipglance.media import PathLike, Speech, as_speech, audio_info, hear, is_video, iter_audio
from lipglance.models import LIFE, FaceSession, LipModel, LipSession
from lipglance.portrait import FaceInput, Portrait, open_portrait
from lipglance.sound_intake import Intake
from lipglance.sound_track import TRACK_RATE
from lipglance.stream import start_session
from lipglance.talking_clip import Clip, open_clip
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
    still: bool = False,
    life: float = LIFE,
    progress: Progress | None = None,
) -> Video:
    """Make a face say a speech.

    face: path of a photo or video, or an array (H, W, 3) uint8 RGB. A video is dubbed: its own
    mouth is re-voiced frame by frame, see `lipglance.talking_clip.open_clip`. speech: path of a
    sound or video, or ``(samples, rate)`` with samples (n,) or (channels, n), float in [-1, 1] or
    integer. view: "face" gives the whole picture, "lips" the lip crop at the model's size.
    face_index: 0 is the leftmost face; None takes the largest. max_side: px to which a larger
    picture is scaled. still: of a video take the first usable frame as if it were a photo.
    life: how often a photo's face blinks, 0 to 1, see `lipglance.stream.start_session`; people in a
    video blink by themselves. progress: is told, while a video is looked through, how many of its
    frames are done.
    Both inputs are checked here (InputError, see `lipglance.portrait.open_portrait`); the frames
    are made when they are asked for.
    """
    check_life(life)
    source = as_speech(speech)
    audio = model.audio
    once = Once()
    clip: Clip | None = None
    moving = not still and isinstance(face, str | os.PathLike) and is_video(face)
    with once.said():
        # Speech that is too short is found out only by reading it.
        next(iter_audio(source, audio.sample_rate), None)
        if moving and isinstance(face, str | os.PathLike):
            intake = Intake(audio.sample_rate)
            for _ in hear(source, intake):
                pass
            clip = open_clip(
                face,
                model.crop,
                intake.video_frames(audio.video_fps),
                fps=audio.video_fps,
                view=view,
                face_index=face_index,
                max_side=max_side,
                progress=progress,
            )
    if clip is not None:
        return Video(model, clip.portrait, source, view, once, clip)
    portrait = open_portrait(face, model.crop, view=view, face_index=face_index, max_side=max_side)
    return Video(model, portrait, source, view, once, life=life)


class Video:
    """A talking face. Its frames are made anew each time they are gone through, in constant memory.

    model, portrait, speech, view: what it is made of. clip: what is dubbed, None for one picture.
    life: how often a picture blinks. fps: frames a second. width, height: px.
    """

    def __init__(
        self,
        model: LipModel,
        portrait: Portrait,
        speech: Speech,
        view: str,
        once: Once | None = None,
        clip: Clip | None = None,
        *,
        life: float = LIFE,
    ) -> None:
        self.model = model
        self.portrait = portrait
        self.speech = speech
        self.view = view
        self.clip = clip
        self.life = life
        self.fps = model.audio.video_fps
        size = model.crop.size
        self.height, self.width = portrait.picture.shape[:2] if view == "face" else (size, size)
        self._once = once or Once()

    def describe(self) -> list[str]:
        """What was chosen and changed, a line each, for the user."""
        return (self.clip or self.portrait).describe()

    def __iter__(self) -> Iterator[Image]:
        """Go through the frames, each (height, width, 3) uint8 RGB; round(duration * fps) in all.

        Raises InputError where the speech turns out to be unreadable on the way.
        """
        if "frames" in self.__dict__:
            yield from self.frames
        elif self.clip is None:
            yield from self._said(start_session(self.model, self.portrait, self.view, self.life))
        elif self.view == "face":
            yield from self._said(self.model.start_clip(self.clip))
        else:
            size = self.model.crop.size
            made = self._said(self.model.start_clip(self.clip))
            for k, frame in zip(back_and_forth(len(self.clip)), made, strict=False):
                yield crop_image(frame, self.clip.matrices[k], size)

    def _said(self, session: LipSession | FaceSession) -> Iterator[Image]:
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
        if self.clip is not None:
            return self.clip.wanted
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
    """Lets each warning through once: the speech is read to be checked, heard and written.

    Other threads' warnings are none of its business.
    """

    def __init__(self) -> None:
        super().__init__()
        self._known: set[str] = set()
        self._thread: int | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record's words are new."""
        if record.thread != self._thread:
            return True
        message = record.getMessage()
        known = message in self._known
        self._known.add(message)
        return not known

    @contextmanager
    def said(self) -> Iterator[None]:
        """While this is open, what its thread tells the package's log passes through."""
        self._thread = threading.get_ident()
        log.addFilter(self)
        try:
            yield
        finally:
            log.removeFilter(self)
