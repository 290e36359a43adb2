"""The motion trainer learns that loud means open, stops and resumes."""

import pytest

torch = pytest.importorskip("torch")

from lipglance.checkpoint import read_checkpoint  # noqa: E402
from lipglance.config import from_dict  # noqa: E402
from lipglance.motion_learner import MotionLearner, read_basis  # noqa: E402
from lipglance.trainer import RunOptions, train  # noqa: E402
from synthetic_shards import write_shards  # noqa: E402

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
            "data": {"noise": 0, "band_limit": 0, "gain_db": 2.0},
            **changes,
        }
    )


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("shards"), clips=40)


def test_learns_that_loud_means_open(shards, tmp_path):
    run = tmp_path / "run"
    plain = {"quiet": 0.0, "babble": 0.0, "pitch": 0.0, "stretch": 0.0, "dropout": 0.0}
    motion = {"codes": 4, "width": 16, "memory": 32, "frames": 24, **plain}
    train(tiny(steps=300, batch=16, motion=motion), [shards], run, CPU)
    learner = MotionLearner(tiny(motion=motion), torch.device("cpu"), lambda parameters: None)
    learner.load(read_checkpoint(run / "last.pt"))
    scores = learner.watch([shards])(tmp_path / "tracks.png")
    assert scores["alpha/opening_r"] > 0.3
    assert 0.3 < scores["alpha/articulation"] < 1.6
    assert (tmp_path / "tracks.png").stat().st_size > 1000


def test_resumed_run_is_the_unbroken_one(shards, tmp_path):
    train(tiny(steps=1), [shards], tmp_path / "run", CPU)
    train(tiny(steps=2), [shards], tmp_path / "run", CPU)
    train(tiny(steps=2), [shards], tmp_path / "whole", CPU)
    one, two = (read_checkpoint(tmp_path / name / "last.pt") for name in ("run", "whole"))
    for name, value in two["networks"]["motion"].items():
        torch.testing.assert_close(one["networks"]["motion"][name], value)
    basis = read_basis(one)
    assert basis.size == 4
    assert basis.template.shape == (468, 2)


def test_loss_is_nothing_where_nothing_is_taught(shards):
    learner = MotionLearner(tiny(), torch.device("cpu"), lambda parameters: None)
    source = learner.source([shards], 1.0)
    batch = source.batch(0, 0, 4)
    wrong = batch.code + (1 - batch.taught)[..., None]
    assert all(float(term) < 1e-4 for term in learner.terms(wrong, batch).values())
    assert float(learner.terms(batch.code + 1, batch)["points"]) > 0


def test_correlation_over_what_is_taught():
    from lipglance.motion_learner import _correlation

    torch.manual_seed(0)
    track, weight = torch.randn(3, 40) * 5, torch.ones(3, 40)
    weight[1, 20:] = 0
    other = track * 2 + 3
    other[1, 20:] = torch.randn(20) * 50
    assert _correlation(track, other, weight).min() > 0.999
    assert _correlation(track, -track, weight).max() < -0.999
    assert _correlation(track, torch.zeros(3, 40), weight).abs().max() == 0
