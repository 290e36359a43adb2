"""Photos made to look like other pictures: for learning from, as nobody films drawings.

All pictures of a person are changed alike, so that they stay one picture's. What is varied is what
a painter of mouths has to keep: that a print has no colours, a drawing few and flat ones, a sketch
lines in place of shades.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .geometry import LUMA

Pictures = NDArray[np.uint8]
_Shades = NDArray[np.float32]


def styled(pictures: Pictures, rng: np.random.Generator) -> Pictures:
    """Give pictures (N, S, S, 3) uint8 RGB, one person's, a style drawn by chance."""
    style = STYLES[int(rng.integers(len(STYLES)))]
    return style(pictures, rng)


def grey(pictures: Pictures, rng: np.random.Generator) -> Pictures:
    """Black and white, or of one tone; of more or less contrast."""
    light = 128 + (_light(pictures) - 128) * np.float32(rng.uniform(0.7, 1.4))
    warmth = np.float32(max(0.0, rng.uniform(-0.15, 0.2)))
    return _bytes(light[..., None] * (1 + warmth * np.array([1, 0, -1], np.float32)))


def sketched(pictures: Pictures, rng: np.random.Generator) -> Pictures:
    """Lines on paper: light divided by that of its surroundings."""
    paper = rng.uniform(215, 255, 3).astype(np.float32)
    lines = _light(pictures) / _around(pictures, float(rng.uniform(1.5, 4.0)))
    shade = 1 + np.float32(rng.uniform(1.0, 2.5)) * (lines - 1)
    return _bytes(np.clip(shade, rng.uniform(0.0, 0.3), 1)[..., None] * paper)


def flat(pictures: Pictures, rng: np.random.Generator) -> Pictures:
    """Few colours without shades, those of the first picture; with outlines or without."""
    soft = _smooth(pictures, float(rng.uniform(20, 60)))
    palette = _palette(soft[0].reshape(-1, 3), int(rng.integers(4, 9)))
    vivid = 128 + (palette - 128) * np.float32(rng.uniform(1.0, 1.4))
    drawn = vivid[_nearest(soft.reshape(-1, 3), palette)].reshape(soft.shape)
    if rng.random() < 0.5:
        drawn = drawn * _outlines(pictures, float(rng.uniform(3, 8)))[..., None]
    return _bytes(drawn)


def printed(pictures: Pictures, rng: np.random.Generator) -> Pictures:
    """Ink on tinted paper: lines where it is darker than around, and a few shades."""
    paper = rng.uniform(170, 245, 3).astype(np.float32)
    ink = rng.uniform(20, 80, 3).astype(np.float32)
    light, levels = _light(pictures), float(rng.integers(3, 7))
    dark, span = float(light[0].min()), max(float(np.ptp(light[0])), 30.0)
    shade = np.clip((light - dark) / span, 0, 1)
    share = np.float32(rng.uniform(0.5, 1.0))
    shade = share * np.rint(shade * levels) / levels + (1 - share) * shade
    shade = shade * _outlines(pictures, float(rng.uniform(2, 6)))
    return _bytes(ink + shade[..., None] * (paper - ink))


def painted(pictures: Pictures, rng: np.random.Generator) -> Pictures:
    """Oil: no grain, colours mixed otherwise."""
    mix = np.eye(3) + rng.uniform(-0.2, 0.2, (3, 3))
    mix *= rng.uniform(0.75, 1.2, (3, 1)) / mix.sum(1, keepdims=True)
    return _bytes(_smooth(pictures, float(rng.uniform(15, 50))) @ mix.T.astype(np.float32))


STYLES = (grey, sketched, flat, printed, painted)


def _light(pictures: Pictures) -> _Shades:
    return np.asarray(pictures.astype(np.float32) @ LUMA, np.float32)


def _around(pictures: Pictures, width: float) -> _Shades:
    """Light of a pixel's surroundings, never 0."""
    return np.stack([cv2.GaussianBlur(p, (0, 0), width) + 4 for p in _light(pictures)])


def _outlines(pictures: Pictures, strength: float) -> _Shades:
    """1 where there is nothing, towards 0 where it is darker than around."""
    lines = _light(pictures) / _around(pictures, 2.0)
    return np.asarray(np.clip(1 + strength * (lines - 0.95), 0.15, 1), np.float32)


def _smooth(pictures: Pictures, width: float) -> _Shades:
    """Without grain, edges kept; `width` in shades of 256."""
    made = [cv2.bilateralFilter(p, 5, width, 3.0) for p in pictures]
    return np.stack(made).astype(np.float32)


def _palette(colours: _Shades, count: int, rounds: int = 6) -> _Shades:
    """The `count` colours (count, 3) that say (N, 3) best (k-means).

    Begun with colours of every brightness and not by chance: like pictures get like palettes.
    """
    by_light = np.argsort(colours @ LUMA)
    palette: _Shades = colours[
        by_light[((np.arange(count) + 0.5) / count * len(colours)).astype(int)]
    ]
    for _ in range(rounds):
        nearest = _nearest(colours, palette)
        for k in range(count):
            if len(mine := colours[nearest == k]):
                palette[k] = mine.mean(0)
    return palette


def _nearest(colours: _Shades, palette: _Shades) -> NDArray[np.intp]:
    # Squared distances less the colours' own squares, which are alike for all of the palette.
    apart = (palette**2).sum(1) - 2 * colours @ palette.T
    return np.asarray(np.argmin(apart, axis=1), np.intp)


def _bytes(pictures: _Shades) -> Pictures:
    return np.asarray(np.clip(np.rint(pictures), 0, 255), np.uint8)
