"""A run may begin with a run or with a model: the same networks, told by one state."""

import json
import shutil

import pytest

torch = pytest.importorskip("torch")

from lipglance.checkpoint import read_checkpoint  # noqa: E402
from lipglance.config import from_dict, load_config  # noqa: E402
from lipglance.errors import InputError  # noqa: E402
from lipglance.export import export_model  # noqa: E402
from lipglance.models import find_model  # noqa: E402
from lipglance.renderer_learner import RendererLearner  # noqa: E402
from lipglance.starts import read_start  # noqa: E402
from lipglance.talker_learner import TalkerLearner  # noqa: E402
from lipglance.trainer import train  # noqa: E402
from test_talker_learner import CPU, config, expert, halves, shards  # noqa: E402, F401


@pytest.fixture(scope="module")
def talker(shards, halves, tmp_path_factory):  # noqa: F811
    run = tmp_path_factory.mktemp("talker") / "run"
    train(config("talker"), [shards], run, CPU, *halves)
    return run


@pytest.fixture(scope="module")
def model(talker, tmp_path_factory):
    return export_model(talker, tmp_path_factory.mktemp("model") / "mine")


def learner(start, **changes):
    made = TalkerLearner(config("talker", **changes), torch.device("cpu"), lambda p: None)
    made.begin_with({"start": start})
    return made


def weights(state):
    parts = {
        "hear": state["hearing"],
        "see": state["hearing"]["seeing"],
        "paint": state["painting"],
    }
    return {
        f"{part}.{name}": value
        for part, kept in parts.items()
        for name, value in kept["networks"]["average"].items()
    }


def test_a_model_holds_what_its_run_learnt(talker, model):
    run, kept = (learner(read_start(start)).state() for start in (talker, model))
    # A model's weights are stored in 16 bits.
    torch.testing.assert_close(weights(kept), weights(run), rtol=1e-3, atol=1e-6)
    basis = [state["hearing"]["seeing"]["basis"]["components"] for state in (run, kept)]
    torch.testing.assert_close(*basis, rtol=1e-6, atol=1e-7)


def test_training_goes_on_from_a_model(shards, model, tmp_path):  # noqa: F811
    run = tmp_path / "run"
    train(config("talker", 1), [shards], run, CPU, model)
    state, facts = read_checkpoint(run / "last.pt"), json.loads((model / "motion.json").read_text())
    assert state["progress"]["step"] == 1
    assert state["progress"]["hours"] >= facts["training_hours"]
    before, after = weights(learner(read_start(model)).state()), weights(state)
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_a_run_of_a_talker_is_enough_to_begin_with(shards, halves, talker, tmp_path):  # noqa: F811
    train(config("talker", 1), [shards], tmp_path / "run", CPU, talker)
    with pytest.raises(InputError, match="runs of talker, talker to begin with"):
        train(config("talker"), [shards], tmp_path / "other", CPU, talker, tmp_path / "run")


def test_a_named_half_takes_the_place_of_the_talkers(halves, talker):  # noqa: F811
    known = [read_start(start) for start in (talker, *halves)]
    for runs in ((known[0], known[2]), (known[2], known[0])):
        made = TalkerLearner(config("talker"), torch.device("cpu"), lambda parameters: None)
        made.begin_with({str(index): run for index, run in enumerate(runs)})
        heard, painted = (made.state()[part]["networks"] for part in ("hearing", "painting"))
        for found, wanted, other in (
            (heard, known[0]["hearing"], known[1]),
            (painted, known[2], known[0]["painting"]),
        ):
            kept, average = found["average"], wanted["networks"]["average"]
            assert all(torch.equal(kept[name], value) for name, value in average.items())
            unlike = other["networks"]["average"]
            assert any(not torch.equal(kept[name], value) for name, value in unlike.items())


def test_a_renderer_begins_with_a_renderer_or_a_talkers(halves, talker, model):  # noqa: F811
    for start in (halves[1], talker, model):
        known = read_start(start)
        made = RendererLearner(config("renderer"), torch.device("cpu"), lambda parameters: None)
        made.begin_with({"start": known})
        wanted = (known if start is halves[1] else known["painting"])["networks"]["average"]
        kept = made.state()["networks"]
        assert all(torch.equal(kept["renderer"][name], value) for name, value in wanted.items())
    with pytest.raises(InputError, match="runs of motion to begin with; expected one of renderer"):
        made.begin_with({"start": read_start(halves[0])})


def test_an_ear_or_a_look_alone_begins_with_a_model(shards, model, tmp_path):  # noqa: F811
    ear, look = tmp_path / "ear", tmp_path / "look"
    train(config("motion", seed=5), [shards], ear, CPU, model)
    train(config("look"), [shards], look, CPU, model)
    known, (heard, seen) = (
        read_start(model),
        (read_checkpoint(run / "last.pt") for run in (ear, look)),
    )
    basis = known["hearing"]["seeing"]["basis"]["components"]
    assert torch.equal(heard["seeing"]["basis"]["components"], basis)
    assert torch.equal(seen["basis"]["components"], basis)
    wanted = known["hearing"]["networks"]["average"]["say.weight"]
    # Who hears is a new one, who tells the level of clips is the model's.
    assert not torch.allclose(heard["networks"]["average"]["say.weight"], wanted, atol=1e-3)
    assert torch.equal(seen["hearing"]["networks"]["average"]["say.weight"], wanted)


def test_a_named_expert_takes_the_place_of_the_talkers(shards, halves, expert, tmp_path):  # noqa: F811
    judged = {"pictures": 6, "sync": 0.1}
    run, other = tmp_path / "run", tmp_path / "other"
    train(config("talker", talker=judged), [shards], run, CPU, *halves, expert)
    strange = read_checkpoint(expert / "last.pt")
    for value in strange["networks"]["sync"].values():
        value.zero_()
    other.mkdir()
    torch.save(strange, other / "last.pt")
    for starts in ([run, other], [other, run]):
        made = TalkerLearner(
            config("talker", talker=judged), torch.device("cpu"), lambda parameters: None
        )
        made.begin_with({str(start): read_start(start) for start in starts})
        assert all(
            not value.any() for value in made.state()["judging"]["networks"]["sync"].values()
        )


def test_shipped_models_are_known_by_name():
    shipped = read_start("glance")
    made = TalkerLearner(
        load_config("configs/talker.yaml"), torch.device("cpu"), lambda parameters: None
    )
    made.begin_with({"glance": shipped, "sync": read_start(find_model("glance").parent / "sync")})
    assert made.hearing.known().size == made.config.motion.codes
    # The look that is shipped sees a picture as the one that is begun with does.
    assert from_dict(made.hearing.seeing["config"]).look.trust == 0.6


def test_what_is_no_start_is_told(tmp_path, model):
    with pytest.raises(InputError, match=r"no checkpoint of lipglance train at .*last\.pt"):
        read_start(tmp_path)
    with pytest.raises(InputError, match="unknown model 'nobody'"):
        read_start("nobody")
    with pytest.raises(InputError, match="a model of kind lmgg"):
        read_start("lmgg")
    part = tmp_path / "part"
    shutil.copytree(model, part)
    (part / "motion.safetensors").write_bytes(b"x" * 20)
    with pytest.raises(InputError, match=r"part holds no model to begin with \(SafetensorError"):
        read_start(part)
