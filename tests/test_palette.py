"""Painting with the tints of a picture alone: hues that it has not are brought to the nearest."""

import numpy as np
import pytest

from faces import astronaut, astronaut_landmarks
from lipglance.crop import CropConfig, picture_crop
from lipglance.geometry import LUMA, crop_image
from lipglance.palette import Palette

SIZE = 96
GREEN, VIOLET, WHITE, DARK = [150, 200, 110], [190, 120, 210], [225, 222, 215], [30, 18, 16]


@pytest.fixture(scope="module")
def crop():
    matrix = picture_crop(astronaut_landmarks().points, CropConfig.face(SIZE))
    return crop_image(astronaut(), matrix, SIZE)


def hues(colours):
    """How much greener (less violet) than as bright a grey."""
    return colours[..., 1] - colours @ LUMA


def test_colours_of_a_face_are_its_own(crop):
    middle = crop[30:60, 30:66].astype(np.float32)
    kept = np.abs(Palette(crop).nearest(middle) - middle).max(axis=2)
    assert (kept < 0.01).mean() > 0.9
    assert kept.mean() < 0.2


def test_teeth_and_the_dark_of_a_mouth_stay(crop):
    inside = np.array([WHITE, DARK], np.float32)
    assert np.abs(Palette(crop).nearest(inside) - inside).max() < 2


def test_green_and_violet_go_and_brightness_stays(crop):
    wrong = np.array([[GREEN, VIOLET]], np.float32)
    right = Palette(crop).nearest(wrong)
    assert right.shape == wrong.shape
    assert np.allclose(right @ LUMA, wrong @ LUMA, atol=0.01)
    own = hues(crop.reshape(-1, 3).astype(np.float32))
    for made, meant in zip(hues(right[0]), hues(wrong[0]), strict=True):
        assert abs(made) < abs(meant) / 2
        assert own.min() - 2 <= made <= own.max() + 2


def test_what_is_green_may_be_painted_green():
    leaves = np.zeros((SIZE, SIZE, 3), np.uint8)
    leaves[:] = GREEN
    painted = np.array([GREEN, VIOLET], np.float32)
    right = Palette(leaves).nearest(painted)
    assert np.allclose(right[0], painted[0], atol=0.01)
    assert np.ptp(right[1]) < 5


def test_a_picture_without_colours_has_none(crop):
    grey = np.repeat(crop.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
    right = Palette(grey).nearest(np.array([GREEN, VIOLET, WHITE], np.float32))
    assert np.ptp(right, axis=1).max() < 0.01
