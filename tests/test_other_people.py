"""Other people made of one: their points lie where their pictures have them."""

import cv2
import numpy as np
import pytest

from lipglance.mouth_warp import WARP_POINTS
from lipglance.other_people import bend, cut_bent, made_up, stretch

SIZE = 96
IDENTITY = np.eye(2, 3)


def dots(places, size=SIZE):
    """Soft white dots, (size, size, 3), at (P, 2) px."""
    y, x = np.mgrid[0:size, 0:size]
    light = np.zeros((size, size))
    for px, py in places:
        light += np.exp(-((x - px) ** 2 + (y - py) ** 2) / 8)
    return np.repeat(np.uint8(np.clip(255 * light, 0, 255))[..., None], 3, axis=2)


def found(picture, near):
    """Centres of mass about (P, 2) px."""
    light = picture[..., 0].astype(float)
    y, x = np.mgrid[0 : len(light), 0 : len(light)]
    centres = []
    for px, py in near:
        weight = light * (np.hypot(x - px, y - py) < 7)
        centres.append([(weight * x).sum() / weight.sum(), (weight * y).sum() / weight.sum()])
    return np.array(centres)


PLACES = np.array([[x, y] for x in (22.0, 48.0, 70.0) for y in (25.0, 50.0, 74.0)])


@pytest.mark.parametrize("seed", range(4))
def test_points_are_where_the_bent_picture_has_them(seed):
    sources, there = bend(PLACES[None], SIZE, np.random.default_rng(seed))
    made = cut_bent(dots(PLACES)[None], IDENTITY, sources)
    assert np.abs(there[0] - PLACES).max() > 0.5
    assert np.abs(found(made[0], there[0]) - there[0]).max() < 0.4


def test_all_pictures_of_a_person_are_bent_alike():
    step = np.array([1.5, -2.0])
    one, two = PLACES, PLACES + step
    sources, there = bend(np.stack([one, two]), SIZE, np.random.default_rng(1))
    made = cut_bent(np.stack([dots(one), dots(two)]), IDENTITY, sources)
    for picture, places in zip(made, there, strict=True):
        assert np.abs(found(picture, places) - places).max() < 0.4
    # A step keeps its length and its way, about: the mouth moves as it did.
    assert np.sqrt(np.mean((there[1] - there[0] - step) ** 2)) < 0.35


def test_a_bent_crop_is_cut_out_of_its_picture_in_one_go():
    matrix = np.array([[0.9, 0.1, 3.0], [-0.1, 0.9, 6.0]])
    in_crop = PLACES @ matrix[:, :2].T + matrix[:, 2]
    sources, there = bend(in_crop[None], SIZE, np.random.default_rng(2))
    made = cut_bent(dots(PLACES)[None], matrix, sources)
    inside = ((there[0] > 10) & (there[0] < SIZE - 10)).all(axis=1)
    assert inside.sum() >= 6
    assert np.abs(found(made[0], there[0][inside]) - there[0][inside]).max() < 0.5


def test_a_stretch_keeps_middle_and_size():
    for seed in range(20):
        matrix = stretch(SIZE, np.random.default_rng(seed))
        middle = np.full(2, (SIZE - 1) / 2)
        np.testing.assert_allclose(matrix[:, :2] @ middle + matrix[:, 2], middle, atol=1e-9)
        assert np.linalg.det(matrix[:, :2]) == pytest.approx(1.0)
        assert 0.86 < matrix[0, 0] / matrix[1, 1] < 1.17


def test_lips_change_colour_and_nothing_else_does():
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle)], 1)
    points = np.full((len(WARP_POINTS), 2), 48.0)
    points[:20], points[20:40] = 48 + ring * [24, 14], 48 + ring * [16, 6]
    pictures = np.full((2, SIZE, SIZE, 3), 120, np.uint8)
    made = made_up(
        pictures, np.stack([points, points + np.array([2, 3])]), np.random.default_rng(3)
    )
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    for picture, shift in zip(made, ([0, 0], [2, 3]), strict=True):
        away = np.hypot((x - 48 - shift[0]) / 24, (y - 48 - shift[1]) / 14) > 1.3
        assert (picture[away] == 120).all()
        lip = picture[48 + 10 + shift[1], 48 + shift[0]].astype(int)
        assert np.abs(lip - 120).max() > 5
        np.testing.assert_array_equal(picture[48 + shift[1], 48 + shift[0]], 120)
    np.testing.assert_array_equal(made[0, 58, 48], made[1, 61, 50])


def test_the_same_seed_makes_the_same_person():
    first, again = (bend(PLACES, SIZE, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    other, _ = bend(PLACES, SIZE, np.random.default_rng(6))
    assert np.abs(other - first[0]).max() > 0.5
    assert np.abs(cv2.Laplacian(first[0], cv2.CV_32F)[1:-1, 1:-1]).max() < 0.3  # smooth
