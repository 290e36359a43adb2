"""Whatever a user gives, the command answers in one line with status 2 and leaves no file behind.

What can still be worked with (silence, clipping, damage) gives a warning and a video.
"""

import os
import resource
import signal
import subprocess
import time
import wave
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
import pytest

from generated import speech_like, write_sound, write_video
from lipglance.cli import main
from lipglance.face import Landmarks
from lipglance.media import iter_video, read_image
from processes import start_lipglance
from toy_model import write_toy_model

FACE = Path(str(files("lipglance"))) / "assets" / "sample_face.jpg"


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A folder with good and bad input of all kinds; tests must leave it as it is."""
    folder = tmp_path_factory.mktemp("given")
    write_toy_model(folder / "toy")
    face = read_image(FACE)[:256, 96:352]
    cv2.imwrite(str(folder / "face.jpg"), face[..., ::-1])
    small = np.full((300, 300, 3), 128, np.uint8)
    small[100:200, 100:200] = cv2.resize(face, (100, 100), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(folder / "small.png"), small[..., ::-1])
    ramp = np.tile(np.linspace(0, 255, 300), (300, 1)).astype(np.uint8)
    cv2.imwrite(str(folder / "nobody.png"), ramp)
    (folder / "notes.txt").write_text("This is neither picture nor sound.\n" * 20)
    (folder / "empty").write_bytes(b"")
    (folder / "half.jpg").write_bytes((folder / "face.jpg").read_bytes()[:600])
    speech = speech_like(1.0)
    write_sound(folder / "speech.wav", speech)
    write_sound(folder / "short.wav", speech[:, :10])
    with wave.open(str(folder / "none.wav"), "wb") as empty:
        empty.setparams((1, 2, 16000, 0, "NONE", ""))
    write_sound(folder / "silent.wav", 0 * speech)
    write_sound(folder / "clipped.wav", np.clip(40 * speech, -1, 1))
    broken = speech.copy()
    broken[0, 5000:5100] = np.nan
    write_sound(folder / "nan.wav", broken, codec="pcm_f32le")
    write_video(folder / "mute.mp4", [face] * 5)
    write_video(folder / "talk.mp4", [face] * 25, 25, speech)
    (folder / "cut.mp4").write_bytes((folder / "talk.mp4").read_bytes()[:3000])
    write_video(
        folder / "talk.mkv", [face] * 50, 25, speech_like(2.0), codec="libx264", sound_codec="flac"
    )
    whole = (folder / "talk.mkv").read_bytes()
    (folder / "cut.mkv").write_bytes(whole[: len(whole) * 6 // 10])
    return folder


@pytest.fixture
def run(given, tmp_path, capsys):
    """Run generate; return its status and what it said on stderr; nothing may be left behind."""

    def go(face="face.jpg", speech="speech.wav", out="o.mp4", *more, view="lips"):
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
        arguments = ["generate", given / face, given / speech, "-o", tmp_path / out]
        arguments += ["--view", view, "--model", given / "toy", *more]
        status = main([str(argument) for argument in arguments])
        told = capsys.readouterr()
        if status:
            assert told.out == ""
            after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
            assert after == before
        return status, told.err

    return go


def refused(answer, *words):
    status, told = answer
    assert status == 2
    assert told.startswith("error: ")
    assert told.count("\n") == 1
    assert len(told) > 40
    for word in words:
        assert word in told


def warned(answer, *words):
    """A video was made, with one warning."""
    status, told = answer
    assert status == 0
    assert told.startswith("warning: ")
    assert told.count("\n") == 1
    for word in words:
        assert word in told


def test_good_input_is_no_bad_input(run):
    assert run() == (0, "")


def test_missing_face(run):
    refused(run(face="nowhere.jpg"), "nowhere.jpg does not exist")


def test_missing_speech(run):
    refused(run(speech="nowhere.wav"), "nowhere.wav does not exist")


@pytest.mark.parametrize("face", ["notes.txt", "speech.wav", "empty", "toy"])
def test_not_an_image(run, face):
    refused(run(face=face), face)


@pytest.mark.parametrize("speech", ["notes.txt", "face.jpg", "empty", "toy"])
def test_not_audio(run, speech):
    refused(run(speech=speech), speech)


def test_a_video_without_sound_as_speech(run):
    refused(run(speech="mute.mp4"), "mute.mp4", "without sound")


@pytest.mark.parametrize("speech", ["none.wav", "short.wav"])
def test_no_samples_and_ten_samples(run, speech):
    refused(run(speech=speech), speech, "40 ms")


def test_silence(run):
    warned(run(speech="silent.wav"), "silent")


def test_samples_that_are_no_numbers(run):
    warned(run(speech="nan.wav"), "100 samples", "NaN")


def test_clipped_samples(run):
    warned(run(speech="clipped.wav"), "clipped")


def test_no_face(run):
    refused(run(face="nobody.png", view="face"), "no face", "300x300")


def test_no_face_in_a_video(run, given, tmp_path):
    path = write_video(tmp_path / "dark.mp4", [np.zeros((96, 96, 3), np.uint8)] * 3)
    refused(run(face=path, view="face"), "no face", "first 3 frames")


def test_a_face_too_small(run):
    refused(run(face="small.png", view="face"), "too small: 4", "at least 48 px")


def test_a_profile(run, monkeypatch):
    monkeypatch.setattr(Landmarks, "yaw", property(lambda marks: 72.0))
    refused(run(view="face"), "profile", "72 degrees")


def test_a_face_that_is_not_there(run):
    refused(run("face.jpg", "speech.wav", "o.mp4", "--face", 2), "no face 2", "choose 1")


def test_a_picture_cut_off_at_once(run):
    refused(run(face="half.jpg", view="face"), "half.jpg")


def test_a_video_cut_off_before_its_index(run):
    refused(run(speech="cut.mp4"), "cut.mp4")
    refused(run(face="cut.mp4"), "cut.mp4")


def test_a_speech_cut_off_in_the_middle_is_used_as_far_as_it_goes(run, tmp_path):
    warned(run(speech="cut.mkv"), "cut.mkv", "cut short")
    assert 4 < len(list(iter_video(tmp_path / "o.mp4"))) < 45


def test_an_output_that_exists(run, tmp_path):
    (tmp_path / "o.mp4").write_bytes(b"precious")
    refused(run(), "exists already", "--force")
    assert (tmp_path / "o.mp4").read_bytes() == b"precious"
    assert run("face.jpg", "speech.wav", "o.mp4", "--force") == (0, "")
    assert len(list(iter_video(tmp_path / "o.mp4"))) == 25


def test_a_bad_job_with_force_leaves_the_old_output(run, tmp_path):
    (tmp_path / "o.mp4").write_bytes(b"precious")
    refused(run("nobody.png", "speech.wav", "o.mp4", "--force", view="face"), "no face")
    assert (tmp_path / "o.mp4").read_bytes() == b"precious"


def test_an_output_that_is_an_input(given, tmp_path, capsys):
    path = tmp_path / "talk.mp4"
    path.write_bytes((given / "talk.mp4").read_bytes())
    arguments = ["generate", given / "face.jpg", path, "-o", path, "--force"]
    assert main([*map(str, arguments), "--model", str(given / "toy")]) == 2
    refused((2, capsys.readouterr().err), "both read and written")
    assert path.read_bytes() == (given / "talk.mp4").read_bytes()


@pytest.mark.parametrize("out", ["o.avi", "o", "nowhere/o.mp4", "."])
def test_an_output_that_cannot_be(run, out):
    refused(run(out=out))


def test_an_output_in_a_place_that_cannot_be_written_to(run):
    refused(run(out="/proc/o.mp4"), "/proc")


def test_an_unknown_model_lists_those_known(run):
    refused(
        run("face.jpg", "speech.wav", "o.mp4", "--model", "best"), "unknown model 'best'", "known"
    )


def test_names_with_line_breaks_and_spaces(run):
    refused(run(face="a\nb c.png"), "a b c.png")


def running(given, folder, **options):
    """Start a job of half a minute of speech and wait until its file grows."""
    speech = write_sound(folder / "long.flac", speech_like(30.0))
    process = start_lipglance(
        *("generate", given / "face.jpg", speech, "-o", folder / "o.mp4"),
        *("--model", given / "toy"),
        **options,
    )
    limit = time.monotonic() + 60
    while process.poll() is None and not any(p.stat().st_size for p in folder.glob(".o.*.part")):
        assert time.monotonic() < limit
        time.sleep(0.01)
    return process, speech


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_job_that_is_stopped_leaves_nothing(given, tmp_path, number, status):
    # Whoever runs the tests may have it ignored, as nohup does.
    process, speech = running(
        given, tmp_path, preexec_fn=lambda: signal.signal(number, signal.SIG_DFL)
    )
    process.send_signal(number)
    out, told = process.communicate(timeout=60)
    assert process.returncode == status
    assert out == ""
    assert told == ("error: interrupted; no unfinished file is left\n" if status == 130 else "")
    assert list(tmp_path.iterdir()) == [speech]


def test_a_file_that_may_not_grow(given, tmp_path):
    """A quota in the middle of the work."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    speech = write_sound(tmp_path / "long.flac", speech_like(6.0))
    process = start_lipglance(
        *("generate", given / "face.jpg", speech, "-o", tmp_path / "o.mp4"),
        *("--model", given / "toy"),
        preexec_fn=limit,
    )
    out, told = process.communicate(timeout=120)
    assert out == ""
    refused((process.returncode, told), "cannot be written")
    assert list(tmp_path.iterdir()) == [speech]


def test_a_full_disk(given, tmp_path, capsys):
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16k", "none", str(disk)]
    if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        speech = write_sound(tmp_path / "long.flac", speech_like(6.0))
        arguments = ["generate", given / "face.jpg", speech, "-o", disk / "o.mp4"]
        status = main([*map(str, arguments), "--model", str(given / "toy")])
        refused((status, capsys.readouterr().err), "the disk is full")
        assert not list(disk.iterdir())
    finally:
        subprocess.run(["umount", str(disk)], check=True)
