"""CPBD agrees with the reference implementation and falls with blur."""

import cv2
import numpy as np
import pytest
from skimage import data

from lipglance.cpbd import cpbd, edge_widths
from lipglance.errors import InputError


def portrait():
    return cv2.cvtColor(data.astronaut()[:320, 120:440], cv2.COLOR_RGB2GRAY)


@pytest.mark.parametrize("sigma", [0, 0.6, 1.2, 2.5])
@pytest.mark.parametrize("side", [64, 100, 192])
def test_agrees_with_the_reference_on_a_photo(sigma, side):
    reference = pytest.importorskip("cpbd")
    photo = portrait()
    middle = np.array(photo.shape) // 2
    for shift in (-60, 0, 45):
        top, left = middle - side // 2 + shift
        part = photo[top : top + side, left : left + side]
        part = cv2.GaussianBlur(part, (0, 0), sigma) if sigma else part
        got = cpbd(part)
        assert got == pytest.approx(reference.compute(part), abs=0.01)


def test_blur_lowers_it():
    photo = portrait()[60:252, 60:252]
    values = [cpbd(cv2.GaussianBlur(photo, (0, 0), s)) for s in (0.5, 1.0, 2.0, 3.0)]
    assert values == sorted(values, reverse=True)
    assert values[0] > values[-1] + 0.2


def test_a_step_is_as_wide_as_its_ramp():
    ramp = 110 - 90 * np.cos(np.linspace(0, np.pi, 9))
    row = np.concatenate([np.full(30, 20.0), ramp, np.full(30, 200.0)])
    widths = edge_widths(np.tile(row, (68, 1)))
    assert set(widths[widths > 0]) <= {7.0, 8.0, 9.0}
    assert (widths > 0).any()


def test_a_flat_picture_has_no_edges_and_a_small_one_no_block():
    assert cpbd(np.full((64, 64), 90, np.uint8)) == 0
    with pytest.raises(InputError, match="CPBD needs a grey picture of 64 px"):
        cpbd(np.zeros((40, 80), np.uint8))
