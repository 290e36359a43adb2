"""Dubbing with the product model: in every frame of a clip its own mouth becomes the heard one.

The mouth of a frame is head, person and what the clip's own speech does to it. The last must go: a
frame's shape less the motion that the model sees in it is how this person's mouth rests, seen from
where the camera stands. That rest changes only as the head turns, so it is smoothed widely over
time; to it comes the motion that is heard.

The lips themselves come from one frame of the shot that shows them well. Were they moved from the
frame's own, teeth would come and go with the clip's own speech: sharp where it opened its mouth,
painted where it closed it. Cheeks and chin are the frame's own, moved; the reference's lips, driven
to the same points and brought to the frame's light, are laid over them.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from lipglance.ahead import ahead
from lipglance.crop import smoothed
from lipglance.dubbing import faded
from lipglance.face_points import LOWER_FACE, STABLE
from lipglance.geometry import Floats, Image, apply, crop_image, enlargement, invert
from lipglance.glance import FloatArray, GlanceModel, Mouth
from lipglance.motion import Motion
from lipglance.mouth_warp import WARP_POINTS, dense_flow, mouth_maps
from lipglance.placing import BLACK, Part, Place
from lipglance.talking_clip import Clip

_MOVED = len(LOWER_FACE)
# Standard deviations in frames: of the head under the mouth, next to nothing, since a source of
# another rate is resampled by dropping frames and its head then moves by jerks that must be
# followed; of how the mouth rests.
HEAD = 0.4
REST = 50.0
#: Largest enlargement of the reference's lips over the crop's resolution.
FINEST = 8
#: How far the skin around the lips goes with them, as a part of the crop's side.
AROUND = 0.06


class GlanceDub:
    """A clip's face saying another speech; see `lipglance.models.FaceSession`."""

    def __init__(self, model: GlanceModel, clip: Clip) -> None:
        self._model, self._clip = model, clip
        self._frames = clip.frames()
        # From the template's own mouth: what is heard then is a motion, not a change.
        assert isinstance(model.motion, Motion)
        self._hearing = model.motion
        self._motion = self._hearing.begin()
        count = len(clip)
        self._shot = np.zeros(count, np.intp)
        self._own = np.full((count, len(WARP_POINTS), 2), np.nan, np.float32)
        self._rest = np.full((count, _MOVED, 2), np.nan, np.float32)
        self._head = np.full((count, 2, 3), np.nan)
        self._references: list[_Reference] = []
        for number, (begin, end) in enumerate(clip.shots):
            self._shot[begin:end] = number
            self._prepare(slice(begin, end))
        for k, picture in zip(clip.references, clip.reference_pictures(), strict=True):
            self._references.append(_Reference(model, picture, clip.matrices[k], self._own[k]))

    def _prepare(self, shot: slice) -> None:
        """Find where the mouth is and how it rests in the frames of a shot."""
        basis = self._model.motion.basis
        inside = apply(self._clip.matrices[shot], self._clip.points[shot])
        self._own[shot] = inside[:, list(WARP_POINTS)]
        shape = basis.shapes(inside)
        spoken = basis.decode(np.stack([self._hearing.code(one) for one in shape]))
        self._rest[shot] = _smooth(shape - spoken, REST)
        inside[:, list(STABLE)] = _smooth(inside[:, list(STABLE)], HEAD)
        self._head[shot] = invert(basis.to_template(inside))

    def feed(self, samples: FloatArray) -> Iterator[Image]:
        """Take (n,) float32 samples in [-1, 1]; yield the frames now certain, each (H, W, 3)."""
        return self._made(self._motion.feed(samples))

    def finish(self, frames: int | None = None) -> Iterator[Image]:
        """Yield the frames still missing, so that there are `frames` in all."""
        return self._made(self._motion.finish(frames))

    def _made(self, motions: Floats) -> Iterator[Image]:
        # Motions first: where they end no frame is taken.
        return ahead(self._dubbed, zip(motions, self._frames, strict=False))

    def _dubbed(self, heard: tuple[Floats, tuple[int, Image]]) -> Image:
        motion, (k, picture) = heard
        strength = float(self._clip.strength[k])
        if strength == 0:
            return picture.copy()  # a looped clip's is needed again
        matrix = self._clip.matrices[k]
        size = self._model.crop.size
        own = self._own[k].astype(np.float64)
        wanted = own.copy()
        wanted[:_MOVED] = apply(self._head[k], self._rest[k] + motion)
        wanted = own + strength * (wanted - own)
        place = Place(picture, matrix, size)
        flow = dense_flow(own, wanted, size)
        made = place.moved(picture, flow)
        mask = lips_mask(wanted, size)
        lips = self._references[self._shot[k]].driven(wanted, mask)
        light = matched(crop_image(made, matrix, size), lips, mask)
        place.lay(made, lips, light, mask)
        return faded(picture, made, strength)


class _Reference:
    """The lips of one frame, at the resolution they have there."""

    def __init__(self, model: GlanceModel, picture: Image, matrix: Floats, own: Floats) -> None:
        size = model.crop.size
        finer = 1 / enlargement(matrix)
        self._factor = int(np.clip(np.ceil(finer), 1, FINEST))
        fine = matrix * self._factor
        fine[:, 2] += (self._factor - 1) / 2
        self._picture = crop_image(picture, fine, size * self._factor)
        self._mouth = Mouth(model, crop_image(picture, matrix, size), own.astype(np.float64))

    def driven(self, wanted: Floats, mask: FloatArray) -> Part:
        """The part of the crop that a mask covers, with its lips at points in crop px."""
        flow, painted, colour = self._mouth.driven(wanted)
        factor = self._factor
        shown = np.argwhere(mask > 0)
        (y0, x0), (y1, x1) = shown.min(0), shown.max(0) + 1
        size = (int(x1 - x0) * factor, int(y1 - y0) * factor)

        def enlarged(part: FloatArray) -> FloatArray:
            cut = np.ascontiguousarray(part[y0:y1, x0:x1])
            return np.asarray(cv2.resize(cut, size, interpolation=cv2.INTER_CUBIC), np.float32)

        way = enlarged(flow) * np.float32(factor)
        x = way[..., 0] + np.arange(x0 * factor, x1 * factor, dtype=np.float32)
        y = way[..., 1] + np.arange(y0 * factor, y1 * factor, dtype=np.float32)[:, None]
        moved = cv2.remap(
            self._picture, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        ).astype(np.float32)
        moved += enlarged(painted)[..., None] * (enlarged(colour) - moved)
        picture = np.asarray(np.clip(np.round(moved), 0, 255), np.uint8)
        return Part(picture, (int(x0), int(y0), int(x1), int(y1)), factor)


def lips_mask(points: Floats, size: int) -> FloatArray:
    """Where a mouth's lips and a little skin around them are, (size, size) in [0, 1]."""
    lips = mouth_maps(points, size)[1]
    reach = 2 * round(AROUND * size) + 1
    wide = cv2.dilate(lips, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    return np.asarray(cv2.GaussianBlur(wide, (0, 0), AROUND * size / 2), np.float32)


def matched(skin: Image, lips: Part, mask: FloatArray) -> FloatArray:
    """What brings the light on `lips` to that on `skin`, (S, S, 3) factors.

    skin: the crop, (S, S, 3) uint8. mask: (S, S) of `lips_mask`, 0 outside of the part. Compared is
    only the skin around the lips, where both show the same.
    """
    x0, y0, x1, y1 = lips.box
    inside = mask[y0:y1, x0:x1]
    weight = (inside * (1 - inside))[..., None]
    small = cv2.resize(lips.picture, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
    broad = []
    for picture in (skin[y0:y1, x0:x1], small):
        shown = np.zeros((*mask.shape, 3), np.float32)
        shown[y0:y1, x0:x1] = (picture.astype(np.float32) + BLACK) * weight
        broad.append(cv2.GaussianBlur(shown, (0, 0), 0.12 * len(mask)) + np.float32(1e-3))
    return np.asarray(np.clip(broad[0] / broad[1], 0.5, 2.0), np.float32)


def _smooth(tracks: Floats, sigma: float) -> Floats:
    return smoothed(tracks.reshape(len(tracks), -1), sigma).reshape(tracks.shape)
