"""Lids that close over known eyes, drawn and real, and those that had better stay open."""

import cv2
import numpy as np
import pytest

from faces import FINDER, astronaut, astronaut_landmarks, moved, similarity
from lipglance.eyelids import Eyelid, eyelids
from lipglance.eyes import Eye, find_eyes
from lipglance.geometry import LUMA

SKIN = np.array([200, 160, 130], np.uint8)
WHITE, IRIS, LASH = (240, 240, 240), (60, 80, 120), (40, 25, 20)


def drawn_eye(width=60.0, openness=0.35, tone=SKIN):
    """A picture (160, 200, 3) of skin with an eye, and where it lies."""
    across = np.linspace(-0.5, 0.5, 9)
    arch = openness / 2 * np.sqrt(np.maximum(1 - (2 * across) ** 2, 0))
    middle = np.array([100.0, 80.0])
    upper = middle + width * np.stack([across, -arch], 1)
    lower = middle + width * np.stack([across, arch], 1)
    picture = np.empty((160, 200, 3), np.uint8)
    picture[:] = tone
    outline = np.round(np.concatenate([upper, lower[::-1]])).astype(np.int32)
    cv2.fillPoly(picture, [outline], WHITE)
    cv2.circle(picture, (100, 80), round(openness * width * 0.4), IRIS, -1)
    cv2.polylines(picture, [np.round(upper).astype(np.int32)], False, LASH, 2)
    return picture, Eye(upper, lower)


def put(picture, lid, amount):
    left, top, right, bottom = lid.box
    made = picture.copy()
    made[top:bottom, left:right] = lid.closed(amount)
    return made


def inside(eye, shape):
    outline = np.round(np.concatenate([eye.upper, eye.lower[::-1]])).astype(np.int32)
    return cv2.fillPoly(np.zeros(shape[:2], np.uint8), [outline], 1).astype(bool)


def test_a_lid_not_closed_at_all_changes_nothing():
    picture, eye = drawn_eye()
    np.testing.assert_array_equal(put(picture, Eyelid(picture, eye), 0.0), picture)


def test_a_closed_lid_is_skin_with_a_line_of_lashes_at_the_lower_edge():
    picture, eye = drawn_eye()
    made = put(picture, Eyelid(picture, eye), 1.0)
    column = made[:, 100].astype(int)
    low = round(eye.lower[4, 1])
    lid = column[round(eye.upper[4, 1]) + 3 : low - 6]
    assert np.abs(lid - SKIN).max() < 25
    assert (column[low - 2 : low + 2] @ LUMA).min() < 0.6 * (SKIN @ LUMA)
    # Nothing of the white or the iris is left above the line.
    seen = made[inside(eye, picture.shape)] @ LUMA
    assert (seen > SKIN @ LUMA + 25).mean() < 0.03


def test_half_closed_covers_the_upper_half_and_leaves_the_lower_one():
    picture, eye = drawn_eye()
    made = put(picture, Eyelid(picture, eye), 0.5)
    y0, y1 = eye.upper[4, 1], eye.lower[4, 1]
    column, was = made[:, 100].astype(int), picture[:, 100].astype(int)
    above = slice(round(y0 + 0.1 * (y1 - y0)), round(y0 + 0.3 * (y1 - y0)))
    below = slice(round(y0 + 0.75 * (y1 - y0)), round(y1 - 3))
    assert np.abs(column[above] - SKIN).max() < 30
    np.testing.assert_array_equal(column[below], was[below])


def test_more_is_covered_the_more_it_is_closed():
    picture, eye = drawn_eye()
    lid, where = Eyelid(picture, eye), inside(eye, picture.shape)
    shares = []
    for amount in (0.0, 0.25, 0.5, 0.75, 1.0):
        changed = np.abs(put(picture, lid, amount).astype(int) - picture).max(axis=2) > 12
        shares.append(changed[where].mean())
    assert shares[0] == 0
    assert shares[-1] > 0.9
    assert (np.diff(shares) > 0.1).all()


def test_all_but_the_eye_and_its_lashes_stays_to_the_bit():
    picture, eye = drawn_eye()
    picture[5:15, 60:140] = (50, 30, 20)  # a brow
    made = put(picture, Eyelid(picture, eye), 1.0)
    near = cv2.dilate(inside(eye, picture.shape).astype(np.uint8), np.ones((19, 19))).astype(bool)
    np.testing.assert_array_equal(made[~near], picture[~near])


def test_a_turned_eye_gets_the_lid_of_an_upright_one():
    picture, eye = drawn_eye()
    turn = cv2.getRotationMatrix2D((100, 80), 25, 1.0)
    turned = cv2.warpAffine(picture, turn, (200, 160), borderMode=cv2.BORDER_REPLICATE)
    there = Eye(*(line @ turn[:, :2].T + turn[:, 2] for line in (eye.upper, eye.lower)))
    made = put(turned, Eyelid(turned, there), 1.0)
    upright = put(picture, Eyelid(picture, eye), 1.0)
    expected = cv2.warpAffine(upright, turn, (200, 160), borderMode=cv2.BORDER_REPLICATE)
    where = inside(there, picture.shape)
    assert np.abs(made.astype(int) - expected)[where].mean() < 6


def test_an_eye_at_the_picture_s_border_is_cut_off_there():
    picture, eye = drawn_eye()
    shift = np.array([72.0, 60.0])
    cut = np.ascontiguousarray(picture[60:, 72:])
    lid = Eyelid(cut, Eye(eye.upper - shift, eye.lower - shift))
    assert lid.box[:2] == (0, 0)
    assert lid.closed(1.0).shape == (lid.box[3], lid.box[2], 3)


def test_dark_skin_gets_dark_lids():
    tone = np.array([70, 45, 35], np.uint8)
    picture, eye = drawn_eye(tone=tone)
    lid = Eyelid(picture, eye)
    assert lid.usable
    made = put(picture, lid, 1.0)[60:78, 95:105]
    assert np.abs(made.astype(int) - tone).max() < 25


@pytest.mark.parametrize(
    ("what", "usable"),
    [
        ({}, True),
        ({"openness": 0.06}, False),
        ({"openness": 0.7}, False),
        ({"width": 6.0}, False),
    ],
)
def test_closed_eyes_wrong_points_and_tiny_eyes_stay(what, usable):
    picture, eye = drawn_eye(**what)
    assert Eyelid(picture, eye).usable == usable


def real_face(scale=1.5):
    picture = moved(similarity(scale, 0, (256, 288)), 512, 576)
    points = FINDER.landmarks(picture, FINDER.detect(picture)[0]).points
    return picture, points


def lenses(picture, points, opacity):
    made = picture.copy()
    for a, b in ((33, 133), (362, 263)):
        middle, width = (points[a] + points[b]) / 2, float(np.linalg.norm(points[a] - points[b]))
        axes = (round(width), round(0.75 * width))
        cv2.ellipse(made, np.round(middle).astype(int).tolist(), axes, 0, 0, 360, (15, 15, 18), -1)
    return np.round(picture * (1 - opacity) + made * opacity).astype(np.uint8)


def test_a_real_face_s_eyes_close():
    picture, points = real_face()
    eyes = find_eyes(picture, points)
    lids = eyelids(picture, eyes)
    assert lids is not None
    for lid, eye in zip(lids, eyes, strict=True):
        made = put(picture, lid, 1.0)
        # Neither pupil nor white.
        middle = np.linspace(eye.upper[3:6], eye.lower[3:6], 7)[2:5].reshape(-1, 2)
        at = tuple(np.round(middle[:, ::-1]).astype(int).T)
        assert np.ptp((made @ LUMA)[at]) < 0.5 * np.ptp((picture @ LUMA)[at])
        # The mesh finds it closed, too.
        closed = find_eyes(made, points)[0 if eye is eyes[0] else 1]
        assert closed.openness < 0.6 * eye.openness


def test_sunglasses_hide_eyes_and_tinted_ones_do_not():
    picture, points = real_face()
    dark = lenses(picture, points, 1.0)
    assert eyelids(dark, find_eyes(dark, points)) is None
    tinted = lenses(picture, points, 0.6)
    assert eyelids(tinted, find_eyes(tinted, points)) is not None


def test_one_eye_that_is_closed_or_out_of_sight_keeps_both_open():
    picture, points = real_face()
    left, right = find_eyes(picture, points)
    shut = Eye(left.lower + (left.upper - left.lower) * 0.2, left.lower)
    assert eyelids(picture, (shut, right)) is None
    narrow = Eye(*(p * [0.4, 1] + [0.6 * left.middle[0], 0] for p in (left.upper, left.lower)))
    assert eyelids(picture, (narrow, right)) is None


def test_the_astronaut_at_her_own_size_blinks():
    eyes = find_eyes(astronaut(), astronaut_landmarks().points)
    assert eyelids(astronaut(), eyes) is not None


def test_a_face_cut_off_through_or_beside_an_eye_keeps_them_open():
    picture, points = real_face()
    left, right = find_eyes(picture, points)
    assert eyelids(picture, (left, right)) is not None
    for right_of_it in (-0.2, 0.2, 0.8, 1.1, 3.0):
        cut = round(left.middle[0] + right_of_it * left.width)
        beside = np.ascontiguousarray(picture[:, cut:])
        eyes = tuple(Eye(eye.upper - [cut, 0], eye.lower - [cut, 0]) for eye in (left, right))
        assert eyelids(beside, eyes) is None
