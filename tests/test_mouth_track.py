"""A clip's mouth over time: gaps filled, silence closed."""

import numpy as np
import pytest

pytest.importorskip("torch")

from lipglance.mouth_track import AJAR, SHORTEST, closed_when, filled


def test_frames_without_a_face_lie_between_their_neighbours():
    track = np.zeros((SHORTEST + 3, 468, 2), np.float32)
    track += np.arange(len(track))[:, None, None]
    track[[0, 5]] = np.nan
    found = filled(track)
    np.testing.assert_allclose(found[5], 5.0)
    np.testing.assert_allclose(found[0], 1.0)
    assert filled(track[:SHORTEST]) is None


def test_a_mouth_that_says_nothing_is_taught_to_close():
    silent = np.array([True, True, True, False])
    openings = np.array([0.02, 0.03, 0.22, 0.42])
    codes = np.outer(openings - 0.02, [1.0, -2.0])
    hushed, taught = closed_when(silent, codes, codes[0], openings)
    assert hushed.tolist() == [False, False, True, False]
    np.testing.assert_allclose(taught[[0, 1, 3]], codes[[0, 1, 3]])
    np.testing.assert_allclose(taught[2], [AJAR, -2 * AJAR])
