import json
import logging

import numpy as np
import pytest
from skimage.data import astronaut
from typer.testing import CliRunner

from fake_clips import DrawnDetector, add_clip, drawn_shard, opened_face, track
from lipglance import cli_evaluate, evaluation_work, measure, rows, voice_changes
from lipglance import evaluate as job
from lipglance.errors import InputError
from lipglance.shard_writer import ShardWriter


@pytest.fixture
def drawn(monkeypatch):
    """Evaluation with the detector of drawn mouths in place of dlib."""
    monkeypatch.setattr(job, "predictor_path", lambda: None)
    monkeypatch.setattr(evaluation_work, "_detector", DrawnDetector)


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "shards"
    folder.mkdir()
    drawn_shard(folder / "test_seen-00000.tar", clips=3, frames=18)
    drawn_shard(folder / "test_seen-00001.tar", clips=2, frames=18, corpus="OTHER")
    return folder


def run(data, output, rows=("real", "still"), **options):
    return job.evaluate(rows, [data], output, workers=1, **options)


def test_results_hold_what_a_reader_needs(drawn, data, tmp_path):
    output = tmp_path / "new" / "r.json"
    results = run(data, output, command="lipglance evaluate real still")
    assert json.loads(output.read_text()) == results
    assert [row["name"] for row in results["rows"]] == ["real", "still"]
    assert results["command"] == "lipglance evaluate real still"
    assert results["data"]["corpora"]["DRAWN"] == {"clips": 3, "frames": 54, "speakers": ["a"]}
    assert results["hardware"]["cores"] >= 1
    real, still = (row["groups"] for row in results["rows"])
    assert list(still) == ["DRAWN", "OTHER"]
    assert real["DRAWN"]["metrics"]["lmd"]["mean"] == 0.0
    lmd = still["DRAWN"]["metrics"]["lmd"]
    values = [c["values"]["lmd"] for c in results["rows"][1]["clips"] if c["corpus"] == "DRAWN"]
    assert lmd["mean"] == pytest.approx(np.mean(values), abs=1e-5)
    assert lmd["low"] < lmd["mean"] < lmd["high"]
    assert lmd["n"] == 3
    assert still["OTHER"]["frames"] == 36
    assert [p.name for p in output.parent.iterdir()] == ["r.json"]


def test_real_frames_are_searched_once_for_all_rows(drawn, data, tmp_path, monkeypatch):
    calls = []

    class Counting(DrawnDetector):
        def points(self, image, near=None):
            calls.append(1)
            return super().points(image, near)

    monkeypatch.setattr(evaluation_work, "_detector", Counting)
    run(data, tmp_path / "r.json", rows=("real", "still", "pasted"), corpora=["OTHER"])
    assert len(calls) == 3 * 2 * 18


def test_the_view_is_chosen_and_kept(drawn, data, tmp_path):
    results = run(data, tmp_path / "r.json", rows=("pasted",), view="face", limit=1)
    assert results["view"] == "face"
    assert results["rows"][0]["clips"][0]["values"]["ssim"] is None
    assert results["rows"][0]["clips"][0]["values"]["aperture_r"] > 0.98


def test_another_speaker_says_the_sound(drawn, data, tmp_path):
    drawn_shard(data / "test_unseen-00000.tar", 2, 16, split="test_unseen", speaker="b")
    results = run(data, tmp_path / "r.json", rows=("real", "still"), identity="other")
    assert results["identity"] == "other"
    faces = [clip["face"] for clip in results["rows"][1]["clips"]]
    # Those of OTHER have no second speaker in their corpus; the split comes before the corpus' end.
    assert [(f["corpus"], f["split"]) for f in faces] == [("DRAWN", "test_unseen")] * 3 + [
        ("DRAWN", "test_seen")
    ] * 2
    assert results["data"]["identities"]["corpora"]["DRAWN"]["speakers"] == ["a", "b"]
    still = results["rows"][1]["groups"]["DRAWN"]["metrics"]
    assert still["cpbd"]["n"] == 3
    assert still["lmd"]["n"] == still["ssim"]["n"] == 0
    again = run(data, tmp_path / "again.json", rows=("still",), identity="other", limit=1)
    assert again["rows"][0]["clips"][0]["face"] == faces[0]


def test_records_of_own_identities_do_not_serve_for_others(drawn, data, tmp_path, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluation_work, "measure_cross", stopped)
    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path / "r.json", rows=("still",), identity="other")
    kept = json.loads((tmp_path / "r.partial.jsonl").read_text().splitlines()[0])
    assert kept["identity"] == "other"
    results = run(data, tmp_path / "r.json", rows=("still",))
    assert all("face" not in clip for clip in results["rows"][0]["clips"])


def test_the_voice_is_chosen_and_kept(drawn, data, tmp_path):
    clean = run(data, tmp_path / "clean.json", rows=("still",))
    assert clean["voice"] == "clean"
    fast = run(data, tmp_path / "fast.json", rows=("real", "pasted"), voice="fast")
    assert fast["voice"] == "fast"
    clip = fast["rows"][1]["clips"][0]
    assert clip["frames"] == len(clip["opening"]) == 14
    assert clip["values"]["ssim"] is clip["values"]["jitter"] is None
    assert clip["values"]["aperture_r"] > 0.9
    babble = run(data, tmp_path / "babble.json", rows=("still",), voice="babble")
    assert babble["data"]["babblers"]["corpora"]["DRAWN"]["clips"] > 0
    assert len({r["asked"] for r in (clean, fast, babble)}) == 3


def test_results_of_one_voice_do_not_serve_for_another(drawn, data, tmp_path, monkeypatch, caplog):
    output = tmp_path / "r.json"
    white = run(data, output, rows=("still",), limit=1, voice="white")
    assert run(data, output, rows=("still",), limit=1, voice="white", keep=True) == white
    again = run(data, output, rows=("still",), limit=1, voice="telephone", keep=True)
    assert again["voice"] == json.loads(output.read_text())["voice"] == "telephone"
    partial = tmp_path / "p.partial.jsonl"

    def stopped(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(evaluation_work, "measure_clip", stopped)
        with pytest.raises(KeyboardInterrupt):
            run(data, tmp_path / "p.json", rows=("still",), voice="white")
    assert json.loads(partial.read_text().splitlines()[0])["voice"] == "white"
    with caplog.at_level(logging.WARNING, "lipglance"):
        run(data, tmp_path / "p.json", rows=("still",))
    assert "another evaluation" in caplog.text


def test_clips_without_word_times_fail_in_a_synthetic_voice_and_are_counted(
    drawn, data, tmp_path, monkeypatch, caplog
):
    class Hearing(rows.Still):
        def lips(self, clip):
            clip.audio(16_000)
            return super().lips(clip)

    monkeypatch.setattr(job, "check_voice", lambda voice: {"voice": voice})
    monkeypatch.setattr(evaluation_work, "_row", lambda name: Hearing())
    with caplog.at_level(logging.WARNING, "lipglance"):
        results = run(data, tmp_path / "r.json", rows=("still",), voice="synthetic")
    assert results["rows"][0]["groups"]["DRAWN"]["failed_clips"] == 3
    assert "no times of all its words" in caplog.text


def test_without_espeak_nothing_is_begun(drawn, data, tmp_path, monkeypatch):
    monkeypatch.setattr(voice_changes.shutil, "which", lambda name: None)
    with pytest.raises(InputError, match="apt-get install espeak-ng"):
        run(data, tmp_path / "r.json", rows=("still",), voice="synthetic")
    assert [p.name for p in tmp_path.iterdir()] == ["shards"]


def test_nobody_else_is_one_clear_line(drawn, tmp_path):
    drawn_shard(tmp_path / "val-00000.tar", clips=2, frames=16, split="val")
    with pytest.raises(InputError, match=r"a is the only speaker .* --data"):
        run(tmp_path, tmp_path / "r.json", split="val", identity="other")


def test_limit_spreads_over_each_corpus(drawn, data, tmp_path):
    results = run(data, tmp_path / "r.json", limit=2)
    keys = [(c["corpus"], c["key"]) for c in results["rows"][0]["clips"]]
    assert keys == [("DRAWN", "clip0"), ("DRAWN", "clip1"), ("OTHER", "clip0"), ("OTHER", "clip1")]


def test_an_interrupted_run_goes_on(drawn, data, tmp_path, monkeypatch):
    whole = run(data, tmp_path / "whole.json")
    done = []

    def failing(clip, *options):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(clip.sample.key)
        return measure.measure_clip(clip, *options)

    monkeypatch.setattr(evaluation_work, "measure_clip", failing)
    output = tmp_path / "r.json"
    with pytest.raises(KeyboardInterrupt):
        run(data, output)
    partial = tmp_path / "r.partial.jsonl"
    assert not output.exists()
    assert len(partial.read_text().splitlines()) == 1 + 2 * 2
    with partial.open("a") as file:
        file.write('{"key": "clip2", "row": "re')
    again = []
    monkeypatch.setattr(
        evaluation_work,
        "measure_clip",
        lambda c, *a: again.append(c.sample) or measure.measure_clip(c, *a),
    )
    results = run(data, output)
    assert len(again) == 3
    assert [row["groups"].keys() for row in results["rows"]] == [
        row["groups"].keys() for row in whole["rows"]
    ]
    for got, expected in zip(results["rows"], whole["rows"], strict=True):
        assert {c: g["metrics"] for c, g in got["groups"].items()} == {
            c: g["metrics"] for c, g in expected["groups"].items()
        }
    assert not partial.exists()


def test_records_of_another_run_are_not_used(drawn, data, tmp_path, caplog):
    partial = tmp_path / "r.partial.jsonl"
    partial.write_text('{"split": "val"}\n{"key": "clip0", "row": "real", "corpus": "DRAWN"}\n')
    with caplog.at_level(logging.WARNING, "lipglance"):
        results = run(data, tmp_path / "r.json")
    assert "another evaluation" in caplog.text
    assert all("values" in clip for clip in results["rows"][0]["clips"])


def test_a_clip_that_cannot_be_measured_is_counted_not_fatal(drawn, tmp_path, caplog):
    face = np.full((64, 64, 3), 90, np.uint8)
    centres = np.full((18, 2), 32.0)
    drawn_shard(tmp_path / "val-00000.tar", clips=1, frames=18, split="val")
    with ShardWriter(tmp_path / "val-00001.tar") as writer:
        add_clip(writer, "torn", [face] * 9, centres[:9], 20.0, split="val")
    # The index promises more frames than the stored clip has.
    index = tmp_path / "val-00001.tar.index.json"
    index.write_text(index.read_text().replace('"frames": 9', '"frames": 10'))
    with caplog.at_level(logging.WARNING, "lipglance"):
        results = run(tmp_path, tmp_path / "r.json", split="val", rows=("still",))
    group = results["rows"][0]["groups"]["DRAWN"]
    assert (group["clips"], group["failed_clips"], group["frames"]) == (2, 1, 18)
    assert group["metrics"]["lmd"]["n"] == 1
    assert "torn, still:" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": ("real", "real")}, "each once"),
        ({"rows": ("no such model",)}, "unknown model 'no such model'"),
        ({"limit": 0}, "limit 0"),
        ({"identity": "twin"}, "identity 'twin'; expected one of own, other"),
        ({"rows": ("pasted",), "identity": "other"}, "row pasted with other identities"),
        ({"voice": "shrill"}, "voice 'shrill'; expected one of clean, white"),
        ({"view": "mouth"}, "view 'mouth'; expected one of lips, face"),
        ({"split": "test_unseen"}, "no samples of split test_unseen"),
    ],
)
def test_bad_input(drawn, data, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        run(data, tmp_path / "r.json", **options)
    assert [p.name for p in tmp_path.iterdir()] == ["shards"]


def test_results_are_not_overwritten_unasked(drawn, data, tmp_path):
    output = tmp_path / "r.json"
    output.write_text("precious")
    with pytest.raises(InputError, match="exists; give another name or --force"):
        run(data, output)
    assert output.read_text() == "precious"
    run(data, output, force=True, limit=1)
    assert json.loads(output.read_text())["rows"]
    with pytest.raises(InputError, match="is a directory; expected a file"):
        run(data, tmp_path, force=True)


def test_results_of_the_same_question_are_kept(drawn, data, tmp_path, monkeypatch):
    output = tmp_path / "r.json"
    first = run(data, output, limit=1)

    def not_again(*_):
        raise AssertionError("measured again")

    with monkeypatch.context() as patch:
        patch.setattr(evaluation_work, "measure_clip", not_again)
        assert run(data, output, limit=1, keep=True) == first
    other = run(data, output, rows=("real",), limit=1, keep=True, force=True)
    assert [row["name"] for row in other["rows"]] == ["real"]


def test_an_unwritable_place_is_told_in_one_line(drawn, data, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write the results"):
        run(data, tmp_path / "file" / "r.json")


def command_line(data, output, *more):
    import typer

    app = typer.Typer()
    app.command()(cli_evaluate.evaluate_command)
    common = ["--data", str(data), "--workers", "1", "--limit", "1", "-o", str(output)]
    return CliRunner().invoke(app, ["real", "still", *common, *more])


def test_the_command_prints_a_table_or_markdown(drawn, data, tmp_path):
    table = command_line(data, tmp_path / "a.json")
    assert table.exit_code == 0, table.output
    assert "DRAWN test_seen, 1 clips" in table.stdout
    assert "still" in table.stdout
    text = command_line(data, tmp_path / "b.json", "--markdown").stdout
    assert "| real | 0.00 |" in text
    assert text.count("| --- |") == 2
    assert command_line(data, tmp_path / "c.json", "--quiet").stdout == ""
    other = command_line(data, tmp_path / "d.json", "--markdown", "--identity", "other").stdout
    assert "**DRAWN test_seen, another speaker's face, 1 clips**" in other
    assert "LMD" not in other
    noisy = command_line(data, tmp_path / "e.json", "--markdown", "--voice", "white").stdout
    assert "**DRAWN test_seen, white noise at 10 dB, 1 clips**" in noisy


@pytest.mark.slow
def test_with_dlib_and_two_processes(tmp_path):
    pytest.importorskip("dlib", reason="needs the eval extra: pip install '.[eval]'")
    face = np.ascontiguousarray(astronaut()[:256, 96:352])
    frames = 16
    centres = np.full((frames, 2), [127.0, 147.0])
    with ShardWriter(tmp_path / "test_seen-00000.tar") as writer:
        for k in range(2):
            pictures = [opened_face(face, 1.2 * o - 5) for o in track(frames, k)]
            add_clip(writer, f"face{k}", pictures, centres, 32.0)
    results = job.evaluate(["real", "pasted", "still"], [tmp_path], tmp_path / "r.json", workers=2)
    real, pasted, still = (row["groups"]["DRAWN"] for row in results["rows"])
    assert real["missing_real"] == still["missing_generated"] == 0
    assert real["metrics"]["lmd"]["mean"] == 0.0
    assert real["metrics"]["ssim"]["mean"] == 1.0
    assert pasted["metrics"]["lmd"]["mean"] < 1.0
    assert still["metrics"]["lmd"]["mean"] > 2 * pasted["metrics"]["lmd"]["mean"]
    assert pasted["metrics"]["aperture_r"]["mean"] > 0.95
    assert still["metrics"]["articulation"]["mean"] < 0.3
    assert still["metrics"]["ssim"]["mean"] < pasted["metrics"]["ssim"]["mean"]


def test_a_clip_that_is_in_the_shards_twice_is_refused(drawn, data, tmp_path):
    again = tmp_path / "again"
    again.mkdir()
    drawn_shard(again / "test_seen-00000.tar", clips=1, frames=18)
    with pytest.raises(InputError, match="in the shards 2 times; expected each clip once"):
        job.evaluate(["real"], [data, again], tmp_path / "r.json", workers=1)
