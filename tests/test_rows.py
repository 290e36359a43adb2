import json

import numpy as np
import pytest

from fake_clips import CROP, RATE, add_clip, draw, drawn_shard, mesh, places, track
from lipglance import rows
from lipglance.audio import AudioConfig
from lipglance.crop import CropConfig, picture_crop, video_crops
from lipglance.errors import InputError
from lipglance.evaluation_clip import Clip
from lipglance.face_points import MOUTH_20
from lipglance.geometry import apply, crop_image
from lipglance.shard_writer import ShardWriter
from lipglance.shards import ShardDataset

FRAMES = 18


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    shard = drawn_shard(folder / "val-00000.tar", clips=1, frames=FRAMES, split="val")
    (sample,) = ShardDataset(shard)
    path = folder / "clip.mkv"
    path.write_bytes(sample.clip_bytes())
    return Clip(sample, path)


class Session:
    """Makes frames whose grey value is the number of the second piece they come from."""

    def __init__(self, identity):
        self.identity = identity
        self.heard = 0

    def feed(self, samples):
        self.heard += len(samples)
        return np.full((5, *self.identity.shape), 1, np.uint8)

    def finish(self, frames=None):
        return np.full((frames - 5, *self.identity.shape), 2, np.uint8)


class Model:
    """As much of a `LipModel` as a row needs."""

    def __init__(self, rate=RATE, size=64):
        self.audio = AudioConfig(sample_rate=rate, fmax=rate / 2)
        self.crop = CropConfig(size=size)
        self.sessions = []

    def start(self, identity, points=None):
        assert points.shape == (468, 2)
        self.sessions.append(Session(identity))
        return self.sessions[-1]

    def start_face(self, picture, matrix, points=None):
        assert matrix.shape == (2, 3)
        return self.start(picture, points)


def test_the_identity_is_the_first_frames_crop_cut_as_a_photos(clip):
    matrix = picture_crop(mesh(places(FRAMES))[0], CROP)
    expected = crop_image(draw(track(FRAMES)[0], places(FRAMES)[0]), clip.carried()[0], 64)
    # Landmarks are stored in steps of 1/64 px of the 64-px crop.
    np.testing.assert_allclose(clip.carried()[0][:, :2], matrix[:, :2], atol=2e-3)
    np.testing.assert_allclose(clip.carried()[0][:, 2], matrix[:, 2], atol=0.2)
    np.testing.assert_array_equal(clip.identity(), expected)
    still = rows.Still().lips(clip)
    assert still.shape == (FRAMES, 64, 64, 3)
    np.testing.assert_array_equal(still, np.repeat(expected[None], FRAMES, 0))


def test_pasted_are_the_real_crops(clip):
    pasted = rows.Pasted().lips(clip)
    expected = crop_image(draw(track(FRAMES)[7], places(FRAMES)[7]), clip.transforms()[7], 64)
    np.testing.assert_array_equal(pasted[7], expected)
    assert rows.Real().lips(clip) is None


def test_transforms_of_the_shards_own_crop_are_those_stored(clip):
    stored = clip.sample.transforms()
    np.testing.assert_array_equal(clip.transforms(), stored)
    np.testing.assert_array_equal(clip.transforms(CROP), stored)


def test_transforms_of_another_crop_come_from_the_landmarks(clip):
    other = CropConfig(size=96, half_side=1.0)
    expected = video_crops(mesh(places(FRAMES)), other)
    # Landmarks are stored in steps of 1/64 px of the 64-px crop.
    np.testing.assert_allclose(clip.transforms(other)[:, :, :2], expected[:, :, :2], atol=2e-3)
    np.testing.assert_allclose(clip.transforms(other)[:, :, 2], expected[:, :, 2], atol=0.2)
    assert clip.identity(other).shape == (96, 96, 3)


def test_the_first_frames_crop_knows_nothing_of_the_later_ones_and_goes_with_the_head(tmp_path):
    def clip_of(name, later):
        points = mesh(places(FRAMES))
        points[1:, list(MOUTH_20), 1] += later
        with ShardWriter(tmp_path / f"{name}-00000.tar") as writer:
            pictures = [draw(10, centre) for centre in places(FRAMES)]
            add_clip(writer, name, pictures, places(FRAMES), 30, split="val", points=points)
        (sample,) = ShardDataset(tmp_path / f"{name}-00000.tar")
        (tmp_path / f"{name}.mkv").write_bytes(sample.clip_bytes())
        return Clip(sample, tmp_path / f"{name}.mkv")

    other = CropConfig(size=96, half_side=1.0)
    shut, open_ = clip_of("shut", 0.0), clip_of("open", 12.0)
    assert np.abs(shut.transforms(other) - open_.transforms(other)).max() > 1.0
    np.testing.assert_allclose(shut.carried(other)[0], open_.carried(other)[0], atol=1e-6)
    centres = places(FRAMES)
    seen = [apply(m, c) for m, c in zip(open_.carried(other), centres, strict=True)]
    np.testing.assert_allclose(seen, np.repeat(seen[:1], FRAMES, 0), atol=0.5)


def test_a_model_gets_its_own_crop_and_rate_and_no_more_sound_than_frames(clip):
    model = Model(rate=8000, size=96)
    row = rows.ModelRow("tiny", model)
    lips = row.lips(clip)
    assert lips.shape == (FRAMES, 96, 96, 3)
    assert lips[:, 0, 0, 0].tolist() == [1] * 5 + [2] * (FRAMES - 5)
    assert model.sessions[0].heard == FRAMES * 8000 // 25
    shorter = clip.sample.entry._replace(frames=10)
    row.lips(Clip(type(clip.sample)(clip.sample.shard, shorter), clip.path))
    assert model.sessions[1].heard == 10 * 8000 // 25
    np.testing.assert_array_equal(model.sessions[0].identity, clip.identity(CropConfig(size=96)))


def test_a_model_paints_into_the_first_picture_itself(clip):
    model = Model()
    faces = list(rows.ModelRow("tiny", model).faces(clip))
    assert len(faces) == FRAMES
    assert model.sessions[0].heard == FRAMES * RATE // 25
    np.testing.assert_array_equal(model.sessions[0].identity, next(clip.pictures()))


def test_other_rows_paint_by_the_compositor(clip):
    assert rows.Real().faces(clip) is None
    first = next(clip.pictures())
    for face in rows.Still().faces(clip):
        np.testing.assert_array_equal(face, first)
    moved = list(rows.Pasted().faces(clip))
    assert len(moved) == FRAMES
    assert not np.array_equal(moved[5], first)
    np.testing.assert_array_equal(moved[5][0], first[0])


def test_sound_that_ends_early_is_not_filled_up(clip):
    longer = clip.sample.entry._replace(frames=FRAMES + 5)
    audio = Clip(type(clip.sample)(clip.sample.shard, longer), clip.path).audio(RATE)
    assert len(audio) == FRAMES * RATE // 25


def test_rows_by_name():
    assert [rows.make_row(name).name for name in rows.BUILT_IN] == list(rows.BUILT_IN)
    assert rows.describe_row("still") == {"name": "still", "kind": "built in"}
    with pytest.raises(InputError, match="unknown model 'none'"):
        rows.make_row("none")
    with pytest.raises(InputError, match="unknown model 'none'"):
        rows.describe_row("none")


def test_a_model_is_described_by_its_facts_and_the_digest_of_its_networks(tmp_path):
    facts = {"name": "m", "kind": "lmgg", "description": "d", "trained_on": "t", "licence": "l"}
    (tmp_path / "model.json").write_text(json.dumps(facts))
    (tmp_path / "model.onnx").write_bytes(b"one")
    first = rows.describe_row(str(tmp_path))
    assert first["kind"] == "lmgg"
    assert first["model"]["trained_on"] == "t"
    assert json.loads(json.dumps(first)) == first
    (tmp_path / "model.onnx").write_bytes(b"two")
    assert rows.describe_row(str(tmp_path))["sha256"] != first["sha256"]


def test_mismatched_shows_the_next_clip_of_the_speaker(tmp_path):
    shard = drawn_shard(tmp_path / "val-00000.tar", clips=2, frames=FRAMES, split="val")
    one, two = ShardDataset(shard)
    made = rows.Mismatched().lips(Clip(one, tmp_path / "none"))
    assert made.shape == (FRAMES, 64, 64, 3)
    np.testing.assert_array_equal(made[0], two.crops()[0])


def test_a_clip_without_peers_cannot_be_mismatched(clip):
    with pytest.raises(InputError, match="no other clip"):
        rows.Mismatched().lips(clip)


def test_linear_begins_at_the_true_first_frame_and_paints_nothing(tmp_path):
    for split in ("train", "val"):
        drawn_shard(tmp_path / f"{split}-00000.tar", clips=2, frames=FRAMES, split=split)
    sample = ShardDataset(tmp_path, split="val")[0]
    path = tmp_path / "clip.mkv"
    path.write_bytes(sample.clip_bytes())
    row, drawn = rows.Linear(), Clip(sample, path)
    real = np.random.default_rng(0).uniform(40, 60, (FRAMES, 68, 2))
    told = row.points(drawn, real)
    assert row.lips(drawn) is None
    np.testing.assert_allclose(told[0], real[0], atol=1e-6)
    assert np.isfinite(told).all()
    assert rows.Real().points(drawn, real) is None
