"""The two stages of the product model, each beside a perfect other one."""

import numpy as np
import pytest

pytest.importorskip("torch")

from fake_clips import drawn_shard
from lipglance import oracles, rows
from lipglance.dlib68 import MOUTH
from lipglance.errors import InputError
from lipglance.evaluation_clip import Clip
from lipglance.face_points import MOUTH_20
from lipglance.glance import GlanceModel
from lipglance.shards import ShardDataset
from test_glance import folder, model  # noqa: F401

FRAMES = 12


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    drawn = tmp_path_factory.mktemp("drawn")
    shard = drawn_shard(drawn / "val-00000.tar", clips=1, frames=FRAMES, split="val")
    (sample,) = ShardDataset(shard)
    path = drawn / "clip.mkv"
    path.write_bytes(sample.clip_bytes())
    return Clip(sample, path)


def test_changes_begin_at_nothing_and_are_those_of_the_codes(model):  # noqa: F811
    basis = model.motion.basis
    codes = np.random.default_rng(0).normal(0, 0.3, (5, basis.size))
    faces = np.repeat(basis.template[None], 5, axis=0)
    faces[:, list(oracles.LOWER_FACE)] += basis.decode(codes)
    changes = oracles.true_changes(basis, faces * 90.0 + 200.0)
    assert np.abs(changes[0]).max() == 0
    assert np.allclose(changes, basis.decode(codes - codes[0]), atol=0.02)


def test_a_frame_without_a_face_repeats_the_one_before(model):  # noqa: F811
    basis = model.motion.basis
    faces = np.stack([basis.template * 90.0] * 4)
    faces[2:, 14] += 5.0
    faces[[0, 3]] = np.nan
    changes = oracles.true_changes(basis, faces)
    assert np.array_equal(changes[0], changes[1])
    assert np.array_equal(changes[2], changes[3])
    assert np.abs(changes[2]).max() > 0
    with pytest.raises(InputError, match="no face"):
        oracles.true_changes(basis, np.full((3, 468, 2), np.nan))


def test_true_motion_paints_what_the_face_did(model, clip, monkeypatch):  # noqa: F811
    # The drawn clip's mesh is stiff; say in its place that the mouth opens more and more.
    changes = np.zeros((FRAMES, *model.motion.basis.mean.shape))
    changes[:, 10:15, 1] = np.linspace(0, 0.2, FRAMES)[:, None]
    monkeypatch.setattr(oracles, "true_changes", lambda basis, points: changes)
    row = oracles.TrueMotion("true", model)
    made = row.lips(clip)
    size = model.crop.size
    assert made.shape == (FRAMES, size, size, 3)
    away = np.abs(made.astype(int) - made[0]).mean(axis=(1, 2, 3))
    assert away[-1] > 0
    faces = list(row.faces(clip))
    assert len(faces) == FRAMES
    assert faces[0].shape == next(clip.pictures()).shape


def test_heard_motion_moves_the_mouth_alone(model, clip):  # noqa: F811
    row = oracles.HeardMotion("heard", model)
    assert row.lips(clip) is None
    real = np.zeros((FRAMES, 68, 2))
    for frame, points in enumerate(clip.sample.landmarks()):
        back = np.linalg.inv(np.vstack([clip.transforms()[frame], [0, 0, 1]]))[:2]
        real[frame, MOUTH] = points[list(MOUTH_20)] @ back[:, :2].T + back[:, 2]
    told = row.points(clip, real)
    moved = told[:, MOUTH] - told[:1, MOUTH]
    told[:, MOUTH] = 0
    assert not told.any()
    assert np.isfinite(moved).all()
    assert np.abs(moved).max() > 0


class Hears:
    """Stands in for a motion: hears the mouth `level` lower than given, then lower and lower."""

    def __init__(self, basis, level):
        self.basis, self.level = basis, level

    def start(self, landmarks, crop):
        return self

    def feed(self, samples):
        return np.zeros((0, *self.basis.mean.shape))

    def finish(self, frames=None):
        changes = np.zeros((frames, *self.basis.mean.shape))
        changes[..., 1] = (self.level + 0.01 * np.arange(frames))[:, None]
        return changes


def test_heard_motion_leads_away_from_the_given_mouth_as_the_model_paints_it(model, clip):  # noqa: F811
    real = np.zeros((FRAMES, 68, 2))
    real[:, MOUTH] = np.random.default_rng(0).uniform(0, 90, (20, 2))

    def heard(level):
        hearing = GlanceModel(model.info, Hears(model.motion.basis, level), model.renderer)
        return oracles.HeardMotion("heard", hearing).points(clip, real)[0, MOUTH]

    # The stiff head of the drawn clip carries nothing: the first frame is moved by its own change.
    assert np.allclose(heard(0.0), real[0, MOUTH], atol=1e-6)
    assert np.abs(heard(0.1) - real[0, MOUTH]).mean() > 1
    real[0] = np.nan  # dlib does not see the picture: only how the mouth changes is known
    first, second = heard(0.0), heard(0.1)
    assert np.allclose(first, second, atol=1e-6)


def test_rows_are_made_by_name(model, tmp_path_factory):  # noqa: F811
    toy = str(tmp_path_factory.getbasetemp() / "none")
    with pytest.raises(InputError, match="unknown model"):
        rows.make_row(f"true-motion={toy}")
    with pytest.raises(InputError, match="no motion of its own"):
        rows.make_row("heard-motion=lmgg")
    assert rows.describe_row("true-motion=lmgg")["model"]["name"] == "lmgg"
