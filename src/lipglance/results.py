"""The results of an evaluation: where they come from, summed up over clips, shown as a table."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from lipglance.measure import METRICS
from lipglance.metrics import bootstrap
from lipglance.shards import Sample

#: Column titles; the arrow says which way is better, "1" that the real clip's value is 1.
TITLES = {
    "lmd": "LMD, px ↓",
    "lmd_w": "LMD/w ↓",
    "ssim": "SSIM ↑",
    "psnr": "PSNR, dB ↑",
    "psnr_u8": "PSNR-u8, dB",
    "aperture_r": "aperture r ↑",
    "articulation": "articulation → 1",
    "cpbd": "CPBD → real",
    "identity": "identity → real",
    "silence_leak": "silence leak ↓",
    "lse_d": "LSE-D ↓",
    "lse_c": "LSE-C ↑",
    "in_sync": "in sync ↑",
    "jitter": "jitter → 1",
}
#: What has to be known to read a table of the cross-identity pass.
CROSS_NOTE = (
    "Each sound is said by the first frame of another speaker's clip, so that nothing can be "
    "compared with a film of it. Aperture r and jitter: against the mouth of the sound's own "
    "speaker. real: the sound's own clip, its CPBD and identity those of the face's clip."
)
#: How a voice is told of in a heading; the clean one is not.
_VOICES = {
    "white": "white noise at 10 dB",
    "babble": "babble at 10 dB",
    "telephone": "over the telephone",
    "fast": "1.3 times as fast",
    "synthetic": "in a synthetic voice",
}
_DIGITS = {"lmd_w": 4, "ssim": 3, "psnr": 1, "psnr_u8": 1, "cpbd": 3, "identity": 3}


def about_data(roots: Sequence[Path], samples: Sequence[Sample]) -> dict[str, Any]:
    """The data in a few words, and a digest of all the shards that are read."""
    digest = hashlib.sha256()
    for shard in sorted({sample.shard for sample in samples}):
        with shard.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    counts: dict[str, dict[str, Any]] = {}
    for sample in samples:
        group = counts.setdefault(sample.entry.corpus, {"clips": 0, "frames": 0, "speakers": set()})
        group["clips"] += 1
        group["frames"] += sample.frames
        group["speakers"].add(sample.speaker)
    corpora = {name: g | {"speakers": sorted(g["speakers"])} for name, g in counts.items()}
    return {
        "shards": [str(root) for root in roots],
        "sha256": digest.hexdigest(),
        "corpora": corpora,
    }


def summarise(clips: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Sum up one row's records (of `measure_clip`, with ``corpus`` and ``frames``) by corpus.

    Each metric's mean over the clips that have a value, with a bootstrap interval over clips and
    the number of clips without a value; frames without landmarks and clips that failed as counts.
    """
    corpora = list(dict.fromkeys(clip["corpus"] for clip in clips))
    return {corpus: _group([c for c in clips if c["corpus"] == corpus]) for corpus in corpora}


def _group(clips: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    good = [clip for clip in clips if "error" not in clip]
    covered = [clip["coverage"] for clip in good if clip["coverage"] is not None]
    return {
        "clips": len(clips),
        "failed_clips": len(clips) - len(good),
        "frames": sum(clip["frames"] for clip in good),
        "missing_real": sum(clip["missing_real"] for clip in good),
        "missing_generated": sum(clip["missing_generated"] for clip in good),
        "coverage": round(sum(covered) / len(covered), 4) if covered else None,
        "seconds": round(sum(clip["seconds"] for clip in good), 2),
        "metrics": {name: _summary(clip["values"][name] for clip in good) for name in METRICS},
    }


def _summary(values: Iterable[float | None]) -> dict[str, float | int | None]:
    summary = asdict(bootstrap(values))
    return {k: round(v, 5) if isinstance(v, float) else v for k, v in summary.items()}


def _shown(group: Mapping[str, Any], metric: str) -> str:
    """Mean ± half the interval's width; how many clips are meant where it is not all of them."""
    value = group["metrics"].get(metric)
    if value is None or value["mean"] is None:
        return "-"
    text = with_interval(value, _DIGITS.get(metric, 2))
    return f"{text} ({value['n']})" if value["undefined"] else text


def with_interval(summary: Mapping[str, Any], digits: int) -> str:
    """A summary's mean ± half its interval's width, the mean alone where there is none."""
    text = f"{summary['mean']:.{digits}f}"
    if summary["low"] is not None:
        text += f" ± {(summary['high'] - summary['low']) / 2:.{digits}f}"
    return text


def markdown_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table: the first column to the left, figures to the right."""
    lines = ["| " + " | ".join(titles) + " |", "| --- |" + " ---: |" * (len(titles) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _missing(group: Mapping[str, Any]) -> str:
    """Frames without landmarks (real + generated) and clips that failed altogether."""
    text = f"{group['missing_real']} + {group['missing_generated']} of {group['frames']}"
    return text + (f", {group['failed_clips']} clips" if group["failed_clips"] else "")


def shown_metrics(results: Mapping[str, Any]) -> list[str]:
    """The metrics that any row has a value of, in their order."""
    groups = [group for row in results["rows"] for group in row["groups"].values()]
    known = {name for g in groups for name, v in g["metrics"].items() if v["mean"] is not None}
    return [name for name in METRICS if name in known]


def head(results: Mapping[str, Any]) -> list[str]:
    """Titles of the columns of `row_lines`, without the row's name."""
    return [*(TITLES[name] for name in shown_metrics(results)), "no landmarks"]


def row_lines(results: Mapping[str, Any], corpus: str) -> list[list[str]]:
    """A line for each row: its name, the metrics, what is missing."""
    groups = [row["groups"].get(corpus) for row in results["rows"]]
    return [
        [name, *(_shown(group, m) for m in shown_metrics(results)), _missing(group)]
        for name, group in zip(short_names(results), groups, strict=True)
        if group
    ]


def short_names(results: Mapping[str, Any]) -> list[str]:
    """The rows' names: the last part of a model's path where it is the only one of that name."""
    names = [row["name"] for row in results["rows"]]
    ends = [Path(name).name for name in names]
    return [end if ends.count(end) == 1 else name for end, name in zip(ends, names, strict=True)]


def corpora_of(results: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Corpora of the results and their numbers of clips."""
    found = {c: group["clips"] for row in results["rows"] for c, group in row["groups"].items()}
    return list(found.items())


def heading(results: Mapping[str, Any], corpus: str, clips: int) -> str:
    """What a corpus' table shows, in a few words."""
    view = "" if results["view"] == "lips" else f", {results['view']} view"
    other = ", another speaker's face" if crossed(results) else ""
    voice = results.get("voice", "clean")
    heard = "" if voice == "clean" else f", {_VOICES.get(voice, voice)}"
    return f"{corpus} {results['split']}{other}{heard}{view}, {clips} clips"


def crossed(results: Mapping[str, Any]) -> bool:
    """Whether another speaker's face says each sound; no results of old do so."""
    return bool(results.get("identity", "own") == "other")


def tables(results: Mapping[str, Any]) -> list[Table]:
    """One table for each corpus, for a terminal: a line for each metric, a column for each row."""
    made = []
    for corpus, clips in corpora_of(results):
        table = Table(title=heading(results, corpus, clips), title_justify="left")
        lines = row_lines(results, corpus)
        table.add_column("")
        for name, *_ in lines:
            table.add_column(name, justify="right")
        for title, *values in zip(head(results), *(line[1:] for line in lines), strict=True):
            table.add_row(title, *values)
        made.append(table)
    return made


def markdown(results: Mapping[str, Any]) -> str:
    """The same tables for documents, with the command that makes them."""
    parts = []
    for corpus, clips in corpora_of(results):
        parts.append(f"**{heading(results, corpus, clips)}**")
        parts.append(markdown_table(["row", *head(results)], row_lines(results, corpus)))
    note = CROSS_NOTE + " " if crossed(results) else ""
    note += (
        "Mean over clips ± half the 95 % bootstrap interval; in brackets the number of clips that "
        "have a value where not all do. No landmarks: frames without a face found by dlib in the "
        "real + in the generated video."
    )
    return "\n\n".join([*parts, note, f"`{results['command']}`"])


#: The parts of a training run, as its config names their steps, and what a table calls them.
_PARTS = {
    "autoencoder": "autoencoder",
    "reading_lesson": "reading",
    "painting_lesson": "painting",
    "audio_lesson": "hearing",
    "steps": "steps",
}


def budgets(found: Iterable[Mapping[str, Any]]) -> str:
    """What each model in some results was trained with, as a Markdown table; empty without any.

    Each model once, by its name: steps of each part of its run, hours in all and the hardware.
    """
    lines: dict[str, list[str]] = {}
    for row in (row for results in found for row in results["rows"]):
        model = row.get("model")
        training = model.get("training") if model else None
        # An oracle's model has a row of its own or is told elsewhere.
        if not training or "=" in row["name"]:
            continue
        steps = {name: training.get(name, 0) for name in _PARTS}
        loss = training["loss"]
        painted = model.get("kind") != "glance" and (loss["perceptual"] or training["warm_start"])
        steps["autoencoder"] = training["autoencoder"]["steps"] if painted else 0
        if not loss.get("reading"):
            steps["reading_lesson"] = 0
        corpora = ", ".join(training["data"]["corpora"]) or "all"
        lines[Path(row["name"]).name] = [
            str(model["width"]),
            corpora,
            *(f"{count:,}" for count in steps.values()),
            str(training["batch"]),
            str(training["seed"]),
            f"{model['training_hours']:.2f}",
            ", ".join(model["training_hardware"]),
        ]
    if not lines:
        return ""
    titles = ["model", "width", "corpora", *_PARTS.values(), "batch", "seed", "hours", "hardware"]
    return markdown_table(titles, ([name, *line] for name, line in lines.items()))
