"""A known lag is found, with and without networks; the figure tells what it shows."""

import json

import cv2
import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="needs the eval extra: pip install '.[eval]'")

from lipglance.cli import main
from lipglance.errors import InputError
from lipglance.figure_correlation import (
    OFFSETS,
    REACH,
    best_offset,
    correlation_curve,
    lip_motion,
    pearson,
    sound_change,
    spread,
)
from lipglance.shards import ShardDataset
from synthetic_shards import draw_clip, write_shards


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("shards"), clips=6, splits=("val",))


def test_pearson_is_numpys():
    a, b = np.random.default_rng(0).normal(size=(2, 30))
    assert pearson(a, b) == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert pearson(a * 1e-9, b * 1e-9) == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert np.isnan(pearson(a, np.full(30, 0.1)))


@pytest.mark.parametrize("lag", [-7, 0, 3])
def test_lips_that_move_later_peak_at_a_positive_offset(lag):
    sound = np.random.default_rng(1).normal(size=60)
    curve = correlation_curve(sound, np.roll(sound, lag))
    assert best_offset(curve) == lag
    assert curve[REACH + lag] > 0.99


def test_offsets_that_leave_too_little_have_no_value():
    curve = correlation_curve(*np.random.default_rng(2).normal(size=(2, 15)))
    assert OFFSETS[np.isfinite(curve)].tolist() == list(range(-5, 6))
    assert best_offset(curve) is None


def test_motion_and_change_are_where_they_are_put():
    crops, _, _ = draw_clip(0)
    still = np.repeat(crops[:1], 12, 0)
    still[6:] = crops[12]
    motion = lip_motion(still)
    assert motion.shape == (11,)
    assert motion.argmax() == 5
    assert motion[5] > 0.5
    assert np.delete(motion, 5).max() < 1e-3
    time = np.arange(12 * 640) / 16000
    tone = np.where(time < 6 * 0.04, 0, 0.5 * np.sin(2 * np.pi * 300 * time)).astype(np.float32)
    change = sound_change(tone, 12)
    assert change.shape == (11,)
    assert change.argmax() in (4, 5)


def test_lips_that_open_four_frames_after_the_voice_are_told_so():
    rng = np.random.default_rng(3)
    level = np.repeat(rng.integers(0, 2, 20), 4)
    time = np.arange(80 * 640) / 16000
    tone = np.repeat(level, 640) * 0.5 * np.sin(2 * np.pi * 300 * time)
    crops = np.full((80, 64, 64, 3), 180, np.uint8)
    for crop, late in zip(crops, np.roll(level, 4), strict=True):
        cv2.ellipse(crop, (32, 32), (18, 4 + 6 * int(late)), 0, 0, 360, (60, 20, 20), -1)
    curve = correlation_curve(sound_change(tone.astype(np.float32), 80), lip_motion(crops))
    # The log-mel's window spreads a step of the sound over three differences.
    assert best_offset(curve) in (3, 4, 5)
    assert curve[REACH + 3 : REACH + 6].max() > 0.5
    assert curve[: REACH + 1].max() < 0.2


def test_limit_is_for_each_corpus(shards):
    samples = list(ShardDataset(shards))
    assert [s.key for s in spread(samples, 1)] == ["val_0", "val_1"]
    assert len(spread(samples, None)) == len(spread(samples, 99)) == 6


def test_figure_3_tells_what_it_shows(shards, tmp_path, capsys):
    command = ["reproduce", "fig3", "--data", str(shards), "--split", "val"]
    assert main([*command, "-o", str(tmp_path)]) == 0
    assert str(tmp_path / "fig3.pdf") in capsys.readouterr().out
    told = json.loads((tmp_path / "fig3.json").read_text())
    assert list(told["rows"]) == ["plain signals"]
    row = told["rows"]["plain signals"]
    assert [len(e["curve"]) for e in row["examples"]] == [21] * 4
    assert len(row["best"]) == 6
    for group in row["corpora"].values():
        assert sum(group["histogram"]) == group["clips"] == 3
    counted = sum(sum(g["histogram"][9:12]) for g in row["corpora"].values())
    assert counted == sum(abs(b) <= 1 for b in row["best"].values())
    assert (tmp_path / "fig3.png").read_bytes().startswith(b"\x89PNG")


def test_bad_input_is_one_clear_line(shards, tmp_path, capsys):
    command = ["reproduce", "fig3", "--data", str(shards), "-o", str(tmp_path / "out")]
    assert main(command) == 2
    assert "no samples" in capsys.readouterr().err
    command += ["--split", "val"]
    assert main([*command, "--limit", "1"]) == 2
    assert "2 clips" in capsys.readouterr().err
    pytest.importorskip("torch")
    assert main([*command, "--run", str(tmp_path / "no.pt")]) == 2
    assert "no checkpoint" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_learned_encoders_of_a_run_make_a_second_row(shards, tmp_path):
    torch = pytest.importorskip("torch")
    from lipglance.audio import log_mel
    from lipglance.config import LossConfig, TrainConfig, to_dict
    from lipglance.correlation import AudioDerivativeEncoder, FlowEncoder
    from lipglance.figure_encoders import LearnedCorrelation
    from lipglance.flow import video_flow
    from lipglance.generator import Generator
    from lipglance.network_config import GeneratorConfig

    torch.manual_seed(0)
    config = TrainConfig(
        generator=GeneratorConfig(width=4), loss=LossConfig(correlation=0.5), correlation_width=16
    )
    networks = {
        "generator": Generator(config.generator),
        "audio_encoder": AudioDerivativeEncoder(16, 16, derivative=config.loss.derivative),
        "flow_encoder": FlowEncoder(16),
    }
    state = {"config": to_dict(config)}
    state["networks"] = {name: net.state_dict() for name, net in networks.items()}
    run = tmp_path / "last.pt"
    torch.save(state, run)
    sample, other = list(ShardDataset(shards))[:2]
    measure = LearnedCorrelation(run)
    curve = measure(sample, sample)
    assert np.isfinite(curve).all()
    assert np.abs(curve).max() <= 1 + 1e-6
    assert not np.allclose(curve, measure(sample, other))
    # The first window of sound, with the flow of the frames where it lies, by hand.
    short = sample.entry._replace(frames=16)
    cut = type(sample)(sample.shard, short)
    with torch.no_grad():
        nets = {name: net.eval() for name, net in networks.items()}
        mel = torch.from_numpy(log_mel(sample.audio(), None, 16))[None, None]
        video = torch.from_numpy(sample.crops()[:16]).permute(3, 0, 1, 2)[None].float()
        spoken = nets["audio_encoder"](nets["generator"].audio(mel))[0].numpy()
        moved = nets["flow_encoder"](video_flow(video / 127.5 - 1))[0].numpy()
    only = measure(cut, cut)
    assert np.isfinite(only).nonzero()[0].tolist() == [REACH]
    assert only[REACH] == pytest.approx(
        pearson(spoken.astype(float), moved.astype(float)), abs=1e-3
    )

    out = tmp_path / "out"
    command = ["reproduce", "fig3", "--data", str(shards), "--split", "val", "-o", str(out)]
    assert main([*command, "--run", str(run)]) == 0
    told = json.loads((out / "fig3.json").read_text())
    assert list(told["rows"]) == ["plain signals", "learned encoders"]
    del state["networks"]["flow_encoder"]
    torch.save(state, run)
    with pytest.raises(InputError, match="no correlation encoders"):
        LearnedCorrelation(run)
