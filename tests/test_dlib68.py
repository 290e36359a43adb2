import sys

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from lipglance import dlib68
from lipglance.errors import InputError


@pytest.fixture(scope="module")
def detector():
    pytest.importorskip("dlib", reason="needs the eval extra: pip install '.[eval]'")
    return dlib68.Dlib68()


@pytest.fixture(scope="module")
def face():
    return np.ascontiguousarray(astronaut()[:256, 96:352])


def test_points_lie_on_the_face(detector, face):
    points = detector.points(face)
    assert points.shape == (68, 2)
    mouth = points[dlib68.MOUTH]
    left_eye, right_eye = points[36:42].mean(0), points[42:48].mean(0)
    # Looked up in the picture: eyes at (106, 101) and (151, 103), mouth at (127, 145).
    np.testing.assert_allclose(left_eye, [106, 101], atol=4)
    np.testing.assert_allclose(right_eye, [151, 103], atol=4)
    np.testing.assert_allclose(mouth.mean(0), [127, 145], atol=4)
    assert mouth[6, 0] > mouth[0, 0]


def test_the_same_picture_gives_the_same_points(detector, face):
    np.testing.assert_array_equal(detector.points(face), detector.points(face.copy()))


def test_no_face_is_none(detector):
    assert detector.points(np.full((120, 160, 3), 90, np.uint8)) is None


def test_small_faces_are_found_by_doubling(detector, face):
    small = cv2.resize(face, (128, 128), interpolation=cv2.INTER_AREA)
    points = detector.points(small)
    assert points is not None
    error = 2 * points[dlib68.MOUTH].mean(0) - detector.points(face)[dlib68.MOUTH].mean(0)
    assert np.abs(error).max() < 4


def test_large_pictures_give_points_at_their_own_size(detector, face):
    large = cv2.resize(face, (1400, 1400), interpolation=cv2.INTER_CUBIC)
    scale = 1400 / 256
    np.testing.assert_allclose(
        detector.points(large)[dlib68.MOUTH].mean(0) / scale,
        detector.points(face)[dlib68.MOUTH].mean(0),
        atol=2,
    )


def test_of_two_faces_the_one_at_the_place_counts(detector, face):
    two = np.concatenate([face, face], axis=1)
    for offset in (0, 256):
        points = detector.points(two, near=(130.0 + offset, 146.0))
        assert offset < points[dlib68.MOUTH].mean(0)[0] < offset + 256
    assert detector.points(two, near=(256.0, 20.0)) is None


def test_bad_input(detector, face):
    with pytest.raises(InputError, match="expected a uint8 RGB array"):
        detector.points(face.astype(np.float32))
    with pytest.raises(InputError, match="detector scale is 2"):
        dlib68.Dlib68(scale=2)


def test_without_the_extra_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(InputError, match=r"dlib is not installed; .*lipglance\[eval\]"):
        dlib68.Dlib68()
    monkeypatch.setattr(dlib68.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"dat is not installed; .*lipglance\[eval\]"):
        dlib68.predictor_path()


def test_the_predictor_is_found_without_importing_its_package(detector):
    assert dlib68.predictor_path().stat().st_size > 90e6
    assert "face_recognition_models" not in sys.modules


def test_the_embedding_tells_the_person_and_not_the_light(detector, face):
    def embed(picture):
        return detector.embedding(picture, detector.points(picture))

    own = embed(face)
    bright = np.clip(face * 1.15 + 8, 0, 255).astype(np.uint8)
    # A face with other proportions: dlib calls people the same below a distance of 0.6.
    narrow = np.ascontiguousarray(cv2.resize(face, None, fx=0.72, fy=1.15)[:, :, ::-1])
    assert own.shape == (128,)
    locked = face.copy()
    locked.setflags(write=False)
    np.testing.assert_array_equal(embed(locked), own)
    assert np.linalg.norm(embed(bright) - own) < 0.3
    assert np.linalg.norm(embed(narrow) - own) > np.linalg.norm(embed(bright) - own)
