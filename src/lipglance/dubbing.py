"""Dubbing with a model that paints lip crops: they are pasted into every frame of the clip.

The lips are made from the one frame that shows the mouth best and then laid over each frame's own,
whatever it says. A model that can do better overrides `LipModel.start_clip` (`glance_dub`).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import cv2
import numpy as np
from numpy.typing import NDArray

from lipglance.compositing import Compositor
from lipglance.geometry import Image, apply, crop_image
from lipglance.models import LipModel
from lipglance.talking_clip import Clip


class PastingDub:
    """A clip's face saying another speech; see `lipglance.models.FaceSession`."""

    def __init__(self, model: LipModel, clip: Clip) -> None:
        self._clip = clip
        self._size = model.crop.size
        self._frames = clip.frames()
        # One identity for the whole speech: of the longest shot.
        lengths = [end - begin for begin, end in clip.shots]
        longest = int(np.argmax(lengths))
        at = clip.references[longest]
        picture = next(islice(clip.reference_pictures(), longest, None))
        identity = crop_image(picture, clip.matrices[at], self._size)
        self._lips = model.start(identity, apply(clip.matrices[at], clip.points[at]))

    def feed(self, samples: NDArray[np.float32]) -> Iterator[Image]:
        """Take (n,) float32 samples in [-1, 1]; yield the frames now certain, each (H, W, 3)."""
        return map(self._pasted, self._lips.feed(samples))

    def finish(self, frames: int | None = None) -> Iterator[Image]:
        """Yield the frames still missing, so that there are `frames` in all."""
        return map(self._pasted, self._lips.finish(frames))

    def _pasted(self, lips: Image) -> Image:
        k, picture = next(self._frames)
        strength = float(self._clip.strength[k])
        if strength == 0:
            return picture.copy()  # a looped clip's is needed again
        made = Compositor(picture, self._clip.matrices[k], self._size).paste(lips)
        return faded(picture, made, strength)


def faded(before: Image, after: Image, strength: float) -> Image:
    """Between two pictures of one size: the first at a strength of 0, the second at 1."""
    if strength >= 1:
        return after
    return np.asarray(cv2.addWeighted(before, 1 - strength, after, strength, 0), np.uint8)
