"""The parts of the detector that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from faces import FINDER, astronaut
from lipglance import face_detector
from lipglance.face_detector import anchors, decode, merge, scan


def test_anchors_cover_the_picture() -> None:
    found = anchors()
    assert found.shape == (896, 2)
    np.testing.assert_array_equal(found[0], [4, 4])
    np.testing.assert_array_equal(found[1], [4, 4])
    np.testing.assert_array_equal(found[2], [12, 4])
    np.testing.assert_array_equal(found[512:518], [[8, 8]] * 6)
    np.testing.assert_array_equal(found[-1], [120, 120])


def test_decode_adds_the_anchor_and_keeps_the_size() -> None:
    boxes, scores = np.zeros((896, 16), np.float32), np.full(896, -9, np.float32)
    boxes[2] = [1, 2, 30, 40, *range(12)]
    scores[2], scores[3] = 2.0, -0.1
    rows, chance = decode(boxes, scores)
    assert chance == pytest.approx([1 / (1 + np.exp(-2.0))])
    np.testing.assert_allclose(rows[0, :2], [[12.5, 5.5], [30, 40]])
    np.testing.assert_allclose(rows[0, 2], [11.5, 4.5])


def row(x: float, y: float, side: float) -> list[list[float]]:
    return [[x, y], [side, side], *[[x, y]] * 6]


def test_merge_averages_what_overlaps_and_keeps_the_rest() -> None:
    rows = np.array([row(10, 10, 8), row(11, 10, 8), row(50, 50, 8), row(10, 11, 3)])
    faces = merge(rows, np.array([0.9, 0.6, 0.8, 0.7]))
    assert [round(f.score, 3) for f in faces] == [0.9, 0.8]
    assert faces[0].centre[0] == pytest.approx((10 * 0.9 + 11 * 0.6) / 1.5)
    assert faces[0].size == pytest.approx(8)
    assert merge(np.zeros((0, 8, 2)), np.zeros(0)) == []


@pytest.mark.parametrize("turn", [0.0, -35.0, 35.0])
@pytest.mark.parametrize("tile", [512.0, 256.0])
def test_scan_gives_picture_coordinates(turn: float, tile: float) -> None:
    rows, scores = scan(astronaut(), FINDER._run_detector, tile, turn)
    assert len(rows), "the astronaut's face shows at this turn and scale"
    nose = rows[scores.argmax(), 4]
    assert np.abs(nose - (223, 126)).max() < 15


def test_flat_tiles_are_not_run() -> None:
    def net(batch: object) -> None:
        raise AssertionError("the net was run")

    grey = np.full((600, 800, 3), 200, np.uint8)
    assert len(scan(grey, net, 200)[0]) == 0  # type: ignore[arg-type]


def test_half_faces_at_a_tile_border_are_left_to_the_next_tile() -> None:
    uncut = face_detector._uncut(
        np.array([row(64, 64, 40), row(10, 64, 40), row(120, 64, 40)]), 0, 0, (128, 300)
    )
    np.testing.assert_array_equal(uncut, [True, True, False])
