"""The shape of the lower face as a few numbers: head motion taken out, identity left behind.

Every frame's 468 mesh points are brought to one template by the similarity of the points that
speech does not move; there the unit is the distance of the outer corners of the eyes. What moves
then is lips, chin and cheeks, and most of it lies in a few directions, the same for everyone: the
principal components of the displacements from each clip's mean shape (Cootes et al. 1995, *Active
shape models*), lips weighted up. A mouth's movement is a path in those directions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .errors import InputError
from .face_points import EYE_CORNERS, LIPS, LOWER_FACE, N_POINTS, STABLE
from .geometry import Floats, apply, fit_similarity

LIP_WEIGHT = 3.0
"""How much more a point of the lips counts in the components than one of chin or cheek."""
_WEIGHT = np.where(np.isin(LOWER_FACE, LIPS), LIP_WEIGHT, 1.0)[:, None]
_REFINEMENTS = 3


@dataclass(frozen=True)
class ShapeBasis:
    """Directions of speech in the lower face.

    Attributes:
        template: (468, 2) mean face; x to the right, y down, origin between the outer corners of
            the eyes, whose distance is 1.
        components: (K, P, 2) displacement of `face_points.LOWER_FACE` that a code of 1 means; codes
            have a spread of about 1.
    """

    template: Floats
    components: Floats

    @property
    def size(self) -> int:
        """How many numbers a code has."""
        return len(self.components)

    @property
    def mean(self) -> Floats:
        """The template's lower face, (P, 2)."""
        return self.template[list(LOWER_FACE)]

    def to_template(self, landmarks: ArrayLike) -> Floats:
        """Similarities (..., 2, 3) that bring mesh points (..., 468, 2) onto the template."""
        p = np.asarray(landmarks, np.float64)
        stable = list(STABLE)
        return fit_similarity(p[..., stable, :], self.template[stable])

    def shapes(self, landmarks: ArrayLike) -> Floats:
        """Lower faces (..., P, 2) in the template's unit, of mesh points (..., 468, 2) in any px.

        NaN stays NaN. InputError on points of the wrong shape.
        """
        p = _checked(landmarks)
        return apply(self.to_template(p), p[..., list(LOWER_FACE), :])

    def track_shapes(self, crops: ArrayLike) -> Floats:
        """Lower faces (T, P, 2) of one clip's mesh points (T, 468, 2) in px of its steady crops.

        One similarity for the whole clip, that of the points' median over time: what steadies the
        crops has taken the head's motion out, and frame by frame the similarity would tremble with
        the points around the eyes. NaN stays NaN. InputError on points of the wrong shape.
        """
        p = _checked(crops)
        known = p[np.isfinite(p).all(axis=(1, 2))]
        if not len(known):
            return np.full((len(p), len(LOWER_FACE), 2), np.nan)
        matrix = self.to_template(np.median(known, axis=0))
        return apply(matrix, p[:, list(LOWER_FACE)])

    def encode(self, shapes: ArrayLike) -> Floats:
        """Codes (..., K) of shapes (..., P, 2), relative to the template."""
        flat = (self.components * _WEIGHT).reshape(self.size, -1)
        moved = (np.asarray(shapes, np.float64) - self.mean) * _WEIGHT
        solved: Floats = moved.reshape(*moved.shape[:-2], -1) @ np.linalg.pinv(flat)
        return solved

    def decode(self, codes: ArrayLike) -> Floats:
        """Displacements (..., P, 2) of codes (..., K)."""
        moved: Floats = np.tensordot(np.asarray(codes, np.float64), self.components, 1)
        return moved


def _checked(landmarks: ArrayLike) -> Floats:
    p = np.asarray(landmarks, np.float64)
    if p.shape[-2:] != (N_POINTS, 2):
        raise InputError(f"landmarks have shape {p.shape}; expected (..., {N_POINTS}, 2)")
    return p


def fit_basis(clips: Iterable[ArrayLike], size: int) -> ShapeBasis:
    """Learn template and components from clips of mesh points.

    Args:
        clips: each (T, 468, 2) px of steady crops, NaN where there is no face.
        size: how many components.

    Raises:
        InputError: fewer frames with a face than components.
    """
    known = []
    for clip in clips:
        points = np.asarray(clip, np.float64)
        seen = points[np.isfinite(points).all(axis=(1, 2))]
        if len(seen):
            known.append(seen)
    frames = sum(len(seen) for seen in known)
    if frames <= size:
        raise InputError(
            f"{frames} frames with a face; expected more than {size} to learn how faces move"
        )
    template = _template(np.stack([np.median(seen, axis=0) for seen in known]))
    basis = ShapeBasis(template, np.zeros((0, len(LOWER_FACE), 2)))
    width = 2 * len(LOWER_FACE)
    scatter = np.zeros((width, width))
    for seen in known:
        shape = basis.track_shapes(seen)
        moved = ((shape - shape.mean(axis=0)) * _WEIGHT).reshape(len(seen), width)
        scatter += moved.T @ moved
    values, vectors = np.linalg.eigh(scatter / frames)
    spread = np.sqrt(np.maximum(values[::-1][:size], 1e-12))
    components = (vectors[:, ::-1][:, :size].T * spread[:, None]).reshape(size, -1, 2) / _WEIGHT
    return ShapeBasis(template, components)


def _template(faces: Floats) -> Floats:
    """Mean (468, 2) of faces (N, 468, 2), upright, eyes at distance 1 about the origin."""
    left, right = EYE_CORNERS[0], EYE_CORNERS[-1]
    ends = np.array([[-0.5, 0.0], [0.5, 0.0]])
    stable = list(STABLE)
    mean: Floats = apply(fit_similarity(faces[:, [left, right]], ends), faces).mean(axis=0)
    for _ in range(_REFINEMENTS):
        mean = apply(fit_similarity(faces[:, stable], mean[stable]), faces).mean(axis=0)
        mean = apply(fit_similarity(mean[[left, right]], ends), mean)
    return mean
