"""Pictures with known faces: NASA's portrait of an astronaut (public domain), moved about."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from skimage import data

from lipglance.face import FaceFinder, Landmarks
from lipglance.geometry import Floats, Image, crop_image

#: Shared by all tests: it takes no state but its nets.
FINDER = FaceFinder()


@cache
def astronaut() -> Image:
    picture: Image = data.astronaut()
    picture.setflags(write=False)
    return picture


@cache
def astronaut_landmarks() -> Landmarks:
    return FINDER.landmarks(astronaut(), FINDER.detect(astronaut())[0])


def face_width() -> float:
    """Width of the astronaut's mesh, px of her own picture."""
    x0, _, x1, _ = astronaut_landmarks().face
    return x1 - x0


def eye_distance() -> float:
    points = astronaut_landmarks().points
    return float(np.linalg.norm(points[33] - points[263]))


def similarity(scale: float, degrees: float, to: tuple[float, float]) -> Floats:
    """Matrix that turns the astronaut clockwise, scales her and puts her face's middle at `to`."""
    c, s = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    linear = np.array([[c, -s], [s, c]])
    shift = np.array(to) - linear @ astronaut_landmarks().points.mean(axis=0)
    return np.concatenate([linear, shift[:, None]], axis=1)


def moved(matrix: Floats, width: int, height: int) -> Image:
    """The astronaut moved by `matrix` over a grey picture of this size."""
    side = max(width, height)
    shown = crop_image(astronaut(), matrix, side, smooth=True, border=128)
    return np.ascontiguousarray(shown[:height, :width])


def on_texture(matrix: Floats, width: int, height: int) -> Image:
    """As `moved`, before a blurred random pattern, which gives the detector something to doubt."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (height // 40 + 1, width // 40 + 1, 3), np.uint8)
    texture = np.asarray(cv2.resize(coarse, (width, height)), np.uint8)
    inside = cv2.warpAffine(np.ones(astronaut().shape[:2], np.uint8), matrix, (width, height))
    return np.where(inside[..., None] > 0, moved(matrix, width, height), texture)
