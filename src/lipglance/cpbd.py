"""CPBD: the share of edges that no viewer would call blurred.

Narvekar and Karam, *A No-Reference Image Blur Metric Based on the Cumulative Probability of Blur
Detection* (IEEE Trans. Image Processing 2011), with the edge widths of Marziliano et al. 2002.
Written from the paper and held against the reference implementation in tests.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .errors import InputError

BLOCK = 64
"""Side of the blocks that are judged one by one, px."""
BETA = 3.6
"""Steepness of the psychometric curve."""
LONGEST = 100
"""Farthest an edge is followed to either side, px."""

_EDGE_SHARE = 0.002
_JUST_NOTICEABLE = 0.63
_LOW_CONTRAST, _WIDTH_LOW, _WIDTH_HIGH = 50, 5.0, 3.0

FloatArray = NDArray[np.float64]


def cpbd(image: NDArray[np.uint8]) -> float:
    """Cumulative probability of blur detection of a grey picture (H, W), 0..1; higher is sharper.

    Blocks of 64 x 64 px from the upper left are judged, what is left at the right and the bottom
    is not. 0 where no block has an edge: nothing in it is sharp.

    Raises:
        InputError: a picture that is not grey or smaller than a block.
    """
    if image.ndim != 2 or min(image.shape) < BLOCK:
        raise InputError(
            f"picture has shape {image.shape}; CPBD needs a grey picture of {BLOCK} px or more"
        )
    values = image.astype(np.float64)
    widths = edge_widths(values)
    edges = cv2.Canny(cv2.GaussianBlur(image, (0, 0), 1.0), 1, 2) > 0
    found = []
    for top in range(0, image.shape[0] - BLOCK + 1, BLOCK):
        for left in range(0, image.shape[1] - BLOCK + 1, BLOCK):
            block = np.s_[top : top + BLOCK, left : left + BLOCK]
            if np.count_nonzero(edges[block]) <= _EDGE_SHARE * BLOCK * BLOCK:
                continue
            contrast = int(np.ptp(values[block]))
            noticed = _WIDTH_LOW if contrast <= _LOW_CONTRAST else _WIDTH_HIGH
            width = widths[block][widths[block] > 0]
            found.append(1 - np.exp(-((width / noticed) ** BETA)))
    probabilities = np.concatenate(found) if found else np.zeros(0)
    if not len(probabilities):
        return 0.0
    # The reference counts in buckets of a hundredth, up to and with 0.63.
    return float((np.round(probabilities * 100) <= 100 * _JUST_NOTICEABLE).mean())


def edge_widths(image: FloatArray) -> FloatArray:
    """Widths in px of the vertical edges of a picture (H, W); 0 away from them.

    The width is the way along the row from the last local extremum before the edge to the first
    one behind it.
    """
    down, across = np.gradient(image)
    angle = np.degrees(np.arctan2(down, across))
    quantized = 45 * np.round(angle / 45)
    edges = _vertical_edges(image)
    edges[[0, -1]] = edges[:, [0, -1]] = False
    step = np.diff(image, axis=1)
    widths = np.zeros_like(image)
    for rising, places in ((step, quantized == 0), (-step, np.abs(quantized) == 180)):
        rows, cols = np.nonzero(edges & places)
        left, right = _runs(rising > 0)
        widths[rows, cols] = 2 + left[rows, cols - 1] + right[rows, cols + 1]
    return widths


def _runs(rising: NDArray[np.bool_]) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """How many steps in a row rise to the left and to the right of each px, at most `LONGEST`.

    rising: (H, W - 1), from px k to px k + 1.
    """
    height, count = rising.shape
    left = np.zeros((height, count + 1), np.int_)
    right = np.zeros((height, count + 1), np.int_)
    for k in range(count):
        left[:, k + 1] = np.where(rising[:, k], left[:, k] + 1, 0)
        right[:, count - 1 - k] = np.where(rising[:, count - 1 - k], right[:, count - k] + 1, 0)
    return np.minimum(left, LONGEST), np.minimum(right, LONGEST)


def _vertical_edges(image: FloatArray) -> NDArray[np.bool_]:
    """Sobel's vertical edges, thinned as Octave's ``edge`` does."""
    kernel = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]]) / 8.0
    strength = cv2.filter2D(image, cv2.CV_64F, kernel, borderType=cv2.BORDER_REFLECT) ** 2
    strength[strength <= 2 * np.sqrt(strength.mean())] = 0
    padded = np.pad(strength, 1)
    inner = padded[1:-1, 1:-1]
    beside = (inner > padded[1:-1, :-2]) & (inner > padded[1:-1, 2:])
    above = (inner > padded[:-2, 1:-1]) & (inner > padded[2:, 1:-1])
    return np.asarray(beside | above, np.bool_)
