"""The report counts the right answers of an expert that is right, and of one that guesses."""

import numpy as np

from lipglance.cli import main
from lipglance.shards import ShardDataset
from lipglance.sync_report import best_threshold, confidence_table, report_table, sync_report
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
        sure = group["confidence"]
        assert sure["own"][2] > sure["other"][2]
        assert sure["right"] > 0.7
        assert len(sure["values"]["own"]) == 4
    lines = confidence_table(good).splitlines()
    assert lines[2].startswith("| alpha, its own |")
    assert lines[3].startswith("| alpha, another clip's |")
    assert {line.count("|") for line in lines[:6]} == {9}
    assert lines[-1].startswith("All corpora alike: told apart best at ")
    poor = sync_report(Guess(), samples)
    assert all(group["shift_1"]["mean"] < 0.95 for group in poor.values())
    lines = report_table(good).splitlines()
    assert len(lines) == 4
    assert lines[2].startswith("| alpha (4) |")


def test_the_threshold_tells_own_from_other_best():
    first = ([0.3, 0.4, 0.5], [0.1, 0.2])
    assert best_threshold([first]) == (0.25, 1.0)
    # One of the own lies among the others: better lost than both of those let in.
    second = ([0.1, 0.4, 0.5, 0.6], [0.2, 0.32])
    assert best_threshold([second]) == (0.36, 0.875)
    # Together a compromise in which each of the two weighs the same.
    assert best_threshold([first, second, second])[0] == 0.36
    assert best_threshold([first, first, second])[0] in (0.25, 0.26)


def test_an_output_that_cannot_be_is_told_before_any_work(tmp_path, capsys):
    for output, told in ((tmp_path, "is a directory"), (tmp_path / "no" / "r.json", "make it")):
        assert main(["sync-report", "--data", str(tmp_path / "x"), "-o", str(output)]) == 2
        assert told in capsys.readouterr().err
