"""The renderer's trainer: pairs stay the same for the same step, a run learns, stops, resumes."""

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from faces import astronaut, astronaut_landmarks  # noqa: E402
from lipglance.checkpoint import read_checkpoint  # noqa: E402
from lipglance.config import from_dict  # noqa: E402
from lipglance.crop import CropConfig, picture_crop  # noqa: E402
from lipglance.errors import InputError  # noqa: E402
from lipglance.face_points import LIPS, MOUTH_20  # noqa: E402
from lipglance.geometry import apply, crop_image  # noqa: E402
from lipglance.mouth_warp import WARP_POINTS  # noqa: E402
from lipglance.renderer_batches import RendererSource  # noqa: E402
from lipglance.shard_writer import ShardWriter  # noqa: E402
from lipglance.trainer import RunOptions, train  # noqa: E402
from synthetic_shards import write_shards  # noqa: E402

CPU = RunOptions(accelerator="cpu", threads=2)
SIZE = 48


def tiny(**changes):
    return from_dict(
        {
            "kind": "renderer",
            "name": "renderer",
            "steps": 2,
            "batch": 4,
            "rate": 2e-3,
            "betas": [0.9, 0.99],
            "warmup": 1,
            "ema": 0.9,
            "precision": "fp32",
            "renderer": {"width": 8, "size": SIZE},
            "data": {"colour": 0.1},
            **changes,
        }
    )


def face_clip(frames=12):
    """Crops and points of a face whose mouth is painted wider open from frame to frame."""
    points = astronaut_landmarks().points
    matrix = picture_crop(points, CropConfig.face(SIZE))
    crop, at = crop_image(astronaut(), matrix, SIZE), apply(matrix, points)
    crops, tracks = [], []
    lower = [p for p in LIPS if at[p, 1] > at[list(LIPS), 1].mean()]
    for t in range(frames):
        moved = at.copy()
        moved[lower, 1] += t / 2
        picture = crop.copy()
        cv2.fillPoly(picture, [moved[list(LIPS[20:])].round().astype(np.int32)], (40, 10, 10))
        crops.append(picture)
        tracks.append(moved)
    return np.stack(crops), np.stack(tracks).astype(np.float32)


def face_shards(root):
    """Write shards of such clips and return their folder."""
    root.mkdir(parents=True, exist_ok=True)
    crops, points = face_clip()
    for split in ("train", "val"):
        with ShardWriter(root / f"{split}-00000.tar") as writer:
            for key in range(3):
                meta = {"key": f"{split}{key}", "corpus": "drawn", "speaker": "s", "split": split}
                meta["utterance"] = str(key)
                meta["crop"] = {"size": SIZE, "half_side": 1.0, "smooth": 2.0, "region": "face"}
                audio = np.zeros(len(crops) * 640, np.float32)
                still = np.tile(np.eye(2, 3, dtype=np.float32), (len(crops), 1, 1))
                writer.add(meta, crops, audio, points, still)
    return root


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return face_shards(tmp_path_factory.mktemp("faces"))


def test_same_arguments_same_pairs(shards):
    source = RendererSource([shards], "train", tiny())
    one, two, other = source.batch(0, 5, 3), source.batch(0, 5, 3), source.batch(0, 6, 3)
    assert torch.equal(one.seen, two.seen)
    assert torch.equal(one.wanted, two.wanted)
    assert not torch.equal(one.wanted, other.wanted)
    assert one.seen.shape == (3, 12, SIZE, SIZE)
    assert one.flow.shape == (3, 2, SIZE, SIZE)


def test_a_pair_is_cut_by_its_first_frame_alone(tmp_path):
    source = RendererSource([face_shards(tmp_path)], "train", tiny(data={"colour": 0.0}))
    clip, rng = source.clip(0), np.random.default_rng(1)
    source.plain = True
    # Frame 0's own crop is what all of them were cut by; frame 11 has its mouth wider open.
    for first, other in ((0, 11), (11, 0)):
        pictures, points, cut = source.views(clip, first, [other], rng)
        own = points[0][[WARP_POINTS.index(point) for point in MOUTH_20]]
        extent = np.ptp(own, axis=0).max()
        middle = np.array([(SIZE - 1) / 2, (SIZE - 1) / 2 - 0.25 * extent])
        np.testing.assert_allclose(own.mean(0), middle, atol=0.05)
        np.testing.assert_allclose(extent, SIZE / 2, atol=0.05)
        for k, frame in enumerate((first, other)):
            expected = crop_image(clip.frames[frame], cut, SIZE)
            np.testing.assert_array_equal(pictures[k], expected)
            np.testing.assert_allclose(points[k], apply(cut, clip.points[frame]), atol=1e-3)
    source.plain = False
    (one, _, first), (again, _, second) = (source.views(clip, 0, [5], rng) for _ in range(2))
    assert not np.array_equal(one, again)
    assert 0.01 < np.abs(first - second).max() < 0.2 * SIZE


def test_learns_to_paint_what_the_picture_lacks(shards, tmp_path):
    from lipglance.renderer_learner import RendererLearner

    train(tiny(steps=60, batch=8), [shards], tmp_path / "run", CPU)
    learner = RendererLearner(tiny(), torch.device("cpu"), lambda parameters: None)
    look = learner.watch([shards])
    before = look(tmp_path / "before.png")
    learner.load(read_checkpoint(tmp_path / "run" / "last.pt"))
    after = look(tmp_path / "after.png")
    assert after["made_mouth_l1"] < 0.8 * before["made_mouth_l1"]
    assert after["made_mouth_l1"] < 0.9 * after["still_mouth_l1"]
    assert (tmp_path / "after.png").stat().st_size > 1000


CRITIC = {"width": 8, "size": SIZE, "critic": 0.1, "likeness": 1.0, "critic_width": 4}


@pytest.mark.parametrize("renderer", [{"width": 8, "size": SIZE}, CRITIC])
def test_resumed_run_is_the_unbroken_one(shards, tmp_path, renderer):
    train(tiny(steps=1, renderer=renderer), [shards], tmp_path / "run", CPU)
    train(tiny(steps=2, renderer=renderer), [shards], tmp_path / "run", CPU)
    train(tiny(steps=2, renderer=renderer), [shards], tmp_path / "whole", CPU)
    one, two = (read_checkpoint(tmp_path / name / "last.pt") for name in ("run", "whole"))
    for name, value in two["networks"]["average"].items():
        torch.testing.assert_close(one["networks"]["average"][name], value)
    assert ("critic" in one["networks"]) == ("critic" in renderer)


def test_the_critic_begins_when_it_is_told_to(shards):
    from lipglance.renderer_learner import RendererLearner

    learner = RendererLearner(
        tiny(renderer=CRITIC | {"critic_start": 5}), torch.device("cpu"), lambda parameters: None
    )
    batch = learner.source([shards], 1.0).batch(0, 0, 4)
    before = [p.detach().clone() for p in learner.critic.parameters()]
    assert "critic" not in learner.step(batch, 4)
    assert all(torch.equal(a, b) for a, b in zip(before, learner.critic.parameters(), strict=True))
    terms = learner.step(batch, 5)
    assert {"false", "likeness", "critic"} <= set(terms)
    moved = zip(before, learner.critic.parameters(), strict=True)
    assert not all(torch.equal(a, b) for a, b in moved)


def test_a_critic_that_learns_alone_is_not_heard(shards):
    from lipglance.renderer_learner import RendererLearner

    heard = []
    for critic in ({}, {"critic_alone": 5}, {"critic": 0.0, "likeness": 0.0}):
        torch.manual_seed(0)
        made = RendererLearner(
            tiny(renderer=CRITIC | critic), torch.device("cpu"), lambda parameters: None
        )
        batch = made.source([shards], 1.0).batch(0, 0, 4)
        for step in range(2):
            terms = made.step(batch, step)
        heard.append(made.net.state_dict())
        assert ("critic" in terms) == (made.critic is not None)
    first, alone, without = ([net[name] for name in net] for net in heard)
    assert all(torch.equal(a, b) for a, b in zip(alone, without, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, without, strict=True))


def test_gain_makes_judgements_larger_and_nothing_else():
    from lipglance.renderer_critic import RendererCritic

    seen, maps = torch.rand(2, 3, SIZE, SIZE) * 2 - 1, torch.rand(2, 2, SIZE, SIZE)
    made = []
    for gain in (1.0, 8.0):
        torch.manual_seed(0)
        made.append(RendererCritic(4, gain).eval()(seen, maps))
    for plain, loud in zip(made[0][:-1], made[1][:-1], strict=True):
        assert torch.equal(plain, loud)
    torch.testing.assert_close(made[1][-1], made[0][-1] * 8)


def test_shards_of_lips_are_refused_in_one_line(tmp_path):
    shards = write_shards(tmp_path / "shards")
    with pytest.raises(InputError, match="learns from face crops of 48 px"):
        RendererSource([shards], "train", tiny())
