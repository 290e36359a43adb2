"""The square an evaluation looks at, and how lips are put back into a frame."""

import numpy as np
import pytest

from lipglance.evaluation_crop import coverage, mouth_place, put_back, square_at
from lipglance.geometry import apply, crop_image, invert, square_matrix


def test_the_evaluation_crop_is_that_of_the_protocol():
    mouths = np.zeros((3, 20, 2))
    mouths[:, 0, 0], mouths[:, 6, 0] = -20, 20
    mouths += np.array([[10, 50], [18, 50], [30, 50]])[:, None]
    squares = square_at(*mouth_place(mouths), 64)
    centres = apply(invert(squares), np.full((3, 1, 2), 31.5))[:, 0]
    np.testing.assert_allclose(centres[:, 0], [12.0, 19.0, 27.0])
    np.testing.assert_allclose(np.linalg.det(squares[:, :, :2]), (64 / (2 * 0.65 * 40)) ** 2)
    gap = mouths.copy()
    gap[1] = np.nan
    centres = apply(
        invert(square_at(*mouth_place(gap), 64)),
        np.full((3, 1, 2), 31.5),
    )[:, 0]
    np.testing.assert_allclose(centres[:, 0], [12.5, 20.0, 27.5])
    assert mouth_place(mouths * np.nan) is None


@pytest.mark.parametrize("size", [32, 64, 200])
def test_put_back_is_the_inverse_of_cropping(size):
    y, x = np.mgrid[0:96, 0:120]
    waves = 128 + 60 * np.sin(x / 6)[..., None] * np.cos(y / 8)[..., None] * [1, 0.5, -1]
    picture = waves.astype(np.uint8)
    matrix = square_matrix([60.3, 48.8], 25.0, np.radians(20), size)
    crop = crop_image(picture, matrix, size)
    blank = np.zeros_like(picture)
    back = put_back(blank, crop, matrix)
    inside = back.any(-1)
    assert inside.sum() == pytest.approx(50 * 50, rel=0.02)
    assert np.abs(back.astype(int) - picture)[inside].mean() < 3
    assert not blank.any()
    corner = apply(invert(matrix), [[size / 20, size / 20]])[0].round().astype(int)
    assert inside[corner[1], corner[0]]


def test_put_back_keeps_to_the_picture():
    picture = np.zeros((40, 40, 3), np.uint8)
    crop = np.full((64, 64, 3), 200, np.uint8)
    half_out = put_back(picture, crop, square_matrix([0.25, 20.25], 10.0, 0.0, 64))
    assert (half_out[..., 0] == 200).sum() == 11 * 20
    assert not put_back(picture, crop, square_matrix([-50, 20], 10.0, 0.0, 64)).any()


def test_coverage_is_the_share_that_the_row_made():
    square = square_matrix([50.0, 50.0], 20.0, 0.0, 64)
    assert coverage(square, square_matrix([50.0, 50.0], 25.0, 0.0, 64), 64) == 1.0
    assert coverage(square, square_matrix([70.0, 50.0], 20.0, 0.0, 64), 64) == 0.5
    assert coverage(square, square_matrix([50.0, 50.0], 10.0, 0.0, 64), 64) == 0.25
