"""Hearing and painting learn together: pictures teach the ear, a run resumes, is exported."""

import json
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from lipglance.checkpoint import read_checkpoint  # noqa: E402
from lipglance.config import from_dict  # noqa: E402
from lipglance.errors import InputError  # noqa: E402
from lipglance.export import export_model  # noqa: E402
from lipglance.models import load_model  # noqa: E402
from lipglance.renderer_learner import _misread  # noqa: E402
from lipglance.talker_batches import TalkerSource  # noqa: E402
from lipglance.talker_learner import TalkerLearner  # noqa: E402
from lipglance.trainer import RunOptions, train  # noqa: E402
from test_renderer_learner import CRITIC, SIZE, face_shards  # noqa: E402

CPU = RunOptions(accelerator="cpu", threads=2)
SMALL = {
    "batch": 3,
    "rate": 1e-3,
    "betas": [0.9, 0.99],
    "warmup": 1,
    "ema": 0.5,
    "precision": "fp32",
    "motion": {"codes": 3, "width": 16, "memory": 32, "frames": 32},
    "look": {"width": 4, "features": 16},
    "renderer": CRITIC,
    "talker": {"pictures": 3},
}


def config(kind, steps=1, **changes):
    return from_dict(SMALL | {"kind": kind, "name": kind, "steps": steps} | changes)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return face_shards(tmp_path_factory.mktemp("faces"))


@pytest.fixture(scope="module")
def halves(shards, tmp_path_factory):
    place = tmp_path_factory.mktemp("halves")
    train(config("look"), [shards], place / "look", CPU)
    train(config("motion"), [shards], place / "motion", CPU, place / "look")
    train(config("renderer"), [shards], place / "renderer", CPU)
    return place / "motion", place / "renderer"


def begun(halves, **changes):
    learner = TalkerLearner(config("talker", **changes), torch.device("cpu"), lambda p: None)
    learner.begin_with({str(run): read_checkpoint(run / "last.pt") for run in halves})
    return learner


def test_the_pictures_are_frames_of_who_speaks(shards, halves):
    learner = begun(halves)
    source = learner.source([shards], 1.0)
    assert isinstance(source, TalkerSource)
    (batch, one), (_, two) = (source.batch(0, 4, 3) for _ in range(2))
    assert torch.equal(one.wanted, two.wanted)
    assert one.source.shape[1:] == (3, SIZE, SIZE)
    assert (batch.taught[one.row, one.frame] == 1).all()


def test_true_codes_drive_the_points_to_where_they_are(shards, halves):
    learner = begun(halves)
    source = learner.source([shards], 1.0)
    batch, pictures = source.batch(0, 1, 4)
    found = learner.driven(batch.code, pictures)
    away = (pictures.points - pictures.driven).norm(dim=-1).max()
    # Three codes say most of it; sequences are stretched, so a frame is met within half a frame.
    assert (found - pictures.driven).norm(dim=-1).max() < max(0.5, 0.4 * float(away))


def test_pictures_alone_teach_the_ear(shards, halves):
    learner = begun(halves, talker={"pictures": 3, "points": 0.0, "told": 0.0})
    batch, pictures = learner.source([shards], 1.0).batch(0, 0, 3)
    net = learner.hearing.net
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    terms = learner.step(batch, pictures, 0)
    assert {"points", "l1", "edges", "moved"} <= set(terms)
    changed = [name for name, p in net.named_parameters() if not torch.equal(p, before[name])]
    assert "say.weight" in changed
    assert any(name.startswith("speech.") for name in changed)


def test_what_is_painted_is_read(shards, halves):
    learner = begun(halves, talker={"pictures": 3, "reading": 1.0})
    batch, pictures = learner.source([shards], 1.0).batch(0, 0, 3)
    reader = learner.painting.reader
    before = [p.clone() for p in reader.parameters()]
    assert learner.step(batch, pictures, 0)["reading"] > 0
    assert all(torch.equal(p, q) for p, q in zip(reader.parameters(), before, strict=True))
    silent = begun(halves)
    assert "reading" not in silent.step(*silent.source([shards], 1.0).batch(0, 0, 3), 0)


def test_a_painted_mouth_is_held_to_where_it_was_told_to_be(shards, halves):
    learner = begun(halves, talker={"pictures": 3, "reading": 1.0})
    _, pictures = learner.source([shards], 1.0).batch(0, 0, 3)
    reader, wanted = learner.painting.reader, pictures.wanted
    astray = torch.full((len(wanted), 20, 2), 2.0)
    assert float(_misread(reader, wanted, wanted, None)) == 0
    # Huber's loss of two px.
    assert float(_misread(reader, wanted, wanted, astray)) == pytest.approx(1.75, abs=1e-4)


def test_resumed_run_is_the_unbroken_one(shards, halves, tmp_path):
    train(config("talker", 1), [shards], tmp_path / "run", CPU, *halves)
    train(config("talker", 2), [shards], tmp_path / "run", CPU)
    train(config("talker", 2), [shards], tmp_path / "whole", CPU, *reversed(halves))
    one, two = (read_checkpoint(tmp_path / name / "last.pt") for name in ("run", "whole"))
    for half in ("hearing", "painting"):
        for name, value in two[half]["networks"]["average"].items():
            torch.testing.assert_close(one[half]["networks"]["average"][name], value)
    assert two["progress"]["step"] == 2
    parts = [read_checkpoint(run / "last.pt")["progress"]["hours"] for run in halves]
    assert two["progress"]["hours"] > sum(parts)


def test_is_exported_as_a_whole_model(shards, halves, tmp_path):
    run = tmp_path / "run"
    train(config("talker", 1), [shards], run, CPU, *halves)
    model = load_model(export_model(run, tmp_path / "model"))
    assert model.info.kind == "glance"
    assert model.info.steps == 1
    facts = json.loads((tmp_path / "model" / "motion.json").read_text())
    assert facts["name"] == "motion"
    assert model.info.extra["training_hours"] == facts["training_hours"]


def test_a_look_that_knows_the_hearing_takes_the_place_of_the_first(shards, halves, tmp_path):
    look = tmp_path / "look"
    train(config("look"), [shards], look, CPU, halves[0])
    train(config("talker"), [shards], tmp_path / "run", CPU, *halves, look)
    kept = read_checkpoint(tmp_path / "run" / "last.pt")["hearing"]["seeing"]["networks"]["average"]
    wanted = read_checkpoint(look / "last.pt")["networks"]["average"]
    first = read_checkpoint(halves[0] / "last.pt")["seeing"]["networks"]["average"]
    assert all(torch.equal(value, kept[name]) for name, value in wanted.items())
    assert not torch.equal(first["rest.say.weight"], kept["rest.say.weight"])
    strange = read_checkpoint(look / "last.pt")
    strange["basis"]["components"] *= 2
    with pytest.raises(InputError, match="the look's codes mean other shapes"):
        begun(halves).hearing.see_with(strange)


def test_it_says_what_it_begins_with(shards, halves, tmp_path):
    with pytest.raises(InputError, match="begins with a motion run and a renderer run"):
        train(config("talker"), [shards], tmp_path / "run", CPU)
    with pytest.raises(InputError, match="runs of motion to begin with"):
        train(config("talker"), [shards], tmp_path / "run", CPU, halves[0])
    other = replace(config("talker"), motion=replace(config("talker").motion, memory=64))
    with pytest.raises(InputError, match="networks of other sizes"):
        train(other, [shards], tmp_path / "run", CPU, *halves)
