"""When a photo blinks, and that nothing else of its frames changes."""

from dataclasses import replace
from importlib.resources import files
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest

from generated import speech_like
from lipglance.blink import BLINK, LEAST_GAP, amounts, lids_of
from lipglance.errors import InputError
from lipglance.media import read_image
from lipglance.models import LIFE, load_model
from lipglance.portrait import open_portrait
from toy_model import write_toy_model

FACE = Path(str(files("lipglance"))) / "assets" / "sample_face.jpg"
RATE = 16000
MINUTES = 10


def schedule(life, seconds=60 * MINUTES):
    return list(islice(amounts(life), round(25 * seconds)))


def starts(closed):
    return [k for k, (a, b) in enumerate(pairwise([0.0, *closed])) if not a and b]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(write_toy_model(tmp_path_factory.mktemp("toy")), threads=1)


@pytest.fixture(scope="module")
def portrait(model):
    return open_portrait(np.ascontiguousarray(read_image(FACE)[:256, 96:352]), model.crop)


@pytest.fixture(scope="module")
def sound():
    return speech_like(8.0, RATE)[0]


def test_a_lively_face_blinks_as_often_as_people_who_talk_and_a_dead_one_never():
    counts = {life: len(starts(schedule(life))) / MINUTES for life in (0, 0.2, LIFE, 1)}
    assert counts[0] == 0
    assert counts[0.2] == pytest.approx(5, rel=0.3)
    assert counts[LIFE] == pytest.approx(10, rel=0.3)
    # 2.4 s and the blink itself.
    assert counts[1] == pytest.approx(23, rel=0.2)


def test_a_blink_is_whole_and_there_is_a_pause_before_the_next():
    closed = schedule(1)
    first = starts(closed)
    for k in first[:-1]:
        assert tuple(closed[k : k + len(BLINK)]) == BLINK
        assert closed[k + len(BLINK)] == 0
    assert first[0] >= 25 * LEAST_GAP
    assert np.diff(first).min() >= 25 * LEAST_GAP + len(BLINK)
    # They do not come like a clock.
    assert np.std(np.diff(first)) > 15


@pytest.mark.parametrize("life", [-0.1, 1.01, float("nan"), float("inf")])
def test_a_life_out_of_range_is_refused(model, portrait, life):
    with pytest.raises(InputError, match="expected 0"):
        next(amounts(life))
    with pytest.raises(InputError, match="expected 0"):
        model.generate(portrait.picture, (np.zeros(RATE), RATE), life=life)
    with pytest.raises(InputError, match="expected 0"):
        model.stream(portrait, RATE, life=life)


def test_only_the_lids_change_and_only_in_a_blink(model, portrait, sound):
    still = model.generate(portrait.picture, (sound, RATE), life=0).frames
    alive = model.generate(portrait.picture, (sound, RATE), life=1).frames
    closed = np.array(schedule(1)[: len(still)])
    changed = (still != alive).any(axis=(1, 2, 3))
    np.testing.assert_array_equal(changed, closed > 0)
    assert changed.any()
    lids = lids_of(portrait)
    assert lids is not None
    elsewhere = np.ones(still.shape[1:3], bool)
    for left, top, right, bottom in (lid.box for lid in lids):
        elsewhere[top:bottom, left:right] = False
    np.testing.assert_array_equal(still[:, elsewhere], alive[:, elsewhere])


def test_a_stream_blinks_where_the_file_does(model, portrait, sound):
    whole = model.generate(portrait.picture, (sound, RATE), life=1).frames
    with model.stream(portrait, RATE, life=1) as stream:
        frames = [f for k in range(0, len(sound), 700) for f in stream.feed(sound[k : k + 700])]
        frames += stream.finish()
    np.testing.assert_array_equal(np.stack([frame.image for frame in frames]), whole)


def test_frames_are_the_same_each_time_they_are_gone_through(model, portrait, sound):
    video = model.generate(portrait.picture, (sound, RATE), life=1)
    for a, b in zip(video, video, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_photo_is_left_alone(model, portrait, sound):
    before = portrait.picture.copy()
    for _ in model.generate(portrait.picture, (sound[: 4 * RATE], RATE), life=1):
        pass
    np.testing.assert_array_equal(portrait.picture, before)


def test_a_face_turned_aside_and_one_unknown_do_not_blink(portrait):
    assert lids_of(replace(portrait, yaw=10.0)) is not None
    assert lids_of(replace(portrait, yaw=-35.0)) is None
    assert lids_of(replace(portrait, yaw=None)) is None
    assert lids_of(replace(portrait, points=None)) is None


def test_the_lips_alone_do_not_blink(model, portrait, sound):
    frames = [
        model.generate(portrait.picture, (sound, RATE), view="lips", life=life).frames
        for life in (0, 1)
    ]
    np.testing.assert_array_equal(*frames)
