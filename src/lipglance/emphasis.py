"""How far a mouth opens, where hearing does not know for certain.

A hearing that is not sure says the mean of what a mouth may do, and that is a mumble: half as wide
as people's lips go where its ear explains a quarter of what they do. How sure it is, it does not
say; but people open their mouths about equally far when they speak, so that what is heard of a
voice tells it: the narrower the movement, the further it must be stressed.

It is large openings that a mean makes small. Small ones it makes too large: lips that touch, or
that have nothing to say, are heard as a little open by who is not sure that they do. So what is
large is stressed and what is small is held back, and of a movement no more than the opening:
whatever else the mouth does is not heard any better for being made larger.
"""

from __future__ import annotations

import numpy as np

from lipglance.face_points import INNER_LIP_BOTTOM, INNER_LIP_TOP, LOWER_FACE
from lipglance.geometry import Floats

LEAST, MOST = 1.0, 1.7
"""Emphasis of large openings stays between them."""
SLIGHT = 0.7
"""Emphasis of the smallest openings, where small ones are held back."""
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
        first: how many times as far as heard mouths open as long as nothing was heard.
        wide: how far apart the inner lips of people who speak go, in the basis' unit: the root of
            the mean square of the distance from silence's, where each frame counts by that square,
            so that silence does not count. 0 for `first` throughout.
        small: the distance from silence's, in that unit, at which the emphasis is halfway between
            that of small openings and that of large ones; 0 for the latter throughout.
    """

    def __init__(
        self, silent: Floats, components: Floats, first: float, wide: float, small: float = 0.0
    ) -> None:
        self._silent, self._first, self._wide, self._small = silent, first, wide, small
        self._gap: Floats = components[:, _BOTTOM, 1] - components[:, _TOP, 1]
        # The least change of the code that opens the lips by 1.
        self._open: Floats = self._gap / (self._gap @ self._gap)
        # Of the squares of what was heard, and of their squares.
        self._power = (wide / first) ** 2
        self._squares = SETTLING * self._power
        self._fourths = SETTLING * self._power**2

    @property
    def now(self) -> float:
        """How many times as far as it was heard a large opening goes."""
        if not self._wide:
            return self._first
        heard = np.sqrt(self._fourths / self._squares)
        return float(np.clip(self._wide / heard, LEAST, MOST))

    def stressed(self, code: Floats) -> Floats:
        """A code (K,) that is heard next, its mouth as far from silence's as it is to be."""
        opening = float((code - self._silent) @ self._gap)
        square = opening**2
        if self._wide:
            # Silence makes nothing forgotten.
            keep = 0.5 ** (min(square / self._power, 1.0) / MEMORY)
            self._squares = keep * self._squares + square
            self._fourths = keep * self._fourths + square**2
        share = square / (square + self._small**2) if self._small else 1.0
        emphasis = SLIGHT + (self.now - SLIGHT) * share
        return np.asarray(code + (emphasis - 1.0) * opening * self._open, np.float64)
