"""The report counts the right answers of an expert that is right, and of one that guesses."""

import numpy as np

from lipglance.shards import ShardDataset
from lipglance.sync_report import report_table, sync_report
from synthetic_shards import write_shards

CONTEXT = 5


class Loudness:
    """Hears loudness and sees redness: drawn mouths show both alike."""

    def hear(self, samples, frames):
        level = np.abs(samples).reshape(frames, -1).max(1)
        return _unit(level / 0.5)

    def see(self, crops):
        dark = (crops.astype(float).sum(-1) < 120).mean((1, 2))
        return _unit((dark - dark.min()) / max(np.ptp(dark), 1e-6))


class Guess(Loudness):
    def see(self, crops):
        return np.random.default_rng(len(crops)).normal(
            size=(len(crops) - CONTEXT + 1, 2 * CONTEXT)
        )


def _unit(track):
    context = np.lib.stride_tricks.sliding_window_view(track, CONTEXT)
    angle = context * 2
    values = np.concatenate([np.cos(angle), np.sin(angle)], 1).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def test_right_and_guessing_experts(tmp_path):
    samples = list(ShardDataset(write_shards(tmp_path, clips=8), split="val"))
    good = sync_report(Loudness(), samples)
    assert set(good) == {"alpha", "beta"}
    for group in good.values():
        assert group["clips"] == 4
        assert group["shift_4"]["mean"] > 0.9
        assert group["other_clip"]["mean"] > 0.9
        assert group["offset_1"]["mean"] > 0.7
    poor = sync_report(Guess(), samples)
    assert all(group["shift_1"]["mean"] < 0.95 for group in poor.values())
    lines = report_table(good).splitlines()
    assert len(lines) == 4
    assert lines[2].startswith("| alpha (4) |")
