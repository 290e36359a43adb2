"""Sequences for the motion network: sound and shape stay together whatever is varied."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lipglance.config import from_dict  # noqa: E402
from lipglance.motion_batches import SETTLING, MotionSource  # noqa: E402
from lipglance.mouth_track import SHORTEST  # noqa: E402
from synthetic_shards import write_shards  # noqa: E402


def config(**motion):
    return from_dict({"kind": "motion", "motion": {"codes": 4, "frames": 24, **motion}})


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="module")
def source(shards):
    return MotionSource([shards], "train", config())


def test_same_arguments_same_batch(source):
    one, two, other = source.batch(0, 5, 3), source.batch(0, 5, 3), source.batch(0, 6, 3)
    assert torch.equal(one.mel, two.mel)
    assert torch.equal(one.code, two.code)
    assert not torch.equal(one.mel, other.mel)


def test_shapes(source):
    batch = source.batch(0, 0, 3)
    assert batch.mel.shape == (3, 96, 128)
    assert batch.mel.abs().max() <= 1
    assert batch.code.shape == (3, 24, 4)
    assert batch.taught.shape == (3, 24)
    assert batch.owner.shape == (3, 24)
    people = int(batch.owner.max()) + 1
    assert batch.shape.shape == (3, people, len(source.basis.mean), 2)
    assert batch.given.shape == (3, people, 4)


def test_given_code_is_that_of_the_given_shape(source):
    batch = source.batch(0, 1, 4)
    shapes = batch.shape.numpy() + source.basis.mean
    np.testing.assert_allclose(source.basis.encode(shapes), batch.given.numpy(), atol=1e-3)


def test_loud_frames_are_open_ones(shards):
    plain = MotionSource([shards], "train", config(), plain=True)
    batch = plain.batch(0, 0, 16)
    loud = batch.mel.reshape(16, 24, 4, 128).amax(3).mean(2)
    first = batch.code[..., 0]
    r = [abs(np.corrcoef(a, b)[0, 1]) for a, b in zip(loud.numpy(), first.numpy(), strict=True)]
    assert np.mean(r) > 0.5


def plainly_heard(**motion):
    """Settings that leave quiet spans quiet."""
    quiet = {"babble": 0.0, "noise": 0.0, "low_cut": 0.0, **motion}
    data = {"noise": 0.0, "band_limit": 0.0, "gain_db": 0.0}
    motion = {"codes": 4, "frames": 60, **quiet}
    return from_dict({"kind": "motion", "motion": motion, "data": data})


def test_silence_is_taught_as_closed_once_the_mouth_has_settled(shards):
    source = MotionSource([shards], "train", plainly_heard(quiet=1.0))
    closed = {clip.codes[clip.closed].tobytes() for clip in source.clips if clip.closed is not None}
    taught_silent = 0
    for seed in range(16):
        sound, pieces = source._draw(np.random.default_rng(seed))
        frames = np.split(sound.reshape(60, -1), np.cumsum([len(p.code) for p in pieces])[:-1])
        for piece, heard in zip(pieces, frames, strict=True):
            end = len(piece.code) - piece.after
            silent = np.r_[0 : piece.before, end : len(piece.code)]
            assert (heard[silent].std(1) < 0.2).all()
            known = silent[piece.taught[silent] == 1]
            assert all(row.tobytes() in closed for row in piece.code[known])
            assert not piece.taught[max(piece.before - SETTLING, 0) : piece.before].any()
            assert not piece.taught[end : end + SETTLING].any() or not piece.after
            taught_silent += len(known)
    assert taught_silent > 30


def test_noise_without_speech_is_taught_as_closed_too(shards):
    config = plainly_heard(quiet=1.0, noise=1.0, snr_db=[0.0, 0.0])
    batch = MotionSource([shards], "train", config).batch(0, 0, 16)
    loud = batch.mel.reshape(16, 60, -1).mean(2)
    still = (batch.code[:, 1:] - batch.code[:, :-1]).abs().sum(2) == 0
    shut = still & (batch.taught[:, 1:] == 1)
    assert (loud[:, 1:][shut] > -0.4).any()
    assert (loud[:, 1:][shut] < -0.5).any()


def test_people_speak_one_after_the_other_each_with_an_own_picture(shards):
    source = MotionSource([shards], "train", plainly_heard(quiet=0.0))
    batch = source.batch(0, 0, 16)
    assert batch.owner.max() > 0
    assert (batch.owner[:, 1:] - batch.owner[:, :-1]).unique().tolist() == [0, 1]
    for owner, taught, given in zip(batch.owner, batch.taught, batch.given, strict=True):
        for person in range(int(owner.max()) + 1):
            spoken = taught[owner == person]
            assert spoken.all() if len(spoken) >= SHORTEST else not spoken.any()
            assert given[person].abs().sum() > 0
