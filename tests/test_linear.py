"""Ridge regression finds what is linear in the sound; its row moves the first frame's points."""

import numpy as np
import pytest

from lipglance.errors import InputError
from lipglance.face_points import INNER_LIP_BOTTOM, INNER_LIP_TOP, MOUTH_20
from lipglance.linear import features, fit, mouth_track
from lipglance.shards import ShardDataset
from synthetic_shards import write_shards

TOP, BOTTOM = MOUTH_20.index(INNER_LIP_TOP), MOUTH_20.index(INNER_LIP_BOTTOM)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("shards"), clips=8)


def test_drawn_mouths_open_with_loudness_on_unseen_clips(shards):
    model = fit(ShardDataset(shards, split="train"))
    for sample in ShardDataset(shards, split="val"):
        told = model.offsets(sample.audio(), sample.frames)
        true = mouth_track(sample.landmarks())
        assert told.shape == true.shape == (sample.frames, 20, 2)
        assert not told[0].any()
        openings = [track[:, BOTTOM, 1] - track[:, TOP, 1] for track in (told, true)]
        assert np.corrcoef(*openings)[0, 1] > 0.8


def test_features_cover_the_sound_around_a_frame():
    sound = np.zeros(40 * 640, np.float32)
    sound[20 * 640 : 21 * 640] = 0.5 * np.sin(np.arange(640) * 0.3)
    heard = features(sound, 40)
    touched = np.flatnonzero((heard != heard[0]).any(1))
    # The frame itself, four to either side, and one more that the spectrum's window reaches.
    assert 20 in touched
    assert touched.min() >= 15
    assert touched.max() <= 25
    assert (heard[:, -1] == 1).all()


def test_no_faces_is_one_clear_line():
    with pytest.raises(InputError, match="no training clip shows a face"):
        fit([])
