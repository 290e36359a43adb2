"""A blink now and then, so that a picture that speaks does not stare.

People who talk blink some 25 times a minute, each for a quarter of a second: the lid comes down in
two frames and goes up in four. When it does is told by the number of a frame alone, so that a
stream's frames are those of the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lipglance.errors import InputError
from lipglance.eyelids import Eyelid, eyelids
from lipglance.eyes import find_eyes
from lipglance.geometry import Image
from lipglance.portrait import Portrait

if TYPE_CHECKING:
    from lipglance.models import FaceSession

#: s from blink to blink at the liveliest, on the mean and at least.
MEAN_GAP, LEAST_GAP = 2.4, 1.0
#: How far the lids are closed, frame by frame.
BLINK = (0.5, 1.0, 0.85, 0.55, 0.25, 0.08)
#: Faces turned aside farther, degrees, do not blink: the lid of the far eye is not where it seems.
MAX_YAW = 30.0


def check_life(life: float) -> None:
    """InputError where `life` is not from 0 to 1."""
    if not (isfinite(life) and 0 <= life <= 1):
        raise InputError(f"got a life of {life}; expected 0 (a blink never) to 1 (in 2.4 s)")


def amounts(life: float, fps: float = 25.0) -> Iterator[float]:
    """How far the lids are closed in each frame from the first on, 0 to 1, without end."""
    check_life(life)
    if life == 0:
        while True:
            yield 0.0
    chance = np.random.default_rng(0)
    while True:
        gap = LEAST_GAP + chance.exponential(max(MEAN_GAP / life - LEAST_GAP, 0.0))
        yield from (0.0 for _ in range(round(gap * fps)))
        yield from BLINK


def lids_of(portrait: Portrait) -> tuple[Eyelid, Eyelid] | None:
    """The lids of the face that is to speak; None where they had better stay, see `eyelids`."""
    turned = portrait.yaw is None or abs(portrait.yaw) > MAX_YAW
    if portrait.points is None or turned:
        return None
    return eyelids(portrait.picture, find_eyes(portrait.picture, portrait.points))


class BlinkingSession:
    """A `FaceSession` that closes the eyes of another one's frames now and then."""

    def __init__(
        self, session: FaceSession, lids: tuple[Eyelid, Eyelid], life: float, fps: float = 25.0
    ) -> None:
        self._session = session
        self._lids = lids
        self._amounts = amounts(life, fps)
        self._made: dict[tuple[int, float], Image] = {}

    def feed(self, samples: NDArray[np.float32]) -> Iterator[Image]:
        """Take (n,) float32 samples in [-1, 1]; yield the frames now certain, each (H, W, 3)."""
        return self._blinking(self._session.feed(samples))

    def finish(self, frames: int | None = None) -> Iterator[Image]:
        """Yield the frames still missing, so that there are `frames` in all."""
        return self._blinking(self._session.finish(frames))

    def _blinking(self, frames: Iterable[Image]) -> Iterator[Image]:
        for frame in frames:
            amount = next(self._amounts)
            if amount:
                for k, lid in enumerate(self._lids):
                    left, top, right, bottom = lid.box
                    if (k, amount) not in self._made:
                        self._made[k, amount] = lid.closed(amount)
                    frame[top:bottom, left:right] = self._made[k, amount]
            yield frame
