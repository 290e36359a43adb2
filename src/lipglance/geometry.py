"""Similarity transforms between pictures and crops, and anti-aliased cropping.

Everywhere in lipglance a picture coordinate is (x, y) in px with x to the right and y down, and
**whole numbers are the centres of pixels**: the top left pixel covers -0.5..0.5, a crop of side n
has its centre at (n - 1) / 2. This is OpenCV's convention. A transform is a (2, 3) matrix A with
``new = A[:, :2] @ old + A[:, 2]``.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from lipglance.errors import InputError

Floats = NDArray[np.float64]
Image = NDArray[np.uint8]

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Red, green and blue in how bright a pixel is (ITU-R BT.601)."""

# Above these reductions the picture is first shrunk by whole-pixel averages, so that the cost of
# sampling depends on the crop's size and not on the picture's.
_MAX_OVERSAMPLING = 4
_MAX_OVERSAMPLING_SMOOTH = 1


def check_image(image: NDArray[Any]) -> None:
    """Raise InputError unless `image` is (H, W, 3) uint8 with H, W >= 1."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        got = getattr(image, "dtype", type(image).__name__)
        raise InputError(f"picture has type {got}; expected a uint8 RGB array")
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise InputError(f"picture has shape {image.shape}; expected (height, width, 3)")


def apply(matrix: ArrayLike, points: ArrayLike) -> Floats:
    """Map `points` (..., 2) by `matrix` (2, 3), or (..., 2, 3) one for each set of points.

    A stack of matrices (T, 2, 3) goes with points (T, N, 2). Returns float64 of points' shape;
    NaN stays NaN.
    """
    a = np.asarray(matrix, np.float64)
    p = np.asarray(points, np.float64)
    if a.ndim > 2:
        a = a[..., None, :, :]
    mapped: Floats = np.einsum("...ij,...j->...i", a[..., :2], p) + a[..., 2]
    return mapped


def invert(matrix: ArrayLike) -> Floats:
    """Invert `matrix` (..., 2, 3); numpy.linalg.LinAlgError if it is singular."""
    a = np.asarray(matrix, np.float64)
    inverse = np.linalg.inv(a[..., :2])
    return np.concatenate([inverse, -inverse @ a[..., 2:]], axis=-1)


def enlargement(matrix: ArrayLike) -> float:
    """How many times `matrix` (2, 3) makes lengths larger; the geometric mean of both axes."""
    a = np.asarray(matrix, np.float64)
    return float(np.sqrt(abs(np.linalg.det(a[:, :2]))))


def in_turn(first: Floats, then: Floats) -> Floats:
    """The similarity (..., 2, 3) that does `first` and `then` after it; they broadcast."""
    linear = then[..., :2]
    shift = linear @ first[..., 2:] + then[..., 2:]
    return np.concatenate([linear @ first[..., :2], shift], axis=-1)


def square_matrix(centre: ArrayLike, half: ArrayLike, angle: ArrayLike, size: int) -> Floats:
    """Transforms that bring squares of the picture upright into crops of `size` x `size` px.

    centre: (..., 2) px; half: (...) half side in px, > 0; angle: (...) radians by which the
    square is turned clockwise as seen on screen. Returns (..., 2, 3).
    """
    c = np.asarray(centre, np.float64)
    scale = size / (2.0 * np.asarray(half, np.float64))
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], -2)
    shift = (size - 1) / 2 - np.einsum("...ij,...j->...i", linear, c)
    return np.concatenate([linear, shift[..., None]], axis=-1)


def fit_similarity(source: ArrayLike, target: ArrayLike) -> Floats:
    """Least-squares similarity (rotation, scale, shift) that brings `source` onto `target`.

    Both (..., N, 2) with N >= 2, broadcast against each other. Returns (..., 2, 3). Closed form:
    with points as complex numbers, a = <source, target> / <source, source> about the means.
    """
    s, t = (np.asarray(p, np.float64) for p in (source, target))
    zs, zt = s[..., 0] + 1j * s[..., 1], t[..., 0] + 1j * t[..., 1]
    ms, mt = zs.mean(-1, keepdims=True), zt.mean(-1, keepdims=True)
    ds, dt = zs - ms, zt - mt
    a = (ds.conj() * dt).sum(-1) / (np.abs(ds) ** 2).sum(-1)
    b = mt[..., 0] - a * ms[..., 0]
    rows = [
        np.stack([a.real, -a.imag, b.real], axis=-1),
        np.stack([a.imag, a.real, b.imag], axis=-1),
    ]
    return np.stack(rows, axis=-2)


def crop_image(
    image: Image, matrix: ArrayLike, size: int, *, smooth: bool = False, border: int | None = None
) -> Image:
    """Sample a crop of `size` x `size` px from `image` (H, W, 3) uint8; returns (size, size, 3).

    matrix: (2, 3), picture px to crop px. Where the crop has fewer pixels than the picture, every
    crop pixel is the mean of the picture over its area (oversampling, then averaging), so nothing
    flickers or aliases at any reduction. `smooth` samples bilinearly instead of bicubically:
    quicker, a little softer. Outside the picture its edge is repeated, or `border` (a grey value)
    is put there. Raises InputError on a picture of the wrong kind or a singular matrix.
    """
    check_image(image)
    a = np.asarray(matrix, np.float64).copy()
    fine = a.shape == (2, 3) and bool(np.isfinite(a).all())
    scale = enlargement(a) if fine else 0.0
    if scale == 0.0:
        raise InputError(f"crop matrix {a.tolist()} is not an invertible (2, 3) matrix")
    pre = int(1 / scale) // (_MAX_OVERSAMPLING_SMOOTH if smooth else _MAX_OVERSAMPLING)
    if pre > 1:
        image, a = _shrink_around(image, a, size, pre)
        scale *= pre
    k = max(1, int(np.ceil(1 / scale - 0.05)))
    a *= k
    a[:, 2] += (k - 1) / 2
    sampled = cv2.warpAffine(
        image,
        a,
        (size * k, size * k),
        flags=cv2.INTER_LINEAR if smooth else cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE if border is None else cv2.BORDER_CONSTANT,
        borderValue=(border or 0,) * 3,
    )
    if k > 1:
        sampled = cv2.resize(sampled, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(sampled, np.uint8)


def _shrink_around(image: Image, a: Floats, size: int, factor: int) -> tuple[Image, Floats]:
    """Average `factor` x `factor` blocks of the part of `image` that the crop needs.

    Blocks start at multiples of `factor` so that a moving crop sees the same blocks every frame.
    """
    height, width = image.shape[:2]
    corners = apply(invert(a), [[-1, -1], [size, -1], [size, size], [-1, size]])
    low = np.floor(corners.min(0) / factor - 2).astype(int) * factor
    high = np.ceil(corners.max(0) / factor + 2).astype(int) * factor
    low = np.clip(low, 0, [max(width - factor, 0), max(height - factor, 0)]) // factor * factor
    high = np.clip(high, low + factor, [width, height])
    part = image[low[1] : high[1], low[0] : high[0]]
    columns, rows = max(part.shape[1] // factor, 1), max(part.shape[0] // factor, 1)
    small = cv2.resize(
        part[: rows * factor, : columns * factor], (columns, rows), interpolation=cv2.INTER_AREA
    )
    # Centre of small pixel q lies at low + factor * q + (factor - 1) / 2 of the picture.
    a = a.copy()
    a[:, 2] += a[:, :2] @ (low + (factor - 1) / 2)
    a[:, :2] *= factor
    return np.asarray(small, np.uint8), a
