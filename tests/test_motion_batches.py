"""Sequences for the motion network: sound and shape stay together whatever is varied."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lipglance.config import from_dict  # noqa: E402
from lipglance.motion_batches import SETTLING, MotionSource, hidden, moved_bands, stretched  # noqa: E402
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
    assert batch.shape.shape == (3, len(source.basis.mean), 2)
    assert batch.given.shape == (3, 4)


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


def test_silence_is_taught_as_closed_once_the_mouth_has_settled(shards):
    source = MotionSource([shards], "train", config(quiet=1.0, frames=60))
    batch = source.batch(0, 0, 16)
    found = ends = 0
    for code, taught, mel in zip(batch.code, batch.taught, batch.mel, strict=True):
        silent = mel.reshape(60, -1).std(1) < 0.1
        known = torch.nonzero(silent & (taught == 1))[:, 0]
        found += len(known)
        # One closed mouth, whichever side of the speech the silence is on.
        torch.testing.assert_close(
            code[known], code[known[:1]].expand(len(known), -1), atol=1e-3, rtol=0
        )
        left = (silent & (taught == 0))[1:] & (taught[:-1] == 1)
        for end in torch.nonzero(left)[:, 0] + 1:
            settling = taught[end : end + SETTLING][silent[end : end + SETTLING]]
            ends += 1
            assert not settling.any()
    assert found > 16
    assert ends > 4


def test_others_speak_before_and_after_and_are_not_taught(shards):
    source = MotionSource([shards], "train", config(quiet=0.0, frames=60))
    batch = source.batch(0, 0, 16)
    starts = set()
    for taught, mel in zip(batch.taught, batch.mel, strict=True):
        known = torch.nonzero(taught)[:, 0]
        starts.add(int(known[0]))
        assert len(known) == int(known[-1] - known[0]) + 1 < 60
        # The drawn speakers pause now and then.
        loud = mel.reshape(60, -1).std(1) > 0.05
        assert loud[taught == 0].float().mean() > 0.4
    assert len(starts) > 4


def test_stretching_keeps_sound_and_shape_together():
    ramp = np.linspace(-1, 1, 80, dtype=np.float32)[:, None].repeat(128, 1)
    mel, codes = stretched(ramp, ramp.reshape(20, 4, 128)[:, :, :2].mean(1), 1.3)
    assert mel.shape == (104, 128)
    assert codes.shape == (26, 2)
    np.testing.assert_allclose(
        mel.reshape(26, 4, 128).mean((1, 2))[1:-1], codes[1:-1, 0], atol=0.05
    )


def test_another_voice_is_higher():
    mel = np.zeros((2, 128), np.float32)
    mel[:, 40] = 1
    assert moved_bands(mel, 3.0).argmax(1).tolist() == [43, 43]
    assert moved_bands(mel, -3.0).argmax(1).tolist() == [37, 37]


def test_hidden_stretches_and_bands_are_the_mean_and_few():
    mel = np.random.default_rng(0).normal(size=(192, 128)).astype(np.float32)
    rng = np.random.default_rng(1)
    for _ in range(20):
        made = hidden(mel, 1, rng)
        changed = made != mel
        assert np.allclose(made[changed], mel.mean())
        assert changed.all(axis=1).sum() <= 8
        assert changed.all(axis=0).sum() <= 16
    assert hidden(mel, 0, rng) is mel
