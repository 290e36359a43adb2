"""A lower face's shape is free of the head's motion and of who it is, and codes can be undone."""

import numpy as np
import pytest

from lipglance.errors import InputError
from lipglance.face_points import INNER_LIP_BOTTOM, LIPS, LOWER_FACE, STABLE
from lipglance.face_shape import fit_basis
from lipglance.geometry import apply


@pytest.fixture(scope="module")
def face():
    made = np.random.default_rng(0).uniform(-0.5, 1.2, (468, 2))
    made[33], made[263] = (-0.5, 0.0), (0.5, 0.0)
    return made


def talking(face, amounts):
    """The face with its lower lip moved down by each amount, (T, 468, 2)."""
    clip = np.repeat(face[None], len(amounts), axis=0)
    low = [point for point in LIPS if face[point, 1] > 0.3 and point not in STABLE]
    clip[:, low, 1] += np.asarray(amounts)[:, None]
    return clip, low


@pytest.fixture(scope="module")
def basis(face):
    rng = np.random.default_rng(1)
    return fit_basis([talking(face, 0.1 * rng.standard_normal(30))[0] for _ in range(4)], 3)


def test_template_has_its_eyes_at_distance_one(basis):
    np.testing.assert_allclose(basis.template[[33, 263]], [[-0.5, 0], [0.5, 0]], atol=1e-9)


def test_no_point_twice():
    assert len(set(LOWER_FACE)) == len(LOWER_FACE)
    assert len(set(LIPS)) == 40
    assert INNER_LIP_BOTTOM in LIPS
    assert not set(LOWER_FACE) & set(STABLE)


def test_head_motion_is_taken_out(face, basis):
    clip, _ = talking(face, [0.0, 0.2])
    turn = np.array([[0.8, -0.6, 30.0], [0.6, 0.8, -5.0]]) * [[80, 80, 1]]
    np.testing.assert_allclose(basis.shapes(apply(turn, clip)), basis.shapes(clip), atol=1e-9)


def test_codes_say_how_far_and_can_be_undone(face, basis):
    clip, low = talking(face, [0.0, 0.1])
    rest, ajar = basis.shapes(clip)
    codes = basis.encode(np.stack([rest, ajar]))
    moved = basis.decode(codes[1] - codes[0])
    np.testing.assert_allclose(moved, ajar - rest, atol=1e-3)
    # 0.1 is the spread of the motion that was learnt from.
    assert np.abs(codes[1] - codes[0]).max() == pytest.approx(1.0, rel=0.2)
    assert moved[[LOWER_FACE.index(point) for point in low], 1].min() > 0.099


def test_nan_stays_nan(face, basis):
    clip, _ = talking(face, [0.0, 0.1])
    clip[1] = np.nan
    shapes = basis.shapes(clip)
    assert np.isfinite(shapes[0]).all()
    assert np.isnan(shapes[1]).all()


def test_too_little_to_learn_from_is_one_clear_line(face):
    with pytest.raises(InputError, match="2 frames with a face; expected more than 3"):
        fit_basis([talking(face, [0.0, 0.1])[0], np.full((5, 468, 2), np.nan)], 3)


def test_wrong_landmarks_are_one_clear_line(basis):
    with pytest.raises(InputError, match=r"shape \(68, 2\); expected"):
        basis.shapes(np.zeros((68, 2)))
