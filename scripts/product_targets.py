"""What is asked of the product model on each test set, beside what the results say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lipglance.results import markdown_table

MODEL = "glance"
COLUMNS = (
    ("grid", "test_seen"),
    ("grid", "test_unseen"),
    ("lrc-ar", "test_seen"),
    ("lrc-ar", "test_unseen"),
)
ASKED: tuple[tuple[str, str, tuple[float, ...] | tuple[tuple[float, float], ...]], ...] = (
    ("LMD, px", "lmd", (0.75, 1.40, 1.20, 1.30)),
    ("aperture r", "aperture_r", (0.92, 0.78, 0.60, 0.58)),
    ("articulation", "articulation", ((0.85, 1.15), (0.8, 1.2), (0.8, 1.2), (0.8, 1.2))),
    ("SSIM", "ssim", (0.91, 0.87, 0.83, 0.81)),
    ("PSNR, dB", "psnr", (33.0, 30.0, 26.5, 26.0)),
    ("silence leak", "silence_leak", (0.02, 0.02, 0.02, 0.02)),
    ("AV offset at most 1 frame, share of clips", "in_sync", (0.9, 0.9, 0.9, 0.9)),
)
_LOWER = {"lmd", "silence_leak"}
# In these at once the product is to be at least as good as the paper's model.
PAPER, COMPARED = "lmgg", (("lmd", 2), ("aperture_r", 2), ("ssim", 3))
VOICE_COLUMN, VOICE_COST = ("grid", "test_seen"), 0.10
Means = dict[tuple[str, str], dict[str, dict[str, float]]]
"""Metrics by column, row and name."""


def targets(found: Iterable[dict[str, Any]]) -> str:
    """Tables of measured values and targets, met ones marked; empty without the model's row."""
    views: dict[str, Means] = {"lips": {}, "face": {}}
    voices: dict[str, float] = {}
    for results in found:
        if results.get("identity", "own") != "own":
            continue
        voice = results.get("voice", "clean")
        for row in results["rows"]:
            for corpus, group in row["groups"].items():
                values = {key: value["mean"] for key, value in group["metrics"].items()}
                where = (corpus, results["split"])
                if voice == "clean":
                    views[results["view"]].setdefault(where, {})[row["name"]] = values
                elif where == VOICE_COLUMN and row["name"] == MODEL:
                    voices[voice] = values["aperture_r"]
    means = views["lips"]
    if not any(MODEL in rows for rows in means.values()):
        return ""
    lines = []
    for title, key, wanted in ASKED:
        cells = []
        for column, want in zip(COLUMNS, wanted, strict=True):
            cells.append(_cell(means.get(column, {}).get(MODEL, {}).get(key), key, want))
        lines.append([title, *cells])
    for title, key, loss, view in (
        ("CPBD within 15 % of real, crop of 96 px put back", "cpbd", 0.15, "lips"),
        ("CPBD within 15 % of real, into the picture itself (face view)", "cpbd", 0.15, "face"),
        ("identity", "identity", 0.03, "lips"),
    ):
        cells = []
        for column in COLUMNS:
            rows = views[view].get(column, {})
            value, real = (rows.get(name, {}).get(key) for name in (MODEL, "real"))
            if value is None or real is None:
                cells.append("-")
                continue
            met = abs(value / real - 1) <= loss if key == "cpbd" else value >= real - loss
            cells.append(f"{value:.3f} of {real:.3f}{_mark(met)}")
        lines.append([title, *cells])
    lines.append(
        [
            f"at least as good as {PAPER}: LMD, aperture r, SSIM less its",
            *(_against_paper(means.get(column, {})) for column in COLUMNS),
        ]
    )
    head = ["", *(f"{corpus} {split}" for corpus, split in COLUMNS)]
    note = "What is asked of `glance`, in brackets, and what it reaches; **bold** is met."
    clean = means.get(VOICE_COLUMN, {}).get(MODEL, {}).get("aperture_r")
    heard = _voices(voices, clean) if voices and clean is not None else ""
    return f"{note}\n\n{markdown_table(head, lines)}{heard}"


def _against_paper(rows: dict[str, dict[str, float]]) -> str:
    ours, papers = rows.get(MODEL), rows.get(PAPER)
    if ours is None or papers is None:
        return "-"
    gains = [(key, digits, ours[key] - papers[key]) for key, digits in COMPARED]
    met = all((gain <= 0) if key in _LOWER else (gain >= 0) for key, _, gain in gains)
    return ", ".join(f"{gain:+.{digits}f}" for _, digits, gain in gains) + _mark(met)


def _voices(voices: dict[str, float], clean: float) -> str:
    """How much other voices cost, below the table."""
    corpus, split = VOICE_COLUMN
    cells = [
        f"{value:.2f}, {clean - value:.2f} less{_mark(clean - value <= VOICE_COST)}"
        for value in voices.values()
    ]
    table = markdown_table(["", "clean", *voices], [["aperture r", f"{clean:.2f}", *cells]])
    return f"\n\n{corpus} {split} heard otherwise, asked: {VOICE_COST} less at most.\n\n{table}"


def _mark(met: bool) -> str:
    return ", **met**" if met else ""


def _cell(value: float | None, key: str, want: Any) -> str:
    if value is None:
        return "-"
    if isinstance(want, tuple):
        met, told = want[0] <= value <= want[1], f"{want[0]} to {want[1]}"
    elif key in _LOWER:
        met, told = value <= want, f"<= {want}"
    else:
        met, told = value >= want, f">= {want}"
    shown = f"{value:.3f}" if key in ("ssim", "silence_leak") else f"{value:.2f}"
    return f"{f'**{shown}**' if met else shown} ({told})"
