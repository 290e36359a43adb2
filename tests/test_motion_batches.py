"""Sequences for the motion network: sound and shape stay together whatever is varied."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lipglance import motion_batches  # noqa: E402
from lipglance.config import from_dict  # noqa: E402
from lipglance.face_shape import fit_basis  # noqa: E402
from lipglance.motion_batches import SETTLING, MotionSource  # noqa: E402
from lipglance.mouth_track import SHORTEST  # noqa: E402
from lipglance.shards import Sample, ShardDataset  # noqa: E402
from synthetic_shards import FACE, write_shards  # noqa: E402


def config(**motion):
    motion = {"codes": 4, "frames": 24, **motion}
    return from_dict({"kind": "motion", "motion": motion, "renderer": {"size": 64}})


def look(crops, track):
    """A look that takes how bright a picture is for what its mouth is doing."""
    return np.repeat(crops.mean((1, 2, 3), dtype=np.float64)[:, None], 4, 1)


def opened(shards, wanted, **options):
    """A source whose basis is that of its own clips."""
    tracks = [sample.landmarks() for sample in ShardDataset(shards, "train")]
    return MotionSource([shards], "train", wanted, fit_basis(tracks, 4), look, **options)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("shards"), crop=FACE)


@pytest.fixture(scope="module")
def source(shards):
    return opened(shards, config())


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
    assert batch.own.shape == (3, people, 4)


def test_what_is_a_persons_own_is_what_the_look_does_not_see(shards, source):
    clip = source.clips[2]
    sample = ShardDataset(shards, "train")[clip.sample]
    shapes = source.basis.track_shapes(sample.landmarks())
    seen = look(sample.crops(), sample.landmarks())
    np.testing.assert_allclose(clip.true - clip.own, seen, rtol=1e-4)
    # One trembling, that of the whole head, is smoothed away.
    np.testing.assert_allclose(clip.true, source.basis.encode(shapes), atol=0.2)


def test_loud_frames_are_open_ones(shards):
    plain = opened(shards, config(), plain=True)
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
    return from_dict({"kind": "motion", "motion": motion, "data": data, "renderer": {"size": 64}})


def test_silence_is_taught_as_closed_once_the_mouth_has_settled(shards):
    source = opened(shards, plainly_heard(quiet=1.0))
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
    batch = opened(shards, config).batch(0, 0, 16)
    loud = batch.mel.reshape(16, 60, -1).mean(2)
    still = (batch.code[:, 1:] - batch.code[:, :-1]).abs().sum(2) == 0
    shut = still & (batch.taught[:, 1:] == 1)
    assert (loud[:, 1:][shut] > -0.4).any()
    assert (loud[:, 1:][shut] < -0.5).any()


def test_people_speak_one_after_the_other_each_with_an_own_picture(shards):
    source = opened(shards, plainly_heard(quiet=0.0))
    batch = source.batch(0, 0, 16)
    assert batch.owner.max() > 0
    assert (batch.owner[:, 1:] - batch.owner[:, :-1]).unique().tolist() == [0, 1]
    for owner, taught, own in zip(batch.owner, batch.taught, batch.own, strict=True):
        for person in range(int(owner.max()) + 1):
            spoken = taught[owner == person]
            assert spoken.all() if len(spoken) >= SHORTEST else not spoken.any()
            assert own[person].abs().sum() > 0


def test_some_clips_are_heard_in_other_voices(shards, monkeypatch):
    """A stand-in for a synthesiser: white noise, which drawn clips' tones are not."""
    words = [[0.0, 0.4, "bin"], [0.4, 1.6, "blue"]]
    monkeypatch.setattr(Sample, "meta", {"words": words, "landmark_scale": 64.0, "crop": FACE})
    said = []

    def speak(sound, words, speaker):
        said.append(speaker)
        return np.random.default_rng(0).normal(0, 0.1, len(sound)).astype(np.float32)

    monkeypatch.setattr(motion_batches, "in_another_voice", speak)
    silent = opened(shards, config(voices=0.0))
    assert not said
    assert not any(clip.voices for clip in silent.clips)
    source = opened(shards, config(voices=1.0))
    assert len(set(said)) == min(len(source.clips), len(motion_batches.SPEAKERS))
    heard = source.clips[0].voices[0]
    assert heard.shape == source.clips[0].mel.shape
    plain = replace(source.config.motion, pitch=0.0, stretch=0.0, quiet=0.0)
    source.config = replace(source.config, motion=plain)
    piece = source._piece(np.random.default_rng(0), 40)
    assert any(np.isin(piece.mel, clip.voices[0]).all() for clip in source.clips)
    assert not opened(shards, config(voices=1.0), plain=True).clips[0].voices
