"""The report is one page with tables, plots and strips; wrong files are told in a line."""

import json
import re

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="needs the eval extra: pip install '.[eval]'")

from fake_clips import drawn_shard
from lipglance import results
from lipglance.cli import main
from lipglance.measure import METRICS
from lipglance.report import latex, read_results


def clip(number, corpus="DRAWN", **values):
    return {
        "key": f"clip{number}",
        "corpus": corpus,
        "frames": 20,
        "values": dict.fromkeys(METRICS) | values,
        "missing_real": 0,
        "missing_generated": 0,
        "coverage": None,
        "seconds": 1.0,
        "opening": [None, *np.round(np.random.default_rng(number).uniform(1, 9, 19), 2)],
    }


def row(name, *clips):
    return {"name": name, "groups": results.summarise(clips), "clips": list(clips)}


@pytest.fixture
def found(tmp_path):
    rows = [
        row("still", clip(0, lmd=1.5), clip(1, lmd=1.9)),
        row("real", clip(0, lmd=0.0, ssim=1.0), clip(1, lmd=0.0, ssim=1.0)),
        row("models/good & <new>", clip(0, lmd=1.0, aperture_r=0.5, ssim=0.8), clip(1, lmd=1.2)),
    ]
    made = {
        "split": "test_seen",
        "view": "lips",
        "command": "lipglance evaluate good",
        "hardware": {"cpu": "a CPU", "cores": 2},
        "seconds": 3.0,
        "rows": rows,
    }
    path = tmp_path / "results" / "R.json"
    path.parent.mkdir()
    path.write_text(json.dumps(made))
    return path


def test_page_has_tables_plots_and_examples_and_needs_nothing_else(found, tmp_path, capsys):
    page = tmp_path / "report.html"
    assert main(["report", str(found.parent), "-o", str(page)]) == 0
    text = page.read_text()
    assert "DRAWN test_seen, 2 clips" in text
    assert "good &amp; &lt;new&gt;" in text
    assert "best: clip0, LMD 1.00 px, aperture r 0.50" in text
    assert "worst: clip1, LMD 1.20 px, aperture r -" in text
    # One chart of metrics, a track for the best, median and worst clip of the one model.
    assert text.count("<svg") == 4
    assert not re.search(r"(src|href)=['\"]?https?:", text)
    assert "1 evaluations" in capsys.readouterr().out


def test_strips_where_the_shards_are_at_hand(found, tmp_path):
    made = json.loads(found.read_text())
    made["rows"][2]["name"] = "still"
    made["rows"] = made["rows"][1:]
    found.write_text(json.dumps(made))
    drawn_shard(tmp_path / "test_seen-00000.tar", clips=2, frames=20)
    page = tmp_path / "report.html"
    command = ["report", str(found), "-o", str(page), "--data", str(tmp_path)]
    assert main(command) == 0
    assert "data:image/png;base64" not in page.read_text()
    made["rows"][1]["name"] = str(tmp_path / "weights" / "lmgg")
    found.write_text(json.dumps(made))
    assert main([*command, "--force"]) == 2


def test_latex_escapes_and_rules(found):
    text = latex(read_results(found))
    assert r"\toprule" in text
    assert r"good \& <new>" in text
    assert r"1.10 $\pm$ 0.10" in text
    assert "±" not in text


def test_bad_input_is_one_clear_line(found, tmp_path, capsys):
    page = tmp_path / "report.html"
    page.write_text("mine")
    assert main(["report", str(found), "-o", str(page)]) == 2
    assert "--force" in capsys.readouterr().err
    assert page.read_text() == "mine"
    (tmp_path / "no.json").write_text("[]")
    assert main(["report", str(tmp_path / "no.json"), "-o", str(tmp_path / "new.html")]) == 2
    assert "holds no results" in capsys.readouterr().err
    assert not (tmp_path / "new.html").exists()
    (tmp_path / "empty").mkdir()
    assert main(["report", str(tmp_path / "empty"), "-o", str(tmp_path / "new.html")]) == 2
    assert "holds no JSON" in capsys.readouterr().err
