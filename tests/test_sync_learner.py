"""The sync expert's trainer learns to tell true pairs, stops and resumes, and exports."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lipglance.checkpoint import read_checkpoint  # noqa: E402
from lipglance.config import from_dict  # noqa: E402
from lipglance.errors import InputError  # noqa: E402
from lipglance.export import export_model  # noqa: E402
from lipglance.sync import SyncExpert  # noqa: E402
from lipglance.trainer import RunOptions, train  # noqa: E402
from synthetic_shards import draw_clip, write_shards  # noqa: E402

CPU = RunOptions(accelerator="cpu", threads=2)


def tiny(**changes):
    return from_dict(
        {
            "kind": "sync",
            "name": "sync",
            "steps": 2,
            "batch": 4,
            "rate": 2e-3,
            "warmup": 1,
            "precision": "fp32",
            "betas": [0.9, 0.999],
            "sync": {"width": 4, "embedding": 16},
            "data": {"silence": 0, "geometry": 0, "colour": 0, "noise": 0, "band_limit": 0},
            **changes,
        }
    )


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("shards"), clips=12)


@pytest.fixture(scope="module")
def trained(shards, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "sync"
    train(tiny(steps=120, batch=8), [shards], run, CPU)
    return run


def test_learns_to_tell_drawn_mouths_that_open_with_the_sound(trained, tmp_path):
    expert = SyncExpert(export_model(trained, tmp_path / "sync"))
    right = []
    for seed in range(1000, 1006):
        crops, audio, _ = draw_clip(seed)
        late = np.concatenate([np.zeros(3 * 640, np.float32), audio])[: len(audio)]
        right.append((expert.score(crops, audio, 4).offset, expert.score(crops, late, 4).offset))
    # Quick training on few drawn clips: most, not all, to the frame.
    assert np.mean([abs(offset) <= 1 for offset, _ in right]) > 0.5
    assert np.mean([abs(offset - 3) <= 1 for _, offset in right]) > 0.5


def test_run_folder_and_resume(shards, tmp_path):
    train(tiny(steps=1), [shards], tmp_path / "run", CPU)
    train(tiny(steps=2), [shards], tmp_path / "run", CPU)
    train(tiny(steps=2), [shards], tmp_path / "whole", CPU)
    state = read_checkpoint(tmp_path / "run" / "last.pt")
    assert state["progress"]["step"] == 2
    assert list((tmp_path / "run" / "samples").glob("*.png"))
    assert sorted(state["networks"]) == ["sync"]


def test_export_agrees_with_torch_for_any_length(trained, tmp_path):
    from lipglance.sync_export import load_sync_net

    folder = export_model(trained, tmp_path / "sync")
    net = load_sync_net(read_checkpoint(trained / "last.pt"))
    expert = SyncExpert(folder)
    crops = np.random.default_rng(0).integers(0, 255, (17, 64, 64, 3), np.uint8)
    shown = torch.from_numpy(crops.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1)[None]
    with torch.no_grad():
        wanted = net.lips(shown)[0].numpy()
    np.testing.assert_allclose(expert.see(crops), wanted, atol=5e-3)
    assert expert.hear(np.zeros(17 * 640, np.float32), 17).shape == wanted.shape


def test_unknown_kind_is_one_clear_line(shards, tmp_path):
    with pytest.raises(InputError, match="cannot be trained; known: lmgg, "):
        train(tiny(kind="song"), [shards], tmp_path / "run", CPU)
