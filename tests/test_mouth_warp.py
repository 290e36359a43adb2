"""A mouth is moved where its points are wanted, and nothing else is touched."""

import cv2
import numpy as np
import pytest

from lipglance.crop import CropConfig, picture_crop
from lipglance.errors import InputError
from lipglance.face_points import INNER_LIP_BOTTOM, INNER_LIP_TOP, LIPS
from lipglance.geometry import apply, crop_image
from lipglance.mouth_warp import (
    WARP_POINTS,
    compose,
    dense_flow,
    mouth_maps,
    net_inputs,
    net_outputs,
    warped,
    window,
)

SIZE = 96
TOP, BOTTOM = WARP_POINTS.index(INNER_LIP_TOP), WARP_POINTS.index(INNER_LIP_BOTTOM)


@pytest.fixture(scope="module")
def face():
    from faces import astronaut, astronaut_landmarks

    points = astronaut_landmarks().points
    matrix = picture_crop(points, CropConfig.face(SIZE))
    crop = crop_image(astronaut(), matrix, SIZE)
    return crop, apply(matrix, points)[list(WARP_POINTS)]


def opened(points, by):
    """The points with the lower half of the lips, and all below it, `by` px lower."""
    driven = points.copy()
    ring = len(LIPS) // 2
    lower = [*range(ring // 2 + 1, ring), *range(ring + ring // 2 + 1, 2 * ring)]
    below = points[2 * ring :, 1] > points[: 2 * ring, 1].max()
    driven[[*lower, *(2 * ring + np.flatnonzero(below))], 1] += by
    return driven


def shown(crop, points, driven):
    """What the network sees of `crop` whose mouth goes from `points` to `driven`."""
    maps = mouth_maps(points, SIZE), mouth_maps(driven, SIZE)
    return net_inputs(crop, dense_flow(points, driven, SIZE), *maps)


def test_no_motion_is_the_picture_to_the_bit(face):
    crop, points = face
    flow = dense_flow(points, points, SIZE)
    assert not flow.any()
    said = np.zeros((6, SIZE, SIZE), np.float32)
    maps = mouth_maps(points, SIZE)
    seen = net_inputs(crop, flow, maps, maps)
    assert np.array_equal(compose(crop, *net_outputs(said, flow, seen)), crop)


def test_a_dot_on_the_lip_goes_where_its_point_goes(face):
    _, points = face
    driven = opened(points, 6.0)
    picture = np.zeros((SIZE, SIZE, 3), np.uint8)
    low = WARP_POINTS.index(17)
    cv2.circle(picture, tuple(points[low].round().astype(int).tolist()), 2, (255,) * 3, -1)
    moved = warped(picture, dense_flow(points, driven, SIZE))[..., 0].astype(float)
    y, x = np.mgrid[:SIZE, :SIZE]
    found = np.array([(x * moved).sum(), (y * moved).sum()]) / moved.sum()
    np.testing.assert_allclose(found, driven[low], atol=1.2)


def test_lips_part(face):
    _, points = face
    driven = opened(points, 8.0)
    flow = dense_flow(points, driven, SIZE)
    x = round(float(points[TOP, 0]))
    above = flow[round(float(driven[TOP, 1])) - 2, x, 1]
    below = flow[round(float(driven[BOTTOM, 1])) + 2, x, 1]
    assert abs(above) < 2
    assert below < -5


def test_the_border_stays_whatever_is_said(face):
    crop, points = face
    flow = dense_flow(points, opened(points, 10.0), SIZE)
    said = np.ones((6, SIZE, SIZE), np.float32)
    made = compose(crop, *net_outputs(said, flow, shown(crop, points, opened(points, 10.0))))
    rim = np.ones((SIZE, SIZE), bool)
    rim[1:-1, 1:-1] = False
    assert np.array_equal(made[rim], crop[rim])
    assert not window(SIZE)[rim].any()
    assert not np.array_equal(made, crop)


def test_maps_show_the_mouth_and_its_opening(face):
    _, points = face
    shut, ajar = mouth_maps(points, SIZE), mouth_maps(opened(points, 8.0), SIZE)
    assert shut.shape == (2, SIZE, SIZE)
    assert shut.min() >= 0
    assert shut.max() <= 1
    assert ajar[0].sum() > shut[0].sum() + 50
    assert (ajar[1] + 0.05 >= ajar[0]).all()


def test_lips_that_are_pressed_together_are_not_open(face):
    _, points = face
    shut = mouth_maps(opened(points, points[TOP, 1] - points[BOTTOM, 1]), SIZE)
    pressed = mouth_maps(opened(points, points[TOP, 1] - points[BOTTOM, 1] - 8.0), SIZE)
    # No more than the outline of a polygon without an inside.
    assert pressed[0].sum() <= shut[0].sum() + 1
    assert pressed[0].max() < 0.7


def test_what_lips_uncover_is_painted_though_the_network_does_not_say_so(face):
    crop, points = face
    shut = opened(points, points[TOP, 1] - points[BOTTOM, 1])
    ajar, wide = opened(shut, 8.0), opened(shut, 12.0)
    silent = np.zeros((6, SIZE, SIZE), np.float32)
    seen = shown(crop, shut, ajar)
    _, mask, _ = net_outputs(silent, dense_flow(shut, ajar, SIZE), seen)
    inside = mouth_maps(ajar, SIZE)[0] > 0.9
    assert inside.sum() > 50
    assert mask[inside].min() > 0.5
    assert mask[inside].mean() > 0.8
    lips = mouth_maps(ajar, SIZE)[1] < 0.1
    assert mask[lips].max() < 0.1
    # What an open mouth shows is moved along.
    seen = shown(crop, ajar, wide)
    _, mask, _ = net_outputs(silent, dense_flow(ajar, wide, SIZE), seen)
    inside = mouth_maps(wide, SIZE)[0] > 0.9
    assert mask[inside].mean() < 0.1


def test_network_sees_twelve_channels(face):
    crop, points = face
    driven = opened(points, 4.0)
    flow = dense_flow(points, driven, SIZE)
    seen = net_inputs(crop, flow, mouth_maps(points, SIZE), mouth_maps(driven, SIZE))
    assert seen.shape == (12, SIZE, SIZE)
    assert np.abs(seen).max() <= 2
    np.testing.assert_allclose(seen[3:6].transpose(1, 2, 0) * 127.5 + 127.5, crop, atol=0.01)


def test_wrong_points_and_sizes_are_one_clear_line(face):
    crop, points = face
    with pytest.raises(InputError, match=r"points have shape \(468, 2\)"):
        dense_flow(np.zeros((468, 2)), points, SIZE)
    with pytest.raises(InputError, match="differ in size"):
        compose(crop, np.zeros((8, 8, 2), np.float32), np.zeros((8, 8)), np.zeros((8, 8, 3)))
