import cv2
import numpy as np
import pytest

from lipglance.compositing import Compositor, mouth_mask
from lipglance.errors import InputError
from lipglance.geometry import apply, invert, square_matrix

SIZE = 64
HALF = SIZE // 2


def photo(height=300, width=260, grain=4.0):
    """Smooth shades, some sharp edges, grain."""
    rng = np.random.default_rng(0)
    smooth = cv2.resize(rng.uniform(80, 200, (6, 6, 3)), (width, height), interpolation=2)
    smooth[height // 2 : height // 2 + 6, width // 3 : width // 2] = 40
    noisy = smooth + grain * rng.standard_normal(smooth.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


#: Enlarged and turned, shrunk, and over the picture's edge.
PLACES = {
    "large": square_matrix((130, 150), 90, 0.3, SIZE),
    "own size": square_matrix((130, 150), 31, 0.0, SIZE),
    "small": square_matrix((130, 150), 18, -0.2, SIZE),
    "edge": square_matrix((20, 280), 60, 0.1, SIZE),
}


@pytest.fixture(params=PLACES)
def pasted(request):
    picture = photo()
    return Compositor(picture, PLACES[request.param], SIZE), picture


def test_the_mask_is_whole_at_the_mouth_and_nothing_at_the_border():
    mask = mouth_mask(SIZE)
    assert mask[HALF, HALF] == 1
    assert mask[HALF, 12] == 1
    border = np.concatenate([mask[:1].T, mask[-1:].T, mask[:, :1], mask[:, -1:]])
    assert not border.any()
    assert mask[:HALF].sum() < mask[HALF:].sum()
    steps = max(np.abs(np.diff(mask, axis=axis)).max() for axis in (0, 1))
    assert steps < 0.3
    assert np.allclose(mask, mask[:, ::-1], atol=1e-6)


def test_the_photo_s_own_lips_give_the_photo_to_the_bit(pasted):
    compositor, picture = pasted
    np.testing.assert_array_equal(compositor.paste(compositor.identity), picture)


def test_every_pixel_outside_the_mask_is_the_photo_s(pasted):
    compositor, picture = pasted
    wild = np.random.default_rng(1).integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
    before = compositor.picture.copy()
    frame = compositor.paste(wild)
    y, x = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]]
    at = apply(compositor.matrix, np.stack([x, y], -1))
    outside = (np.abs(at - (SIZE - 1) / 2) > HALF).any(axis=-1)
    assert outside.any()
    np.testing.assert_array_equal(frame[outside], picture[outside])
    assert (frame[~outside] != picture[~outside]).any()
    np.testing.assert_array_equal(compositor.picture, before)


@pytest.mark.parametrize("place", ["large", "own size", "small"])
def test_new_lips_appear_where_they_belong_in_their_own_colour(place):
    matrix = PLACES[place]
    compositor = Compositor(photo(), matrix, SIZE)
    lips = compositor.identity.copy()
    lips[34:46, 20:44] = (70, 15, 20)
    frame = compositor.paste(lips)
    centre = np.rint(apply(invert(matrix), np.array([31.5, 39.5]))).astype(int)
    x, y = centre
    np.testing.assert_allclose(frame[y, x], (70, 15, 20), atol=12)
    above = np.rint(apply(invert(matrix), np.array([31.5, 20.0]))).astype(int)
    np.testing.assert_array_equal(frame[above[1], above[0]], photo()[above[1], above[0]])


def test_a_cast_of_colour_and_a_shadow_from_the_side_are_taken_out():
    """The model's own shade of skin must not show, even beside a mouth that has opened."""
    compositor = Compositor(photo(), PLACES["large"], SIZE)
    opened = compositor.identity.astype(float)
    opened[34:46, 20:44] = (70, 15, 20)
    slope = np.linspace(-6, 6, SIZE)[None, :, None] + np.array([9.0, 2.0, -7.0])
    cast = np.clip(opened + slope, 0, 255).astype(np.uint8)
    plain = compositor.paste(opened.astype(np.uint8)).astype(int)
    found = compositor.paste(cast).astype(int)
    assert np.abs(found - plain).max() <= 12
    assert np.abs(found - plain).mean() < 0.2


def test_grain_stays_beside_and_within_a_new_mouth():
    """An enlarged 64-px mouth must not lie in the picture like a soft disc."""
    picture = photo(grain=5.0)
    matrix = PLACES["large"]
    compositor = Compositor(picture, matrix, SIZE)
    lips = compositor.identity.copy()
    lips[36:46, 18:46] = (70, 15, 20)
    frame = compositor.paste(lips).astype(np.float32)
    fine = frame - cv2.GaussianBlur(frame, (0, 0), 2)
    before = picture - cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 2)

    def strength(part, x, y):
        column, row = np.rint(apply(invert(matrix), np.array([x, y], float))).astype(int)
        return part[row - 8 : row + 9, column - 8 : column + 9].std()

    assert strength(fine, 32, 54) == pytest.approx(strength(before, 32, 54), rel=0.1)
    assert strength(fine, 32, 41) > 0.4 * strength(before, 32, 41)


def test_a_black_and_white_photo_stays_one():
    grey = photo()
    grey[:] = cv2.cvtColor(cv2.cvtColor(grey, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    compositor = Compositor(grey, PLACES["large"], SIZE)
    lips = compositor.identity.copy()
    cv2.ellipse(lips, (HALF, HALF), (16, 8), 0, 0, 360, (170, 40, 60), -1)
    made = compositor.paste(lips)
    assert np.abs(made.astype(int) - grey).max() > 20
    assert np.ptp(made, axis=2).max() <= 1


def test_frames_do_not_depend_on_those_before():
    compositor = Compositor(photo(), PLACES["large"], SIZE)
    rng = np.random.default_rng(2)
    first, second = rng.integers(0, 256, (2, SIZE, SIZE, 3)).astype(np.uint8)
    once = compositor.paste(first)
    compositor.paste(second)
    np.testing.assert_array_equal(compositor.paste(first), once)


def test_a_mouth_outside_the_picture_and_lips_of_another_size_are_told():
    with pytest.raises(InputError, match="outside the picture"):
        Compositor(photo(), square_matrix((900, 900), 40, 0.0, SIZE), SIZE)
    compositor = Compositor(photo(), PLACES["large"], SIZE)
    with pytest.raises(InputError, match=r"\(32, 32, 3\)"):
        compositor.paste(np.zeros((32, 32, 3), np.uint8))
