"""What a clip's landmarks say of its mouth, frame by frame."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .face_points import INNER_LIP_BOTTOM, INNER_LIP_TOP, MOUTH_LEFT, MOUTH_RIGHT
from .face_shape import ShapeBasis
from .geometry import Floats
from .rows_between import rows_at

FloatArray = npt.NDArray[np.float32]

CLOSED = 0.06
"""Opening over mouth width below which a mouth counts as closed."""
AJAR = 0.05
"""Mouth widths by which a mouth that says nothing may be open, above its most closed."""
SHORTEST = 12
"""Clips of fewer frames are left out."""


def filled(landmarks: FloatArray) -> Floats | None:
    """Landmarks (T, 468, 2) with frames without a face filled from their neighbours."""
    points = landmarks.astype(np.float64)
    seen = np.flatnonzero(np.isfinite(points).all(axis=(1, 2)))
    if len(seen) < SHORTEST:
        return None
    return rows_at(points[seen], np.interp(np.arange(len(points)), seen, np.arange(len(seen))))


def steadied(shapes: Floats) -> Floats:
    """Shapes (T, P, 2) whose common trembling (shift of all points) is smoothed away.

    The lips' own motion, relative to the lower face's middle, is left as it is.
    """
    middle = shapes.mean(axis=1, keepdims=True)
    padded = np.concatenate([middle[:1], middle, middle[-1:]])
    smooth = 0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:]
    return np.asarray(shapes - middle + smooth, np.float64)


def unit(basis: ShapeBasis, track: Floats) -> FloatArray:
    """What a displacement in the template's unit is in px of a clip's crops, (2, 2)."""
    matrix = basis.to_template(np.median(track, axis=0))
    return np.asarray(np.linalg.inv(matrix[:, :2]), np.float32)


def openings(track: npt.NDArray[np.floating]) -> Floats:
    """How far the mouth of each frame (T, 468, 2) px is open, (T,), in its widths; NaN stays."""
    gap = np.linalg.norm(track[:, INNER_LIP_TOP] - track[:, INNER_LIP_BOTTOM], axis=1)
    width = np.linalg.norm(track[:, MOUTH_LEFT] - track[:, MOUTH_RIGHT], axis=1)
    return np.asarray(gap / np.maximum(width, 1e-3), np.float64)


def closed_when(
    silent: npt.NDArray[np.bool_], codes: Floats, closed: Floats, openings: Floats
) -> tuple[npt.NDArray[np.bool_], Floats]:
    """Codes (T, K) that are at most `AJAR` from the closed one where nothing is said; and which.

    People breathe and get ready to speak; who only sees them takes it for speech.
    """
    above = openings - openings.min()
    hushed = silent & (above > AJAR)
    share = np.where(hushed, AJAR / np.maximum(above, 1e-6), 1.0)[:, None]
    return hushed, closed + (codes - closed) * share


def most_closed(opening: Floats) -> int | None:
    """The frame whose mouth is closed best, of `openings` (T,); None where it is never closed."""
    least = int(opening.argmin())
    return least if opening[least] < CLOSED else None
