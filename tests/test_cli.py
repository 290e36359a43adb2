import io
import json
import re
import sys
from importlib.resources import files
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from generated import speech_like, write_sound, write_video
from lipglance import __version__, models
from lipglance.blink import amounts
from lipglance.cli import COMMANDS, main
from lipglance.media import iter_video, read_audio, read_image, video_info
from processes import run_python, start_lipglance
from talking import write_talking
from toy_model import write_toy_model

FACE = Path(str(files("lipglance"))) / "assets" / "sample_face.jpg"


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A folder with a toy model, a face, two faces side by side and a second of speech."""
    folder = tmp_path_factory.mktemp("given")
    write_toy_model(folder / "toy")
    face = read_image(FACE)[:256, 96:352]
    small = cv2.resize(face, (170, 170), interpolation=cv2.INTER_AREA)
    two = np.full((256, 426, 3), 128, np.uint8)
    two[40:210, :170] = small
    two[:, 170:] = face
    cv2.imwrite(str(folder / "face.png"), face[..., ::-1])
    cv2.imwrite(str(folder / "two.png"), two[..., ::-1])
    write_sound(folder / "speech.wav", speech_like(1.0))
    return folder


@pytest.fixture
def generate(given, tmp_path):
    def run(*more, face="face.png", out="o.mp4"):
        arguments = ["generate", given / face, given / "speech.wav", "-o", tmp_path / out]
        arguments += ["--model", given / "toy", *more]
        return main([str(a) for a in arguments])

    return run


def test_generate_writes_the_video_and_says_so_in_one_line(generate, tmp_path, capsys):
    assert generate() == 0
    told = capsys.readouterr()
    assert "25 frames, 1.00 s, 256x256 px" in told.out
    assert told.out.count("\n") == 1
    assert re.search(r"made in \d+\.\d s by \w+, fp32, \d+ threads?\n", told.out)
    assert told.err == ""
    assert len(list(iter_video(tmp_path / "o.mp4"))) == 25
    assert read_audio(tmp_path / "o.mp4").std() > 0.01
    assert [path.name for path in tmp_path.iterdir()] == ["o.mp4"]


def test_life_is_how_often_a_photo_blinks(given, tmp_path, capsys):
    write_sound(tmp_path / "long.wav", speech_like(5.0))
    made = {}
    for life in ("0", "1"):
        out = tmp_path / f"{life}.mp4"
        arguments = ["generate", given / "face.png", tmp_path / "long.wav", "-o", out, "--json"]
        arguments += ["--model", given / "toy", "--life", life]
        assert main([str(a) for a in arguments]) == 0
        assert json.loads(capsys.readouterr().out)["life"] == float(life)
        made[life] = np.stack([frame[60:120] for frame in iter_video(out)]).astype(np.float32)
    changed = np.abs(made["1"] - made["0"]).mean(axis=(1, 2, 3))
    closed = np.array(list(islice(amounts(1), len(changed))))
    assert changed[closed > 0.4].min() > 2 * changed[closed == 0].max()


def test_generate_tells_machines_all_in_one_object(generate, tmp_path, capsys):
    assert generate("--json", "--view", "lips", "--max-side", "200", out="o.webm") == 0
    told = capsys.readouterr()
    facts = json.loads(told.out)
    assert told.err == ""
    assert (facts["frames"], facts["seconds"], facts["width"]) == (25, 1.0, 64)
    assert (facts["model"], facts["view"]) == ("toy", "lips")
    assert (facts["face"]["number"], facts["face"]["of"]) == (1, 1)
    assert facts["scale"] == pytest.approx(200 / 256)
    assert facts["warnings"] == []
    assert len(facts["notes"]) == 1
    assert facts["engine"]
    assert facts["precision"] == "fp32"
    assert facts["threads"] >= 1
    assert facts["timings"]["total"] >= facts["timings"]["frames"] > 0
    assert facts["peak_mib"] > 20
    info = video_info(tmp_path / "o.webm")
    assert (info.width, info.height, info.has_audio) == (64, 64, True)


def test_generate_tells_which_face_it_chose(generate, capsys):
    assert generate("--view", "lips", face="two.png") == 0
    assert "face 2 of 2 (counted from the left)" in capsys.readouterr().err
    assert generate("--view", "lips", "--face", "1", "--force", face="two.png") == 0
    assert "face 1 of 2" in capsys.readouterr().err
    assert generate("--quiet", "--force", face="two.png") == 0
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "")


def test_generate_shows_a_bar_on_a_terminal(generate, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    assert generate("--view", "lips") == 0
    assert "frames" in screen.getvalue()
    assert "25/25" in screen.getvalue()


def test_generate_without_a_stderr(generate, monkeypatch, capsys):
    """As a program without a console has none, or one that was started with it closed."""
    monkeypatch.setattr(sys, "stderr", None)
    assert generate("--view", "lips") == 0
    assert "25 frames" in capsys.readouterr().out


def test_crop_writes_the_lips_of_a_video_with_its_sound(tmp_path, capsys):
    clip = write_talking(tmp_path / "talk.mp4", 1.0)
    out = tmp_path / "lips.mp4"
    assert main(["crop", str(clip), "-o", str(out), "--size", "48", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    lips = np.stack(list(iter_video(out)))
    assert lips.shape == (facts["frames"], 48, 48, 3)
    assert (facts["without_face"], facts["sound"]) == (0, True)
    assert read_audio(out).std() > 0.01
    # What was drawn to move, the mouth, moves; the head does not.
    moving = lips.astype(float).std(axis=0).mean(axis=-1)
    assert moving[20:36, 12:36].mean() > 3 * moving[:6].mean()


def test_crop_says_how_many_frames_show_no_face(tmp_path, capsys):
    clip = write_talking(tmp_path / "talk.mp4", 1.0)
    frames = list(iter_video(clip))
    for k in (5, 6, 7):
        frames[k] = np.zeros_like(frames[k])
    broken = write_video(tmp_path / "broken.mp4", frames)
    assert main(["crop", str(broken), "-o", str(tmp_path / "o.mp4"), "-q"]) == 0
    told = capsys.readouterr()
    assert told.err.startswith(f"warning: 3 of {len(frames)} frames show no face")
    black = write_video(tmp_path / "black.mp4", [np.zeros((96, 96, 3), np.uint8)] * 3)
    assert main(["crop", str(black), "-o", str(tmp_path / "p.mp4")]) == 2
    assert "error: no face in any of the 3 frames" in capsys.readouterr().err
    assert not (tmp_path / "p.mp4").exists()


def test_models_lists_what_is_installed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(models, "_shipped", lambda: tmp_path)
    assert main(["models"]) == 0
    assert "no model is installed" in capsys.readouterr().err
    write_toy_model(tmp_path / "glance", "glance", steps=7)
    write_toy_model(tmp_path / "toy")
    assert main(["models"]) == 0
    out = capsys.readouterr().out
    for word in ("glance (default)", "toy", "MB", "trained on", "CC0"):
        assert word in out
    assert main(["models", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(m["name"], m["steps"]) for m in listed] == [("glance", 7), ("toy", 0)]
    assert listed[0]["size"] > 100


def test_version_and_overview(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"lipglance {__version__}\n"
    for arguments in ([], ["--help"]):
        assert main(arguments) == 0
        overview = capsys.readouterr().out
        assert all(f" {name} " in overview for name in COMMANDS)


def test_the_overview_loads_nothing_heavy():
    code = (
        "import sys; from lipglance.cli import main; main(['--help']); "
        "print([m for m in ('numpy', 'cv2', 'av', 'onnxruntime', 'torch') if m in sys.modules])"
    )
    assert run_python("-c", code).stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_subcommand_has_help_of_its_own(command, capsys):
    assert main([command, "--help"]) == 0
    told = capsys.readouterr().out
    assert f"lipglance {command}" in told
    assert "--help" in told


@pytest.mark.parametrize("command", ["train", "export"])
def test_a_missing_library_names_the_extra_to_install(command, tmp_path):
    arguments = {
        "train": ["run.yaml", "--data", str(tmp_path), "--run", str(tmp_path / "run")],
        "export": [str(tmp_path), "-o", str(tmp_path / "model")],
    }
    code = (
        "import sys; sys.modules.update(torch=None, onnx=None, omegaconf=None); "
        f"from lipglance.cli import main; sys.stderr = sys.stdout; "
        f"print(main({[command, *arguments[command]]!r}))"
    )
    told, status = run_python("-c", code).stdout.splitlines()
    assert status == "2"
    assert told.startswith("error: this command needs ")
    assert told.endswith("not installed; install it with pip install 'lipglance[train]'")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["generate"], "Missing argument"),
        (["generate", "a", "b"], "Missing option '--output'"),
        (["sing"], "No such command 'sing'"),
        (["generate", "a", "b", "-o", "c.mp4", "--view", "side"], "'--view'"),
        (["generate", "a", "b", "-o", "c.mp4", "--face", "0"], "'--face'"),
        (["generate", "a", "b", "-o", "c.mp4", "--life", "2"], "'--life'"),
        (["--loud"], "--loud"),
    ],
)
def test_wrong_use_is_told_in_one_line(arguments, told, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert told in error
    assert error.count("\n") == 1


def test_the_installed_command_passes_its_status_on(given, tmp_path):
    process = start_lipglance("generate", "no.png", given / "speech.wav", "-o", tmp_path / "o.mp4")
    out, error = process.communicate(timeout=60)
    assert process.returncode == 2
    assert out == ""
    assert error.count("\n") == 1
