"""Figure 3: how the sound's changes and the lips' motion go together, at every offset in time.

The authors' analysis (their public code): per-frame log-mel differences against the mean magnitude
of Farneback's flow at 64x64, Pearson's r at offsets of -10 to 10 frames. Here the magnitude of the
differences is taken, bin by bin (spectral flux): flow has no sign either, a mouth that closes as
the voice falls moves as much as one that opens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lipglance.audio import AudioConfig, log_mel
from lipglance.errors import InputError
from lipglance.figures import Drawing, save, speaker_of
from lipglance.results import about_data
from lipglance.shards import Sample

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
Measure = Callable[[Sample, Sample], Floats]
"""Correlation of the sound of one clip and the lips of the same or another one.

At each of the offsets, (2 REACH + 1,), NaN where it is not defined.
"""

REACH = 10
"""Largest offset, video frames to either side."""
OFFSETS = np.arange(-REACH, REACH + 1)
MIN_OVERLAP = 10
"""Fewest frames left at an offset for which r is given."""
EXAMPLES = 4

_SHADES = ("#1b4965", "#c8553d", "#588157", "#8d6a9f")
_PLAIN = "plain signals"
_LEARNED = "learned encoders"


def sound_change(samples: NDArray[np.float32], frames: int) -> Floats:
    """How much the sound changes from one video frame to the next.

    Args:
        samples: (n,) float32 at 16 kHz, in [-1, 1].
        frames: T of the video.

    Returns:
        (T - 1,) mean over mel bins of the absolute difference of the frames' mean log-mel, in the
        log-mel's own units (1 is 50 dB).
    """
    config = AudioConfig()
    mel = log_mel(samples, config, frames).astype(np.float64)
    by_frame = mel.reshape(frames, config.frames_per_video_frame, -1).mean(1)
    return np.asarray(np.abs(np.diff(by_frame, axis=0)).mean(1), np.float64)


def lip_motion(crops: NDArray[np.uint8]) -> Floats:
    """How much the lips move from one frame to the next.

    Args:
        crops: (T, S, S, 3) RGB.

    Returns:
        (T - 1,) mean magnitude of Farneback's dense flow (2003), px of a 64-px crop.
    """
    grey = [
        cv2.cvtColor(cv2.resize(c, (64, 64), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
        for c in crops
    ]
    moved = []
    for first, second in pairwise(grey):
        empty = np.zeros((64, 64, 2), np.float32)
        flow = cv2.calcOpticalFlowFarneback(first, second, empty, 0.5, 3, 15, 3, 5, 1.2, 0)
        moved.append(float(np.linalg.norm(flow, axis=-1).mean()))
    return np.array(moved, np.float64)


def pearson(first: Floats, second: Floats) -> float:
    """Pearson's r of two signals (n,), in -1..1; NaN where one of them does not change."""
    # What rounding leaves of a constant is no signal, however small the signals are.
    floor = 1e-12 * float((first**2).sum() * (second**2).sum())
    first, second = first - first.mean(), second - second.mean()
    power = float((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / np.sqrt(power)) if power > floor else float("nan")


def correlation_curve(sound: Floats, motion: Floats) -> Floats:
    """Pearson's r of two signals (n,) at every offset of the motion.

    At offset k the motion of frame t + k stands beside the sound of frame t: a peak at a positive
    offset says that the lips move after the sound changes.

    Returns:
        (2 `REACH` + 1,) in -1..1; NaN where fewer than `MIN_OVERLAP` frames are left.
    """
    count = min(len(sound), len(motion))
    curve = np.full(len(OFFSETS), np.nan)
    for place, offset in enumerate(OFFSETS.tolist()):
        first, left = max(0, -offset), count - abs(offset)
        if left >= MIN_OVERLAP:
            later = max(0, offset)
            curve[place] = pearson(sound[first : first + left], motion[later : later + left])
    return curve


def plain_curve(heard: Sample, seen: Sample) -> Floats:
    """The curve of one clip's sound and one's crops (see `Measure`), without any network."""
    return correlation_curve(sound_change(heard.audio(), heard.frames), lip_motion(seen.crops()))


def best_offset(curve: Floats) -> int | None:
    """The offset of the highest value, frames; None unless every offset has one.

    Where only some offsets are left (a short clip), the highest of them says nothing of the rest.
    """
    return None if np.isnan(curve).any() else int(OFFSETS[np.argmax(curve)])


def derivative_correlation(
    drawing: Drawing, run: Path | None = None, limit: int | None = None
) -> list[Path]:
    """Figure 3: curves of four drawn clips, and the best offsets of all.

    Args:
        drawing: clips.
        run: checkpoint of a training run: a second row with its learned encoders (needs torch).
        limit: clips of each corpus, spread over it; None for all.

    Returns:
        The files; the JSON has every curve that is drawn and every clip's best offset.

    Raises:
        InputError: no clip is long enough, or no such checkpoint.
    """
    measures: dict[str, Measure] = {_PLAIN: plain_curve}
    if run is not None:
        from lipglance.figure_encoders import learned_measure

        measures[_LEARNED] = learned_measure(run)
    samples = spread([s for s in drawing.samples() if s.frames > 2 * REACH + MIN_OVERLAP], limit)
    if len(samples) < EXAMPLES:
        raise InputError(
            f"{len(samples)} clips of more than {2 * REACH + MIN_OVERLAP} frames; fig3 needs "
            f"{EXAMPLES} or more"
        )
    drawn = np.random.default_rng(drawing.seed).permutation(len(samples))[:EXAMPLES]
    rows = {name: _row(samples, measure, drawn.tolist()) for name, measure in measures.items()}
    facts = {
        "seed": drawing.seed,
        "splits": list(drawing.splits),
        "limit": limit,
        "run": None if run is None else str(run),
        "offsets": OFFSETS.tolist(),
        "chance_within_1": round(3 / len(OFFSETS), 4),
        "data": about_data(drawing.data, samples),
        "rows": rows,
    }
    return save(draw_rows(rows), drawing.out, "fig3", facts)


def spread(samples: Sequence[Sample], limit: int | None) -> list[Sample]:
    """All samples, or `limit` of each corpus at even distances."""
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(sample.entry.corpus, []).append(sample)
    chosen = []
    for group in groups.values():
        count = min(limit or len(group), len(group))
        chosen += [group[i * len(group) // count] for i in range(count)]
    return chosen


def _row(samples: Sequence[Sample], measure: Measure, drawn: list[int]) -> dict[str, Any]:
    """What one row of the figure shows, as plain values."""
    curves = [measure(s, s) for s in samples]
    strange = _strangers(samples, measure)
    best = [best_offset(curve) for curve in curves]
    corpora = sorted({s.entry.corpus for s in samples})
    return {
        "examples": [
            {"key": samples[k].key, "speaker": speaker_of(samples[k]), "best": best[k]}
            | {"curve": [None if np.isnan(v) else round(float(v), 4) for v in curves[k]]}
            for k in drawn
        ],
        "corpora": {
            name: _summary(
                [k for k, s in enumerate(samples) if s.entry.corpus == name], best, curves
            )
            | {"mean_r_at_0_mismatched": strange.get(name)}
            for name in corpora
        },
        "best": {s.key: b for s, b in zip(samples, best, strict=True)},
    }


def _strangers(samples: Sequence[Sample], measure: Measure) -> dict[str, float]:
    """Mean r at offset 0 of each clip's sound with the lips of the corpus' next clip.

    What is no lower than this is not about the speech: an encoder may answer alike to everything.
    """
    values: dict[str, list[float]] = {}
    for corpus in sorted({s.entry.corpus for s in samples}):
        clips = [s for s in samples if s.entry.corpus == corpus]
        if len(clips) > 1:
            pairs = zip(clips, [*clips[1:], clips[0]], strict=True)
            values[corpus] = [float(measure(heard, seen)[REACH]) for heard, seen in pairs]
    return {
        name: round(float(np.nanmean(r)), 4) for name, r in values.items() if np.any(np.isfinite(r))
    }


def _summary(
    places: Sequence[int], best: Sequence[int | None], curves: Sequence[Floats]
) -> dict[str, Any]:
    """Histogram of the best offsets of some clips, its share within one frame, the mean r."""
    offsets = [offset for k in places if (offset := best[k]) is not None]
    told = [curves[k] for k in places if best[k] is not None]
    return {
        "clips": len(offsets),
        "undefined": len(places) - len(offsets),
        "histogram": [offsets.count(int(offset)) for offset in OFFSETS],
        "within_1": round(sum(abs(b) <= 1 for b in offsets) / len(offsets), 4) if told else None,
        "mean_r_at_0": round(float(np.mean([c[REACH] for c in told])), 4) if told else None,
        "mean_r_at_best": round(float(np.mean([c.max() for c in told])), 4) if told else None,
    }


def draw_rows(rows: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Draw the rows: to the left the examples' curves, to the right the histogram.

    Raises:
        ModuleNotFoundError: without matplotlib; the command line says what to install.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 2.7 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), 2, squeeze=False, width_ratios=(1.15, 1))
    for letter, ((name, row), (left, right)) in enumerate(zip(rows.items(), axes, strict=True)):
        _draw_curves(left, row, f"({'ac'[letter]}) four clips, {name}")
        _draw_histogram(right, row, f"({'bd'[letter]}) best offset, {name}")
    return figure


def _draw_curves(axis: Axes, row: Mapping[str, Any], title: str) -> None:
    for shade, example in zip(_SHADES, row["examples"], strict=False):
        values = np.array(example["curve"], np.float64)
        axis.plot(OFFSETS, values, color=shade, lw=1.3, label=example["key"])
        if example["best"] is not None:
            axis.plot(example["best"], np.nanmax(values), "o", color=shade, ms=4)
    axis.axvline(0, color="#9a9a9a", lw=0.7, ls=":")
    # Room for the legend above the highest curve.
    low, high = axis.get_ylim()
    axis.set_ylim(low, high + 0.25 * (high - low))
    axis.set_ylabel("correlation coefficient r", fontsize=8)
    axis.legend(fontsize=6, frameon=False, loc="upper left", ncols=2)
    _finish(axis, title)


def _draw_histogram(axis: Axes, row: Mapping[str, Any], title: str) -> None:
    floor = np.zeros(len(OFFSETS))
    for shade, (name, group) in zip(_SHADES, row["corpora"].items(), strict=False):
        share = "" if group["within_1"] is None else f", {group['within_1']:.0%} within 1 frame"
        counts = np.array(group["histogram"], np.float64)
        label = f"{name}: {group['clips']} clips{share}"
        axis.bar(OFFSETS, counts, bottom=floor, color=shade, width=0.85, label=label)
        floor += counts
    # Room for the legend above the highest bar.
    axis.set_ylim(0, max(1.0, floor.max() * 1.35))
    axis.set_ylabel("number of clips", fontsize=8)
    axis.legend(fontsize=6, frameon=False, loc="upper left")
    _finish(axis, title)


def _finish(axis: Axes, title: str) -> None:
    axis.set_title(title, fontsize=8)
    axis.set_xlabel("offset of the flow, frames of 40 ms (positive: lips after sound)", fontsize=7)
    axis.set_xticks(range(-REACH, REACH + 1, 5))
    axis.tick_params(labelsize=7)
    axis.spines[["top", "right"]].set_visible(False)
