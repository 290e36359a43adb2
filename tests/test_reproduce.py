"""The quick form of the paper's tables runs whole, keeps what is done and shows the published."""

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from fake_clips import HALF, add_clip, draw, places, track  # noqa: E402
from lipglance import evaluate as job  # noqa: E402
from lipglance import evaluation_work  # noqa: E402
from lipglance.cli import main  # noqa: E402
from lipglance.errors import InputError  # noqa: E402
from lipglance.reproduce import Task, published, row_configs  # noqa: E402
from lipglance.shard_writer import ShardWriter  # noqa: E402

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    for split in ("train", "val", "test_seen", "test_unseen"):
        with ShardWriter(folder / f"{split}-00000.tar") as writer:
            for k in range(3):
                centres = places(30)
                pictures = [draw(o, c) for o, c in zip(track(30, k), centres, strict=True)]
                add_clip(writer, f"{split}{k}", pictures, centres, HALF, "grid", split)
    return folder


@pytest.fixture
def drawn_detector(monkeypatch):
    """Landmarks of drawn mouths, in this process: dlib knows no drawings."""
    from fake_clips import DrawnDetector

    def measured(todo, workers):
        for item in todo:
            yield evaluation_work._measure(item)

    monkeypatch.setattr(evaluation_work, "_detector", DrawnDetector)
    monkeypatch.setattr(job, "measured", measured)
    monkeypatch.setattr(job, "predictor_path", lambda: None)


def test_rows_of_table_1_build_up_the_parts():
    rows = row_configs(Task(CONFIGS / "table1", Path()))
    loss = {name: config.loss for name, config in rows.items()}
    assert [name for name in rows if len(name) == 1] == list("abcde")
    assert loss["a"].adversarial > 0
    assert not loss["a"].perceptual
    assert not loss["a"].correlation
    assert (loss["b"].correlation > 0, loss["b"].derivative) == (True, False)
    assert loss["c"].derivative
    assert loss["d"].perceptual > 0
    assert not loss["d"].flow_stream
    assert not loss["d"].audio_stream
    assert loss["e"].flow_stream
    assert loss["e"].audio_stream
    assert len({config.steps for config in rows.values()}) == 1
    # Nothing that is not the paper's takes part, and one row is there twice from two seeds.
    assert not any(part.reading or part.painting for part in loss.values())
    assert loss["e-again"] == loss["e"]
    assert rows["e-again"].seed != rows["e"].seed
    assert len(rows) == 12


@pytest.mark.slow
def test_table_1_quickly_and_again(shards, tmp_path, drawn_detector, capsys):
    configs = tmp_path / "configs"
    configs.mkdir()
    (tmp_path / "lmgg-w16.yaml").write_text((CONFIGS / "lmgg-w16.yaml").read_text())
    for name in ("start", "a", "e", "d", "c"):
        (configs / f"{name}.yaml").write_text((CONFIGS / "table1" / f"{name}.yaml").read_text())
    out = tmp_path / "out"
    command = ["reproduce", "table1", "--data", str(shards), "-o", str(out), "--quick"]
    command += ["--configs", str(configs), "--accelerator", "cpu"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "grid test_seen, 2 clips" in said
    for name in ("| a |", "| e |", "| real |", "| still |", "| mismatched |"):
        assert name in said
    results = json.loads((out / "table1-test_seen.json").read_text())
    assert [Path(row["name"]).name for row in results["rows"]][:4] == ["a", "c", "d", "e"]
    before = {path: path.stat().st_mtime_ns for path in out.rglob("last.pt")}
    assert len(before) == 5
    assert main(command) == 0
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("last.pt")}
    # What was trained otherwise is not passed off as what is asked for now.
    assert main([*command, "--set", "rate=1e-4"]) == 2
    assert "rate differ" in capsys.readouterr().err


@pytest.mark.slow
def test_table_2_quickly(shards, tmp_path, drawn_detector, capsys):
    out = tmp_path / "out"
    command = ["reproduce", "table2", "--data", f"grid={shards}", "-o", str(out), "--quick"]
    assert main([*command, "--configs", str(CONFIGS / "table2"), "--accelerator", "cpu"]) == 0
    said = capsys.readouterr().out
    for part in ("chung-grid", "vondrick-grid", "lmgg-grid", "as published", "29.89"):
        assert part in said
    assert "grid test_unseen" in said


def test_published_figures_are_marked_and_only_the_papers_own():
    assert "as published" in published("LRW")
    assert published("lrc-ar") == ""


def test_bad_input_is_one_clear_line(tmp_path, capsys):
    with pytest.raises(InputError, match="no configs in"):
        row_configs(Task(tmp_path, tmp_path))
    command = ["reproduce", "table2", "--data", str(tmp_path), "-o", str(tmp_path / "out")]
    assert main(command) == 2
    assert "NAME=FOLDER" in capsys.readouterr().err
