"""One person's pictures as another person's: other proportions, another shape of lips and chin.

Thirty people are few to learn from what a mouth looks like that the picture does not show. The same
bend, stretch and lip colour on all of a person's pictures, and their points with them, make another
one whose mouth moves alike.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from .geometry import Floats, apply, invert
from .mouth_warp import mouth_maps

FloatArray = npt.NDArray[np.float32]

# Largest logarithm of width over height, slant, px of a 96-px crop that places are moved by
# (standard deviation, over stretches of a quarter of the crop), logarithm of the lips' colours.
_STRETCH, _SLANT, _BEND, _COLOUR = 0.15, 0.08, 1.2, 0.2
_KNOTS = 5


def stretch(size: int, rng: np.random.Generator) -> Floats:
    """Another ratio of width to height and a slant, about the middle: (2, 3), px to px."""
    ratio, slant = rng.uniform(-1, 1, 2) * (_STRETCH / 2, _SLANT)
    linear = np.array([[np.exp(ratio), slant], [0.0, np.exp(-ratio)]])
    middle = np.full(2, (size - 1) / 2)
    return np.column_stack([linear, middle - linear @ middle])


def bend(points: Floats, size: int, rng: np.random.Generator) -> tuple[FloatArray, Floats]:
    """A smooth bend of a crop of `size` px.

    Returns:
        Where its pixels come from, (size, size, 2) px of the straight crop, and where points
        (..., 2) px of the straight crop come to lie in the bent one.
    """
    knots = rng.normal(0, _BEND * size / 96, (_KNOTS, _KNOTS, 2)).astype(np.float32)
    field = np.asarray(cv2.resize(knots, (size, size), interpolation=cv2.INTER_CUBIC), np.float32)
    there = np.asarray(points, np.float64)
    for _ in range(3):  # a point p is seen where q + field(q) = p
        there = points - _sampled(field, there)
    plain = np.stack(np.meshgrid(*(np.arange(size, dtype=np.float32),) * 2), -1)
    return plain + field, there


def cut_bent(
    pictures: npt.NDArray[np.uint8], matrix: Floats, sources: FloatArray
) -> npt.NDArray[np.uint8]:
    """Cut bent crops (N, S, S, 3) out of pictures (N, H, W, 3).

    matrix: (2, 3) px of the pictures to px of the straight crop. sources: of `bend`.
    """
    at = apply(invert(matrix), sources).astype(np.float32)
    made = [
        cv2.remap(p, at, np.zeros(0), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        for p in pictures
    ]
    return np.asarray(np.stack(made), np.uint8)


def made_up(
    pictures: npt.NDArray[np.uint8], points: Floats, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Pictures (N, S, S, 3) with lips of another colour. points: (N, len(WARP_POINTS), 2) px."""
    gain = np.exp(_COLOUR * (rng.uniform(-1, 1, 3) + rng.uniform(-1, 1))) - 1
    made = np.empty_like(pictures)
    for picture, own, shown in zip(pictures, points, made, strict=True):
        inner, lips = mouth_maps(own, picture.shape[0])
        share = np.clip(lips - inner, 0, 1)[..., None]
        shown[:] = np.clip(picture * (1 + share * gain.astype(np.float32)), 0, 255)
    return made


def _sampled(field: FloatArray, points: Floats) -> Floats:
    flat = points.reshape(1, -1, 2).astype(np.float32)
    found = cv2.remap(field, flat, np.zeros(0), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found, np.float64).reshape(points.shape)
