"""Where a crop lies in a picture: what is made in it is brought there at the picture's own size."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lipglance.errors import InputError
from lipglance.geometry import Floats, Image, apply, enlargement, invert
from lipglance.grain import TILE, grain_like
from lipglance.mouth_warp import compose, warped

FloatArray = NDArray[np.float32]

# How many times a crop is enlarged at least and at most before it is turned into its place.
_FINER = (2, 4)
# What is painted is made crisper by this much where a px of the crop is `_BLURRED` px of the
# picture, not at all where it is one; by eye: at 1.6 there are lines that are no teeth's. What is
# finer than so many px of the crop counts as blurred.
_CRISPER, _BLURRED, _BLUR = 0.6, 2.5, 0.9
# Share of the place that has no edges, beards or lips.
_PLAIN = 0.15
#: Light is counted from this many grey levels below black, so that noise in the dark counts little.
BLACK = np.float32(16)


@dataclass(frozen=True)
class Part:
    """A part of a crop, finer than the crop.

    picture: (h, w, 3) uint8. box: left, top, right, bottom in crop px. factor: how much finer.
    """

    picture: Image
    box: tuple[int, int, int, int]
    factor: int


class Place:
    """Where a crop lies in a picture, and how what is made in it is brought there.

    grain: whether what is `painted` is to have the picture's grain; it is looked at here.
    InputError where no part of the crop lies in the picture.
    """

    def __init__(self, picture: Image, matrix: Floats, size: int, *, grain: bool = False) -> None:
        back = invert(matrix)
        edge = size - 0.5
        corners = apply(back, [[-0.5, -0.5], [edge, -0.5], [edge, edge], [-0.5, edge]])
        height, width = picture.shape[:2]
        low = np.clip(np.floor(corners.min(0)).astype(int), 0, [width, height])
        high = np.clip(np.ceil(corners.max(0)).astype(int) + 1, 0, [width, height])
        if (low >= high).any():
            raise InputError(
                f"the mouth lies outside the picture of {width}x{height} px; give a picture that "
                "shows it"
            )
        self._box = (int(low[0]), int(low[1]), int(high[0]), int(high[1]))
        self._unit = back[:, :2].astype(np.float32)
        self._back = back.copy()
        self._back[:, 2] -= low
        shown = picture[low[1] : high[1], low[0] : high[0]]
        wide, tall = (int(side) for side in high - low)
        # As much as is needed: in a large picture's size it would take 100 MB.
        self._grain = grain_like(shown, min(tall, TILE), wide, _PLAIN) if grain else None
        larger = enlargement(back)
        self._crisper = _CRISPER * float(np.clip((larger - 1) / (_BLURRED - 1), 0, 1))
        # From the crop enlarged, whose pixel centres lie elsewhere, to the box.
        self._factor = int(np.clip(np.ceil(larger), *_FINER))
        self._finer = self._back.copy()
        self._finer[:, :2] /= self._factor
        self._finer[:, 2] += back[:, :2] @ np.full(2, 0.5 / self._factor - 0.5)

    def painted(
        self, picture: Image, flow: FloatArray, mask: FloatArray, colour: FloatArray
    ) -> Image:
        """A copy of the picture with what `Mouth.driven` made in the crop."""
        left, top, right, bottom = self._box
        frame = picture.copy()
        patch = frame[top:bottom, left:right]
        brought = self._brought(np.concatenate([flow @ self._unit.T, mask[..., None]], axis=2))
        painted = self._brought(self._crisp(colour))
        if self._grain is not None:
            for row in range(0, len(painted), TILE):
                part = painted[row : row + TILE]
                part += self._grain[: len(part)]
        patch[:] = compose(patch, brought[..., :2], brought[..., 2], painted)
        return frame

    def _crisp(self, colour: FloatArray) -> FloatArray:
        """What was painted, (S, S, 3), with what its enlargement blurs made stronger."""
        if not self._crisper:
            return colour
        broad = cv2.GaussianBlur(colour, (0, 0), _BLUR)
        return np.asarray(colour + self._crisper * (colour - broad), np.float32)

    def moved(self, picture: Image, flow: FloatArray) -> Image:
        """A copy of the picture moved by a flow, (S, S, 2) crop px."""
        left, top, right, bottom = self._box
        frame = picture.copy()
        patch = frame[top:bottom, left:right]
        patch[:] = warped(patch.copy(), self._brought(flow @ self._unit.T), fine=True)
        return frame

    def lay(self, picture: Image, part: Part, light: FloatArray, mask: FloatArray) -> None:
        """Lay a part of the crop over the picture, which is changed.

        light: (S, S, 3) factors on it. mask: (S, S) in [0, 1], where it is laid, 0 outside of it.
        """
        left, top, right, bottom = self._box
        x0, y0, x1, y1 = part.box
        corners = apply(self._back, [[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
        low = np.clip(np.floor(corners.min(0)).astype(int) - 1, 0, [right - left, bottom - top])
        high = np.clip(np.ceil(corners.max(0)).astype(int) + 2, low, [right - left, bottom - top])
        if (low == high).any():
            return
        size = (int(high[0] - low[0]), int(high[1] - low[1]))
        back = self._back.copy()
        back[:, 2] -= low

        def brought(layers: FloatArray | Image, way: Floats, how: int) -> FloatArray:
            made = cv2.warpAffine(layers, way, size, flags=how, borderMode=cv2.BORDER_REPLICATE)
            return np.asarray(made, np.float32)

        fine = back.copy()
        fine[:, :2] /= part.factor
        # Its pixel 0 lies at the box' corner and (1 / factor - 1) / 2 of the crop's px before it.
        fine[:, 2] += back[:, :2] @ (np.array([x0, y0]) + (1 / part.factor - 1) / 2)
        shown = brought(part.picture, fine, cv2.INTER_CUBIC)
        shown = (shown + BLACK) * brought(light, back, cv2.INTER_LINEAR) - BLACK
        share = brought(mask, back, cv2.INTER_LINEAR)[..., None]
        patch = picture[top + low[1] : top + high[1], left + low[0] : left + high[0]]
        base = patch.astype(np.float32)
        patch[:] = np.clip(np.round(base + share * (shown - base)), 0, 255)

    def _brought(self, layers: FloatArray) -> FloatArray:
        """Bring (S, S, C) from the crop to the box in the picture, (h, w, C)."""
        left, top, right, bottom = self._box
        # Cubic sampling of a crop enlarged so is bilinear without a trace, and several times faster
        # than a turned cubic kernel.
        side = len(layers) * self._factor
        finer = cv2.resize(layers, (side, side), interpolation=cv2.INTER_CUBIC)
        made = cv2.warpAffine(
            finer, self._finer, (right - left, bottom - top), borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(made, np.float32)
