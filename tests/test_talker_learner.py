"""Hearing and painting learn together: pictures teach the ear, a run resumes, is exported."""

import json
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")
from safetensors.torch import load_file  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from faces import astronaut, astronaut_landmarks  # noqa: E402
from lipglance.checkpoint import read_checkpoint  # noqa: E402
from lipglance.config import from_dict  # noqa: E402
from lipglance.crop import CropConfig, picture_crop  # noqa: E402
from lipglance.errors import InputError  # noqa: E402
from lipglance.export import export_model  # noqa: E402
from lipglance.geometry import crop_image  # noqa: E402
from lipglance.models import load_model  # noqa: E402
from lipglance.renderer_learner import _misread  # noqa: E402
from lipglance.talker_batches import TalkerSource  # noqa: E402
from lipglance.talker_learner import TalkerLearner, lips_of, out_of_sync  # noqa: E402
from lipglance.trainer import RunOptions, train  # noqa: E402
from synthetic_shards import write_shards  # noqa: E402
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


def test_painting_may_learn_alone(shards, halves):
    learner = begun(halves, talker={"pictures": 3, "points": 1.0, "hearing": False})
    nets = learner.hearing.net, learner.painting.net
    before = [{name: v.clone() for name, v in net.state_dict().items()} for net in nets]
    terms = learner.step(*learner.source([shards], 1.0).batch(0, 0, 3), 0)
    assert {"points", "l1"} <= set(terms)
    after = [net.state_dict() for net in nets]
    assert all(torch.equal(v, before[0][name]) for name, v in after[0].items())
    assert not torch.equal(after[1]["paint.weight"], before[1]["paint.weight"])


def test_the_critic_may_learn_before_all_else(shards, halves, tmp_path):
    first = config("talker", steps=0, renderer=CRITIC | {"critic_first": 2})
    train(first, [shards], tmp_path / "run", CPU, *halves)
    state = read_checkpoint(tmp_path / "run" / "last.pt")
    assert (state["progress"]["critic"], state["progress"]["step"]) == (2, 0)
    before = begun(halves).painting
    after = state["painting"]["networks"]
    known = before.critic.state_dict()["layers.0.bias"]
    assert not torch.equal(known, after["critic"]["layers.0.bias"])
    for name, value in before.net.state_dict().items():
        assert torch.equal(value, after["renderer"][name])


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


@pytest.fixture(scope="module")
def expert(tmp_path_factory):
    place = tmp_path_factory.mktemp("expert")
    lips = write_shards(place / "shards")
    train(config("sync", sync={"width": 4, "embedding": 8}), [lips], place / "sync", CPU)
    return place / "sync"


JUDGED = {"pictures": 6, "sync": 0.1}


def test_for_an_expert_frames_follow_each_other_and_are_of_one_person(shards, halves, expert):
    learner = begun((*halves, expert), talker=JUDGED)
    batch, pictures = learner.source([shards], 1.0).batch(0, 4, 3)
    rows, frames = pictures.row.view(-1, 6), pictures.frame.view(-1, 6)
    assert (rows == rows[:, :1]).all()
    assert (frames == frames[:, :1] + torch.arange(6)).all()
    assert (batch.owner[rows, frames] == batch.owner[rows, frames][:, :1]).all()
    shown = pictures.source.view(-1, 6, *pictures.source.shape[1:])
    assert (shown == shown[:, :1]).all()


def test_an_expert_judges_and_learns_nothing(shards, halves, expert):
    quiet = {"pictures": 6, "sync": 1.0, "points": 0.0, "told": 0.0}
    learner = begun((*halves, expert), talker=quiet)
    batch, pictures = learner.source([shards], 1.0).batch(0, 0, 3)
    before = [p.clone() for p in learner._judge.state_dict().values()]
    judge, made = learner._judge, pictures.wanted.clone().requires_grad_(True)
    loss = out_of_sync(judge, made, batch.mel, pictures)
    loss.backward()
    assert 0 < float(loss) < 10
    # Lips are looked at, the chin is not.
    assert made.grad[:, :, : SIZE * 3 // 4].abs().sum() > 0
    assert made.grad[:, :, SIZE * 3 // 4 :].abs().sum() == 0
    assert learner.step(batch, pictures, 0)["sync"] > 0
    assert all(map(torch.equal, before, learner._judge.state_dict().values()))


def test_the_true_shift_is_what_is_asked_for(shards, halves, expert):
    learner = begun((*halves, expert), talker=JUDGED)
    batch, pictures = learner.source([shards], 1.0).batch(0, 4, 3)

    class Judge:
        """Lips and sound agree where `late` frames lie between them."""

        scale = 20.0

        def __init__(self, late):
            self.late = late

        def lips(self, lips):
            return F.one_hot(pictures.frame.view(-1, 6)[:, :2] + self.late, 64).float()

        def sound(self, mel):
            return F.one_hot(torch.arange(28), 64).float().repeat(len(mel), 1, 1)

    made = pictures.wanted
    assert float(out_of_sync(Judge(0), made, batch.mel, pictures)) < 1e-3
    assert float(out_of_sync(Judge(1), made, batch.mel, pictures)) > 10


def test_lips_are_cut_from_faces_as_from_pictures():
    points, picture = astronaut_landmarks().points, astronaut()
    face = crop_image(picture, picture_crop(points, CropConfig.face(96)), 96)
    lips = crop_image(picture, picture_crop(points, CropConfig()), 64)
    cut = lips_of(torch.from_numpy(face.transpose(2, 0, 1)[None].astype("float32")))[0]
    assert (cut.permute(1, 2, 0) - torch.from_numpy(lips.astype("float32"))).abs().mean() < 3


def test_without_an_expert_nobody_judges(shards, halves):
    with pytest.raises(InputError, match="give a sync expert's run as --begin-with"):
        begun(halves, talker=JUDGED).source([shards], 1.0)


@pytest.mark.parametrize("judged", [False, True])
def test_resumed_run_is_the_unbroken_one(shards, halves, expert, tmp_path, judged):
    parts = (*halves, expert) if judged else halves
    talker = {"talker": JUDGED} if judged else {}
    train(config("talker", 1, **talker), [shards], tmp_path / "run", CPU, *parts)
    train(config("talker", 2, **talker), [shards], tmp_path / "run", CPU)
    train(config("talker", 2, **talker), [shards], tmp_path / "whole", CPU, *reversed(parts))
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


def test_is_exported_between_the_model_it_began_with_and_the_run(shards, halves, tmp_path):
    train(config("talker", 1), [shards], tmp_path / "first", CPU, *halves)
    model = export_model(tmp_path / "first", tmp_path / "model")
    train(config("talker", 1), [shards], tmp_path / "run", CPU, model)
    export_model(tmp_path / "run", tmp_path / "end")
    mixed = export_model(tmp_path / "run", tmp_path / "mixed", begun=(model, 0.5))
    said = load_model(mixed).info.extra["between"]
    assert said == "0.5 of the way from model to this run"
    name = "paint.weight"
    old, new, middle = (
        load_file(place / "renderer.safetensors")[name].float()
        for place in (model, tmp_path / "end", mixed)
    )
    assert not torch.equal(old, new)
    torch.testing.assert_close(middle, (old + new) / 2, atol=1e-3, rtol=1e-2)


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
