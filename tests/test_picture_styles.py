"""Styles keep a person's pictures one picture's: same places, same colours, nothing drawn anew."""

import cv2
import numpy as np
import pytest

from faces import astronaut, astronaut_landmarks
from lipglance.crop import CropConfig, picture_crop
from lipglance.geometry import crop_image
from lipglance.picture_styles import STYLES, flat, grey, painted, printed, sketched, styled

SIZE = 96


@pytest.fixture(scope="module")
def pictures():
    points = astronaut_landmarks().points
    face = crop_image(astronaut(), picture_crop(points, CropConfig.face(SIZE)), SIZE)
    return np.stack([face, face[:, ::-1], np.roll(face, 4, 0)])


def edges(picture):
    return np.abs(cv2.Laplacian(picture.astype(np.float32).mean(-1), cv2.CV_32F))


@pytest.mark.parametrize("style", STYLES)
def test_a_style_is_one_for_all_pictures(style, pictures):
    before = pictures.copy()
    made = style(pictures, np.random.default_rng(3))
    assert made.shape == pictures.shape
    assert made.dtype == np.uint8
    assert np.array_equal(pictures, before)
    alone = style(pictures[:1], np.random.default_rng(3))
    # The first picture decides; who follows changes nothing.
    assert np.array_equal(made[0], alone[0])
    assert np.abs(made[1][:, ::-1].astype(int) - made[0]).mean() < 1.5
    assert np.array_equal(made, style(pictures, np.random.default_rng(3)))
    assert not np.array_equal(made, style(pictures, np.random.default_rng(4)))


@pytest.mark.parametrize("style", STYLES)
def test_what_is_drawn_stays_where_it_was(style, pictures):
    for seed in range(4):
        made = style(pictures[:1], np.random.default_rng(seed))[0]
        there = np.corrcoef(edges(pictures[0]).ravel(), edges(made).ravel())[0, 1]
        assert there > 0.4
        assert made.std() > 8


def test_what_each_style_is(pictures):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        tone = grey(pictures, rng).astype(float)
        # One tone: red over blue is the same at every shade that is neither black nor white.
        inner = (tone > 20).all(-1) & (tone < 235).all(-1)
        assert (tone[inner][:, 0] / tone[inner][:, 2]).std() < 0.02
        assert len(np.unique(flat(pictures, rng)[0].reshape(-1, 3), axis=0)) < SIZE * SIZE / 4
        paper = np.median(sketched(pictures, rng)[0], axis=(0, 1))
        assert paper.min() > 150
        assert np.abs(np.diff(printed(pictures, rng)[0].astype(float), axis=1)).mean() > 2
        assert edges(painted(pictures, rng)[0]).mean() < edges(pictures[0]).mean()


def test_all_styles_are_drawn(pictures):
    made = {styled(pictures[:1], np.random.default_rng(seed)).tobytes() for seed in range(40)}
    kinds = {np.random.default_rng(seed).integers(len(STYLES)) for seed in range(40)}
    assert len(made) == 40
    assert len(kinds) == len(STYLES)
