"""Faces and their 468 landmarks, in pictures and in video, on one CPU core.

Two small nets of MediaPipe (Apache-2.0, see ``assets/NOTICE-mediapipe.txt``) run in onnxruntime.
The mesh looks at the lips a second time, closely (Grishchenko et al. 2020, *Attention Mesh*): its
first look misses open mouths by several px.
Coordinates are px of the picture, whole numbers at pixel centres (see `lipglance.geometry`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from threading import Lock
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import ArrayLike, NDArray

from lipglance import face_detector
from lipglance.face_detector import Face
from lipglance.face_points import (
    EYE_CORNERS,
    JAW,
    MOUTH_20,
    MOUTH_LEFT,
    MOUTH_RIGHT,
    N_POINTS,
    REFINED_LIPS,
    STABLE,
    YAW_PAIRS,
)
from lipglance.geometry import Floats, Image, apply, check_image, crop_image, invert, square_matrix

__all__ = [
    "EYE_CORNERS",
    "JAW",
    "MOUTH_20",
    "N_POINTS",
    "STABLE",
    "Face",
    "FaceFinder",
    "Landmarks",
    "mesh_roi",
    "net_session",
]

MESH_SIZE = 192
MIN_PRESENCE = 0.5
# The mesh's raw presence is 22 to 40 for faces of 40 px and more in 56 clips of two corpora and at
# most 15 for what the detector falsely takes for faces in 16 pictures without any.
_PRESENCE_MIDDLE = 14.0
_PRESENCE_SPREAD = 2.0
# Many looks bring false alarms (a rocket's tip scored 0.88); faces of 30 px score above 0.99.
_SURE = 0.95
# MediaPipe's face landmark graphs enlarge both kinds of region by this much.
_ROI_SCALE = 1.5
# A lost face is looked for at every scale in the first frame, then after 16, 32, 64... frames: a
# long stretch without faces must not cost a full search for every frame.
_FIRST_FULL_SEARCH = 16


@dataclass(frozen=True)
class Landmarks:
    """The mesh of one face.

    points: (468, 2) float32 px. score: 0..1, how sure the net is that there is a face. face: box
    x0, y0, x1, y1 around the points, px. depth: (468,) float32, about px, smaller is nearer.
    """

    points: NDArray[np.float32]
    score: float
    face: tuple[float, float, float, float]
    depth: NDArray[np.float32] = field(repr=False)

    @property
    def mouth_width(self) -> float:
        """Distance between the corners of the mouth, px."""
        return float(np.linalg.norm(self.points[MOUTH_RIGHT] - self.points[MOUTH_LEFT]))

    @property
    def roll(self) -> float:
        """Slant of the line through the eyes, degrees, clockwise on screen, -180..180."""
        return float(np.degrees(eye_angle(self.points)))

    @property
    def yaw(self) -> float:
        """How far the face is turned aside, degrees: 0 frontal, about +-90 profile.

        Positive when the face looks to the viewer's right. Median over four left and right pairs
        of points of the angle between their join and the picture's plane; the net's depth is only
        roughly to scale, so count on some 10 degrees of error.
        """
        left, right = np.array(YAW_PAIRS).T
        across = np.linalg.norm(self.points[right] - self.points[left], axis=1)
        return float(
            np.degrees(np.median(np.arctan2(self.depth[right] - self.depth[left], across)))
        )


def eye_angle(points: ArrayLike) -> Any:
    """Angle of the line through the eyes in points (..., 468, 2): radians, clockwise on screen."""
    eyes = np.asarray(points, np.float64)[..., EYE_CORNERS, :]
    line = eyes[..., 2:, :].mean(-2) - eyes[..., :2, :].mean(-2)
    return np.arctan2(line[..., 1], line[..., 0])


def net_session(name: str, threads: int) -> onnxruntime.InferenceSession:
    """Load the packaged net `name`, to run on so many CPU threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    data = files("lipglance").joinpath("assets", f"{name}.onnx").read_bytes()
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


class FaceFinder:
    """Finds faces and their landmarks; loads its nets at first use and may be shared by threads."""

    def __init__(self, threads: int = 1) -> None:
        self.threads = threads
        self._lock = Lock()
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}

    def _run(
        self, net: str, outputs: tuple[str, ...], image: NDArray[np.float32]
    ) -> list[NDArray[np.float32]]:
        with self._lock:
            if net not in self._sessions:
                self._sessions[net] = net_session(net, self.threads)
        # Outside the lock: a session may run in several threads at once.
        return list(self._sessions[net].run(outputs, {"image": image}))

    def _run_detector(
        self, batch: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        boxes, scores = self._run("face_detector", ("boxes", "scores"), batch)
        return boxes, scores

    def detect(self, image: Image, *, thorough: bool = True) -> list[Face]:
        """Find all faces in `image`, (H, W, 3) uint8 RGB of any size, from left to right.

        Looks at the whole picture and at tiles of half its size; where nothing is found and
        if `thorough`, at ever smaller tiles until something is found, down to faces of 30 to 55 px
        (by the size of the picture), then at large tiles of copies turned by 35 degrees either
        way. Returns [] where there is none. Raises InputError if `image` is not such an array.
        """
        check_image(image)
        longest = float(max(image.shape[:2]))
        faces = self._search(image, [longest, longest / 2], 0.0, MIN_PRESENCE)
        if faces or not thorough:
            return faces
        levels = [[longest, longest / 2]]
        while levels[-1][-1] / 2 >= face_detector.SMALLEST_TILE:
            levels.append([levels[-1][-1] / 2])
        # A turned copy may show a small upright face as a wrong one, so these come last.
        passes = [(tiles, 0.0) for tiles in levels[1:]]
        passes += [(tiles, turn) for tiles in levels[:2] for turn in face_detector.TURNS]
        for tiles, turn in passes:
            faces = self._search(image, tiles, turn, _SURE)
            if faces:
                return faces
        return []

    def _search(self, image: Image, tiles: list[float], turn: float, presence: float) -> list[Face]:
        """Faces seen in tiles of these sizes that the mesh, too, takes for faces."""
        parts = [face_detector.scan(image, self._run_detector, tile, turn) for tile in tiles]
        rows, scores = (np.concatenate(column) for column in zip(*parts, strict=True))
        faces = face_detector.merge(rows, scores)
        sure = [f for f in faces if self.landmarks(image, f).score >= presence]
        return sorted(sure, key=lambda face: face.centre)

    def _fit(self, image: Image, roi: tuple[Floats, float, float]) -> Landmarks:
        """Run the mesh on the square `roi`: centre, half side, angle."""
        matrix = square_matrix(*roi, MESH_SIZE)
        crop = crop_image(image, matrix, MESH_SIZE, smooth=True)
        planes = np.ascontiguousarray(crop.transpose(2, 0, 1)[None], np.float32)
        planes *= np.float32(1 / 255)
        raw, presence, lips = self._run("face_mesh", ("points", "presence", "lips"), planes)
        flat = raw[0, :, :2].copy()
        flat[list(REFINED_LIPS)] = lips[0]
        # The net counts from the edge of its picture, not from the first pixel's centre.
        points = apply(invert(matrix), flat - 0.5).astype(np.float32)
        depth = raw[0, :, 2] * np.float32(2 * roi[1] / MESH_SIZE)
        logit = (float(presence[0, 0]) - _PRESENCE_MIDDLE) / _PRESENCE_SPREAD
        score = float(1 / (1 + np.exp(-np.float64(logit))))
        x0, y0 = points.min(0).tolist()
        x1, y1 = points.max(0).tolist()
        return Landmarks(points, score, (x0, y0, x1, y1), depth)

    def landmarks(self, image: Image, face: Face) -> Landmarks:
        """Landmarks of `face` in `image` (H, W, 3) uint8 RGB.

        The mesh runs twice: on the detector's region, then on the region that its own first
        answer gives, as in video, which makes the result depend less on the detector. A score
        below 0.5 means that there is no face. Raises InputError on a picture of the wrong kind.
        """
        check_image(image)
        first = self._fit(image, _face_roi(face))
        second = self._fit(image, mesh_roi(first.points))
        return second if second.score >= min(first.score, MIN_PRESENCE) else first

    def track(
        self,
        frames: Iterable[Image],
        near: tuple[float, float, float, float] | None = None,
        *,
        alone: bool = True,
    ) -> Iterator[Landmarks | None]:
        """Landmarks of one face through `frames`, each (H, W, 3) uint8 RGB; None where it is lost.

        Starts with the largest face, or with the one nearest to the box `near`. Each frame's region
        comes from the mesh of the frame before; when the mesh loses the face it is detected anew,
        and of several faces the one that overlaps the last known place most, or else the nearest,
        goes on; not `alone`, one that is more than its size away is somebody else. Frames may
        change in size.
        Raises InputError on a frame of the wrong kind, never for want of a face.
        """
        last: Landmarks | None = None
        place = near
        lost = 0
        for frame in frames:
            check_image(frame)
            found: Landmarks | None = None
            if last is not None and lost == 0:
                found = self._fit(frame, mesh_roi(last.points))
            if found is None or found.score < MIN_PRESENCE:
                thorough = lost == 0 or (lost >= _FIRST_FULL_SEARCH and lost & (lost - 1) == 0)
                found = self._find_again(frame, place, thorough, alone)
            lost = 0 if found is not None else lost + 1
            last = found or last
            place = place if found is None else found.face
            yield found

    def _find_again(
        self,
        frame: Image,
        place: tuple[float, float, float, float] | None,
        thorough: bool,
        alone: bool,
    ) -> Landmarks | None:
        faces = self.detect(frame, thorough=thorough)
        if not faces:
            return None
        if place is None:
            face = max(faces, key=lambda f: f.size)
        else:
            face = max(faces, key=lambda f: _nearness(f.box, place))
            # Minus twice the distance of the centres.
            if not alone and _nearness(face.box, place) < -2 * face.size:
                return None
        found = self.landmarks(frame, face)
        return found if found.score >= MIN_PRESENCE else None


def _nearness(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Overlap (intersection over union) of two boxes, or minus their distance if they have none."""
    common = max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    if common > 0:
        union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common
        return common / union
    return -float(np.hypot(a[0] + a[2] - b[0] - b[2], a[1] + a[3] - b[1] - b[3]))


def _face_roi(face: Face) -> tuple[Floats, float, float]:
    """The mesh's region from a detection: centre, half side, angle of the line of the eyes."""
    line = face.keypoints[1] - face.keypoints[0]
    centre = np.array(face.centre)
    return centre, face.size / 2 * _ROI_SCALE, float(np.arctan2(line[1], line[0]))


def mesh_roi(points: NDArray[np.float32]) -> tuple[Floats, float, float]:
    """The mesh's region from an earlier mesh of the same face.

    MediaPipe boxes the points along the picture's axes; here along the face's, so that a slanted
    head gets the region that an upright one would.
    """
    eyes = points[[EYE_CORNERS[0], EYE_CORNERS[3]]].astype(np.float64)
    angle = float(np.arctan2(*(eyes[1] - eyes[0])[::-1]))
    c, s = np.cos(angle), np.sin(angle)
    upright = points @ np.array([[c, -s], [s, c]])
    low, high = upright.min(0), upright.max(0)
    centre = np.array([[c, -s], [s, c]]) @ ((low + high) / 2)
    return centre, float((high - low).max() / 2 * _ROI_SCALE), angle
