"""Batches repeat exactly, keep sound and picture together, and vary both as configured."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lipglance.audio import AudioConfig  # noqa: E402
from lipglance.batches import BatchSource, hush, vary_audio, vary_picture  # noqa: E402
from lipglance.config import DataConfig  # noqa: E402
from lipglance.errors import InputError  # noqa: E402
from synthetic_shards import FACE, write_shards  # noqa: E402

PLAIN = DataConfig(silence=0, gain_db=0, band_limit=0, noise=0, colour=0, geometry=0, flip=False)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("shards"))


def source(shards, data=PLAIN, **kwargs):
    return BatchSource([shards], "train", data, AudioConfig(), **kwargs)


def dark(video):
    """Return how much dark mouth each frame shows (B, T)."""
    return (video < -0.4).all(1).float().mean(dim=(2, 3))


def loudness(mel):
    """Return the loudest band of each video frame (B, T)."""
    return mel[:, 0].amax(-1).view(len(mel), -1, 4).mean(-1)


def test_shapes_and_ranges(shards):
    batch = source(shards).batch(0, 0, 3)
    assert batch.video.shape == (3, 3, 16, 64, 64)
    assert batch.identity.shape == (3, 3, 64, 64)
    assert batch.mel.shape == batch.other_mel.shape == (3, 1, 64, 128)
    for part in vars(batch).values():
        assert part.abs().max() <= 1


def test_same_step_same_batch_with_and_without_cache(shards):
    one, two = source(shards, DataConfig()), source(shards, DataConfig(), cache_gib=0)
    one.batch(0, 7, 2)
    first, second, other = one.batch(0, 5, 2), two.batch(0, 5, 2), one.batch(0, 6, 2)
    for name in vars(first):
        assert torch.equal(getattr(first, name), getattr(second, name))
    assert not torch.equal(first.video, other.video)
    assert not torch.equal(first.video, one.batch(0, 5, 2, rank=1).video)


def test_sound_belongs_to_the_picture_and_the_other_sound_does_not(shards):
    batch = source(shards).batch(0, 0, 24)
    own = [
        np.corrcoef(a, b)[0, 1] for a, b in zip(dark(batch.video), loudness(batch.mel), strict=True)
    ]
    other = [
        np.corrcoef(a, b)[0, 1]
        for a, b in zip(dark(batch.video), loudness(batch.other_mel), strict=True)
    ]
    assert np.mean(own) > 0.6
    assert np.mean(other) < 0.4


def test_silence_shows_a_closed_still_mouth(shards):
    batch = source(shards, DataConfig(silence=1, colour=0, geometry=0, flip=False)).batch(0, 0, 6)
    assert (batch.video - batch.video[:, :, :1]).abs().max() == 0
    assert dark(batch.video).max() < 0.05
    assert batch.mel.max() < 0


def test_corpora_filter(shards):
    only = source(shards, DataConfig(corpora=("beta",)))
    assert set(only.corpus) == {"beta"}


def test_no_usable_clip_is_one_clear_line(shards):
    with pytest.raises(InputError, match="gamma"):
        source(shards, DataConfig(corpora=("gamma",)))
    with pytest.raises(InputError, match="100 frames"):
        source(shards, frames=100)


def test_hush_is_quiet():
    rng = np.random.default_rng(0)
    assert max(hush((64, 128), rng).max() for _ in range(20)) < 0.2


def test_band_limit_and_gain():
    mel = np.zeros((64, 128), np.float32)
    cut = vary_audio(mel, DataConfig(gain_db=0, noise=0, band_limit=1), np.random.default_rng(0))
    assert cut[:, :80].max() == 0
    assert cut[:, -1].max() == -1
    gains = [
        float(
            vary_audio(
                mel, DataConfig(gain_db=10, noise=0, band_limit=0), np.random.default_rng(s)
            )[0, 0]
        )
        for s in range(30)
    ]
    assert -0.2 <= min(gains) < -0.1
    assert 0.1 < max(gains) <= 0.2


def test_picture_varies_alike_over_time():
    still = torch.rand(2, 3, 1, 64, 64).expand(-1, -1, 5, -1, -1) * 2 - 1
    varied = vary_picture(still, DataConfig(), np.random.default_rng(0))
    assert (varied - varied[:, :, :1]).abs().max() < 1e-6
    assert (varied - still).abs().mean() > 0.02


def test_crops_that_are_cut_otherwise_are_refused(tmp_path):
    wide = {"size": 64, "half_side": 1.0, "smooth": 2.0, "region": "lips"}
    with pytest.raises(InputError, match=r"half sides of 1.0 mouths.*lip crops of 0.75"):
        source(write_shards(tmp_path / "wide", 2, crop=wide))
    with pytest.raises(InputError, match="shards of face crops"):
        source(write_shards(tmp_path / "face", 2, crop=FACE))
