"""Eyelids that close: skin where a picture shows an open eye.

A picture of an open eye does not show its lid. What covers the eye is made of the skin round about,
blurred into one surface that leaves out whatever is darker or brighter than skin (lashes, brow,
iris, the white), with a line of lashes along its edge. Lashes where the lid was are taken out by
the same skin. Nothing is squeezed or dragged: the part of the eye that is not covered yet, and
everything around, stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lipglance.eyes import Eye
from lipglance.geometry import LUMA, Floats, Image
from lipglance.grain import grain_like

FloatArray = NDArray[np.float32]

#: Eyes narrower than this, px, show no lid to speak of.
MIN_WIDTH = 8.0
# Heights of an open eye, in widths: below, it is closed or a line; above, the points are wrong.
_OPEN = (0.12, 0.55)
# Two eyes of one face are about equally open, about equally wide and wear the same skin.
_ALIKE = 1.6
# Skin over the eye may be darker than below it (a deep socket, shadow), but not this much: then it
# is a dark glass, hair or a hat.
_SHADE = 0.55
# An eye has darker places than skin, by this share at least; behind dark glass nothing is seen.
_CONTRAST = 0.2
# How much darker and brighter than the cheek skin may be, as a share of the cheek's brightness.
_DARKER, _BRIGHTER = 0.42, 0.35
# How far the eye and its lashes reach beyond the points of its edge, in widths.
_LASHES_UP, _LASHES_DOWN, _LASHES_ASIDE = 0.05, 0.06, 0.06
# Skin is the mean of what lies this near, in widths, and of what lies this far, which counts less.
_NEAR, _FAR, _FAR_COUNTS = 0.06, 0.16, 0.2
# Where skin is looked at for its grain, below an eye's middle and aside, in widths; the share of it
# that has no edges.
_CHEEK, _CHEEK_ASIDE, _PLAIN = (0.4, 1.6), 0.9, 0.5
_LINE = 0.028
_FINE = 257


@dataclass(frozen=True)
class _Ground:
    """Pixels about one eye: where they lie by the eye's measures, and its edges there.

    top, left: of the pixels in the picture. u, v: (h, w) along the line of the corners and down
    from it, widths of the eye from its middle. upper, lower: (h, w) v of the eye's edges at u.
    """

    top: int
    left: int
    u: FloatArray
    v: FloatArray
    upper: FloatArray
    lower: FloatArray


class Eyelid:
    """The upper lid of one eye in one picture. Holds no state between calls; threads may share it.

    picture: (H, W, 3) uint8 RGB. eye: where the eye lies in it. box: left, top, right, bottom of
    the pixels that change, px. cheek: how bright the skin below the eye is, 0..255; shade: how
    bright the lid is beside it; contrast: how much darker than the lid the eye is, 0..1.
    """

    def __init__(self, picture: Image, eye: Eye) -> None:
        ground = _ground(picture.shape, eye)
        height, width = ground.u.shape
        self.box = (ground.left, ground.top, ground.left + width, ground.top + height)
        self._ground = ground
        self._eye = eye
        self._grain = grain_like(_cheek(picture, eye), height, width, _PLAIN)
        seen = picture[ground.top : self.box[3], ground.left : self.box[2]].astype(np.float32)
        light = seen @ LUMA
        self._seen = seen
        self._open = np.maximum(ground.lower - ground.upper, 0)
        self.cheek = _median(light, (ground.v > ground.lower + 0.12) & (np.abs(ground.u) < 0.45))
        self._skin = self._surface(light)
        over = self._skin @ LUMA
        inside = (ground.v > ground.upper) & (ground.v < ground.lower)
        lid = max(_median(over, inside), 1.0)
        self.shade = lid / max(self.cheek, 1.0)
        self.contrast = 1 - float(np.percentile(light[inside], 5)) / lid if inside.any() else 0.0
        self._lashes = self._dark_edge(light, over)
        edge = (np.abs(ground.v - ground.upper) < 0.04) & (np.abs(ground.u) < 0.42)
        dark = np.percentile(seen[edge], 10, axis=0) if edge.any() else seen.min((0, 1))
        self._dark = np.asarray(dark, np.float32)

    @property
    def usable(self) -> bool:
        """Whether this looks like an open eye with skin over it."""
        return bool(
            self._eye.width >= MIN_WIDTH
            and _OPEN[0] <= self._eye.openness <= _OPEN[1]
            and self.shade >= _SHADE
            and self.contrast >= _CONTRAST
        )

    def closed(self, amount: float) -> Image:
        """The pixels of `box` with the lid closed by `amount`, 0 (as it is) to 1; uint8."""
        g, share = self._ground, self._open / max(float(self._open.max()), 1e-6)
        start = g.upper - 0.02 * share
        edge = start + np.float32(amount) * (g.lower - start)
        soft = max(0.6 / self._eye.width, 0.008)
        cover = _ramp((edge - g.v) / soft) * _ramp((g.v - start + 0.03) / 0.02) * (share > 0.005)
        cover = np.maximum(cover, self._lashes * (g.v < edge)) * min(1.0, 4 * amount)
        made: FloatArray = self._seen + cover[..., None] * (self._skin + self._grain - self._seen)
        far = (g.v - edge + 0.2 * _LINE) / (_LINE * (0.75 + 0.25 * amount))
        line = np.exp(-(far**2)) * np.clip(2.2 * share, 0, 1) * (0.9 * min(1.0, 2 * amount))
        made = made + line[..., None] * (self._dark - made)
        return np.asarray(np.clip(np.rint(made), 0, 255), np.uint8)

    def _surface(self, light: FloatArray) -> FloatArray:
        """Skin everywhere, (h, w, 3): the mean of skin round about, by how much skin it is."""
        g = self._ground
        off = np.where(
            light < self.cheek,
            (self.cheek - light) / (_DARKER * self.cheek + 1),
            (light - self.cheek) / (_BRIGHTER * self.cheek + 1),
        )
        between = (g.v > g.upper - _LASHES_UP) & (g.v < g.lower + _LASHES_DOWN)
        eye = between & (np.abs(g.u) < 0.5 + _LASHES_ASIDE)
        far = np.maximum(np.abs(g.v - (g.upper + g.lower) / 2) - 0.35, 0) / 0.2
        weight = np.where(eye, 0, np.exp(-(off**2))) * np.exp(-(far**2)) + 1e-4
        held = np.dstack([self._seen * weight[..., None], weight]).astype(np.float32)
        near, wide = (cv2.GaussianBlur(held, (0, 0), k * self._eye.width) for k in (_NEAR, _FAR))
        both = near + np.float32(_FAR_COUNTS) * wide
        return np.asarray(both[..., :3] / both[..., 3:], np.float32)

    def _dark_edge(self, light: FloatArray, over: FloatArray) -> FloatArray:
        """(h, w) in [0, 1]: lashes and lines at the open lid's edge, whatever is not skin."""
        g = self._ground
        other = 1 - np.exp(-(((over - light) / (0.16 * self.cheek + 1)) ** 2))
        aside = np.maximum(np.abs(g.u) - 0.5, 0)
        above = np.clip(1 - np.maximum(g.upper - g.v - 0.07, 0) / 0.06, 0, 1)
        beside = np.clip(1 - np.maximum(aside - 0.06, 0) / 0.06, 0, 1)
        return np.asarray(other * above * beside * (g.v < g.upper + 0.02), np.float32)


def eyelids(picture: Image, eyes: tuple[Eye, Eye] | None) -> tuple[Eyelid, Eyelid] | None:
    """The lids of a face's eyes in `picture` (H, W, 3) uint8 RGB; None where they had better stay.

    They stay where an eye is closed, hidden by hair, a hat or dark glasses, too small, or cut off
    by the picture's edge.
    """
    if eyes is None:
        return None
    edges = np.concatenate([np.concatenate([eye.upper, eye.lower]) for eye in eyes])
    if (edges < 0).any() or (edges > [picture.shape[1] - 1, picture.shape[0] - 1]).any():
        return None
    for measures in ([eye.openness for eye in eyes], [eye.width for eye in eyes]):
        if max(measures) > _ALIKE * min(measures):
            return None
    left, right = (Eyelid(picture, eye) for eye in eyes)
    return (left, right) if left.usable and right.usable else None


def _ground(shape: tuple[int, ...], eye: Eye) -> _Ground:
    middle, reach = eye.middle, 0.85 * eye.width
    low = np.maximum(np.floor(middle - reach), 0).astype(int)
    high = np.minimum(np.ceil(middle + reach) + 1, [shape[1], shape[0]]).astype(int)
    at = np.stack(np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True))), -1)
    own = eye.measured(at.astype(np.float64)).astype(np.float32)
    u, v = own[..., 0], own[..., 1]
    upper, lower = (_edge(eye.measured(points), u) for points in (eye.upper, eye.lower))
    return _Ground(int(low[1]), int(low[0]), u, v, np.minimum(upper, lower), lower)


def _cheek(picture: Image, eye: Eye) -> Image:
    """The skin below an eye."""
    x, y = eye.middle
    aside = _CHEEK_ASIDE * eye.width
    left, right = (int(max(at, 0)) for at in (x - aside, x + aside))
    top, bottom = (int(max(y + at * eye.width, 0)) for at in _CHEEK)
    return picture[top:bottom, left:right]


def _edge(points: Floats, u: FloatArray) -> FloatArray:
    """v of a smooth line through points (n, 2), from left to right, at every u."""
    fine = np.linspace(-0.5, 0.5, _FINE)
    line = np.interp(fine, np.maximum.accumulate(points[:, 0]), points[:, 1])
    padded = np.pad(line, _FINE // 4, mode="reflect", reflect_type="odd")
    smooth = cv2.GaussianBlur(padded[None], (0, 0), _FINE / 24)[0][_FINE // 4 : -(_FINE // 4)]
    return np.asarray(np.interp(u, fine, smooth), np.float32)


def _ramp(x: FloatArray) -> FloatArray:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -30, 30))), np.float32)


def _median(values: FloatArray, where: NDArray[np.bool_]) -> float:
    return float(np.median(values[where])) if where.any() else 0.0
