import json
import runpy

import numpy as np
import pytest
from rich.console import Console

from fake_clips import drawn_shard
from lipglance import results
from lipglance.measure import METRICS
from lipglance.shards import ShardDataset


def record(corpus="A", missing=0, **values):
    return {
        "key": "k",
        "corpus": corpus,
        "frames": 10,
        "values": dict.fromkeys(METRICS) | values,
        "missing_real": missing,
        "missing_generated": 1,
        "coverage": 0.9,
        "seconds": 2.0,
    }


FAILED = {"key": "k", "corpus": "A", "frames": 10, "error": "torn"}


@pytest.fixture
def found():
    clips = [record(lmd=1.0, aperture_r=0.5), record(lmd=2.0, missing=3), FAILED]
    rows = [
        {"name": "good", "groups": results.summarise(clips)},
        {"name": "other", "groups": results.summarise([record("B", lmd=1.25)])},
    ]
    return {
        "split": "val",
        "view": "lips",
        "command": "lipglance evaluate good other",
        "rows": rows,
    }


def test_means_are_over_the_clips_that_have_a_value(found):
    group = found["rows"][0]["groups"]["A"]
    assert (group["clips"], group["failed_clips"], group["frames"]) == (3, 1, 20)
    assert (group["missing_real"], group["missing_generated"]) == (3, 2)
    assert group["coverage"] == 0.9
    assert group["seconds"] == 4.0
    lmd, r, psnr = (group["metrics"][m] for m in ("lmd", "aperture_r", "psnr"))
    assert (lmd["mean"], lmd["low"], lmd["high"], lmd["n"]) == (1.5, 1.0, 2.0, 2)
    assert (r["mean"], r["n"], r["undefined"]) == (0.5, 1, 1)
    assert (psnr["mean"], psnr["n"], psnr["undefined"]) == (None, 0, 2)


def test_tables_for_a_terminal_and_for_documents(found):
    console = Console(width=80)
    with console.capture() as shown:
        for table in results.tables(found):
            console.print(table)
    assert "A val, 3 clips" in shown.get()
    assert "B val, 1 clips" in shown.get()
    line = next(line for line in shown.get().splitlines() if "LMD, px" in line)
    assert "1.50 ± 0.50" in line
    lines = results.markdown(found).splitlines()
    assert "**A val, 3 clips**" in lines
    good = next(line for line in lines if line.startswith("| good"))
    assert good.split(" | ")[1] == "1.50 ± 0.50"
    assert good.split(" | ")[2] == "0.50 (1)"
    assert good.endswith("| 3 + 2 of 20, 1 clips |")
    head, rule = lines[2:4]
    assert head.count("|") == rule.count("|") == good.count("|")
    assert "`lipglance evaluate good other`" in lines
    assert "**A val, face view, 3 clips**" in results.markdown(found | {"view": "face"})


def test_models_are_named_by_the_end_of_their_path_where_that_is_enough(found):
    first, second = found["rows"]
    second["groups"] = first["groups"]
    first["name"], second["name"] = "runs/a/tiny", "runs/b/big"
    assert "| tiny |" in results.markdown(found)
    second["name"] = "runs/b/tiny"
    assert "| runs/a/tiny |" in results.markdown(found)


def test_the_data_are_told_by_their_bytes(tmp_path):
    shard = drawn_shard(tmp_path / "val-00000.tar", clips=1, frames=16, split="val")
    first = results.about_data([tmp_path], list(ShardDataset(tmp_path)))
    assert first["corpora"] == {"DRAWN": {"clips": 1, "frames": 16, "speakers": ["a"]}}
    data = np.frombuffer(shard.read_bytes(), np.uint8).copy()
    data[-1] ^= 1
    shard.write_bytes(data.tobytes())
    second = results.about_data([tmp_path], list(ShardDataset(tmp_path)))
    assert second["sha256"] != first["sha256"]


TRAINED = {
    "width": 16,
    "training_hours": 1.5,
    "training_hardware": ["a CPU"],
    "training": {
        "autoencoder": {"steps": 300},
        "warm_start": False,
        "reading_lesson": 5,
        "painting_lesson": 2000,
        "audio_lesson": 10,
        "steps": 400,
        "batch": 8,
        "seed": 1,
        "loss": {"perceptual": 0.1},
        "data": {"corpora": ["grid"]},
    },
}


def test_budgets_tell_what_each_model_was_trained_with(found):
    assert results.budgets([found]) == ""
    found["rows"][0]["model"] = TRAINED
    table = results.budgets([found, found]).splitlines()
    assert len(table) == 3
    cells = [cell.strip() for cell in table[2].split("|")[1:-1]]
    assert cells == [
        *("good", "16", "grid", "300", "0", "2,000", "10", "400", "8", "1", "1.50", "a CPU")
    ]


def test_targets_tell_what_is_met(monkeypatch):
    monkeypatch.syspath_prepend("scripts")
    from product_targets import targets

    def row(name, **values):
        metrics = {key: {"mean": value} for key, value in values.items()}
        return {"name": name, "groups": {"grid": {"metrics": metrics}}}

    results = {"view": "lips", "identity": "own", "split": "test_seen"}
    rows = [
        row("glance", lmd=0.7, aperture_r=0.5, articulation=1.2, cpbd=0.2, identity=0.95),
        row("real", cpbd=0.21, identity=0.99),
    ]
    table = targets([results | {"rows": rows}])
    assert "**0.70** (<= 0.75)" in table
    assert "| 0.50 (>= 0.92) |" in table
    assert "1.20 (0.85 to 1.15)" in table
    assert "0.200 of 0.210, **met**" in table
    assert "| 0.950 of 0.990 |" in table
    assert targets([results | {"rows": rows[1:]}]) == ""


def test_targets_compare_with_the_papers_model_and_between_voices(monkeypatch):
    monkeypatch.syspath_prepend("scripts")
    from product_targets import targets

    def found(split, voice="clean", **rows):
        names = ("lmd", "aperture_r", "ssim")
        made = [
            {
                "name": name,
                "groups": {
                    "grid": {
                        "metrics": {
                            key: {"mean": value} for key, value in zip(names, values, strict=True)
                        }
                    }
                },
            }
            for name, values in rows.items()
        ]
        return {"view": "lips", "split": split, "voice": voice, "rows": made}

    paper = (1.0, 0.5, 0.8)
    table = targets(
        [
            found("test_seen", glance=(0.9, 0.6, 0.8), lmgg=paper),
            found("test_unseen", glance=(0.9, 0.6, 0.798), lmgg=paper),
            found("test_seen", voice="white", glance=(2.0, 0.5, 0.1)),
            found("test_seen", voice="fast", glance=(2.0, 0.45, 0.1)),
            found("test_unseen", voice="babble", glance=(2.0, 0.3, 0.1)),
        ]
    )
    assert "| -0.10, +0.10, +0.000, **met** | -0.10, +0.10, -0.002 | - | - |" in table
    assert "0.90 (<= 0.75)" in table
    assert "| aperture r | 0.60 | 0.50, 0.10 less, **met** | 0.45, 0.15 less |" in table
    assert "babble" not in table


def test_the_page_has_a_chapter_for_each_table(found, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend("scripts")
    page = runpy.run_path("scripts/results_page.py")
    found |= {"hardware": {"cpu": "a CPU", "cores": 2}, "seconds": 3.0}
    found["rows"][0]["model"] = TRAINED
    found["rows"][1]["groups"] = {"grid": found["rows"][1]["groups"]["B"]}
    names = ("shipped-test_seen", "table2-grid-test_seen", "table2-grid-test_unseen")
    for name in names:
        (tmp_path / f"{name}.json").write_text(json.dumps(found))
    page["main"].__globals__["PAGE"] = tmp_path / "results.md"
    page["main"]([str(tmp_path / f"{name}.json") for name in names])
    text = (tmp_path / "results.md").read_text()
    assert text.count("## Table 2: the rivals") == text.count("## The models that are shipped") == 1
    # The printed figures stand once, whatever the number of splits.
    assert text.count("as published") == 1
    assert text.count("| good | 16 |") == 1
    with pytest.raises(SystemExit, match="no JSON given"):
        page["main"]([])
    # What is not measured again stays, and in its place.
    older = text.replace("| good | 16 |", "| older | 16 |")
    (tmp_path / "results.md").write_text(older)
    page["main"]([str(tmp_path / "shipped-test_seen.json")])
    newer = (tmp_path / "results.md").read_text()
    chapters = page["read_chapters"]
    assert list(chapters(newer)) == list(chapters(older))
    rivals = "Table 2: the rivals"
    assert chapters(newer)[rivals] == chapters(older)[rivals]
    assert newer.count("| older | 16 |") == newer.count("| good | 16 |") == 1
    page["main"]([str(tmp_path / "shipped-test_seen.json")])
    assert (tmp_path / "results.md").read_text() == newer
