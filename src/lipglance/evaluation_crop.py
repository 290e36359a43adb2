"""Where an evaluation looks: a square around the real mouth, the same for every row.

Upright in the frame, centred on the mean of the real frame's 20 mouth points (smoothed over time by
1/4, 1/2, 1/4), half side 0.65 times the clip's median of the larger side of the mouth's box.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lipglance import metrics
from lipglance.geometry import Floats, Image, apply, crop_image, invert, square_matrix

SIZE = 64
HALF_SIDE = 0.65


def mouth_place(mouths: Floats) -> tuple[Floats, float] | None:
    """Centres (T, 2) and half side, px, of the evaluation crop of real mouth points (T, 20, 2) px.

    NaN frames get the place between their neighbours. None where every frame is NaN.
    """
    known = np.flatnonzero(metrics.detected(mouths))
    if len(known) == 0:
        return None
    box = mouths[known].max(1) - mouths[known].min(1)
    half = HALF_SIDE * float(np.median(box.max(1)))
    frames = np.arange(len(mouths))
    centres = mouths[known].mean(1)
    filled = np.stack([np.interp(frames, known, centres[:, axis]) for axis in (0, 1)], 1)
    padded = np.concatenate([filled[:1], filled, filled[-1:]])
    return padded[:-2] / 4 + padded[1:-1] / 2 + padded[2:] / 4, half


def square_at(centres: Floats, half: float, size: int) -> Floats:
    """Transforms (T, 2, 3) into upright squares of `size` px around `centres` (T, 2)."""
    count = len(centres)
    return square_matrix(centres, np.full(count, half), np.zeros(count), size)


def put_back(picture: Image, crop: Image, matrix: ArrayLike) -> Image:
    """`picture` (H, W, 3) with the whole square of `crop` (S, S, 3) where it was cut.

    matrix: (2, 3), px of the picture to px of the crop. Hard edges and the crop's own colours: no
    feather and no colour matching, which would let the real frame help the row.
    """
    size = crop.shape[0]
    edge = size - 0.5
    corners = apply(invert(matrix), [[-0.5, -0.5], [edge, -0.5], [edge, edge], [-0.5, edge]])
    height, width = picture.shape[:2]
    x0, y0 = np.clip(np.floor(corners.min(0)).astype(int), 0, [width, height])
    x1, y1 = np.clip(np.ceil(corners.max(0)).astype(int) + 1, 0, [width, height])
    result = picture.copy()
    if x1 <= x0 or y1 <= y0:
        return result
    inside = _inside(matrix, np.mgrid[y0:y1, x0:x1][::-1].transpose(1, 2, 0), size)
    back = invert(matrix)
    back[:, 2] -= (x0, y0)
    content = crop_image(np.ascontiguousarray(crop), back, max(x1 - x0, y1 - y0))
    result[y0:y1, x0:x1][inside] = content[: y1 - y0, : x1 - x0][inside]
    return result


def coverage(square: Floats, matrix: ArrayLike, size: int) -> float:
    """Share (0..1) of the evaluation crop `square` (2, 3) that a crop of `size` px reaches."""
    grid = np.mgrid[0:SIZE, 0:SIZE][::-1].transpose(1, 2, 0)
    return float(_inside(matrix, apply(invert(square), grid), size).mean())


def _inside(matrix: ArrayLike, points: ArrayLike, size: int) -> NDArray[np.bool_]:
    """Which of `points` (..., 2) px of the picture lie in the crop's square."""
    p = apply(matrix, points)
    return np.asarray(((p >= -0.5) & (p <= size - 0.5)).all(-1), np.bool_)
