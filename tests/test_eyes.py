"""Where the eyes lie: on a known face, moved, scaled and turned."""

import numpy as np
import pytest

from faces import FINDER, astronaut, astronaut_landmarks, eye_distance, moved, similarity
from lipglance.errors import InputError
from lipglance.eyes import Eye, find_eyes
from lipglance.geometry import LUMA, apply


def astronaut_eyes():
    return find_eyes(astronaut(), astronaut_landmarks().points)


def test_the_viewer_s_left_eye_comes_first_and_edges_go_from_left_to_right():
    left, right = astronaut_eyes()
    assert left.middle[0] < right.middle[0]
    for eye in (left, right):
        assert (np.diff(eye.lower[:, 0]) > 0).all()
        assert (np.diff(eye.upper[:, 0]) > 0).all()
        np.testing.assert_array_equal(eye.lower[[0, -1]], eye.upper[[0, -1]])
        assert (eye.upper[1:-1, 1] < eye.lower[1:-1, 1]).all()


def test_eyes_lie_about_where_the_mesh_s_first_look_has_them():
    points = astronaut_landmarks().points
    for eye, corners in zip(astronaut_eyes(), ([33, 133], [362, 263]), strict=True):
        first = points[corners]
        assert np.abs(eye.lower[[0, -1]] - first).max() < 0.06 * eye_distance()


def test_between_the_edges_it_is_brighter_and_darker_than_skin():
    # The white and the pupil: the astronaut's eyes are open.
    light = astronaut() @ LUMA
    for eye in astronaut_eyes():
        inner = np.linspace(eye.upper[2:-2], eye.lower[2:-2], 5)[1:-1].reshape(-1, 2)
        values = light[tuple(np.round(inner[:, ::-1]).astype(int).T)]
        assert values.min() < 70
        assert values.max() > 170
        assert 0.2 < eye.openness < 0.5


@pytest.mark.parametrize(("scale", "degrees"), [(0.7, 0), (2.5, 0), (1.5, 25), (1.5, -30)])
def test_a_moved_face_has_its_eyes_moved(scale, degrees):
    matrix = similarity(scale, degrees, (300, 320))
    picture = moved(matrix, 600, 640)
    points = FINDER.landmarks(picture, FINDER.detect(picture)[0]).points
    for eye, known in zip(find_eyes(picture, points), astronaut_eyes(), strict=True):
        error = np.abs(eye.lower - apply(matrix, known.lower)).max()
        assert error < 0.05 * scale * eye_distance()
        assert eye.openness == pytest.approx(known.openness, abs=0.08)


def test_measures_are_the_eye_s_own():
    lower = np.array([[10.0, 20.0], [15.0, 24.0], [20.0, 20.0]])
    upper = np.array([[10.0, 20.0], [15.0, 18.0], [20.0, 20.0]])
    c, s = np.cos(0.5), np.sin(0.5)
    turn = np.array([[c, -s], [s, c]])
    upright = Eye(upper, lower)
    turned = Eye(7 + 3 * upper @ turn.T, 7 + 3 * lower @ turn.T)
    assert turned.width == pytest.approx(30)
    expected = [[-0.5, 0], [0, 0.4], [0.5, 0]]
    np.testing.assert_allclose(upright.measured(upright.lower), expected, atol=1e-12)
    np.testing.assert_allclose(turned.measured(turned.lower), expected, atol=1e-12)


def test_a_picture_of_the_wrong_kind_is_refused():
    with pytest.raises(InputError, match="uint8"):
        find_eyes(np.zeros((64, 64, 3)), astronaut_landmarks().points)
