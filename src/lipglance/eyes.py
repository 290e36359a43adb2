"""Where the eyes of a face lie: their edges, seen closely.

The mesh's second look at the eyes (Grishchenko et al. 2020, *Attention Mesh*; MediaPipe,
Apache-2.0, see ``assets/NOTICE-mediapipe.txt``). Its first look misses lids by some px.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import onnxruntime

from lipglance.face import MESH_SIZE, mesh_roi, net_session
from lipglance.geometry import Floats, Image, apply, check_image, crop_image, invert, square_matrix

# Of the 71 points of an eye: the lower edge from the outer corner to the inner one, and the upper
# edge between them.
_LOWER = list(range(9))
_UPPER = [0, *range(9, 16), 8]


@dataclass(frozen=True)
class Eye:
    """One eye of a face, px of the picture.

    upper, lower: (9, 2) its edges, from the corner on the viewer's left to the one on the right.
    """

    upper: Floats
    lower: Floats

    @property
    def middle(self) -> Floats:
        """(2,) middle between the corners."""
        return np.asarray((self.lower[0] + self.lower[-1]) / 2, np.float64)

    @property
    def width(self) -> float:
        """From corner to corner, px."""
        return float(np.linalg.norm(self.lower[-1] - self.lower[0]))

    @property
    def openness(self) -> float:
        """How high the eye is at its middle, in widths."""
        return float((self.measured(self.lower) - self.measured(self.upper))[3:6, 1].mean())

    def measured(self, points: Floats) -> Floats:
        """Points (..., 2) by the eye's own measures: along its corners' line and down from it.

        In widths, from its middle.
        """
        along = (self.lower[-1] - self.lower[0]) / max(self.width, 1e-6) ** 2
        return np.asarray((points - self.middle) @ np.array([along, [-along[1], along[0]]]).T)


@lru_cache(maxsize=1)
def _net() -> onnxruntime.InferenceSession:
    return net_session("face_eyes", 1)


def find_eyes(picture: Image, points: Floats) -> tuple[Eye, Eye]:
    """The two eyes, the viewer's left one first, of a face in `picture` (H, W, 3) uint8 RGB.

    points: the face's mesh, (468, 2) px. InputError on a picture of the wrong kind.
    """
    check_image(picture)
    matrix = square_matrix(*mesh_roi(np.asarray(points, np.float32)), MESH_SIZE)
    crop = crop_image(picture, matrix, MESH_SIZE, smooth=True)
    planes = np.ascontiguousarray(crop.transpose(2, 0, 1)[None], np.float32) / np.float32(255)
    found = _net().run(("left", "right"), {"image": planes})
    back = invert(matrix)
    left, right = (apply(back, eye[0].astype(np.float64) - 0.5) for eye in found)
    return (
        Eye(left[_UPPER], left[_LOWER]),
        Eye(right[_UPPER[::-1]], right[_LOWER[::-1]]),
    )
