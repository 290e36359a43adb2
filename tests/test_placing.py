"""What is made in a crop, brought into the picture: its grain and its sharpness there."""

import cv2
import numpy as np
import pytest

from lipglance.geometry import enlargement
from lipglance.placing import Place

SIZE = 48
NONE = np.zeros((SIZE, SIZE, 2), np.float32)


def fine(image):
    shown = np.asarray(image, np.float32)
    return shown - cv2.GaussianBlur(shown, (0, 0), 1.5)


def picture(side, deviation=0.0):
    noise = np.random.default_rng(3).normal(0, 1, (side, side, 3))
    return (120 + deviation * noise).round().clip(0, 255).astype(np.uint8)


def matrix(times):
    """From a picture in which a px of the crop is `times` px, the crop at its corner."""
    return np.array([[1 / times, 0, -4 / times], [0, 1 / times, -4 / times]])


@pytest.mark.parametrize("times", [1.0, 2.5, 6.0])
def test_what_is_painted_has_the_pictures_grain(times):
    shown = picture(int(SIZE * times) + 8, 6.0)
    mask, colour = np.ones((SIZE, SIZE), np.float32), np.full((SIZE, SIZE, 3), 60, np.float32)
    inside = slice(10, int(SIZE * times) - 4)
    plain, grained = (
        Place(shown, matrix(times), SIZE, grain=wanted).painted(shown, NONE, mask, colour)
        for wanted in (False, True)
    )
    assert fine(plain[inside, inside]).std() < 0.1
    assert fine(grained[inside, inside]).std() == pytest.approx(fine(shown).std(), rel=0.2)
    assert grained[inside, inside].mean() == pytest.approx(60, abs=1)


def test_where_nothing_is_painted_the_picture_stays_to_the_bit():
    shown = picture(120, 6.0)
    mask, colour = np.zeros((SIZE, SIZE), np.float32), np.full((SIZE, SIZE, 3), 60, np.float32)
    made = Place(shown, matrix(2.0), SIZE, grain=True).painted(shown, NONE, mask, colour)
    assert np.array_equal(made, shown)


def test_enlarged_paint_is_crisper_and_paint_as_it_is_stays():
    """A step's steepest slope, per px of the crop: of the enlarged steeper than without care."""
    colour = np.full((SIZE, SIZE, 3), 60, np.float32)
    colour[:, SIZE // 2 :] = 160
    colour = cv2.GaussianBlur(colour, (0, 0), 1.0)
    mask = np.ones((SIZE, SIZE), np.float32)

    def slope(times):
        shown = picture(int(SIZE * times) + 8)
        made = Place(shown, matrix(times), SIZE).painted(shown, NONE, mask, colour)
        middle = made[len(made) // 2, 8:-8, 0].astype(float)
        return np.abs(np.diff(middle)).max() * times

    assert slope(1.0) == pytest.approx(np.abs(np.diff(colour[0, :, 0])).max(), rel=0.1)
    assert slope(4.0) > 1.2 * slope(1.0)


def test_enlargement_is_how_much_longer_lines_become():
    assert enlargement([[0, -3, 7], [3, 0, 1]]) == pytest.approx(3)
    assert enlargement([[2, 0, 0], [0, 8, 0]]) == pytest.approx(4)
