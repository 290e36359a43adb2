"""Finding faces of any size in a picture of any size with MediaPipe's short-range BlazeFace.

The net sees 128 x 128 px and finds faces of about a seventh of that and more. Larger pictures are
therefore searched in passes: the whole picture, then overlapping tiles at ever finer scales, and
turned copies for heads held at a slant. Anchors, decoding and weighted non-maximum suppression
follow MediaPipe's ``face_detection_short_range`` graph (Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lipglance.geometry import Floats, Image, apply, enlargement, invert

SIZE = 128
MIN_SCORE = 0.5
#: The net finds heads at a slant of some 35 degrees; in copies turned by this, of some 70.
TURNS = (-35.0, 35.0)
#: Tiles are not made smaller than this many px of the picture; smaller faces than some 30 to 55 px
#: are therefore left.
SMALLEST_TILE = 200
_BATCH = 16
_FLAT = 8
_MERGE_IOU = 0.3
_MERGE_INSIDE = 0.6

Net = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], NDArray[np.float32]]]


@dataclass(frozen=True)
class Face:
    """One face found in a picture.

    box: x0, y0, x1, y1 in px of the picture, brow to chin; may reach over the picture's edge.
    score: 0..1. keypoints: (6, 2) float32 px: left eye, right eye, tip of the nose, mouth, left
    ear, right ear (left as seen in the picture).
    """

    box: tuple[float, float, float, float]
    score: float
    keypoints: NDArray[np.float32]

    @property
    def centre(self) -> tuple[float, float]:
        """Middle of the box, px."""
        x0, y0, x1, y1 = self.box
        return (x0 + x1) / 2, (y0 + y1) / 2

    @property
    def size(self) -> float:
        """Longer side of the box, px."""
        x0, y0, x1, y1 = self.box
        return max(x1 - x0, y1 - y0)


def anchors() -> Floats:
    """Centres of the 896 anchors, (896, 2), in px of the net's picture.

    Two for each cell of the 16 x 16 grid (stride 8), six for each of the 8 x 8 grid (stride 16
    three times over), row by row; every anchor has the net's own size, so sizes are absolute.
    """
    parts = []
    for cells, repeats in ((16, 2), (8, 6)):
        centre = (np.arange(cells) + 0.5) * (SIZE / cells)
        x, y = np.meshgrid(centre, centre)
        parts.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), repeats, axis=0))
    return np.concatenate(parts)


_ANCHORS = anchors()


def decode(boxes: NDArray[np.float32], scores: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """Turn one picture's raw output (896, 16), (896,) into rows above MIN_SCORE.

    Returns (n, 8, 2): centre, (width, height), six keypoints, in px of the net's picture with
    pixel centres at whole numbers; and (n,) scores.
    """
    kept = np.flatnonzero(scores > np.log(MIN_SCORE / (1 - MIN_SCORE)))
    rows = boxes[kept].astype(np.float64).reshape(-1, 8, 2)
    places = [0, *range(2, 8)]
    rows[:, places] += _ANCHORS[kept][:, None] - 0.5
    chance = 1 / (1 + np.exp(-np.clip(scores[kept].astype(np.float64), -100, 100)))
    return rows, chance


def merge(rows: Floats, scores: Floats) -> list[Face]:
    """Weighted non-maximum suppression: rows (n, 8, 2) in px of the picture to faces, best first.

    Rows that overlap the best one by more than 0.3 (intersection over union), or lie mostly inside
    each other, are averaged with it by score.
    """
    low, high = rows[:, 0] - rows[:, 1] / 2, rows[:, 0] + rows[:, 1] / 2
    area = np.prod(rows[:, 1], axis=1)
    left = np.argsort(-scores, kind="stable")
    faces = []
    while left.size:
        best = left[0]
        sides = np.minimum(high[left], high[best]) - np.maximum(low[left], low[best])
        common = np.prod(np.clip(sides, 0, None), axis=1)
        iou = common / (area[left] + area[best] - common)
        inside = common / np.minimum(area[left], area[best])
        same = iou > _MERGE_IOU
        gone = same | (inside > _MERGE_INSIDE)
        gone[0] = same[0] = True
        group = left[same]
        mean = np.average(rows[group], axis=0, weights=scores[group])
        x0, y0 = mean[0] - mean[1] / 2
        x1, y1 = mean[0] + mean[1] / 2
        box = (float(x0), float(y0), float(x1), float(y1))
        faces.append(Face(box, float(scores[best]), mean[2:].astype(np.float32)))
        left = left[~gone]
    return faces


def scan(image: Image, net: Net, tile: float, turn: float = 0.0) -> tuple[Floats, Floats]:
    """Search `image` in overlapping square tiles of `tile` px, the picture turned by `turn`.

    turn: degrees, clockwise on screen. A tile as large as the picture means the whole picture at
    once. Returns rows (n, 8, 2) in px of the picture, as from `decode`, and scores (n,); widths
    and heights stay those of the turned copy.
    """
    height, width = image.shape[:2]
    canvas, matrix = _canvas(image, SIZE / tile, turn)
    scale = enlargement(matrix)
    found_rows, found_scores = [np.zeros((0, 8, 2))], [np.zeros(0)]
    for corners, batch in _tiles(canvas):
        for (x, y), boxes, scores in zip(corners, *net(batch), strict=True):
            rows, chance = decode(boxes, scores)
            whole = _uncut(rows, x, y, canvas.shape)
            rows, chance = rows[whole], chance[whole]
            places = [0, *range(2, 8)]
            rows[:, places] = apply(invert(matrix), rows[:, places] + (x, y))
            rows[:, 1] /= scale
            found_rows.append(rows)
            found_scores.append(chance)
    rows, scores = np.concatenate(found_rows), np.concatenate(found_scores)
    inside = ((rows[:, 0] > 0) & (rows[:, 0] < (width, height))).all(axis=1)
    return rows[inside], scores[inside]


def _canvas(image: Image, scale: float, turn: float) -> tuple[Image, Floats]:
    """The picture scaled and turned about its middle, and the matrix from picture to canvas."""
    height, width = image.shape[:2]
    columns, rows = max(round(width * scale), 1), max(round(height * scale), 1)
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = np.asarray(cv2.resize(image, (columns, rows), interpolation=way), np.uint8)
    sx, sy = columns / width, rows / height
    matrix = np.array([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2]])
    if turn:
        c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
        wide = int(np.ceil(columns * abs(c) + rows * abs(s)))
        high = int(np.ceil(columns * abs(s) + rows * abs(c)))
        # The whole picture at once must still fit the net after turning.
        fit = min(1.0, SIZE / max(wide, high)) if max(columns, rows) <= SIZE else 1.0
        wide, high = round(wide * fit), round(high * fit)
        linear = fit * np.array([[c, -s], [s, c]])
        shift = np.array([wide - 1, high - 1]) / 2 - linear @ (
            np.array([columns - 1, rows - 1]) / 2
        )
        turned = np.concatenate([linear, shift[:, None]], axis=1)
        small = np.asarray(cv2.warpAffine(small, turned, (wide, high)), np.uint8)
        matrix = np.concatenate([linear @ matrix[:, :2], apply(turned, matrix[:, 2])[:, None]], 1)
    return small, matrix


def _tiles(canvas: Image) -> Iterator[tuple[list[tuple[int, int]], NDArray[np.float32]]]:
    """Batches of tiles of the net's size, half overlapping: their corners and (n, 3, 128, 128).

    Flat tiles (sky, wall, black) are left out.
    """
    height, width = canvas.shape[:2]
    corners = [
        (x, y)
        for y in _starts(height)
        for x in _starts(width)
        if np.ptp(canvas[y : y + SIZE, x : x + SIZE]) >= _FLAT
    ]
    down, right = max(SIZE - height, 0), max(SIZE - width, 0)
    padded = np.pad(canvas, ((0, down), (0, right), (0, 0)))
    planes = padded.transpose(2, 0, 1)
    for k in range(0, len(corners), _BATCH):
        part = corners[k : k + _BATCH]
        batch = np.stack([planes[:, y : y + SIZE, x : x + SIZE] for x, y in part])
        yield part, batch.astype(np.float32) * np.float32(2 / 255) - np.float32(1)


def _starts(length: int) -> list[int]:
    if length <= SIZE:
        return [0]
    count = -(-(length - SIZE) // (SIZE // 2)) + 1
    return [round(v) for v in np.linspace(0, length - SIZE, count)]


def _uncut(rows: Floats, x: int, y: int, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which rows are not cut by an edge of their tile that lies within the picture.

    Half a face at the edge of one tile is a whole one in the next; only that is wanted.
    """
    low, high = rows[:, 0] - rows[:, 1] / 2, rows[:, 0] + rows[:, 1] / 2
    fine = np.ones(len(rows), bool)
    for axis, (start, length) in enumerate(((x, shape[1]), (y, shape[0]))):
        if start > 0:
            fine &= low[:, axis] > 0
        if start + SIZE < length:
            fine &= high[:, axis] < SIZE - 1
    return fine
