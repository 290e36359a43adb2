"""Frames at once: what is timed, of which models, and what is told."""

import json

import pytest

from lipglance.cli import main
from toy_model import write_toy_model

pytest.importorskip("torch")

OPTIONS = ["bench", "--batch", "30", "--runs", "2", "--threads", "1"]


def test_the_networks_are_timed_on_all_frames_at_once(capsys):
    assert main([*OPTIONS, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["batch"], facts["size"], facts["model"]) == (30, 96, "glance")
    assert facts["hardware"]
    heard, painted, both = facts["stages"]
    # Two voices, a second each, so that there are 30 frames.
    assert heard["frames"] == 50
    assert painted["frames"] == both["frames"] == 30
    for stage in facts["stages"]:
        assert len(stage["seconds"]) == 2
        assert stage["fps"] > 0
    assert min(both["seconds"]) > min(heard["seconds"])


def test_the_table_names_hardware_and_precision(capsys):
    assert main(OPTIONS) == 0
    table = capsys.readouterr().out
    for word in ("painting, moving, composing", "torch", "30 frames of 96x96 at once", "of 2 runs"):
        assert word in table


def test_what_cannot_be_timed_so_is_told(capsys, tmp_path):
    assert main([*OPTIONS, "--stream"]) == 2
    assert "--stream and --batch were given" in capsys.readouterr().err
    assert main([*OPTIONS, "--model", str(write_toy_model(tmp_path / "toy"))]) == 2
    assert "holds no model to begin with" in capsys.readouterr().err
    assert main([*OPTIONS, "--model", "best"]) == 2
    assert "unknown model 'best'" in capsys.readouterr().err
