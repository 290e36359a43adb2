"""Who is to speak: one face chosen in a photo or a video, and where its lips lie."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice

import cv2
import numpy as np

from lipglance.crop import CropConfig, picture_crop
from lipglance.errors import InputError
from lipglance.face import FaceFinder, Landmarks
from lipglance.face_points import MOUTH_LEFT, MOUTH_RIGHT
from lipglance.geometry import Floats, Image, apply, check_image, crop_image, square_matrix
from lipglance.media import PathLike, is_video, iter_video, read_image

log = logging.getLogger("lipglance")

FaceInput = PathLike | Image

VIEWS = ("face", "lips")
#: A face whose longer side, brow to chin, has fewer px than this shows no lips to speak of.
MIN_FACE = 48
#: Faces turned farther aside than this many degrees show half a mouth. The models learn frontal
#: ones; the estimate is good to some 10 degrees.
MAX_YAW = 45.0
# Beside a face this certain by the mesh (0..1) less certain ones do not count; where none is (a
# drawing, a dark photo), all do.
_SURE = 0.95
#: A video's usable frame is looked for this far; about 10 s.
MAX_FRAMES = 250


class NoFaceError(InputError):
    """A picture in which no face was found."""


@dataclass(frozen=True)
class Portrait:
    """One picture and the face in it that is to speak.

    picture: (H, W, 3) uint8 RGB, scaled down by `scale` (<= 1) if it was too large. matrix: (2, 3),
    picture px to lip crop px. face: which one, 0 is the leftmost, of `faces`; None where no face
    was found and the picture's middle serves as the lip crop. box: x0, y0, x1, y1 of the face, px
    of the picture. yaw: degrees. points: the face's mesh, (468, 2) px of the picture, None without
    a face. frame: number of the video's frame, None for a photo.
    """

    picture: Image
    matrix: Floats
    face: int | None = None
    faces: int = 0
    box: tuple[float, float, float, float] | None = None
    yaw: float | None = None
    points: Floats | None = None
    scale: float = 1.0
    frame: int | None = None

    def points_in_crop(self) -> Floats | None:
        """The face's mesh in the lip crop, (468, 2) px of it; None without a face."""
        return None if self.points is None else apply(self.matrix, self.points)

    def lips(self, size: int) -> Image:
        """The lip crop, (size, size, 3) uint8 RGB."""
        return crop_image(self.picture, self.matrix, size)

    def describe(self) -> list[str]:
        """What was chosen and changed, a line each, for the user."""
        height, width = self.picture.shape[:2]
        lines = []
        if self.scale < 1:
            lines.append(
                f"picture scaled down to {width}x{height} px ({self.scale:.2f} of its size); "
                "--max-side sets how large it may be"
            )
        if self.frame:
            lines.append(f"frame {self.frame + 1} of the video is its first with a usable face")
        if self.faces > 1 and self.face is not None and self.box is not None:
            lines.append(
                f"face {self.face + 1} of {self.faces} (counted from the left), "
                f"{_longer_side(self.box):.0f} px"
            )
        return lines


@lru_cache(maxsize=1)
def face_finder() -> FaceFinder:
    """The face finder that the process shares."""
    return FaceFinder(threads=1)


def open_portrait(
    face: FaceInput,
    crop: CropConfig,
    *,
    view: str = "face",
    face_index: int | None = None,
    max_side: int = 1920,
) -> Portrait:
    """Read a picture and choose the face in it.

    face: path of a photo or of a video (its first frame with a usable face is taken), or an array
    (H, W, 3) uint8 RGB. crop: where the lips are cut out. view: "face", or "lips": then a picture
    without a face is taken for a mouth, its centre square for the lip crop, with a warning.
    face_index: 0 is the leftmost; None takes the largest. max_side: a larger picture is scaled down
    to this many px on its longer side.
    Raises InputError for what cannot be read and for no face, one smaller than `MIN_FACE`, one
    turned aside by more than `MAX_YAW`, and a face_index that is not there.
    """
    if view not in VIEWS:
        raise InputError(f"unknown view {view!r}; expected {' or '.join(VIEWS)}")
    if not max_side >= 64:
        raise InputError(f"got a longest side of {max_side} px; expected at least 64")
    name = "the picture"
    if isinstance(face, np.ndarray):
        check_image(face)
        # The caller's buffer may hold the camera's next picture before this one has been used.
        face = face.copy()
    elif isinstance(face, str | os.PathLike):
        name = os.fspath(face)
        if is_video(face):
            frames = islice(iter_video(face, None), MAX_FRAMES)
            return first_usable(
                (scaled(frame, max_side) for frame in frames),
                name,
                crop,
                view=view,
                face_index=face_index,
            )
        face = read_image(face)
    else:
        raise InputError(
            f"got a face of type {type(face).__name__}; expected a path or an array (H, W, 3)"
        )
    picture, scale = scaled(face, max_side)
    try:
        chosen = _choose(picture, name, crop, face_index)
    except NoFaceError as error:
        if view == "lips":
            chosen = _mouth_only(picture, name, crop)
        elif scale < 1:
            raise NoFaceError(
                f"{error}; it was scaled down from {face.shape[1]}x{face.shape[0]} px: if the face "
                "in it is small, try a larger --max-side (max_side)"
            ) from None
        else:
            raise
    return replace(chosen, scale=scale)


def first_usable(
    frames: Iterable[tuple[Image, float]],
    name: str,
    crop: CropConfig,
    *,
    view: str = "face",
    face_index: int | None = None,
) -> Portrait:
    """The first frame of a video that shows a usable face; goes no farther through `frames`.

    frames: each (H, W, 3) uint8 RGB and by how much it was scaled. The rest as in `open_portrait`.
    """
    told: InputError | None = None
    first: tuple[Image, float] | None = None
    for k, (picture, scale) in enumerate(frames):
        first = first or (picture, scale)
        try:
            # Looking for the smallest faces takes long; one frame in a second gets it.
            chosen = _choose(picture, name, crop, face_index, thorough=k % 25 == 0)
        except InputError as refusal:
            if told is None or (
                isinstance(told, NoFaceError) and not isinstance(refusal, NoFaceError)
            ):
                # A traceback would keep the picture in memory.
                told = refusal.with_traceback(None)
        else:
            return replace(chosen, scale=scale, frame=k)
    assert first is not None, "iter_video raises where there is no picture"
    assert told is not None
    if isinstance(told, NoFaceError) and view == "lips":
        return replace(_mouth_only(first[0], name, crop), scale=first[1], frame=0)
    raise type(told)(f"none of the first {k + 1} frames is usable: {told}")


def _choose(
    picture: Image,
    name: str,
    crop: CropConfig,
    face_index: int | None,
    *,
    thorough: bool = True,
) -> Portrait:
    height, width = picture.shape[:2]
    finder = face_finder()
    found = finder.detect(picture, thorough=thorough)
    faces = _surest([finder.landmarks(picture, face) for face in found])
    if not faces:
        raise NoFaceError(
            f"no face in {name} ({width}x{height} px); expected one seen from the front; of a "
            "picture of a mouth alone make --view lips"
        )
    if face_index is None:
        face_index = max(range(len(faces)), key=lambda k: _longer_side(faces[k].face))
    if not 0 <= face_index < len(faces):
        raise InputError(
            f"{name} shows {len(faces)} face{'s' * (len(faces) > 1)}; there is no face "
            f"{face_index + 1}; choose 1 to {len(faces)}, counted from the left"
        )
    marks = faces[face_index]
    check_usable(marks, name, picture.shape)
    return Portrait(
        picture,
        picture_crop(marks.points, crop),
        face=face_index,
        faces=len(faces),
        box=marks.face,
        yaw=marks.yaw,
        points=np.asarray(marks.points, np.float64),
    )


def _surest(faces: list[Landmarks]) -> list[Landmarks]:
    """The faces without those that are much less certain than the best: folds of cloth, mostly.

    A large false alarm would otherwise be taken for the largest face.
    """
    best = max((face.score for face in faces), default=0.0)
    return [face for face in faces if face.score >= _SURE or best < _SURE]


def check_usable(marks: Landmarks, name: str, shape: tuple[int, ...]) -> None:
    """Raise InputError where a face is too small, in profile or without a mouth.

    name, shape: of the picture that it was found in.
    """
    side = _longer_side(marks.face)
    if side < MIN_FACE:
        raise InputError(
            f"the face in {name} is too small: {side:.0f} px; expected at least {MIN_FACE} px; "
            "give a larger picture, or a larger --max-side if this one was scaled down"
        )
    if abs(marks.yaw) > MAX_YAW:
        raise InputError(
            f"the face in {name} is in profile: turned aside by about {abs(marks.yaw):.0f} "
            f"degrees; expected at most {MAX_YAW:.0f}; give a picture seen more from the front"
        )
    x, y = marks.points[[MOUTH_LEFT, MOUTH_RIGHT]].mean(axis=0)
    if not (0 <= x < shape[1] and 0 <= y < shape[0]):
        raise InputError(
            f"the mouth of the face in {name} lies outside the picture; expected one that shows "
            "it; give a picture that is not cut off above it"
        )


def _mouth_only(picture: Image, name: str, crop: CropConfig) -> Portrait:
    """The centre square of a picture, taken for a lip crop."""
    height, width = picture.shape[:2]
    log.warning(
        "no face in %s: its centre square is taken for a picture of a mouth, nose to chin", name
    )
    centre = ((width - 1) / 2, (height - 1) / 2)
    return Portrait(picture, square_matrix(centre, min(height, width) / 2, 0.0, crop.size))


def scaled(picture: Image, max_side: int) -> tuple[Image, float]:
    """The picture with its longer side at most `max_side` px, and by how much it was scaled."""
    height, width = picture.shape[:2]
    scale = max_side / max(height, width)
    if scale >= 1:
        return picture, 1.0
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8), scale


def _longer_side(box: tuple[float, float, float, float]) -> float:
    return max(box[2] - box[0], box[3] - box[1])
