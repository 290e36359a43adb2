"""Speech goes to the lips it should, from the command line to the JSON beside the picture."""

import json

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="needs the eval extra: pip install '.[eval]'")
pytest.importorskip("onnx", reason="needs the train extra: pip install '.[train]'")

from fake_clips import HALF, add_clip, draw, places, track
from lipglance import figure_lips
from lipglance.cli import main
from lipglance.evaluation_clip import opened
from lipglance.rows import ModelRow
from lipglance.shard_writer import ShardWriter
from lipglance.shards import ShardDataset
from synthetic_shards import write_shards
from toy_model import write_toy_model

WORDS = [[0, 0.1, "sil"], [0.1, 0.3, "bin"], [0.3, 0.5, "red"], [0.5, 0.8, "now"]]


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Two clips each of three drawn speakers; b's have words."""
    folder = tmp_path_factory.mktemp("shards")
    centres = places(20)
    with ShardWriter(folder / "test_seen-00000.tar") as writer:
        for k, speaker in enumerate("aabbcc"):
            pictures = [draw(o, c) for o, c in zip(track(20, k), centres, strict=True)]
            facts = {"speaker": speaker, "utterance": f"u{k}"}
            words = {"words": WORDS} if speaker == "b" else {}
            add_clip(writer, f"k{k}", pictures, centres, HALF, "grid", **facts, **words)
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return [write_toy_model(folder / name, name) for name in ("one", "two")]


def reproduce(what, shards, out, *models, more=()):
    command = ["reproduce", what, "--data", str(shards), "-o", str(out), *more]
    for model in models:
        command += ["--model", str(model)]
    return main(command)


def told(out, what):
    assert {p.name for p in out.iterdir()} == {f"{what}.{kind}" for kind in ("png", "pdf", "json")}
    return json.loads((out / f"{what}.json").read_text())


def test_say_is_another_face_with_the_clips_sound(shards, models):
    row = ModelRow("one", figure_lips.load_model(models[0]))
    first, *_, last = ShardDataset(shards)
    with opened(first) as clip:
        said = row.say(np.full((64, 64, 3), 200, np.uint8), clip)
        assert said.shape == (20, 64, 64, 3)
        assert (said[:, :8] == 200).all()
        np.testing.assert_array_equal(row.say(clip.identity(row.crop), clip), row.lips(clip))
        path = clip.path
    assert not path.exists()
    assert last.key == "k5"


def test_figure_1_is_one_persons_speech_on_anothers_lips(shards, models, tmp_path, monkeypatch):
    given, say = [], ModelRow.say
    monkeypatch.setattr(ModelRow, "say", lambda *args: given.append(args[3]) or say(*args))
    assert reproduce("fig1", shards, tmp_path, models[0]) == 0
    facts = told(tmp_path, "fig1")
    shown = facts["shown"]
    assert len(shown) == 3
    for pair in shown:
        assert pair["speech"]["speaker"] != pair["identity"]["speaker"]
    # The clip with words comes first, at the words' middles.
    assert shown[0]["speech"]["speaker"] == "b"
    assert shown[0]["speech"]["labels"] == ["bin", "red", "now"]
    assert shown[0]["speech"]["frames"] == [5, 10, 16]
    assert len(facts["models"][0]["sha256"]) == 64
    assert facts["data"]["corpora"]["grid"]["clips"] == 6
    # Each face's own points go with it.
    assert given
    assert all(points is not None for points in given)


def test_figure_4_draws_by_the_seed_and_shows_those_with_a_beard(
    shards, models, tmp_path, monkeypatch
):
    monkeypatch.setattr(figure_lips, "BEARDED", frozenset({"grid/c"}))
    assert reproduce("fig4", shards, tmp_path, models[0]) == 0
    first = told(tmp_path, "fig4")
    found = [(s["clip"]["speaker"], s["known_beard"]) for s in first["shown"]]
    assert found[:2] == [("c", True), ("c", True)]
    assert sorted(found[2:]) == [("a", False), ("b", False)]
    assert reproduce("fig4", shards, tmp_path, models[0]) == 0
    assert told(tmp_path, "fig4") == first
    assert reproduce("fig4", shards, tmp_path, models[0], more=["--speakers", "a,grid/b"]) == 0
    chosen = {s["clip"]["speaker"] for s in told(tmp_path, "fig4")["shown"]}
    assert chosen == {"a", "b"}


def test_figure_5_lets_an_outside_face_speak_by_models_side_by_side(
    shards, models, tmp_path, monkeypatch
):
    seen = []
    draw_panels = figure_lips.draw_panels
    monkeypatch.setattr(figure_lips, "draw_panels", lambda p: seen.extend(p) or draw_panels(p))
    assert reproduce("fig5", shards, tmp_path, *models) == 0
    facts = told(tmp_path, "fig5")
    assert [m["name"] for m in facts["models"]] == [str(m) for m in models]
    assert {s["face"].rpartition("/")[2] for s in facts["shown"]} == {"sample_face.jpg"}
    assert {s["speech"]["speaker"] for s in facts["shown"]} == {"a", "b", "c"}
    for panel in seen:
        assert [block.title.partition(";")[0] for block in panel.blocks] == ["one", "two"]
        # The toy paints nothing at the edge: there the identity must be, and not the speaker.
        made = panel.blocks[0].strips[1].frames
        np.testing.assert_allclose(made[:, 0], panel.identity[None, 0].repeat(len(made), 0), atol=1)


def test_bad_input_is_one_clear_line(shards, models, tmp_path, capsys):
    out = tmp_path / "out"
    assert reproduce("fig4", shards, out, "nobody") == 2
    assert "unknown model" in capsys.readouterr().err
    assert reproduce("fig4", shards, out, models[0], models[0]) == 2
    assert "each once" in capsys.readouterr().err
    assert reproduce("fig1", shards, out, models[0], more=["--speakers", "a"]) == 2
    assert "two or more" in capsys.readouterr().err
    assert reproduce("fig5", shards, out, models[0], more=["--face", str(tmp_path / "no.jpg")]) == 2
    assert "no.jpg" in capsys.readouterr().err
    train = write_shards(tmp_path / "train", clips=2, splits=("train",))
    assert reproduce("fig4", train, out, models[0], more=["--split", "train"]) == 2
    assert "no original clip" in capsys.readouterr().err
    assert not out.exists()


def test_without_matplotlib_the_line_says_what_to_install(
    shards, models, tmp_path, capsys, monkeypatch
):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    assert reproduce("fig4", shards, tmp_path / "out", models[0]) == 2
    assert "lipglance[eval]" in capsys.readouterr().err
