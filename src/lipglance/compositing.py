"""Putting generated lips back into the photo, so that no edge, colour step or blurred disc shows.

The model paints `size` x `size` px; the photo may have many more. Pasting the crop as it is would
show a soft disc in a sharp face. So what is brought to the photo is not the crop but its
*difference* from the crop of the photo itself:

    frame = photo + up(M * K * r) - up(M * Q) * edges(photo - up(photo's crop))

r is generated minus photo's crop, after the generated one is brought to the photo's light (its
own shade of skin is off by a factor, found at the rim) and to its broad tint; M is the soft mask; K
takes differences too small to be motion down to nothing; Q is where the lips truly changed: there
the edges that only the photo resolves, which belong to the old mouth, are taken out. Grain and
pores stay, and outside of Q all detail does. Where generated and photo agree, the frame is the
photo to the bit, as it is outside the mask. Nothing is carried from frame to frame.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from lipglance.errors import InputError
from lipglance.geometry import (
    LUMA,
    Floats,
    Image,
    apply,
    check_image,
    crop_image,
    enlargement,
    invert,
)
from lipglance.models import LipSession

FloatArray = NDArray[np.float32]

# Half axes of the mask's superellipse, as parts of half the crop: where it begins to fade and where
# it ends; above the middle (nose), below it (chin) and to the sides.
_FADE_UP, _FADE_DOWN, _FADE_ASIDE = (0.50, 0.90), (0.70, 0.95), (0.72, 0.95)
_SQUARENESS = 2.5
# Grey levels (of 255) between which a difference counts as motion, and as a new mouth.
_MOTION = (1.5, 6.0)
_CHANGE = (10.0, 36.0)
# Rim pixels farther from the fitted light than this (natural logarithm) move.
_ROBUST = 0.03
# Light is counted from this much below black, so that noise in the dark counts little.
_BLACK = 24.0
_LIGHT = np.log(np.arange(256, dtype=np.float32) + np.float32(_BLACK))
_LARGEST_GAIN = 0.7
# Brightness of RGB (BT.601); changes of tint wider than this part of the crop, and how much of
# them is taken out.
_BROAD = 0.1
_TINT = 1.0
# Grey levels between a pixel's channels up to which a picture is black and white, and from which it
# has colours of its own.
_COLOURFUL = (4.0, 14.0)
# Detail of the photo stronger than this (grey levels) is an edge, weaker is grain.
_GRAIN = 7.0
_LARGEST_ENLARGEMENT = 4


def _smoothstep(x: FloatArray, low: float, high: float) -> FloatArray:
    t = np.clip((x - np.float32(low)) * np.float32(1 / (high - low)), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def colourfulness(crop: Image) -> np.float32:
    """How much colour a lip crop (S, S, 3) uint8 has: 0 in a black and white photo, else 1."""
    spread = np.percentile(np.ptp(crop.astype(np.float32), axis=2), 90)
    return np.float32(_smoothstep(np.asarray(spread, np.float32), *_COLOURFUL))


def mouth_mask(size: int) -> FloatArray:
    """The soft mask in the crop, (size, size) float32: 1 at the mouth, 0 at the crop's border.

    A superellipse that reaches lower (the chin moves) than it reaches up (the nose does not).
    """
    at = (np.arange(size, dtype=np.float64) - (size - 1) / 2) / (size / 2)
    x, y = np.abs(at)[None, :], at[:, None]

    def radius(part: int) -> Floats:
        vertical = np.where(y < 0, -y / _FADE_UP[part], y / _FADE_DOWN[part])
        rho = (x / _FADE_ASIDE[part]) ** _SQUARENESS + vertical**_SQUARENESS
        return np.asarray(rho ** (1 / _SQUARENESS), np.float64)

    inner, outer = radius(0), radius(1)
    # 0 on the inner curve, 1 on the outer, along any ray from the middle.
    fade = (inner - 1) / np.maximum(inner - 1 + 1 - outer, 1e-9)
    fade = np.where(inner <= 1, 0, np.where(outer >= 1, 1, fade))
    return 1 - _smoothstep(fade.astype(np.float32), 0, 1)


def _edges(detail: FloatArray, scale: float) -> FloatArray:
    """The part of `detail` (h, w, 3) that belongs to edges, by its strength round about.

    scale: px of the picture to one of the crop.
    """
    power = cv2.GaussianBlur(np.square(detail).max(axis=2), (0, 0), max(0.6 * scale, 0.5))
    share = power**2 / (power**2 + np.float32(_GRAIN**4))
    return np.asarray(detail * share[..., None], np.float32)


class Compositor:
    """Pastes lips into one picture. Holds no state of its own between frames; threads may share it.

    picture: (H, W, 3) uint8 RGB. matrix: (2, 3), picture px to crop px. size: side of the crops.
    Raises InputError where the picture is of the wrong kind or the crop lies outside it.
    """

    def __init__(self, picture: Image, matrix: Floats, size: int) -> None:
        check_image(picture)
        self.picture = picture
        self.matrix = np.asarray(matrix, np.float64)
        self.identity = crop_image(picture, matrix, size)
        self._crop = self.identity.astype(np.float32)
        self._mask = mouth_mask(size)
        self._colour = colourfulness(self.identity)
        rim = self._mask < 0.25
        y, x = (np.nonzero(rim)[axis] / (size / 2) - 1 for axis in (0, 1))
        self._rim = rim
        self._rim_light = _LIGHT[self.identity[rim]]
        self._rim_plane = np.stack([np.ones_like(x), x, y], axis=1).astype(np.float32)
        at = (np.arange(size, dtype=np.float32) / np.float32(size / 2)) - 1
        self._plane = np.stack(np.broadcast_arrays(1, at[None, :], at[:, None]), -1)
        self._place(matrix, size)
        left, top, right, bottom = self._box
        patch = picture[top:bottom, left:right].astype(np.float32)
        self._detail = _edges(patch - self._enlarge(self._crop), self._scale)

    def paste(self, lips: Image) -> Image:
        """The picture, (H, W, 3) uint8, with `lips` (size, size, 3) uint8 in place of its own."""
        if lips.shape != self.identity.shape or lips.dtype != np.uint8:
            raise InputError(
                f"lips have shape {lips.shape} and type {lips.dtype}; expected "
                f"{self.identity.shape} uint8"
            )
        left, top, right, bottom = self._box
        frame = self.picture.copy()
        difference = self._tinted(self._matched(lips) - self._crop)
        largest = np.abs(difference).max(axis=2)
        strength = np.asarray(cv2.GaussianBlur(largest, (0, 0), 1.0), np.float32)
        motion = self._mask * _smoothstep(strength, *_MOTION)
        changed = self._mask * _smoothstep(strength, *_CHANGE)
        change = self._enlarge(np.repeat(changed[..., None], 3, axis=2))
        moved = self._enlarge(difference * motion[..., None])
        moved -= cv2.multiply(change, self._detail, dst=change)
        patch = frame[top:bottom, left:right]
        patch[:] = cv2.add(patch, moved, dtype=cv2.CV_8U)
        return frame

    def _matched(self, lips: Image) -> FloatArray:
        """The lips in the photo's light: at the mask's rim they then look as the photo does.

        The model's shade is off by a factor a channel that varies over the crop like a tilted
        plane. A factor, not a sum, because black must stay black in an open mouth. Weighted least
        squares in the logarithm, with the pixels that move weighted down.
        """
        values = self._rim_light - _LIGHT[lips[self._rim]]
        weight = np.ones(len(values), np.float32)
        for _ in range(3):
            weighted = self._rim_plane * weight[:, None]
            normal = weighted.T @ self._rim_plane
            factors = np.linalg.solve(normal, weighted.T @ values)
            off = np.abs(values - self._rim_plane @ factors).max(axis=1)
            weight = 1 / (1 + np.square(off / np.float32(_ROBUST)))
        gain = np.exp(np.clip(self._plane @ factors, -_LARGEST_GAIN, _LARGEST_GAIN))
        lit = (lips.astype(np.float32) + np.float32(_BLACK)) * gain - np.float32(_BLACK)
        return np.asarray(lit, np.float32)

    def _tinted(self, difference: FloatArray) -> FloatArray:
        """`difference` with its broad changes of tint, not of brightness, taken out.

        Skin, lips and the dark of a mouth have much the same tint in the photo's light, and the
        photo knows it better than the model does. Teeth are small enough to keep theirs.
        """
        light = difference @ LUMA
        tint = difference - light[..., None]
        # What is broad needs few px: a sixteenth of the work.
        size = len(difference)
        few = cv2.resize(tint, (size // 4, size // 4), interpolation=cv2.INTER_AREA)
        few = cv2.GaussianBlur(few, (0, 0), _BROAD * size / 4)
        broad = cv2.resize(few, (size, size), interpolation=cv2.INTER_LINEAR)
        tint = tint - np.float32(_TINT) * broad
        # In a black and white photo nothing has a tint: not even teeth.
        return np.asarray(light[..., None] + self._colour * tint, np.float32)

    def _place(self, matrix: Floats, size: int) -> None:
        """Find the box of the picture that the mask touches and the way from crop to box."""
        inside = np.argwhere(self._mask > 0)
        # A cubic kernel reaches two px farther than the mask.
        (y0, x0), (y1, x1) = inside.min(0) - 2, inside.max(0) + 2
        back = invert(matrix)
        corners = apply(back, np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]))
        height, width = self.picture.shape[:2]
        low = np.clip(np.floor(corners.min(0)).astype(int), 0, [width, height])
        high = np.clip(np.ceil(corners.max(0)).astype(int) + 1, 0, [width, height])
        if (low >= high).any():
            raise InputError(
                f"the mouth lies outside the picture of {width}x{height} px; give a picture that "
                "shows it"
            )
        self._box = (int(low[0]), int(low[1]), int(high[0]), int(high[1]))
        self._scale = scale = enlargement(back)
        factor = min(int(np.ceil(scale)), _LARGEST_ENLARGEMENT)
        # To a smaller picture first by whole-pixel averages, to a larger one by a cubic kernel:
        # the turned sampling that follows is then bilinear without a trace.
        self._between = size * factor if scale > 1 else max(round(size * scale), 8)
        ratio = size / self._between
        self._back = back.copy()
        self._back[:, :2] *= ratio
        self._back[:, 2] += back[:, :2] @ np.full(2, ratio / 2 - 0.5) - low

    def _enlarge(self, crop: FloatArray) -> FloatArray:
        """Bring (size, size, 3) from the crop to the box in the picture, (h, w, 3)."""
        larger = self._between >= crop.shape[0]
        way = cv2.INTER_CUBIC if larger else cv2.INTER_AREA
        between = cv2.resize(crop, (self._between, self._between), interpolation=way)
        left, top, right, bottom = self._box
        warped = cv2.warpAffine(
            between,
            self._back,
            (right - left, bottom - top),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return np.asarray(warped, np.float32)


class PastingSession:
    """A `FaceSession` that pastes the lips of a `LipSession` into a picture, frame by frame."""

    def __init__(self, lips: LipSession, compositor: Compositor) -> None:
        self._lips = lips
        self._compositor = compositor

    def feed(self, samples: FloatArray) -> Iterator[Image]:
        """Take (n,) float32 samples in [-1, 1]; yield the frames now certain, each (H, W, 3)."""
        return map(self._compositor.paste, self._lips.feed(samples))

    def finish(self, frames: int | None = None) -> Iterator[Image]:
        """Yield the frames still missing, so that there are `frames` in all."""
        return map(self._compositor.paste, self._lips.finish(frames))
