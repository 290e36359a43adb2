"""A talking video as the face: its mouth says the new speech, all else stays the clip's."""

import json
import logging
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
import pytest

from generated import number_of, numbered, speech_like, write_sound, write_video
from lipglance import clip_frames
from lipglance.cli import main
from lipglance.clip_frames import back_and_forth, looped, read_frames
from lipglance.crop import CropConfig
from lipglance.errors import InputError
from lipglance.geometry import apply
from lipglance.media import iter_video, read_image
from lipglance.models import load_model
from lipglance.talking_clip import FADE, open_clip
from talking import write_talking
from toy_model import write_toy_model

RATE = 16000
FACE = Path(str(files("lipglance"))) / "assets" / "sample_face.jpg"
CROP = CropConfig()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(write_toy_model(tmp_path_factory.mktemp("toy")), threads=1)


@pytest.fixture(scope="module")
def talk(tmp_path_factory):
    """24 frames of a talking head that sways; 8 to 11 show nothing."""
    path = tmp_path_factory.mktemp("talk") / "talk.mp4"
    return write_talking(path, 24 / 25, faceless=range(8, 12))


def speech(seconds):
    return speech_like(seconds), RATE


def outside(clip, k, shape, size=64):
    """Pixels that the crop of frame k does not reach."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    return (np.abs(apply(clip.matrices[k], np.stack([x, y], -1)) - 31.5) > size / 2).any(axis=-1)


def test_back_and_forth_shows_no_end_twice():
    numbers = back_and_forth(4)
    assert [next(numbers) for _ in range(14)] == [0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1]
    alone = back_and_forth(1)
    assert [next(alone) for _ in range(3)] == [0, 0, 0]


def test_what_does_not_fit_into_memory_goes_back_and_forth_all_the_same(monkeypatch):
    # Odd sides, which H.264 does not know.
    pictures = [np.ascontiguousarray(p[:47, :63]) for p in numbered(40)]
    expected = [0, *range(1, 40), *range(38, -1, -1), *range(1, 12)]
    shown = list(looped(iter(pictures), 40, 90))
    assert [k for k, _ in shown] == expected
    assert all(picture is pictures[k] for k, picture in shown)
    monkeypatch.setattr(clip_frames, "KEPT", 12 * pictures[0].nbytes)
    stores = []
    real = clip_frames._Store

    def store(folder):
        stores.append(real(folder))
        return stores[-1]

    monkeypatch.setattr(clip_frames, "_Store", store)
    most, spooled = 0, []
    for k, picture in looped(iter(pictures), 40, 90):
        held = len(stores[0]._kept) + len(stores[0]._piece[1])
        most = max(most, held)
        spooled.append(k)
        assert picture.shape == (47, 63, 3)
        assert number_of(picture) == k
        assert np.abs(picture.astype(int) - pictures[k]).mean() < 3
    assert spooled == expected
    assert most <= 12
    assert len(stores[0]._written) == 14
    assert not stores[0]._kept
    assert not stores[0]._folder.exists()


def test_a_clip_that_is_long_enough_is_not_kept(monkeypatch):
    monkeypatch.setattr(clip_frames, "_Store", None)
    pictures = numbered(10)
    assert [k for k, _ in looped(iter(pictures), 10, 7)] == list(range(7))


def test_the_mouth_is_re_voiced_and_all_else_stays_the_clip_s(model, talk, caplog):
    with caplog.at_level(logging.WARNING, "lipglance"):
        video = model.generate(str(talk), speech(2.0))
        frames = video.frames
    assert caplog.text.count("4 of 24 frames show no usable face and stay as they are") == 1
    assert frames.shape == (50, 224, 224, 3)
    own = [frame for frame, _ in read_frames(talk, 25, 1920)]
    assert len(own) == 24
    order = [0, *range(1, 24), *range(22, -1, -1), 1, 2, 3]
    changed = []
    for k, frame in zip(order, frames, strict=True):
        if 8 <= k < 12:
            np.testing.assert_array_equal(frame, own[k])
            continue
        away = outside(video.clip, k, frame.shape)
        assert away.mean() > 0.7
        np.testing.assert_array_equal(frame[away], own[k][away])
        changed.append((frame != own[k]).any())
    assert np.mean(changed) > 0.8
    assert any("back and forth" in line for line in video.describe())
    assert video.expected_frames == 50
    # Gone through again, the frames are the same.
    np.testing.assert_array_equal(np.stack(list(model.generate(talk, speech(2.0)))), frames)


def test_frames_are_the_caller_s_own(model, talk):
    """Those without a face, too, which a looped clip shows again."""
    wanted = model.generate(talk, speech(2.0)).frames
    for frame, right in zip(model.generate(talk, speech(2.0)), wanted, strict=True):
        np.testing.assert_array_equal(frame, right)
        frame[:] = 0


def test_the_new_mouth_comes_and_goes_with_the_face(talk):
    clip = open_clip(talk, CROP, 24)
    assert clip.shots == ((0, 8), (12, 24))
    assert clip.without_face == 4
    assert (clip.strength[8:12] == 0).all()
    assert (np.diff(clip.strength[12 : 12 + FADE + 1]) > 0).all()
    assert (np.diff(clip.strength[7 - FADE : 9]) < 0).all()
    # Nothing fades where the clip begins and ends.
    assert clip.strength[0] == clip.strength[-1] == 1
    assert np.isfinite(clip.matrices).all()
    assert all(
        begin <= at < end for at, (begin, end) in zip(clip.references, clip.shots, strict=True)
    )


def test_the_lip_view_is_the_steady_crop_of_the_dubbed_frames(model, talk):
    video = model.generate(talk, speech(1.0), view="lips")
    assert video.frames.shape == (25, 64, 64, 3)
    assert video.frames[9].std() < 3  # faceless
    assert video.frames[2].std() > 10


def test_still_takes_one_frame(model, talk):
    video = model.generate(talk, speech(0.4), still=True)
    assert video.clip is None
    y, x = np.mgrid[0:224, 0:224]
    away = (np.abs(apply(video.portrait.matrix, np.stack([x, y], -1)) - 31.5) > 32).any(axis=-1)
    assert (video.frames[:, away] == video.portrait.picture[away]).all()


def test_another_rate_is_resampled_by_time(model, tmp_path):
    path = write_video(
        tmp_path / "ntsc.mp4",
        [np.ascontiguousarray(read_image(FACE)[:256, 96:352])] * 30,
        30000 / 1001,
    )
    clip = open_clip(path, CROP, 100)
    assert len(clip) == 25
    assert len(list(clip.frames())) == 100
    assert len(model.generate(path, speech(1.52)).frames) == 38


def test_only_as_much_of_the_clip_as_the_speech_needs_is_looked_through(talk):
    told = []
    clip = open_clip(talk, CROP, 6, progress=told.append)
    assert len(clip) == 6
    assert told[-1] <= 6
    assert [k for k, _ in clip.frames()] == list(range(6))


def test_the_chosen_face_is_followed_and_nobody_else(tmp_path):
    face = cv2.resize(read_image(FACE)[:256, 96:352], (170, 170), interpolation=cv2.INTER_AREA)
    both = np.full((180, 520, 3), 128, np.uint8)
    both[5:175, :170] = face
    both[5:175, 350:] = face
    one = both.copy()
    one[:, :200] = 128
    path = write_video(tmp_path / "two.mp4", [both] * 3 + [one] * 4 + [both] * 3)
    clip = open_clip(path, CROP, 10, face_index=0)
    assert clip.shots == ((0, 3), (7, 10))
    assert np.nanmax(clip.points[..., 0]) < 200


def test_no_face_in_the_whole_clip_is_one_clear_line(model, tmp_path):
    black = write_video(tmp_path / "black.mp4", [np.zeros((96, 96, 3), np.uint8)] * 5)
    with pytest.raises(InputError, match="none of the first 5 frames is usable: no face"):
        model.generate(black, speech(1.0))


def test_the_command_dubs_and_tells(model, talk, tmp_path, capsys):
    write_sound(tmp_path / "speech.wav", speech_like(1.2))
    given = [str(talk), str(tmp_path / "speech.wav"), "--model", str(tmp_path / "toy"), "--json"]
    write_toy_model(tmp_path / "toy")
    assert main(["generate", *given, "-o", str(tmp_path / "o.mp4")]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["frames"] == 30
    assert facts["dubbed"] == {"frames": 24, "without_face": 4}
    assert len(facts["warnings"]) == 1
    assert len(list(iter_video(tmp_path / "o.mp4"))) == 30
    assert main(["generate", *given, "--still", "-o", str(tmp_path / "s.mp4")]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["dubbed"] is None
    assert facts["warnings"] == []
