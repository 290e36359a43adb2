"""Transforms and anti-aliased cropping."""

from __future__ import annotations

import numpy as np
import pytest

from faces import astronaut
from lipglance.errors import InputError
from lipglance.geometry import Image, apply, crop_image, fit_similarity, invert, square_matrix


def test_apply_and_invert_undo_each_other() -> None:
    rng = np.random.default_rng(0)
    matrices = square_matrix(rng.normal(size=(5, 2)), np.full(5, 3.0), rng.normal(size=5), 64)
    points = rng.normal(size=(5, 7, 2))
    back = apply(invert(matrices), apply(matrices, points))
    np.testing.assert_allclose(back, points, atol=1e-12)
    one = apply(matrices[0], points[0])
    np.testing.assert_allclose(one, apply(matrices, points)[0])
    assert np.isnan(apply(matrices[0], [[np.nan, 1.0]])).any()


def test_square_matrix_by_hand() -> None:
    matrix = square_matrix([100, 50], 10, 0.0, 41)
    np.testing.assert_allclose(apply(matrix, [[100, 50]]), [[20, 20]])
    # The left edge of the square is the left edge of the first pixel.
    np.testing.assert_allclose(apply(matrix, [[90, 50]]), [[-0.5, 20]])
    turned = square_matrix([0, 0], 10, np.pi / 2, 40)
    # A square turned clockwise: what lies below in the picture lies to the right in the crop.
    np.testing.assert_allclose(apply(turned, [[0, 5]]), [[19.5 + 10, 19.5]], atol=1e-12)


def test_fit_similarity_finds_the_transform() -> None:
    rng = np.random.default_rng(1)
    source = rng.normal(size=(6, 10, 2))
    truth = square_matrix(rng.normal(size=(6, 2)), rng.uniform(1, 5, 6), rng.normal(size=6), 32)
    np.testing.assert_allclose(fit_similarity(source, apply(truth, source)), truth, atol=1e-9)


def ramp(height: int, width: int) -> Image:
    """Red grows with x, green with y, one step in 16 px."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x // 16, y // 16, 0 * x], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize("half", [20, 32, 50, 100, 333, 900])
def test_crop_samples_at_the_right_place_at_any_scale(half: float, smooth: bool) -> None:
    """The crop of a ramp is the ramp: an error of position shows as a shift of values."""
    image = ramp(2000, 2000)
    matrix = square_matrix([1000.3, 990.7], half, 0.3, 64)
    crop = crop_image(image, matrix, 64, smooth=smooth).astype(float)
    grid = np.stack(np.meshgrid(np.arange(64), np.arange(64)), axis=-1)
    places = apply(invert(matrix), grid.reshape(-1, 2)).reshape(64, 64, 2)
    expected = (places - 7.5) / 16
    inside = slice(4, -4)
    bias = (crop[..., :2] - expected)[inside, inside].mean(axis=(0, 1))
    assert np.abs(bias).max() * 16 < 0.1 * max(half / 32, 1) + 1.0


@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize("reduction", [2.0, 3.3, 10.0, 27.0])
def test_reduction_does_not_alias(reduction: float, smooth: bool) -> None:
    """One-pixel stripes are finer than any of these crops can show and must come out grey.

    (Near enough: a mean over 3.3 px leaves a sixth of their contrast; single samples leave all.)
    """
    stripes = np.zeros((2100, 2100, 3), np.uint8)
    stripes[:, ::2] = 255
    matrix = square_matrix([1050, 1050], 32 * reduction, 0.1, 64)
    crop = crop_image(stripes, matrix, 64, smooth=smooth)
    assert crop.std() < 25
    assert crop.mean() == pytest.approx(127.5, abs=3)


def test_a_crop_at_scale_one_is_the_picture() -> None:
    matrix = np.array([[1.0, 0, -100], [0, 1, -50]])
    np.testing.assert_array_equal(crop_image(astronaut(), matrix, 80), astronaut()[50:130, 100:180])


def test_edges() -> None:
    image = np.full((10, 10, 3), 200, np.uint8)
    far = square_matrix([-500, -500], 20, 0.0, 16)
    assert (crop_image(image, far, 16) == 200).all()
    assert (crop_image(image, far, 16, border=7) == 7).all()
    wide = square_matrix([5, 5], 4000, 0.0, 16)
    assert crop_image(image, wide, 16).shape == (16, 16, 3)
    assert crop_image(image[:1, :1], far, 16).shape == (16, 16, 3)


@pytest.mark.parametrize(
    "matrix", [np.zeros((2, 3)), np.full((2, 3), np.nan), np.eye(3)], ids=["zero", "nan", "3x3"]
)
def test_wrong_matrices_are_refused(matrix: np.ndarray) -> None:
    with pytest.raises(InputError):
        crop_image(astronaut(), matrix, 16)
