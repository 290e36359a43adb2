"""The plots of a page of results: bars, histograms of offsets, openings over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from .results import TITLES, shown_metrics
from .sync import REACH

NOT_MODELS = ("real", "pasted", "still", "mismatched", "linear")
_INK, _GREY, _PALE = "#1b4965", "#9a9a9a", "#c9d6df"
_COLUMNS = 4


def bars(results: Mapping[str, Any], corpus: str) -> Figure:
    """A small bar chart for each metric: rows with their intervals."""
    rows = [row for row in results["rows"] if corpus in row["groups"]]
    shown = shown_metrics(results)
    figure, axes = _grid(len(shown), 2.4)
    for axis, metric in zip(axes, shown, strict=True):
        _bar(axis, metric, [(Path(r["name"]).name, r["groups"][corpus]) for r in rows])
    return figure


def _grid(count: int, height: float) -> tuple[Figure, list[Axes]]:
    """A figure of `count` small plots, four to a line of `height` inches."""
    lines = max(1, -(-count // _COLUMNS))
    figure = Figure(figsize=(11, height * lines), layout=ConstrainedLayoutEngine(h_pad=0.1))
    axes = list(figure.subplots(lines, _COLUMNS, squeeze=False).ravel())
    for axis in axes[count:]:
        axis.set_visible(False)
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=7)
    return figure, axes[:count]


def _bar(axis: Axes, metric: str, rows: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    names = [name for name, _ in rows]
    found = [group["metrics"].get(metric) or {"mean": None} for _, group in rows]
    for place, (name, summary) in enumerate(zip(names, found, strict=True)):
        if summary["mean"] is None:
            continue
        shade = _GREY if name in NOT_MODELS else _INK
        axis.barh(place, summary["mean"], color=shade, height=0.65)
        if summary.get("low") is not None:
            axis.plot([summary["low"], summary["high"]], [place, place], color="black", lw=1.2)
        if name == "real":
            axis.axvline(summary["mean"], color=_GREY, lw=0.8, ls=":")
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.set_title(TITLES[metric], fontsize=9)


def offset_shares(row: Mapping[str, Any], corpus: str) -> np.ndarray[Any, np.dtype[Any]] | None:
    """Share of a row's clips at each best offset from -15 to 15 frames, (31,), summing to 1.

    None where no clip has an offset: a row without pictures, or results of old.
    """
    clips = [clip for clip in row["clips"] if clip["corpus"] == corpus]
    known = [clip["offset"] for clip in clips if clip.get("offset") is not None]
    if not known:
        return None
    found = np.bincount(np.clip(known, -REACH, REACH) + REACH, minlength=2 * REACH + 1)
    return found / len(known)


def offsets(results: Mapping[str, Any], corpus: str) -> Figure | None:
    """A histogram of the clips' best offsets for each row; None where there are no offsets."""
    made = [(row["name"], offset_shares(row, corpus)) for row in results["rows"]]
    known = [(Path(name).name, shares) for name, shares in made if shares is not None]
    if not known:
        return None
    figure, axes = _grid(len(known), 2.1)
    frames = np.arange(-REACH, REACH + 1)
    highest = max(float(shares.max()) for _, shares in known)
    for axis, (name, shares) in zip(axes, known, strict=True):
        near = np.abs(frames) <= 1
        shade = _GREY if name in NOT_MODELS else _INK
        axis.bar(frames[~near], shares[~near], color=_PALE, width=0.85)
        axis.bar(frames[near], shares[near], color=shade, width=0.85)
        axis.set_title(f"{name}: {shares[near].sum():.0%} in sync", fontsize=9)
        # One scale for all, or the flattest histogram would look like the sharpest.
        axis.set_ylim(0, highest * 1.05)
        axis.set_xlim(-REACH - 0.7, REACH + 0.7)
        axis.set_xticks([-15, -10, -5, 0, 5, 10, 15])
        axis.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    return figure


def track(clip: Mapping[str, Any], real: Mapping[str, Any] | None, of: str = "real") -> Figure:
    """The opening of the mouth over time, generated and real; `of` names the latter."""
    figure = Figure(figsize=(11, 1.8), layout="constrained")
    axis = figure.subplots()
    for found, shade, name in ((real, _GREY, of), (clip, _INK, "generated")):
        if found is not None and "opening" in found:
            values = np.array(found["opening"], np.float64)
            axis.plot(np.arange(len(values)) / 25, values, color=shade, lw=1.5, label=name)
    axis.set_xlabel("seconds", fontsize=8)
    axis.set_ylabel("opening, px of 64", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.legend(fontsize=8, frameon=False, loc="upper right")
    axis.spines[["top", "right"]].set_visible(False)
    return figure
