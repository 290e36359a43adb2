"""``lipglance sync`` tells the offset of a real file, and what it cannot judge in one line."""

import json

import numpy as np
import pytest

from lipglance import cli_sync
from lipglance.cli import main
from lipglance.crop import CropConfig
from lipglance.sync import judge
from talking import write_talking

CONTEXT = 5


class Expert:
    """Sees how dark the mouth is and hears how loud it gets: enough for a humming face."""

    crop = CropConfig()

    class audio:  # noqa: N801
        sample_rate = 16_000

    def score(self, crops, samples, reach):
        frames = len(crops)
        loud = np.abs(samples[: frames * 640]).reshape(frames, -1).max(1)
        dark = (crops[:, 24:48, 16:48].mean(-1) < 60).mean((1, 2))
        return judge(_vectors(dark), _vectors(loud), reach)


def _vectors(track):
    track = (track - track.mean()) / max(track.std(), 1e-6)
    parts = np.lib.stride_tricks.sliding_window_view(track, CONTEXT).astype(np.float32)
    return parts / np.maximum(np.linalg.norm(parts, axis=1, keepdims=True), 1e-6)


@pytest.fixture
def expert(monkeypatch):
    monkeypatch.setattr(cli_sync, "SyncExpert", lambda folder: Expert())


def test_a_face_in_sync_with_its_hum(expert, tmp_path, capsys):
    video = write_talking(tmp_path / "talk.mp4", seconds=2)
    assert main(["sync", str(video), "--json", "--reach", "8"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert abs(said["offset"]) <= 1
    assert said["frames"] == 50
    assert len(said["curve"]) == 17


def test_words_for_people(expert, tmp_path, capsys):
    video = write_talking(tmp_path / "talk.mp4", seconds=2)
    assert main(["sync", str(video)]) == 0
    assert "offset" in capsys.readouterr().out


def test_what_cannot_be_judged_is_one_clear_line(expert, tmp_path, capsys):
    mute = write_talking(tmp_path / "mute.mp4", sound=False)
    assert main(["sync", str(mute)]) == 2
    assert "has no sound" in capsys.readouterr().err
    nobody = write_talking(tmp_path / "nobody.mp4", faceless=range(0, 30))
    assert main(["sync", str(nobody)]) == 2
    assert "shows a face in 0 of 30 frames" in capsys.readouterr().err


def test_without_an_expert_it_says_where_to_get_one(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("lipglance.sync.files", lambda package: tmp_path)
    video = write_talking(tmp_path / "talk.mp4")
    assert main(["sync", str(video)]) == 2
    assert "--expert" in capsys.readouterr().err
    assert main(["sync", str(video), "--expert", str(tmp_path)]) == 2
    assert "holds no sync expert" in capsys.readouterr().err
