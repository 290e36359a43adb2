"""Dubbing with the product model: in every frame of a clip its own mouth becomes the heard one.

The mouth of a frame is head, person and what the clip's own speech does to it. The last must go: a
frame's shape less the motion that the model sees in it is how this person's mouth rests, seen from
where the camera stands. That rest changes only as the head turns, so it is smoothed widely over
time; to it comes the motion that is heard. The frame's own points are taken as they are found (a
little steadied), since they say where in this very frame lips are to be fetched.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lipglance.crop import smoothed
from lipglance.dubbing import faded
from lipglance.face_points import LOWER_FACE, STABLE
from lipglance.geometry import Floats, Image, apply, crop_image, invert
from lipglance.glance import FloatArray, GlanceModel, Mouth, Place
from lipglance.mouth_warp import WARP_POINTS
from lipglance.talking_clip import Clip

_MOVED = len(LOWER_FACE)
# Standard deviations in frames: of a mouth's own points, which must not lag behind its speech; of
# the head under it; of how the mouth rests.
OWN = 0.6
HEAD = 2.0
REST = 25.0


class GlanceDub:
    """A clip's face saying another speech; see `lipglance.models.FaceSession`."""

    def __init__(self, model: GlanceModel, clip: Clip) -> None:
        self._model, self._clip = model, clip
        self._frames = clip.frames()
        # From the template's own mouth: what is heard then is a motion, not a change.
        self._motion = model.motion.begin()
        count = len(clip)
        self._own = np.full((count, len(WARP_POINTS), 2), np.nan, np.float32)
        self._rest = np.full((count, _MOVED, 2), np.nan, np.float32)
        self._head = np.full((count, 2, 3), np.nan)
        for begin, end in clip.shots:
            self._prepare(slice(begin, end))

    def _prepare(self, shot: slice) -> None:
        """Find where the mouth is and how it rests in the frames of a shot."""
        basis = self._model.motion.basis
        inside = apply(self._clip.matrices[shot], self._clip.points[shot])
        self._own[shot] = _smooth(inside[:, list(WARP_POINTS)], OWN)
        shape = basis.shapes(inside)
        spoken = basis.decode(np.stack([self._model.motion.code(one) for one in shape]))
        self._rest[shot] = _smooth(shape - spoken, REST)
        inside[:, list(STABLE)] = _smooth(inside[:, list(STABLE)], HEAD)
        self._head[shot] = invert(basis.to_template(inside))

    def feed(self, samples: FloatArray) -> Iterator[Image]:
        """Take (n,) float32 samples in [-1, 1]; yield the frames now certain, each (H, W, 3)."""
        return map(self._dubbed, self._motion.feed(samples))

    def finish(self, frames: int | None = None) -> Iterator[Image]:
        """Yield the frames still missing, so that there are `frames` in all."""
        return map(self._dubbed, self._motion.finish(frames))

    def _dubbed(self, motion: Floats) -> Image:
        k, picture = next(self._frames)
        strength = float(self._clip.strength[k])
        if strength == 0:
            return picture
        matrix = self._clip.matrices[k]
        size = self._model.crop.size
        own = self._own[k].astype(np.float64)
        wanted = own.copy()
        wanted[:_MOVED] = apply(self._head[k], self._rest[k] + motion)
        wanted = own + strength * (wanted - own)
        mouth = Mouth(self._model, crop_image(picture, matrix, size), own)
        flow, mask, colour = mouth.driven(wanted)
        made = Place(picture, matrix, size).painted(picture, flow, mask, colour)
        return faded(picture, made, strength)


def _smooth(tracks: Floats, sigma: float) -> Floats:
    return smoothed(tracks.reshape(len(tracks), -1), sigma).reshape(tracks.shape)
