import json
import pickle
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import webdataset

from lipglance.errors import InputError
from lipglance.shard_index import read_index
from lipglance.shard_writer import ShardWriter
from lipglance.shards import ShardDataset


def arrays(frames=20, size=64, seed=0):
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 255, size)
    crops = np.empty((frames, size, size, 3), np.uint8)
    for t in range(frames):
        crops[t, ..., 0] = ramp
        crops[t, ..., 1] = ramp[:, None]
        crops[t, ..., 2] = 255 * t / frames
    return {
        "crops": crops,
        "audio": rng.uniform(-1, 1, frames * 640).astype(np.float32),
        "landmarks": rng.uniform(-3 * size, 4 * size, (frames, 468, 2)).astype(np.float32),
        "transforms": rng.normal(size=(frames, 2, 3)).astype(np.float32),
    }


def meta(key, split="train", corpus="grid", speaker="s1"):
    return {"key": key, "split": split, "corpus": corpus, "speaker": speaker, "words": []}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for split, corpus in (("train", "grid"), ("val", "grid"), ("test_seen", "lrw")):
        with ShardWriter(tmp_path / f"{split}-00000.tar") as writer:
            for i in range(3):
                clip = None if split == "train" else f"file {i}".encode()
                writer.add(
                    meta(f"{corpus}-{split}-{i}", split, corpus, f"s{i}"),
                    **arrays(seed=i),
                    clip=clip,
                )
    return tmp_path


def test_everything_written_is_read_back(tmp_path):
    given = arrays()
    given["landmarks"][3] = np.nan
    with ShardWriter(tmp_path / "train-00000.tar") as writer:
        writer.add(meta("a") | {"utterance": "été"}, **given)
    (sample,) = ShardDataset(tmp_path)
    assert sample.meta["utterance"] == "été"
    assert (sample.key, sample.speaker, sample.frames) == ("a", "s1", 20)
    assert sample.crops().shape == (20, 64, 64, 3)
    # JPEG at 95: smooth ramps come back to within a few levels, channels in RGB order.
    assert np.abs(sample.crops().astype(int) - given["crops"]).max() <= 6
    assert np.abs(sample.audio() - given["audio"]).max() <= 0.5 / 32767 + 1e-6
    assert np.array_equal(np.isnan(sample.landmarks()), np.isnan(given["landmarks"]))
    assert np.nanmax(np.abs(sample.landmarks() - given["landmarks"])) <= 0.5 / 64 + 1e-4
    assert np.array_equal(sample.transforms(), given["transforms"])
    assert sample.clip_bytes() is None


@pytest.mark.parametrize("size", [64, 256])
def test_landmarks_far_outside_the_crop_survive(tmp_path, size):
    given = arrays(frames=16, size=size)
    with ShardWriter(tmp_path / "train-00000.tar") as writer:
        writer.add(meta("a"), **given)
    error = np.abs(ShardDataset(tmp_path)[0].landmarks() - given["landmarks"]).max()
    assert error <= size / 4096 / 2 + 1e-3


def test_crops_do_not_bleed_into_each_other(tmp_path):
    given = arrays(frames=16)
    given["crops"][:] = 0
    given["crops"][5] = (255, 0, 0)
    with ShardWriter(tmp_path / "train-00000.tar") as writer:
        writer.add(meta("a"), **given)
    crops = ShardDataset(tmp_path)[0].crops()
    assert crops[4].max() == 0
    assert crops[6].max() == 0
    assert (crops[5][..., 0] > 250).all()
    assert crops[5][..., 1:].max() < 5


def test_same_samples_same_bytes(tmp_path):
    for name in ("a.tar", "b.tar"):
        with ShardWriter(tmp_path / name) as writer:
            writer.add(meta("k"), **arrays())
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_append_copies_whole_shards(folder, tmp_path):
    joined = tmp_path / "joined" / "all.tar"
    joined.parent.mkdir()
    with ShardWriter(joined) as writer:
        for name in ("train", "val"):
            writer.append(folder / f"{name}-00000.tar")
    direct = [s for split in ("train", "val") for s in ShardDataset(folder, split)]
    for one, two in zip(ShardDataset(joined), direct, strict=True):
        assert one.meta == two.meta
        assert np.array_equal(one.crops(), two.crops())
        assert one.clip_bytes() == two.clip_bytes()
    with tarfile.open(joined) as tar:
        assert len(tar.getnames()) == 3 * 5 + 3 * 6


def test_filters(folder):
    assert len(ShardDataset(folder)) == 9
    assert {s.entry.split for s in ShardDataset(folder, "val")} == {"val"}
    assert len(ShardDataset(folder, ["train", "val"], speakers=["s0", "s2"])) == 4
    assert [s.key for s in ShardDataset(folder, corpora="lrw")] == [
        f"lrw-test_seen-{i}" for i in range(3)
    ]
    assert len(ShardDataset([folder / "val-00000.tar", folder])) == 12
    assert ShardDataset(folder).speakers[:2] == ["grid/s0", "grid/s1"]
    with pytest.raises(InputError, match="no samples of split test_unseen"):
        ShardDataset(folder, "test_unseen")
    with pytest.raises(InputError, match="no such folder"):
        ShardDataset(folder / "nowhere")


def test_other_splits_are_not_even_opened(folder):
    (folder / "val-00000.tar").write_bytes(b"rubbish")
    assert len(ShardDataset(folder, "train")) == 3


def test_index_and_headers_tell_the_same(folder):
    shard = folder / "test_seen-00000.tar"
    with_index = read_index(shard)
    index = shard.with_name(f"{shard.name}.index.json")
    index.unlink()
    assert read_index(shard) == with_index
    index.write_text("{}")
    assert read_index(shard) == with_index


def test_index_of_another_tar_is_not_believed(folder):
    one, other = folder / "train-00000.tar", folder / "test_seen-00000.tar"
    one.write_bytes(other.read_bytes())
    assert [e.key for e in read_index(one)] == [f"lrw-test_seen-{i}" for i in range(3)]


def test_mixed_sizes_are_refused(folder):
    with ShardWriter(folder / "train-00001.tar") as writer:
        writer.add(meta("big"), **arrays(size=128))
    with pytest.raises(InputError, match=r"sizes \[64, 128\]"):
        ShardDataset(folder, "train")


@pytest.mark.parametrize("damage", ["cut", "rubbish", "foreign"])
def test_damaged_shards_are_one_line(tmp_path, damage):
    shard = tmp_path / "train-00000.tar"
    with ShardWriter(shard) as writer:
        writer.add(meta("a"), **arrays())
    if damage == "cut":
        data = shard.read_bytes()
        shard.write_bytes(data[: len(data) // 2])
    elif damage == "rubbish":
        shard.write_bytes(b"rubbish" * 1000)
    else:
        with tarfile.open(shard, "w") as tar:
            tar.add(__file__, "something.py")
    with pytest.raises(InputError, match=r"train-00000\.tar") as caught:
        [(sample.transforms(), sample.crops()) for sample in ShardDataset(tmp_path)]
    assert "\n" not in str(caught.value)


def test_a_tar_cut_after_it_was_indexed(tmp_path):
    shard = tmp_path / "train-00000.tar"
    with ShardWriter(shard) as writer:
        writer.add(meta("a"), **arrays())
    sample = ShardDataset(tmp_path)[0]
    shard.write_bytes(shard.read_bytes()[:30_000])
    with pytest.raises(InputError, match=r"cut short inside a\.audio\.npy"):
        sample.audio()


def test_failure_leaves_nothing(tmp_path):
    def interrupted():
        with ShardWriter(tmp_path / "train-00000.tar") as writer:
            writer.add(meta("a"), **arrays())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "change",
    [
        {"audio": np.zeros(640, np.float32)},
        {"landmarks": np.zeros((1, 468, 2), np.float32)},
        {"crops": np.zeros((20, 4096, 4096, 3), np.uint8)},
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, change):
    with pytest.raises(ValueError, match="a"), ShardWriter(tmp_path / "x.tar") as writer:
        writer.add(meta("a"), **(arrays() | change))


def test_pickled_and_read_by_threads(folder):
    data = pickle.loads(pickle.dumps(ShardDataset(folder)))
    expected = [s.transforms() for s in ShardDataset(folder)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: data[i % 9].transforms(), range(90)))
    assert all(np.array_equal(found[i], expected[i % 9]) for i in range(90))


def test_webdataset_reads_them(folder):
    urls = [str(folder / f"{s}-00000.tar") for s in ("train", "val")]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8"))
    own = [s for split in ("train", "val") for s in ShardDataset(folder, split)]
    assert [s["__key__"] for s in samples] == [s.key for s in own]
    for theirs, ours in zip(samples, own, strict=True):
        assert theirs["json"] == ours.meta
        assert theirs["audio.npy"].dtype == np.int16
        assert np.array_equal(theirs["crops.npy"], ours.transforms())
        assert np.abs(theirs["jpg"].reshape(-1, 64, 64, 3).astype(int) - ours.crops()).max() <= 2
        assert theirs.get("clip") == ours.clip_bytes()


def test_meta_says_how_to_read_the_arrays(folder):
    stored = ShardDataset(folder)[0].meta
    wanted = {"fps": 25, "frames": 20, "size": 64, "sample_rate": 16000, "landmark_scale": 64.0}
    assert wanted.items() <= stored.items()
    assert json.loads(json.dumps(stored)) == stored
