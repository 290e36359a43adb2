"""Live speech: sound in chunks in, the frames that are certain out, each with its time.

A stream is the very session that a whole file goes through (`lipglance.generate.Video`), so its
frames are those of the file to the bit, however the sound is cut. Nothing runs in the background
between calls and nothing queues up: `Stream.feed` gives back what it made, one frame in the
caller's thread, several with the help of others.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from lipglance.audio_files import as_recording
from lipglance.blink import BlinkingSession, check_life, lids_of
from lipglance.errors import InputError
from lipglance.geometry import Image
from lipglance.models import LIFE
from lipglance.portrait import VIEWS, FaceInput, Portrait, open_portrait
from lipglance.sound_intake import Intake, channel_names

if TYPE_CHECKING:
    from lipglance.models import FaceSession, LipModel, LipSession

log = logging.getLogger("lipglance")

#: A chunk whose stated time is off by less than this (s) has jitter in its stamp, not a gap.
JITTER = 0.005
#: A chunk farther off than this (s) belongs to another sound, or its clock was set anew.
LONGEST_JUMP = 5.0


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a stream.

    image: (H, W, 3) uint8 RGB, the caller's own. time: when it begins to be shown, s from the
    stream's first sample; it is shown until ``time + 1 / 25``. index: its number from 0, so that
    ``time = index / 25``.
    """

    image: Image
    time: float
    index: int


def open_stream(
    model: LipModel,
    face: FaceInput | Portrait,
    sample_rate: int = 16000,
    *,
    view: str = "face",
    face_index: int | None = None,
    max_side: int = 1920,
    life: float = LIFE,
) -> Stream:
    """Begin a stream; what `lipglance.models.LipModel.stream` does.

    face: as for `lipglance.generate.generate`, or a `Portrait` opened for this model before: then
    no face is looked for and `face_index` and `max_side` are not heeded. sample_rate: of the chunks
    to come, Hz. life: see `start_session`.
    InputError where a face cannot be used or the rate is not one from 1000 to 768000.
    """
    sample_rate = as_recording(np.zeros(0, np.float32), sample_rate).rate
    if not isinstance(face, Portrait):
        face = open_portrait(face, model.crop, view=view, face_index=face_index, max_side=max_side)
    return Stream(model, face, sample_rate, view, life)


def start_session(
    model: LipModel, portrait: Portrait, view: str, life: float = LIFE
) -> FaceSession | LipSession:
    """Begin a session that makes the pictures of a view: "face" or "lips".

    life: how often the face blinks, 0 (never) to 1 (as often as people who talk); only in the face
    view, and only eyes that are seen to be open.
    """
    check_life(life)
    if view not in VIEWS:
        raise InputError(f"unknown view {view!r}; expected {' or '.join(VIEWS)}")
    if view == "face":
        session = model.start_face(portrait.picture, portrait.matrix, portrait.points)
        lids = lids_of(portrait) if life else None
        return BlinkingSession(session, lids, life, model.audio.video_fps) if lids else session
    return model.start(portrait.lips(model.crop.size), portrait.points_in_crop())


class Stream:
    """One face saying a speech that arrives in chunks. Use it in a ``with`` block.

    May be used by several threads (each call waits for the one before); any number of streams of
    one model may run side by side. Memory does not grow with the length of the speech. An error
    on the way (but not a refused chunk) closes the stream: frames are right or there are none.

    portrait, view: what is shown. sample_rate: of the chunks, Hz. fps: frames a second.
    """

    def __init__(
        self,
        model: LipModel,
        portrait: Portrait,
        sample_rate: int,
        view: str,
        life: float = LIFE,
    ) -> None:
        self.portrait = portrait
        self.view = view
        self.sample_rate = sample_rate
        self.fps = model.audio.video_fps
        self._lock = threading.Lock()
        self._session: FaceSession | LipSession | None = start_session(model, portrait, view, life)
        self._intake = Intake(model.audio.sample_rate)
        self._clock = _Clock(sample_rate)
        self._frames = 0

    @property
    def seconds(self) -> float:
        """How much sound has been heard, with what gaps were filled with."""
        return float(self._intake.seconds)

    def feed(self, chunk: NDArray[Any], at: float | None = None) -> list[Frame]:
        """Take a chunk of sound; return the frames that are certain now, in order, often none.

        chunk: (n,) or (channels, n), float in [-1, 1] or integer at full scale; any length, also
        0. at: when its first sample was taken, s by any clock (an RTP stamp over its rate, say),
        where that is known. A chunk that was lost is then heard as silence and one that comes late
        or twice is left out, so that sound and picture stay together; a stamp off by less than
        `JITTER` is not heeded. Without `at` a chunk follows the one before without a gap.

        The frames are made before this returns: a result that nobody looks at is lost, the sound
        is not. Raises InputError for a chunk that is no sound or more than `LONGEST_JUMP` away from
        the sound before it (the stream then goes on as if it had not come), and after the end.
        """
        with self._lock:
            session = self._open_session()
            sound = as_recording(chunk, self.sample_rate)
            samples = self._clock.place(sound.samples, at)
            with self._closed_by_errors():
                names = channel_names(len(samples))
                made = []
                for piece in self._intake.feed(samples, names, self.sample_rate):
                    made += self._numbered(session.feed(piece[0]))
            return made

    def finish(self) -> list[Frame]:
        """End the speech and return the frames still missing: ``round(duration * 25)`` in all.

        There is at least one. InputError where the stream was ended before.
        """
        with self._lock:
            session = self._open_session()
            with self._closed_by_errors():
                made = []
                for piece in self._intake.finish():
                    made += self._numbered(session.feed(piece[0]))
                made += self._numbered(session.finish(self._intake.video_frames(self.fps)))
            self._session = None
            self._intake.report("the stream's sound")
            return made

    def close(self) -> None:
        """End the stream without the frames still missing; may be called again."""
        with self._lock:
            self._session = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _open_session(self) -> FaceSession | LipSession:
        if self._session is None:
            raise InputError("the stream is at its end; open a new one for more sound")
        return self._session

    @contextmanager
    def _closed_by_errors(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._session = None
            raise

    def _numbered(self, images: Iterable[Image]) -> list[Frame]:
        made = [Frame(image, k / self.fps, k) for k, image in enumerate(images, self._frames)]
        self._frames += len(made)
        return made


class _Clock:
    """Puts chunks where their stamps want them, by silence added or samples left out."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._zero: float | None = None  # the stamp of sample 0
        self._heard = 0
        self._told: set[bool] = set()

    def place(self, samples: NDArray[np.float32], at: float | None) -> NDArray[np.float32]:
        """The samples (channels, n) to be heard next; InputError where `at` cannot be meant."""
        if at is not None:
            shift = self._shift(at)
            silence = np.zeros((len(samples), max(shift, 0)), np.float32)
            samples = np.concatenate([silence, samples[:, max(-shift, 0) :]], axis=1)
        self._heard += samples.shape[1]
        return samples

    def _shift(self, at: float) -> int:
        """Samples of silence wanted before a chunk; below 0, samples of it to be left out."""
        if not isinstance(at, int | float | np.number) or not isfinite(at):
            raise InputError(f"got a chunk taken at {at!r}; expected a time in s, or None")
        now = self._heard / self._rate
        if self._zero is None:
            self._zero = float(at) - now
        late = float(at) - self._zero - now
        if abs(late) > LONGEST_JUMP:
            side = "after" if late > 0 else "before"
            raise InputError(
                f"got a chunk taken at {at:.15g} s, {abs(late):.1f} s {side} the sound so far "
                f"ends; expected at most {LONGEST_JUMP:g} s; feed silence while no sound comes, "
                "and open a new stream for another sound"
            )
        if abs(late) < JITTER:
            return 0
        if (late > 0) not in self._told:
            self._told.add(late > 0)
            what = (
                "%.0f ms of sound are missing at %.2f s of the stream and heard as silence"
                if late > 0
                else "a chunk comes %.0f ms late or twice at %.2f s of the stream: what was there "
                "before is left out"
            )
            log.warning(what + " (said once)", 1000 * abs(late), now)
        return round(late * self._rate)
