"""Each trap fools the metric it is made for, on drawn clips."""

import sys
from pathlib import Path

import pytest
import typer

from fake_clips import DrawnDetector, drawn_shard

sys.path.append(str(Path(__file__).parents[1] / "scripts"))

import metric_traps


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    words = [[0.0, 0.4, "sil"]]
    drawn_shard(folder / "val-00000.tar", clips=3, frames=30, split="val", words=words)
    patch = pytest.MonkeyPatch()
    patch.setattr(metric_traps, "_detector", DrawnDetector)
    patch.setattr(metric_traps, "packaged_expert", lambda: None)
    results = metric_traps.traps([folder], "val", limit=2, workers=1)
    patch.undo()
    return results


def means(found):
    groups = {row["name"]: row["groups"]["DRAWN"] for row in found["rows"]}
    return {name: {k: v["mean"] for k, v in g["metrics"].items()} for name, g in groups.items()}


def test_each_trap_does_what_it_is_for(found):
    assert [row["groups"]["DRAWN"]["clips"] for row in found["rows"]] == [2] * 10
    by = means(found)
    assert by["sharpened"]["cpbd"] > by["pasted"]["cpbd"]
    assert by["noisy"]["ssim"] < by["pasted"]["ssim"] - 0.01
    assert by["late"]["aperture_r"] < 0.9 < by["pasted"]["aperture_r"]
    assert by["late"]["articulation"] == pytest.approx(1, abs=0.2)
    assert by["shut"]["aperture_r"] is None
    assert by["shut"]["silence_leak"] is not None
    # Noise alone counts as motion.
    assert by["shaking"]["articulation"] > 0.05
    assert abs(by["shaking"]["aperture_r"]) < 0.6
    assert by["shaking"]["ssim"] is None


def test_a_tone_as_loud_all_the_time_does_not_flap(found):
    assert means(found)["flapping"]["articulation"] < 0.1


def test_the_wrapped_form_makes_all_pictures_alike():
    lines = metric_traps.wrapped().splitlines()
    assert lines[2] == "| noise, other noise | 7.7 | 27.9 |"
    assert lines[3] == "| black, white | 0.0 | 48.1 |"


def test_bad_input_is_one_clear_line(tmp_path, capsys):
    with pytest.raises(typer.Exit) as stopped:
        metric_traps.main([tmp_path], "val")
    assert stopped.value.exit_code == 2
    assert capsys.readouterr().err.startswith("error: ")
