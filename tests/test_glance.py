"""The product model: frames do not depend on how speech is cut, and the photo stays the photo."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from faces import astronaut, astronaut_landmarks  # noqa: E402
from generated import speech_like  # noqa: E402
from lipglance.cli import main  # noqa: E402
from lipglance.crop import picture_crop  # noqa: E402
from lipglance.errors import InputError  # noqa: E402
from lipglance.export import export_model  # noqa: E402
from lipglance.face_points import INNER_LIP_BOTTOM, INNER_LIP_TOP, LOWER_FACE  # noqa: E402
from lipglance.geometry import apply, crop_image, invert  # noqa: E402
from lipglance.glance_dub import GlanceDub, matched  # noqa: E402
from lipglance.models import load_model  # noqa: E402
from lipglance.motion import UNHEARD  # noqa: E402
from lipglance.placing import Part, Place  # noqa: E402
from lipglance.portrait import open_portrait  # noqa: E402
from lipglance.talking_clip import open_clip  # noqa: E402
from lipglance.trainer import train  # noqa: E402
from talking import write_talking  # noqa: E402
from test_motion_learner import CPU, looked  # noqa: E402
from test_motion_learner import tiny as tiny_motion  # noqa: E402
from test_renderer_learner import SIZE, face_shards  # noqa: E402
from test_renderer_learner import tiny as tiny_renderer  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("glance")
    shards, small = face_shards(root / "faces"), {"renderer": {"size": SIZE}}
    seeing = looked(shards, root / "look", **small)
    train(tiny_motion(**small), [shards], root / "motion", CPU, seeing)
    train(tiny_renderer(), [shards], root / "renderer", CPU)
    motion = export_model(root / "motion", root / "heard")
    return export_model(root / "renderer", root / "glance", motion=motion)


@pytest.fixture(scope="module")
def model(folder):
    return load_model(folder, threads=1)


@pytest.fixture(scope="module")
def photo(model):
    points = np.asarray(astronaut_landmarks().points, np.float64)
    return astronaut(), picture_crop(points, model.crop), points


def speech(seconds=0.8):
    return np.random.default_rng(0).normal(0, 0.1, int(seconds * 16000)).astype(np.float32)


def test_facts(model):
    assert model.info.kind == "glance"
    assert model.crop.region == "face"
    assert model.crop.size == SIZE
    assert model.info.size > 10_000


def test_pieces_give_the_same_frames(model, photo):
    picture, matrix, points = photo
    crop = crop_image(picture, matrix, SIZE)
    whole = model.start(crop, apply(matrix, points))
    expected = np.concatenate([whole.feed(speech()), whole.finish()])
    session = model.start(crop, apply(matrix, points))
    parts = [session.feed(piece) for piece in np.array_split(speech(), 9)]
    got = np.concatenate([*parts, session.finish()])
    assert got.shape == (20, SIZE, SIZE, 3)
    assert np.array_equal(got, expected)
    assert (got != got[0]).any()


@pytest.mark.parametrize("view", ["face", "lips"])
def test_streams_side_by_side_give_the_frames_of_the_whole_file(model, view):
    portrait = open_portrait(astronaut(), model.crop)
    sound = speech_like(1.3137, 44100)[0]
    expected = model.generate(astronaut(), (sound, 44100), view=view).frames
    assert (expected != expected[0]).any()

    def speak(size):
        with model.stream(portrait, 44100, view=view) as stream:
            frames = []
            for first in range(0, len(sound), size):
                frames += stream.feed(sound[first : first + size], first / 44100)
            frames += stream.finish()
        return np.stack([frame.image for frame in frames])

    with ThreadPoolExecutor(3) as pool:
        for got in pool.map(speak, (441, 1764, 30_000)):
            assert np.array_equal(got, expected)


def test_the_first_frame_of_a_stream_needs_what_lies_ahead_and_no_more(model):
    with model.stream(astronaut(), view="lips") as stream:
        needed = (1 + model.motion.ahead) * 640 - UNHEARD * 160 + 176
        assert stream.feed(speech()[: needed - 1]) == []
        assert len(stream.feed(speech()[needed - 1 : needed])) == 1


def test_is_timed_stage_by_stage(folder, capsys):
    options = ["--seconds", "0.8", "--runs", "1", "--side", "512", "--json"]
    assert main(["bench", "--model", str(folder), *options]) == 0
    stages = {stage["name"]: stage for stage in json.loads(capsys.readouterr().out)["stages"]}
    assert stages["network, onnxruntime (chosen)"]["fps"] > 0
    assert stages["speech to picture"]["frames"] == 20
    assert stages["whole command, face view"]["frames"] == 20
    assert "compositing" not in stages


@pytest.mark.slow
def test_other_precisions_are_tried(folder, capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1] / "scripts"))
    trials = import_module("precision_trials")
    options = [str(folder), "--seconds", "0.8", "--calls", "2"]
    monkeypatch.setattr(sys, "argv", ["precision_trials.py", *options])
    # It silences the libraries that it uses.
    monkeypatch.setattr(trials.logging, "disable", lambda level: None)
    trials.main()
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split(" | ")[0].strip("| "): line.strip("| ").split(" | ")[1:] for line in lines}
    for same in ("onnxruntime, fp32", "onnxruntime, fp32, weights stored as fp16 (shipped)"):
        assert rows[same][-4:] == ["0.00", "0.000", "same", "0.00"]
    for other, code in (("fp16", 1.0), ("int8 dynamic", 20.0)):
        row = [float(cell) for cell in rows[f"onnxruntime, {other}"]]
        assert min(row[:4]) > 0
        assert 0 < row[5] < code
        assert row[7] > 30
    assert rows[f"{SIZE}x{SIZE}, onnxruntime"][0].endswith("fps)")
    assert "128x128, onnxruntime" in rows


def test_the_photo_stays_the_photo_away_from_the_mouth(model, photo):
    picture, matrix, points = photo
    session = model.start_face(picture, matrix, points)
    frames = [*session.feed(speech()), *session.finish()]
    assert len(frames) == 20
    corners = [[-0.5, -0.5], [SIZE, -0.5], [SIZE, SIZE], [-0.5, SIZE]]
    x0, y0, x1, y1 = (
        *np.floor(apply(invert(matrix), corners).min(0)).astype(int),
        *np.ceil(apply(invert(matrix), corners).max(0)).astype(int),
    )
    outside = np.ones(picture.shape[:2], bool)
    outside[y0 : y1 + 1, x0 : x1 + 1] = False
    for frame in frames:
        assert np.array_equal(frame[outside], picture[outside])
    assert any((frame != picture).any() for frame in frames)
    # No edge of a box: next to nothing changes at its border.
    inside = frames[-1][y0:y1, x0:x1].astype(int) - picture[y0:y1, x0:x1]
    assert np.abs(inside[:2]).max() <= 2
    assert np.abs(inside[:, :2]).max() <= 2


def test_a_black_and_white_photo_stays_one(model, photo):
    picture, matrix, points = photo
    grey = np.repeat(picture.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
    for shown in (grey, picture):
        session = model.start_face(shown, matrix, points)
        frames = np.stack([*session.feed(speech()), *session.finish()])
        moved = (frames != shown).any(axis=(0, 3))
        assert moved.any()
        # Rounding of the three channels apart may differ by one.
        tint = np.ptp(frames[:, moved].astype(int), axis=2).max()
        assert (tint <= 1) == (shown is grey)


def test_a_mouth_without_points_is_taken_where_the_crop_would_put_it(model, photo):
    picture, matrix, _ = photo
    frames = model.start(crop_image(picture, matrix, SIZE)).finish(3)
    assert frames.shape == (3, SIZE, SIZE, 3)


def test_a_clip_keeps_its_motion_and_gets_another_mouth(model, tmp_path):
    path = write_talking(tmp_path / "talk.mp4", 20 / 25, faceless=range(6, 9))
    clip = open_clip(path, model.crop, 30)
    session = model.start_clip(clip)
    frames = [*session.feed(speech(1.2)), *session.finish()]
    assert len(frames) == 30
    changed = 0
    for frame, (k, own) in zip(frames, clip.frames(), strict=True):
        if 6 <= k < 9:
            assert np.array_equal(frame, own)
            continue
        y, x = np.mgrid[0 : frame.shape[0], 0 : frame.shape[1]]
        inside = apply(clip.matrices[k], np.stack([x, y], -1))
        middle = (SIZE - 1) / 2
        away = (np.abs(inside - middle) > SIZE / 2 + 2).any(axis=-1)
        assert away.mean() > 0.4
        assert np.array_equal(frame[away], own[away])
        changed += (frame != own).any()
    assert changed > 20
    # However the speech is cut, the frames are the same.
    session = model.start_clip(clip)
    parts = [f for piece in np.array_split(speech(1.2), 7) for f in session.feed(piece)]
    assert np.array_equal([*parts, *session.finish()], frames)


def test_the_clip_s_own_speech_is_taken_away(model, tmp_path):
    """Whatever the mouths of a clip say, the points wanted of them are one mouth's."""
    clip = open_clip(write_talking(tmp_path / "talk.mp4", 2.0), model.crop, 50)
    dub = GlanceDub(model, clip)
    basis = model.motion.basis
    own = basis.shapes(apply(clip.matrices, clip.points))
    gap = LOWER_FACE.index(INNER_LIP_BOTTOM), LOWER_FACE.index(INNER_LIP_TOP)
    spoken = np.ptp(own[:, gap[0], 1] - own[:, gap[1], 1])
    left = np.ptp(dub._rest[:, gap[0], 1] - dub._rest[:, gap[1], 1])
    assert spoken > 0.01
    assert left < 0.15 * spoken


def test_lips_are_brought_to_the_frame_s_light():
    rng = np.random.default_rng(0)
    skin = rng.integers(90, 110, (48, 48, 3)).astype(np.uint8)
    darker = np.repeat(np.repeat((skin * 0.8).astype(np.uint8), 2, 0), 2, 1)
    mask = np.zeros((48, 48), np.float32)
    mask[16:32, 12:36] = 1
    mask = cv2.GaussianBlur(mask, (0, 0), 2)
    y, x = np.nonzero(mask)
    box = x.min(), y.min(), x.max() + 1, y.max() + 1
    lips = Part(darker[2 * box[1] : 2 * box[3], 2 * box[0] : 2 * box[2]], box, 2)
    light = matched(skin, lips, mask)
    assert light[24, 24] == pytest.approx((100 + 16) / (80 + 16), abs=0.02)
    # Laid over what they were cut from, they are in place and seen no more.
    picture = np.zeros((60, 60, 3), np.uint8)
    picture[6:54, 6:54] = cv2.GaussianBlur(skin, (0, 0), 2)
    fine = cv2.resize(picture[6:54, 6:54], (96, 96), interpolation=cv2.INTER_LINEAR)
    lips = Part(fine[2 * box[1] : 2 * box[3], 2 * box[0] : 2 * box[2]], box, 2)
    place = Place(picture, np.array([[1.0, 0, -6], [0, 1, -6]]), 48)
    laid = picture.copy()
    place.lay(laid, lips, np.ones((48, 48, 3), np.float32), mask)
    assert np.abs(laid.astype(int) - picture).max() <= 2
    place.lay(laid, lips, np.full((48, 48, 3), 0.5, np.float32), mask)
    assert np.abs((picture[30, 30] + 16.0) * 0.5 - 16 - laid[30, 30]).max() <= 2
    assert np.array_equal(laid[:12], picture[:12])


def test_wrong_crop_and_missing_parts_are_one_clear_line(model, tmp_path):
    with pytest.raises(InputError, match=r"needs a crop of shape \(48, 48, 3\)"):
        model.start(np.zeros((32, 32, 3), np.uint8))
    folder = tmp_path / "half"
    folder.mkdir()
    (folder / "model.json").write_text(json.dumps(model.info.to_dict()))
    with pytest.raises(InputError, match="no network at"):
        load_model(folder)


def test_a_renderer_alone_is_no_model(tmp_path):
    train(tiny_renderer(), [face_shards(tmp_path / "faces")], tmp_path / "run", CPU)
    with pytest.raises(InputError, match="give its folder as --motion"):
        export_model(tmp_path / "run", tmp_path / "model")
    assert not (tmp_path / "model").exists()
