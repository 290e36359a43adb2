import logging
import threading
import weakref
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
import pytest

from generated import speech_like, write_sound, write_video
from lipglance import generate as generate_module
from lipglance.crop import CropConfig
from lipglance.errors import InputError
from lipglance.face import FaceFinder, Landmarks
from lipglance.geometry import apply
from lipglance.media import iter_video, read_audio, read_image
from lipglance.models import load_model
from lipglance.portrait import _surest, first_usable, open_portrait
from toy_model import write_toy_model

RATE = 16000
FACE = Path(str(files("lipglance"))) / "assets" / "sample_face.jpg"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(write_toy_model(tmp_path_factory.mktemp("toy")), threads=1)


@pytest.fixture(scope="module")
def astronaut():
    """The face and its surroundings, 256x256."""
    return np.ascontiguousarray(read_image(FACE)[:256, 96:352])


def speech(seconds=1.0, seed=0):
    return speech_like(seconds, seed=seed), RATE


def test_the_mouth_moves_and_nothing_else_does(model, astronaut):
    video = model.generate(astronaut, speech())
    assert video.frames.shape == (25, 256, 256, 3)
    assert video.frames.dtype == np.uint8
    y, x = np.mgrid[0:256, 0:256]
    crop = apply(video.portrait.matrix, np.stack([x, y], -1))
    outside = (np.abs(crop - 31.5) > 32).any(axis=-1)
    assert outside.mean() > 0.9
    np.testing.assert_array_equal(
        video.frames[:, outside], np.broadcast_to(astronaut[outside], (25, outside.sum(), 3))
    )
    assert video.frames[:, ~outside].astype(float).std(axis=0).max() > 20


def test_the_lip_view_is_the_model_s_crop(model, astronaut):
    video = model.generate(astronaut, speech(), view="lips")
    assert video.frames.shape == (25, 64, 64, 3)
    quiet = model.generate(astronaut, (np.zeros(RATE), RATE), view="lips")
    still = quiet.portrait.lips(64).astype(int)
    assert np.abs(quiet.frames - still).max() <= 1


def test_files_and_arrays_give_the_same_frames(model, astronaut, tmp_path):
    sound, rate = speech()
    cv2.imwrite(str(tmp_path / "face.png"), astronaut[..., ::-1])
    write_sound(tmp_path / "speech.wav", sound, rate, codec="pcm_f32le")
    from_files = model.generate(str(tmp_path / "face.png"), tmp_path / "speech.wav", view="lips")
    from_arrays = model.generate(astronaut, (sound[0], rate), view="lips")
    np.testing.assert_array_equal(from_files.frames, from_arrays.frames)
    # Gone through again, without keeping them, the frames are the same.
    again = model.generate(astronaut, (sound, rate), view="lips")
    np.testing.assert_array_equal(np.stack(list(again)), from_files.frames)
    np.testing.assert_array_equal(np.stack(list(again)), from_files.frames)


@pytest.mark.parametrize("suffix", ["mp4", "webm"])
def test_what_is_saved_is_what_was_made_with_the_speech_in_step(model, astronaut, tmp_path, suffix):
    sound = np.zeros(2 * RATE, np.float32)
    sound[RATE:] = speech()[0][0]
    video = model.generate(astronaut, (sound, RATE))
    path = tmp_path / f"out.{suffix}"
    told = []
    assert video.save(path, progress=told.append) == 50
    assert told == list(range(1, 51))
    assert "frames" not in vars(video)
    shown = np.stack(list(iter_video(path)))
    assert shown.shape == (50, 256, 256, 3)
    assert np.abs(shown.astype(int) - video.frames).mean() < 6
    heard = read_audio(path)
    assert len(heard) == pytest.approx(2 * RATE, abs=RATE // 25)
    assert np.abs(heard[: RATE - 800]).max() < 0.02
    x, y = np.rint(apply_inverse(video, 31.5, 36)).astype(int)
    dark = shown[:, y - 2 : y + 3, x - 2 : x + 3].mean(axis=(1, 2, 3))
    assert dark[:24].std() < 3
    assert dark[25:].min() < dark[:24].mean() - 40
    with pytest.raises(InputError, match="exists already"):
        video.save(path)
    assert video.save(path, force=True) == 50


def apply_inverse(video, x, y):
    matrix = video.portrait.matrix
    return np.linalg.solve(matrix[:, :2], np.array([x, y]) - matrix[:, 2])


def test_frames_are_made_while_the_speech_is_read(model, astronaut, monkeypatch):
    """Ten minutes of speech must not be held in memory, nor their frames."""
    read = []

    def counted(*arguments, **options):
        for piece in real(*arguments, **options):
            read.append(piece.shape[1])
            yield piece

    real = generate_module.hear
    monkeypatch.setattr(generate_module, "hear", counted)
    video = model.generate(astronaut, speech(8.0), view="lips")
    read.clear()
    frames = iter(video)
    for k in range(100):
        next(frames)
        behind = sum(read) / RATE - k / 25
        assert behind < 1.5, f"{behind:.2f} s of speech read ahead at frame {k}"


def test_of_several_faces_the_largest_speaks_unless_another_is_asked_for(model, astronaut):
    small = cv2.resize(astronaut, (170, 170), interpolation=cv2.INTER_AREA)
    two = np.full((256, 426, 3), 128, np.uint8)
    two[40:210, :170] = small
    two[:, 170:] = astronaut
    largest = open_portrait(two, model.crop)
    assert (largest.face, largest.faces) == (1, 2)
    assert any("face 2 of 2" in line for line in largest.describe())
    left = open_portrait(two, model.crop, face_index=0)
    assert left.box[2] < 170 < largest.box[0]
    for wrong in (2, -1):
        with pytest.raises(InputError, match="shows 2 faces; there is no face"):
            open_portrait(two, model.crop, face_index=wrong)


def test_a_large_false_alarm_is_not_taken_for_the_largest_face(model, astronaut, monkeypatch):
    real = FaceFinder.landmarks

    def landmarks(finder, image, face):
        marks = real(finder, image, face)
        return marks if face.box[0] > 170 else replace(marks, score=0.9)

    monkeypatch.setattr(FaceFinder, "landmarks", landmarks)
    small = cv2.resize(astronaut, (170, 170), interpolation=cv2.INTER_AREA)
    two = np.full((256, 426, 3), 128, np.uint8)
    two[:, :256] = astronaut
    two[40:210, 256:] = small
    portrait = open_portrait(two, model.crop)
    assert portrait.faces == 1
    assert portrait.box[0] > 256
    # Alone, an uncertain face is better than none.
    assert open_portrait(astronaut, model.crop).box is not None


def test_large_photos_are_scaled_down_and_it_is_said(model, astronaut):
    large = cv2.resize(astronaut, (1500, 1500), interpolation=cv2.INTER_CUBIC)
    video = model.generate(large, speech(0.2), max_side=600)
    assert video.frames.shape[1:3] == (600, 600)
    assert video.portrait.scale == pytest.approx(0.4)
    assert any("600x600" in line for line in video.portrait.describe())
    assert open_portrait(large, model.crop).scale == 1


def test_a_video_s_first_usable_frame_is_the_face(model, astronaut, tmp_path):
    black = np.zeros_like(astronaut)
    path = write_video(tmp_path / "face.mp4", [black, black, black, *[astronaut] * 3])
    portrait = open_portrait(path, model.crop)
    assert portrait.frame == 3
    assert any("frame 4" in line for line in portrait.describe())
    path = write_video(tmp_path / "black.mp4", [black] * 5)
    with pytest.raises(InputError, match=r"none of the first 5 frames is usable: no face"):
        open_portrait(path, model.crop)


def test_a_picture_of_a_mouth_will_do_for_the_lip_view(model, astronaut, caplog):
    mouth = open_portrait(astronaut, model.crop).lips(64)
    wide = np.pad(mouth, ((0, 0), (10, 10), (0, 0)))
    with pytest.raises(InputError, match=r"no face.*--view lips"):
        model.generate(wide, speech())
    with caplog.at_level(logging.WARNING, "lipglance"):
        video = model.generate(wide, speech(), view="lips")
    assert "centre square" in caplog.text
    assert video.portrait.face is None
    np.testing.assert_array_equal(video.portrait.lips(64), mouth)
    assert video.frames.shape == (25, 64, 64, 3)


def test_a_mouth_in_a_video_will_do_as_well(model, astronaut, tmp_path):
    mouth = open_portrait(astronaut, model.crop).lips(64)
    path = write_video(tmp_path / "mouth.mp4", [mouth] * 3)
    portrait = open_portrait(path, model.crop, view="lips")
    assert np.abs(portrait.lips(64).astype(int) - mouth).mean() < 8


def test_a_warning_is_given_once_though_the_speech_is_read_twice(
    model, astronaut, tmp_path, caplog
):
    video = model.generate(astronaut, (np.zeros(RATE), RATE), view="lips")
    with caplog.at_level(logging.WARNING, "lipglance"):
        video.save(tmp_path / "o.mp4")
        assert len(video.frames) == 25
    assert caplog.text.count("silent") == 1


def test_faces_too_small_and_in_profile_are_refused_with_their_measure(
    model, astronaut, monkeypatch
):
    tiny = np.full((300, 300, 3), 128, np.uint8)
    tiny[100:200, 100:200] = cv2.resize(astronaut, (100, 100), interpolation=cv2.INTER_AREA)
    with pytest.raises(InputError, match=r"too small: 4\d px; expected at least 48"):
        open_portrait(tiny, model.crop)
    monkeypatch.setattr(Landmarks, "yaw", property(lambda marks: -61.0))
    with pytest.raises(InputError, match="profile: turned aside by about 61 degrees"):
        open_portrait(astronaut, model.crop)


def test_a_face_whose_mouth_is_cut_off_is_refused(model):
    sample = read_image(Path(str(files("lipglance"))) / "assets" / "sample_face.jpg")
    whole = open_portrait(sample, model.crop)
    nose, mouth = (int(whole.points[place, 1].mean()) for place in ([2, 98, 327], [61, 291]))
    with pytest.raises(InputError, match="mouth of the face in the picture lies outside"):
        open_portrait(sample[: (nose + mouth) // 2], model.crop)
    assert open_portrait(sample[: 2 * mouth - nose], model.crop).faces == 1


def test_where_no_face_is_found_it_is_told_that_the_picture_was_scaled_down(model):
    grey = np.full((400, 600, 3), 128, np.uint8)
    with pytest.raises(InputError, match=r"no face.*scaled down from 600x400 px.*--max-side"):
        open_portrait(grey, model.crop, max_side=100)
    with pytest.raises(InputError) as told:
        open_portrait(grey, model.crop)
    assert "scaled" not in str(told.value)


@pytest.mark.parametrize(
    ("face", "options", "told"),
    [
        (None, {}, "type NoneType"),
        (np.zeros((64, 64), np.uint8), {}, "shape"),
        (np.zeros((64, 64, 3), np.uint8), {}, "no face in the picture"),
        (np.zeros((64, 64, 3), np.uint8), {"view": "profile"}, "unknown view 'profile'"),
        (np.zeros((64, 64, 3), np.uint8), {"max_side": 3}, "at least 64"),
    ],
)
def test_what_is_no_face_is_told(model, face, options, told):
    with pytest.raises(InputError, match=told):
        model.generate(face, speech(), **options)


def test_speech_is_checked_before_any_work(model, astronaut):
    with pytest.raises(InputError, match="10 samples"):
        model.generate(astronaut, (np.zeros(10, np.float32), RATE))


def test_a_patch_that_only_looks_like_a_large_face_is_not_chosen():
    """The astronaut's suit, enlarged, once passed for a face larger than hers."""
    picture = np.full((1440, 1920, 3), 90, np.uint8)
    picture[:, 240:1680] = cv2.resize(read_image(FACE), (1440, 1440), interpolation=cv2.INTER_CUBIC)
    portrait = open_portrait(picture, CropConfig())
    assert portrait.box is not None
    left, top, right, bottom = portrait.box
    assert 180 / 512 < ((left + right) / 2 - 240) / 1440 < 270 / 512
    assert (top + bottom) / 2 / 1440 < 200 / 512


def test_doubtful_faces_count_only_where_there_is_no_sure_one(astronaut):
    finder = FaceFinder()
    sure = finder.landmarks(astronaut, finder.detect(astronaut)[0])
    doubtful = replace(sure, score=0.7, face=(0.0, 0.0, 400.0, 400.0))
    assert _surest([doubtful, sure]) == [sure]
    assert _surest([doubtful]) == [doubtful]
    assert _surest([]) == []


def test_an_array_given_as_face_may_be_used_again(model, astronaut):
    buffer = astronaut.copy()
    video = generate_module.generate(model, buffer, speech(0.4), life=0)
    with model.stream(buffer, RATE, life=0) as stream:
        buffer[:] = 0
        frames = [*stream.feed(speech(0.4)[0]), *stream.finish()]
    assert all(np.array_equal(frame.image[:40], astronaut[:40]) for frame in frames)
    assert all(np.array_equal(picture[:40], astronaut[:40]) for picture in video)


def test_frames_without_a_face_do_not_stay_in_memory():
    kept = []

    def frames():
        for k in range(6):
            picture = np.full((64, 64, 3), 10 * k, np.uint8).view(Watched)
            kept.append(weakref.ref(picture))
            yield picture, 1.0
            del picture
            # The first may be wanted for its mouth, this one has just been looked at.
            assert sum(ref() is not None for ref in kept[1:-1]) <= 1

    with pytest.raises(InputError, match="none of the first 6 frames is usable: no face"):
        first_usable(frames(), "v.mp4", CropConfig())


class Watched(np.ndarray):
    """An array whose end can be seen."""


def test_what_other_threads_tell_is_told(caplog):
    once = generate_module.Once()
    with once.said():
        generate_module.log.warning("clipped")
        other = threading.Thread(target=generate_module.log.warning, args=("clipped",))
        other.start()
        other.join()
        generate_module.log.warning("clipped")
    assert len(caplog.records) == 2
