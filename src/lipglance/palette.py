"""The colours of a face in a picture, and painting with no others.

A network that learnt from films paints teeth that are white in their light. In a print, a painting
or a drawing they come out green or violet, colours that are nowhere in that picture's face.
"""

from __future__ import annotations

import numpy as np

from lipglance.compositing import FloatArray, mouth_mask
from lipglance.geometry import LUMA, Image

# Which of the face's tints count, in percent, and how far beyond them may be painted, as a share of
# their spread: what is not seen may be a little redder than all that is.
_COUNTED = (2.0, 98.0)
_BEYOND = 0.05


class Palette:
    """The tints of one picture's mouth, and what is around it.

    Args:
        crop: (S, S, 3) uint8 RGB, the face's crop.
    """

    def __init__(self, crop: Image) -> None:
        face = crop[mouth_mask(len(crop)) > 0.5].astype(np.float32)
        # A tint is how much redder and bluer than a grey as bright; and back, at no light.
        to_tint = np.eye(3)[:, ::2] - LUMA[:, None]
        to_colour = np.array([[1, 0], [-LUMA[0] / LUMA[1], -LUMA[2] / LUMA[1]], [0, 1]]).T
        middle = np.median(face @ to_tint, axis=0)
        length = float(np.hypot(*middle))
        along = middle / length if length > 1 else np.array([1.0, 0.0])
        # The skin's tint, and across it: from green to violet, whatever the light.
        axes = np.array([along, [-along[1], along[0]]])
        self._to_tint = (to_tint @ axes.T).astype(np.float32)
        self._to_colour = (axes @ to_colour).astype(np.float32)
        # No tint at all is always among them: teeth and the dark of a mouth have none.
        low, high = np.percentile(face @ self._to_tint, _COUNTED, axis=0)
        low, high = np.minimum(low, 0), np.maximum(high, 0)
        beyond = _BEYOND * (high - low)
        self._low = (low - beyond).astype(np.float32)
        self._high = (high + beyond).astype(np.float32)

    def nearest(self, colours: FloatArray) -> FloatArray:
        """Colours (..., 3) RGB in 0..255, as bright as before, of tints of this picture."""
        flat = colours.reshape(-1, 3)
        tints = flat @ self._to_tint
        change = np.clip(tints, self._low, self._high) - tints
        return np.asarray(flat + change @ self._to_colour, np.float32).reshape(colours.shape)
