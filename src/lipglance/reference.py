"""What the real frames of a clip show: the landmarks that every row is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lipglance import metrics
from lipglance.dlib68 import MOUTH
from lipglance.evaluation_clip import Clip
from lipglance.evaluation_crop import SIZE, mouth_place, square_at
from lipglance.geometry import Floats, Image, apply, invert
from lipglance.voiced_clips import FastClip


class Detector(Protocol):
    """Finds the 68 landmarks of a face, see `lipglance.dlib68.Dlib68`."""

    def points(
        self, image: Image, near: tuple[float, float] | None = None
    ) -> NDArray[np.float64] | None:
        """The points (68, 2) px of the face at `near` in `image` (H, W, 3), or None."""
        ...

    def embedding(self, image: Image, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """A vector that is alike for pictures of one person, see `Dlib68.embedding`."""
        ...


@dataclass(frozen=True)
class Reference:
    """What the landmarks of a clip's rows are compared with.

    Attributes:
        shown: landmarks of the pictures that lips are put into, (T, 68, 2) px, NaN where dlib finds
            no face.
        place: centres (T, 2) and half side, px, of the evaluation crops in those pictures; None
            where there is no face in any.
        mouth: the mouth that says the sound, (T, 20, 2) px of an evaluation crop.
        closed: opening of the shown person's closed mouth, px of the evaluation crop, None where it
            is not known.
    """

    shown: Floats
    place: tuple[Floats, float] | None
    mouth: Floats
    closed: float | None


def middles(clip: Clip) -> list[tuple[float, float]]:
    """Where in each of the T pictures, px (x, y), the middle of the clip's crop lies."""
    middle = (clip.crop.size - 1) / 2
    return [(float(x), float(y)) for x, y in invert(clip.transforms()) @ [middle, middle, 1.0]]


def filmed(clip: Clip, detector: Detector) -> Reference:
    """The clip's own real frames; InputError where they cannot be read.

    Of a `FastClip` the mouth is what it was at each frame's time, between two real frames.
    """
    if isinstance(clip, FastClip):
        whole = filmed(clip.whole, detector)
        place = whole.place and (whole.place[0][clip.nearest], whole.place[1])
        shown = whole.shown[clip.nearest]
        return Reference(shown, place, clip.between(whole.mouth), whole.closed)
    places = middles(clip)
    real = np.full((clip.frames, 68, 2), np.nan)
    for t, picture in enumerate(clip.pictures()):
        found = detector.points(picture, places[t])
        if found is not None:
            real[t] = found
    place = mouth_place(real[:, MOUTH])
    if place is None:
        return Reference(real, None, real[:, MOUTH], None)
    mouth = apply(square_at(*place, SIZE), real[:, MOUTH])
    return Reference(real, place, mouth, metrics.closed_opening(metrics.opening(mouth)))
