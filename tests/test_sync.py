"""Offsets, confidence and distance from vectors, and what the expert refuses."""

import json

import numpy as np
import pytest

from lipglance.errors import InputError
from lipglance.sync import SyncExpert, judge, windows_right


def vectors(count=60, seed=0, size=16):
    values = np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


@pytest.mark.parametrize("shift", [-7, -1, 0, 4, 15])
def test_known_shift_is_found(shift):
    lips = vectors()
    score = judge(lips, np.roll(lips, shift, axis=0))
    assert score.offset == shift
    assert score.distance == pytest.approx(0, abs=1e-3)
    # Random unit vectors in 16 dimensions lie about the square root of two apart.
    assert score.confidence == pytest.approx(np.sqrt(2), abs=0.1)
    assert len(score.curve) == 31


def test_unrelated_sound_gives_little_confidence():
    score = judge(vectors(), vectors(seed=1))
    assert score.confidence < 0.2
    assert score.distance > 1.2


def test_short_clip_tries_fewer_shifts():
    lips = vectors(9)
    score = judge(lips, lips)
    assert score.offset == 0
    assert len(score.curve) == 13


def test_windows_count_seconds():
    lips, other = vectors(50), vectors(50, seed=1)
    assert windows_right(lips, lips, other) == [True, True, True]
    assert windows_right(lips, other, lips) == [False, False, False]
    assert windows_right(lips[:8], lips[:8], other) == [True]


def test_folder_without_an_expert_is_one_clear_line(tmp_path):
    with pytest.raises(InputError, match="holds no sync expert"):
        SyncExpert(tmp_path)
    (tmp_path / "sync.json").write_text(json.dumps({"audio": {}, "crop": {}}))
    with pytest.raises(InputError, match="context"):
        SyncExpert(tmp_path)
