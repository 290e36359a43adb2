"""The motion trainer learns that loud means open, stops and resumes."""

import pytest

torch = pytest.importorskip("torch")

from lipglance.checkpoint import read_checkpoint  # noqa: E402
from lipglance.config import from_dict  # noqa: E402
from lipglance.errors import InputError  # noqa: E402
from lipglance.look_learner import read_basis  # noqa: E402
from lipglance.motion_learner import MotionLearner  # noqa: E402
from lipglance.trainer import RunOptions, train  # noqa: E402
from synthetic_shards import FACE, write_shards  # noqa: E402
from test_look_learner import tiny as tiny_look  # noqa: E402

CPU = RunOptions(accelerator="cpu", threads=2)


def tiny(**changes):
    return from_dict(
        {
            "kind": "motion",
            "name": "motion",
            "steps": 2,
            "batch": 8,
            "rate": 3e-3,
            "betas": [0.9, 0.99],
            "warmup": 1,
            "clip": 5.0,
            "ema": 0.9,
            "precision": "fp32",
            "motion": {"codes": 4, "width": 16, "memory": 32, "frames": 24},
            "look": {"width": 4, "features": 16},
            "renderer": {"size": 64},
            "data": {"noise": 0, "band_limit": 0, "gain_db": 2.0},
            **changes,
        }
    )


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("shards"), clips=40, crop=FACE)


@pytest.fixture(scope="module")
def seeing(shards, tmp_path_factory):
    return looked(shards, tmp_path_factory.mktemp("look"))


def looked(shards, folder, **changes):
    """The run of a look that has hardly learnt, for a motion run to begin with."""
    train(tiny_look(**changes), [shards], folder, CPU)
    return folder


def begun(seeing, **changes):
    learner = MotionLearner(tiny(**changes), torch.device("cpu"), lambda parameters: None)
    learner.begin_with({str(seeing): read_checkpoint(seeing / "last.pt")})
    return learner


def test_learns_that_loud_means_open(shards, seeing, tmp_path):
    run = tmp_path / "run"
    plain = {"quiet": 0.0, "babble": 0.0, "pitch": 0.0, "stretch": 0.0, "dropout": 0.0}
    motion = {"codes": 4, "width": 16, "memory": 32, "frames": 24, **plain}
    train(tiny(steps=300, batch=8, motion=motion), [shards], run, CPU, seeing)
    learner = MotionLearner(tiny(motion=motion), torch.device("cpu"), lambda parameters: None)
    learner.load(read_checkpoint(run / "last.pt"))
    scores = learner.watch([shards])(tmp_path / "tracks.png")
    assert scores["alpha/opening_r"] > 0.3
    assert 0.3 < scores["alpha/articulation"] < 1.6
    assert (tmp_path / "tracks.png").stat().st_size > 1000


def test_resumed_run_is_the_unbroken_one(shards, seeing, tmp_path):
    train(tiny(steps=1), [shards], tmp_path / "run", CPU, seeing)
    train(tiny(steps=2), [shards], tmp_path / "run", CPU)
    train(tiny(steps=2), [shards], tmp_path / "whole", CPU, seeing)
    one, two = (read_checkpoint(tmp_path / name / "last.pt") for name in ("run", "whole"))
    for name, value in two["networks"]["motion"].items():
        torch.testing.assert_close(one["networks"]["motion"][name], value)
    basis = read_basis(one["seeing"])
    assert basis.size == 4
    assert basis.template.shape == (468, 2)


def test_loss_is_nothing_where_nothing_is_taught(shards, seeing):
    learner = begun(seeing)
    source = learner.source([shards], 1.0)
    batch = source.batch(0, 0, 4)
    wrong = batch.code + (1 - batch.taught)[..., None]
    assert all(float(term) < 1e-4 for term in learner.terms(wrong, batch).values())
    assert float(learner.terms(batch.code + 1, batch)["points"]) > 0


def test_it_says_what_it_begins_with(shards, seeing, tmp_path):
    with pytest.raises(InputError, match="motion begins with a look"):
        train(tiny(), [shards], tmp_path / "run", CPU)
    with pytest.raises(InputError, match="a look of 4 codes; expected the config's 5"):
        begun(seeing, motion={"codes": 5})
    train(tiny(), [shards], tmp_path / "run", CPU, seeing)
    with pytest.raises(InputError, match="runs of motion to begin with; expected one of look"):
        begun(tmp_path / "run")
