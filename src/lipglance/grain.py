"""The grain of a picture, so that what is painted into it has some too.

A network paints what it expects, which is smooth. Between the lips of a photo that has noise, of
its sensor or its film, that is a patch without: it looks blurred, however sharp its edges are. The
same goes for a lid that closes.
"""

from __future__ import annotations

from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray

from lipglance.geometry import Image

FloatArray = NDArray[np.float32]

# px: what is finer than this is grain, or an edge; the side of the samples that are looked at, and
# what they need around them to tell.
_FINE = 1.5
_SAMPLE, _AROUND = 11, 5
# So many times so many are looked at; which of the plain ones are taken: not the very plainest,
# which may be all white.
_GRID = 8
_TAKEN = (0.4, 0.6, 0.8, 1.0)
#: Side of what is made anew, px; farther on it is the same again.
TILE = 128


def grain_like(patch: Image, height: int, width: int, plain: float) -> FloatArray:
    """Make grain like that of a part of a picture.

    What comes out is noise of the samples' spectrum (*asymptotic discrete spot noise*: Galerne,
    Gousseau and Morel 2011), always the same, so nothing of what the patch shows is seen in it.

    Args:
        patch: (h, w, 3) uint8 RGB, such as lips and the skin around them.
        height: of what is wanted, px.
        width: the same.
        plain: share of the patch, below 1, that shows no more than grain, no edges or hair.

    Returns:
        (height, width, 3) grey levels about 0, as strong as the patch's where that is plain: of a
        drawing in flat colours none. Where the patch is too small to tell, none.
    """
    samples = _samples(patch, plain)
    chance = np.random.default_rng(0)
    tile = np.zeros((TILE, TILE, 3), np.float32)
    edge = _SAMPLE // 2
    for spot in samples:
        noise = chance.standard_normal((TILE, TILE), np.float32)
        noise = np.pad(noise, edge, mode="wrap")
        for channel in range(3):
            spread = cv2.filter2D(noise, cv2.CV_32F, spot[..., channel])
            tile[..., channel] += spread[edge:-edge, edge:-edge]
    tile /= np.float32(_SAMPLE * np.sqrt(max(1, len(samples))))
    return np.tile(tile, (-(-height // TILE), -(-width // TILE), 1))[:height, :width]


def _samples(patch: Image, plain: float) -> list[FloatArray]:
    """What is fine in some plain places of a patch, (`_SAMPLE`, `_SAMPLE`, 3) without its mean."""
    side = _SAMPLE + 2 * _AROUND
    if min(patch.shape[:2]) < side:
        return []
    rows, columns = (np.linspace(0, end - side, _GRID).astype(int) for end in patch.shape[:2])
    found = []
    for top, left in product(rows, columns):
        shown = patch[top : top + side, left : left + side].astype(np.float32)
        fine = shown - cv2.GaussianBlur(shown, (0, 0), _FINE)
        fine = fine[_AROUND:-_AROUND, _AROUND:-_AROUND]
        found.append(np.asarray(fine - fine.mean((0, 1)), np.float32))
    order = np.argsort([float(np.square(fine).mean()) for fine in found])
    return [found[order[int(share * plain * len(found))]] for share in _TAKEN]
