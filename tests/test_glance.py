"""The product model: frames do not depend on how speech is cut, and the photo stays the photo."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from faces import astronaut, astronaut_landmarks  # noqa: E402
from generated import speech_like  # noqa: E402
from lipglance.cli import main  # noqa: E402
from lipglance.crop import picture_crop  # noqa: E402
from lipglance.errors import InputError  # noqa: E402
from lipglance.export import export_model  # noqa: E402
from lipglance.geometry import apply, crop_image, invert  # noqa: E402
from lipglance.models import load_model  # noqa: E402
from lipglance.motion import UNHEARD  # noqa: E402
from lipglance.portrait import open_portrait  # noqa: E402
from lipglance.trainer import train  # noqa: E402
from synthetic_shards import write_shards  # noqa: E402
from test_motion_learner import CPU  # noqa: E402
from test_motion_learner import tiny as tiny_motion  # noqa: E402
from test_renderer_learner import SIZE, face_shards  # noqa: E402
from test_renderer_learner import tiny as tiny_renderer  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("glance")
    train(tiny_motion(), [write_shards(root / "lips")], root / "motion", CPU)
    train(tiny_renderer(), [face_shards(root / "faces")], root / "renderer", CPU)
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
