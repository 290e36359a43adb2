"""How far a mouth moves, where hearing does not know for certain.

A hearing that is not sure says the mean of what a mouth may do, and that is a mumble: half as wide
as people's lips go where its ear explains a quarter of what they do. How sure it is, it does not
say; but people open their mouths about equally far when they speak, so that what is heard of a
voice tells it: the narrower the movement, the further it must be stressed.
"""

from __future__ import annotations

import numpy as np

from lipglance.face_points import INNER_LIP_BOTTOM, INNER_LIP_TOP, LOWER_FACE
from lipglance.geometry import Floats

LEAST, MOST = 1.0, 1.7
"""Emphasis stays between them."""
SETTLING = 6.0
"""Frames of speech after which what was heard counts as much as what is taken for granted."""
MEMORY = 250.0
"""Frames of speech after which what was heard before them counts half."""

_TOP, _BOTTOM = LOWER_FACE.index(INNER_LIP_TOP), LOWER_FACE.index(INNER_LIP_BOTTOM)


class Emphasis:
    """Stresses one speech's codes away from those of silence, each by what was heard up to it.

    Args:
        silent: (K,) code of silence.
        components: (K, P, 2) what the codes mean, see `ShapeBasis`.
        first: how many times as far codes go as long as nothing was heard.
        wide: how far apart the inner lips of people who speak go, in the basis' unit: the root of
            the mean square of the distance from silence's, where each frame counts by that square,
            so that silence does not count. 0 for `first` throughout.
    """

    def __init__(self, silent: Floats, components: Floats, first: float, wide: float) -> None:
        self._silent, self._first, self._wide = silent, first, wide
        self._gap: Floats = components[:, _BOTTOM, 1] - components[:, _TOP, 1]
        # Of the squares of what was heard, and of their squares.
        self._power = (wide / first) ** 2
        self._squares = SETTLING * self._power
        self._fourths = SETTLING * self._power**2

    @property
    def now(self) -> float:
        """How many times as far from silence's as it was heard a code goes."""
        if not self._wide:
            return self._first
        heard = np.sqrt(self._fourths / self._squares)
        return float(np.clip(self._wide / heard, LEAST, MOST))

    def stressed(self, code: Floats) -> Floats:
        """A code (K,) that is heard next, as far from silence's as it is to be."""
        moved = code - self._silent
        if self._wide:
            square = float(moved @ self._gap) ** 2
            # Silence makes nothing forgotten.
            keep = 0.5 ** (min(square / self._power, 1.0) / MEMORY)
            self._squares = keep * self._squares + square
            self._fourths = keep * self._fourths + square**2
        return np.asarray(self._silent + self.now * moved, np.float64)
