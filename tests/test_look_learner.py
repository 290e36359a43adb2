"""A look learns from drawn mouths how far they are open, stops, resumes and keeps its basis."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lipglance.audio import AudioConfig, log_mel  # noqa: E402
from lipglance.checkpoint import read_checkpoint  # noqa: E402
from lipglance.config import from_dict  # noqa: E402
from lipglance.errors import InputError  # noqa: E402
from lipglance.face_points import MOUTH_20  # noqa: E402
from lipglance.geometry import apply, in_turn  # noqa: E402
from lipglance.look_batches import LookSource, moving  # noqa: E402
from lipglance.look_learner import LookLearner, read_basis  # noqa: E402
from lipglance.motion_net import load_hearing  # noqa: E402
from lipglance.trainer import RunOptions, train  # noqa: E402
from synthetic_shards import FACE, write_shards  # noqa: E402

CPU = RunOptions(accelerator="cpu", threads=2)


def tiny(**changes):
    return from_dict(
        {
            "kind": "look",
            "name": "look",
            "steps": 2,
            "batch": 8,
            "rate": 3e-3,
            "betas": [0.9, 0.99],
            "warmup": 1,
            "clip": 5.0,
            "ema": 0.8,
            "precision": "fp32",
            "look": {"width": 4, "features": 16},
            "motion": {"codes": 4},
            "renderer": {"size": 64},
            "data": {"colour": 0.1},
            **changes,
        }
    )


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("shards"), clips=12, crop=FACE)


def test_same_arguments_same_pictures(shards):
    source = LookSource([shards], "train", tiny())
    one, two, other = source.batch(0, 5, 4), source.batch(0, 5, 4), source.batch(0, 6, 4)
    assert torch.equal(one.crop, two.crop)
    assert torch.equal(one.code, two.code)
    assert not torch.equal(one.crop, other.crop)
    assert one.crop.shape == (4, 3, 64, 64)
    assert one.points.shape == (4, 20, 2)


def test_points_move_with_the_picture(shards):
    source = LookSource([shards], "train", tiny())
    clip = source.clips[0]
    still = clip.cuts[7]
    moved = in_turn(still, moving(64, 0.1, np.random.default_rng(0)))
    # The mouth is the middle of where one picture alone would be cut, a little above its centre.
    middle = clip.points[7].mean(0)
    assert abs(middle[0] - 31.5) < 0.1
    assert middle[1] < 31.5
    mesh = clip.sample.landmarks()[7, list(MOUTH_20)]
    np.testing.assert_allclose(apply(still, mesh), clip.points[7], atol=1e-2)
    assert np.linalg.norm(apply(moved, mesh) - clip.points[7], axis=1).max() > 0.5
    np.testing.assert_array_equal(moving(64, 0.0, np.random.default_rng(0)), np.eye(2, 3))


def test_codes_are_about_the_mean_of_a_clip(shards):
    source = LookSource([shards], "train", tiny())
    shapes, codes = source.everything()
    assert len(shapes) == len(codes) == sum(len(clip.codes) for clip in source.clips)
    for clip in source.clips:
        np.testing.assert_allclose(clip.codes.mean(0), 0, atol=1e-4)


def test_learns_what_a_mouth_is_doing(shards, tmp_path):
    run = tmp_path / "run"
    train(tiny(steps=150, batch=24), [shards], run, CPU)
    learner = LookLearner(tiny(), torch.device("cpu"), lambda parameters: None)
    learner.load(read_checkpoint(run / "last.pt"))
    scores = learner.watch([shards])(tmp_path / "look.png")
    assert scores["picture"] < 0.6 * scores["unseen"]
    assert scores["mixed"] < scores["unseen"]
    assert scores["misread_px"] < 3
    assert (tmp_path / "look.png").stat().st_size > 1000


def test_resumed_run_is_the_unbroken_one(shards, tmp_path):
    train(tiny(steps=1), [shards], tmp_path / "run", CPU)
    train(tiny(steps=2), [shards], tmp_path / "run", CPU)
    train(tiny(steps=2), [shards], tmp_path / "whole", CPU)
    one, two = (read_checkpoint(tmp_path / name / "last.pt") for name in ("run", "whole"))
    for name, value in two["networks"]["average"].items():
        torch.testing.assert_close(one["networks"]["average"][name], value)
    assert read_basis(one).size == 4


def test_lip_crops_are_refused(tmp_path):
    shards = write_shards(tmp_path)
    with pytest.raises(InputError, match="shards of lips crops of 64 px; a look learns from face"):
        train(tiny(), [shards], tmp_path / "run", CPU)


def hearing(shards, look, folder):
    """A motion run that has hardly learnt."""
    config = replace(tiny(), kind="motion", name="motion")
    small = replace(config.motion, width=8, memory=16, frames=24)
    train(replace(config, motion=small), [shards], folder, CPU, look)
    return folder


def test_a_clips_level_is_told_by_what_is_heard(shards, tmp_path):
    train(tiny(), [shards], tmp_path / "look", CPU)
    motion = hearing(shards, tmp_path / "look", tmp_path / "motion")
    learner = LookLearner(tiny(), torch.device("cpu"), lambda parameters: None)
    learner.begin_with({"motion": read_checkpoint(motion / "last.pt")})
    source = learner.source([shards], 1.0)
    net = load_hearing(read_checkpoint(motion / "last.pt"))
    clip = source.clips[3]
    mel = torch.from_numpy(log_mel(clip.sample.audio(), AudioConfig(), len(clip.codes)))[None]
    heard = net(net.padded(mel), net.silence(1))[0][0].numpy()
    np.testing.assert_allclose(clip.codes.mean(0), heard.mean(0), atol=1e-3)
    # What is linear is solved for these codes, and a run that goes on knows them.
    shapes, codes = source.everything()
    apart = learner.net.rest(shapes).detach() - codes
    assert apart.abs().mean() < codes.abs().mean()
    train(tiny(), [shards], tmp_path / "again", CPU, motion)
    kept = read_checkpoint(tmp_path / "again" / "last.pt")
    assert kept["hearing"]["config"]["kind"] == "motion"
    train(tiny(steps=3), [shards], tmp_path / "again", CPU)


def test_it_begins_with_what_hears_or_nothing(shards, tmp_path):
    train(tiny(), [shards], tmp_path / "look", CPU)
    with pytest.raises(InputError, match="runs of look to begin with; expected one of motion"):
        train(tiny(), [shards], tmp_path / "run", CPU, tmp_path / "look")
