"""The report is one page with tables, plots and strips; wrong files are told in a line."""

import json
import logging
import re

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="needs the eval extra: pip install '.[eval]'")

from fake_clips import drawn_shard
from lipglance import results
from lipglance.cli import main
from lipglance.measure import METRICS
from lipglance.report import latex, read_results
from lipglance.report_plots import offset_shares, offsets


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
    assert "<tr class=model><td>good" in text
    assert "<td>1.10<i class=pm>± 0.10</i>" in text
    assert "best: clip0, LMD 1.00 px, aperture r 0.50" in text
    assert "worst: clip1, LMD 1.20 px, aperture r -" in text
    # One chart of metrics, a track for the best, median and worst clip of the one model.
    assert text.count("<svg") == 4
    assert not re.search(r"(src|href)=['\"]?https?:", text)
    assert "1 evaluations" in capsys.readouterr().out


def test_offsets_are_shown_by_row_where_they_are_known(found, tmp_path):
    made = json.loads(found.read_text())
    assert offsets(made, "DRAWN") is None
    still, real, _ = made["rows"]
    for one, shifts in ((still, (-15, 7)), (real, (0, -1))):
        for told, shift in zip(one["clips"], shifts, strict=True):
            told["offset"] = shift
    shares = offset_shares(still, "DRAWN")
    assert shares.shape == (31,)
    assert (shares[0], shares[15 + 7], shares.sum()) == (0.5, 0.5, 1)
    # One clip that failed and one too short for the expert count neither for nor against.
    real["clips"] += [clip(2) | {"offset": None}, {"key": "torn", "corpus": "DRAWN", "error": "x"}]
    assert offset_shares(real, "DRAWN")[[14, 15]].tolist() == [0.5, 0.5]
    assert offset_shares(real, "OTHER") is None
    figure = offsets(made, "DRAWN")
    titles = [axis.get_title() for axis in figure.axes if axis.get_visible()]
    assert titles == ["still: 0% in sync", "real: 100% in sync"]
    assert len({axis.get_ylim() for axis in figure.axes if axis.get_visible()}) == 1
    found.write_text(json.dumps(made))
    assert main(["report", str(found), "-o", str(tmp_path / "r.html")]) == 0
    text = (tmp_path / "r.html").read_text()
    assert text.count("<svg") == 5
    assert "best: clip0, LMD 1.00 px, aperture r 0.50</figcaption>" in text


def test_a_page_of_the_cross_identity_pass(found, tmp_path):
    face = {"corpus": "DRAWN", "split": "test_seen", "speaker": "b", "key": "clip1"}
    said = [
        clip(0, aperture_r=0.4) | {"face": face, "offset": -2},
        clip(1, aperture_r=0.7) | {"face": face, "offset": 0},
    ]
    made = json.loads(found.read_text()) | {"identity": "other"}
    made["rows"] = [row("real", clip(0, aperture_r=1.0)), row("models/good", *said)]
    found.write_text(json.dumps(made))
    assert main(["report", str(found), "-o", str(tmp_path / "r.html")]) == 0
    text = (tmp_path / "r.html").read_text()
    assert "DRAWN test_seen, another speaker&#x27;s face, 2 clips" in text
    assert "Each sound is said by the first frame" in text
    assert "best: clip1 said by DRAWN b, aperture r 0.70, offset +0 frames" in text
    assert "worst: clip0 said by DRAWN b, aperture r 0.40, offset -2 frames" in text
    assert "LMD" not in text


def test_strips_where_the_shards_are_at_hand(found, tmp_path, caplog):
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
    # A model that has moved since costs its strips, not the page.
    assert main([*command, "--force"]) == 0
    assert "no strip of frames" in caplog.text
    assert "LMD" in page.read_text()


def test_shards_of_another_corpus_cost_the_strips_alone(found, tmp_path):
    drawn_shard(tmp_path / "val-00000.tar", clips=1, frames=20, split="val")
    page = tmp_path / "report.html"
    assert main(["report", str(found), "-o", str(page), "--data", str(tmp_path)]) == 0
    assert "data:image/png;base64" not in page.read_text()


def test_latex_tells_what_is_missing(found):
    assert "no landmarks" in latex(read_results(found))


def test_strips_of_the_cross_identity_pass_show_the_other_face(found, tmp_path, monkeypatch):
    drawn_shard(tmp_path / "test_seen-00000.tar", clips=1, frames=20)
    drawn_shard(tmp_path / "test_unseen-00000.tar", 1, 16, split="test_unseen", speaker="b")
    face = {"corpus": "DRAWN", "split": "test_unseen", "speaker": "b", "key": "clip0"}
    made = json.loads(found.read_text()) | {"identity": "other"}
    made["rows"] = [row("models/good", clip(0, aperture_r=0.4) | {"face": face})]
    found.write_text(json.dumps(made))
    shown = []

    class Model:
        def lips(self, job):
            shown.append((job.sample.speaker, job.sound.sample.speaker, job.frames))
            return np.zeros((job.frames, 64, 64, 3), np.uint8)

    monkeypatch.setattr("lipglance.report.make_row", lambda name: Model())
    page = tmp_path / "report.html"
    assert main(["report", str(found), "-o", str(page), "--data", str(tmp_path)]) == 0
    assert shown == [("b", "a", 20)] * 3
    assert page.read_text().count("data:image/png;base64") == 3


def test_strips_show_what_the_model_makes_of_the_voice(
    found, tmp_path, monkeypatch, capsys, caplog
):
    drawn_shard(tmp_path / "test_seen-00000.tar", clips=2, frames=20)
    made = json.loads(found.read_text()) | {"voice": "fast"}
    made["rows"] = [row("models/good", clip(0, lmd=1.0, aperture_r=0.4))]
    found.write_text(json.dumps(made))
    shown = []

    class Model:
        def lips(self, job):
            shown.append((job.frames, len(job.audio(16_000))))
            return np.zeros((job.frames, 64, 64, 3), np.uint8)

    monkeypatch.setattr("lipglance.report.make_row", lambda name: Model())
    page = tmp_path / "report.html"
    command = ["report", str(found), "-o", str(page), "--data", str(tmp_path), "--force"]
    assert main(command) == 0
    assert shown == [(15, 15 * 640)] * 3
    assert "DRAWN test_seen, 1.3 times as fast, 1 clips" in page.read_text()
    assert page.read_text().count("data:image/png;base64") == 3
    caplog.set_level(logging.WARNING, "lipglance")
    # Nobody is there to babble: the page is made without strips.
    found.write_text(json.dumps(made | {"voice": "babble"}))
    assert main(command) == 0
    assert "data:image/png;base64" not in page.read_text()
    assert "no strip of frames" in caplog.text


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


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ("folder", "folder is a directory; expected a file"),
        ("nowhere/x.html", "nowhere does not exist; expected one for x.html; make it"),
        ("results/R.json", "both read and written"),
        ("shard.tar", "both read and written"),
    ],
)
def test_a_page_that_cannot_be_is_told_before_any_work(found, tmp_path, capsys, output, told):
    (tmp_path / "folder").mkdir()
    (tmp_path / "shard.tar").write_bytes(b"")
    before = sorted(tmp_path.rglob("*")), found.read_text()
    command = ["report", str(found), "-o", str(tmp_path / output), "--force"]
    assert main([*command, "--data", str(tmp_path / "shard.tar")]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert (sorted(tmp_path.rglob("*")), found.read_text()) == before


def test_a_page_that_fails_leaves_no_part_of_it(found, tmp_path, capsys, monkeypatch):
    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    before = sorted(tmp_path.rglob("*"))
    assert main(["report", str(found), "-o", str(tmp_path / "r.html")]) == 2
    assert "r.html: cannot write the page: No space left" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before
