"""Faces and landmarks, mostly against known motions of one portrait."""

from __future__ import annotations

import threading
import time

import cv2
import numpy as np
import pytest
from skimage import data

from faces import (
    FINDER,
    astronaut,
    astronaut_landmarks,
    eye_distance,
    face_width,
    moved,
    on_texture,
    similarity,
)
from lipglance.errors import InputError
from lipglance.face import JAW, MOUTH_20, N_POINTS, STABLE, FaceFinder, Landmarks
from lipglance.face_points import CHIN, INNER_LIP_BOTTOM, INNER_LIP_TOP, NOSE_TIP
from lipglance.geometry import Floats, Image, apply


def error(found: Landmarks, matrix: Floats) -> float:
    """Mean distance from where the astronaut's points were moved to, in distances of the eyes."""
    truth = apply(matrix, astronaut_landmarks().points)
    scale = np.sqrt(np.linalg.det(matrix[:, :2]))
    return float(np.linalg.norm(found.points - truth, axis=1).mean() / (scale * eye_distance()))


def best(image: Image) -> Landmarks:
    faces = FINDER.detect(image)
    assert faces, "no face found"
    return FINDER.landmarks(image, max(faces, key=lambda f: f.size))


def test_landmarks_lie_where_the_portrait_has_them() -> None:
    found = astronaut_landmarks()
    assert found.points.shape == (N_POINTS, 2)
    assert found.points.dtype == np.float32
    assert found.score > 0.99
    p = found.points
    # Read off the picture by hand, to 4 px.
    for index, place in ((33, (194, 102)), (263, (258, 106)), (NOSE_TIP, (223, 124))):
        assert np.abs(p[index] - place).max() < 5
    assert 40 < found.mouth_width < 50
    assert p[INNER_LIP_TOP, 1] < p[INNER_LIP_BOTTOM, 1] < p[CHIN, 1]
    assert abs(found.roll) < 6
    assert abs(found.yaw) < 10


def test_index_lists() -> None:
    assert len(set(MOUTH_20)) == 20
    assert not set(STABLE) & (set(MOUTH_20) | set(JAW))
    p = astronaut_landmarks().points
    # dlib's order: corner, along the upper lip, corner, back along the lower lip.
    outer, inner = p[list(MOUTH_20[:12])], p[list(MOUTH_20[12:])]
    for ring in (outer, inner):
        half = len(ring) // 2
        assert (np.diff(ring[: half + 1, 0]) > 0).all()
        assert (np.diff(ring[half:, 0]) < 0).all()
    assert (np.diff(p[list(JAW), 0]) > 0).all()
    assert p[list(JAW), 1].argmax() in (9, 10, 11)


@pytest.mark.parametrize("degrees", [-30, -15, 15, 30])
def test_slanted_heads(degrees: float) -> None:
    matrix = similarity(1.0, degrees, (256, 256))
    found = best(moved(matrix, 512, 512))
    assert error(found, matrix) < 0.02
    assert found.roll == pytest.approx(astronaut_landmarks().roll + degrees, abs=1.5)


def test_heads_at_a_steep_slant_are_found_in_turned_copies() -> None:
    matrix = similarity(1.0, 60, (256, 256))
    assert error(best(moved(matrix, 512, 512)), matrix) < 0.03


@pytest.mark.parametrize(
    ("pixels", "width", "height"),
    [(60, 640, 480), (60, 1920, 1080), (200, 220, 240), (800, 1600, 1200), (1500, 2400, 2200)],
)
def test_faces_of_all_sizes(pixels: float, width: int, height: int) -> None:
    matrix = similarity(pixels / face_width(), 0, (width * 0.5, height * 0.5))
    assert error(best(moved(matrix, width, height)), matrix) < 0.025


@pytest.mark.slow
@pytest.mark.parametrize("place", [(90, 80), (3900, 2900), (1333, 777)])
def test_a_small_face_in_a_large_photo(place: tuple[float, float]) -> None:
    matrix = similarity(60 / face_width(), 10, place)
    image = on_texture(matrix, 4000, 3000)
    began = time.process_time()
    found = best(image)
    assert time.process_time() - began < 10
    assert error(found, matrix) < 0.04


def test_two_faces_come_from_left_to_right() -> None:
    faces = FINDER.detect(np.hstack([astronaut(), astronaut()]))
    assert len(faces) == 2
    assert faces[0].centre[0] + 512 == pytest.approx(faces[1].centre[0], abs=3)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((480, 640, 3), np.uint8),
        np.zeros((1, 1, 3), np.uint8),
        np.full((2, 900, 3), 77, np.uint8),
        np.random.default_rng(0).integers(0, 255, (300, 400, 3), np.uint8),
        data.coffee(),
        data.chelsea(),
        data.rocket(),
    ],
    ids=["black", "one pixel", "thin", "noise", "coffee", "cat", "rocket"],
)
def test_pictures_without_a_face(image: Image) -> None:
    assert FINDER.detect(image) == []


def test_no_false_alarm_in_a_large_photo_without_a_face() -> None:
    rocket = np.asarray(cv2.resize(data.rocket(), (2000, 1500)), np.uint8)
    assert FINDER.detect(rocket) == []


def test_black_and_white_and_mirrored_and_read_only() -> None:
    grey = np.repeat(cv2.cvtColor(astronaut(), cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    assert error(best(grey), np.eye(2, 3)) < 0.02
    mirrored = best(astronaut()[:, ::-1])
    assert mirrored.mouth_width == pytest.approx(astronaut_landmarks().mouth_width, rel=0.03)
    assert mirrored.roll == pytest.approx(-astronaut_landmarks().roll, abs=1.5)


def test_yaw_of_a_turned_mesh() -> None:
    mesh = astronaut_landmarks()
    for degrees in (-40, 25):
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        x, y = mesh.points.T
        turned = np.stack([c * x - s * mesh.depth, y], axis=1).astype(np.float32)
        depth = (s * x + c * mesh.depth).astype(np.float32)
        found = Landmarks(turned, 1.0, mesh.face, depth).yaw
        assert found == pytest.approx(mesh.yaw + degrees, abs=4)


@pytest.mark.parametrize(
    "bad",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), "x.png"],
    ids=["grey", "alpha", "float", "path"],
)
def test_wrong_pictures_are_refused(bad: Image) -> None:
    with pytest.raises(InputError):
        FINDER.detect(bad)
    with pytest.raises(InputError):
        list(FINDER.track([bad]))


def walk(count: int) -> list[Floats]:
    """A head that drifts, nods and comes nearer."""
    return [
        similarity(1 + 0.01 * t, 8 * np.sin(t / 5), (200 + 4 * t, 240 + 10 * np.sin(t / 3)))
        for t in range(count)
    ]


def test_tracking_follows_a_moving_head() -> None:
    path = walk(20)
    found = list(FINDER.track(moved(m, 512, 512) for m in path))
    for mesh, matrix in zip(found, path, strict=True):
        assert mesh is not None
        assert error(mesh, matrix) < 0.02


def test_tracking_gives_none_without_a_face_and_finds_it_again() -> None:
    black = np.zeros((512, 512, 3), np.uint8)
    here = astronaut()
    found = list(FINDER.track([black, here, here, black, black, here]))
    assert [m is None for m in found] == [True, False, False, True, True, False]


def test_tracking_stays_with_the_same_of_two_faces() -> None:
    large = similarity(1.5, 0, (250, 200))
    small = similarity(1.0, 0, (150, 200))
    both = np.hstack([moved(large, 512, 400), moved(small, 300, 400)])
    hidden = np.zeros_like(both)
    swapped = np.hstack([moved(similarity(0.7, 0, (250, 200)), 512, 400), both[:, 512:]])
    found = list(FINDER.track([both, hidden, swapped]))
    assert found[0] is not None
    assert found[0].points[:, 0].mean() == pytest.approx(250, abs=10), "the largest comes first"
    assert found[1] is None
    assert found[2] is not None
    assert found[2].points[:, 0].mean() == pytest.approx(250, abs=10), "then the same place"


def test_tracking_survives_a_change_of_frame_size() -> None:
    half = np.asarray(cv2.resize(astronaut(), (256, 256), interpolation=cv2.INTER_AREA), np.uint8)
    assert all(FINDER.track([astronaut(), half, astronaut()]))


def test_one_finder_serves_many_threads() -> None:
    finder = FaceFinder()
    results: list[Landmarks] = []

    def work() -> None:
        results.append(finder.landmarks(astronaut(), finder.detect(astronaut())[0]))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    for found in results:
        np.testing.assert_allclose(found.points, astronaut_landmarks().points, atol=1e-3)


def test_tracking_is_quick() -> None:
    """About 1 ms of one core a frame; the bound leaves room for slow machines."""
    frames = [astronaut()] * 40
    list(FINDER.track(frames[:2]))
    began = time.process_time()
    assert all(FINDER.track(frames))
    assert (time.process_time() - began) / len(frames) < 0.01
