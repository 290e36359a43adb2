"""What a folder of shards holds: the sum of the reports that lie beside them."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.table import Table

from lipglance.errors import InputError
from lipglance.shard_index import find_shards
from lipglance.shards import FPS


def shard_report(out: Path, name: str) -> dict[str, Any] | None:
    """The report of the shard ``name`` (no suffix): fingerprint, settings and a row a clip.

    None if there is none. Raises InputError if the file is not such a report.
    """
    path = out / f"{name}.json"
    if not path.exists():
        return None
    try:
        report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if not {"fingerprint", "settings", "clips"} <= set(report):
            raise ValueError("keys are missing")
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: not the report of a shard ({error}); delete it") from None
    return report


def summarise(out: Path) -> dict[str, Any]:
    """Sum up the finished shards of a folder.

    ``splits``: for every corpus and split the numbers of clips, of those kept (at least one
    sample) and dropped, of samples, speakers, seconds, frames and frames without a face among
    them; ``reasons``: how often what was dropped and why; ``dropped``: every case;
    ``warnings``: every warning with its clip; ``samples`` and ``seconds`` of all.
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    settings: dict[str, Any] = {}
    for tar in find_shards(out):
        report = shard_report(out, tar.stem)
        if report is not None:
            settings = report["settings"]
            for row in report["clips"]:
                groups[row["corpus"], row["split"]].append(row)
    rows = [row for group in groups.values() for row in group]
    dropped = [{"source": row["source"]} | drop for row in rows for drop in row["dropped"]]
    lines = [_line(corpus, split, group) for (corpus, split), group in sorted(groups.items())]
    return {
        "settings": settings,
        "samples": sum(line["samples"] for line in lines),
        "seconds": round(sum(line["seconds"] for line in lines), 2),
        "splits": lines,
        "reasons": dict(Counter(drop["reason"] for drop in dropped).most_common()),
        "dropped": dropped,
        "warnings": [f"{row['source']}: {text}" for row in rows for text in row["warnings"]],
    }


def _line(corpus: str, split: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    kept = [row for row in rows if row["samples"]]
    frames = sum(row["frames"] for row in kept)
    return {
        "corpus": corpus,
        "split": split,
        "clips": len(rows),
        "kept": len(kept),
        "dropped": len(rows) - len(kept),
        "samples": sum(row["samples"] for row in kept),
        "speakers": len({row["speaker"] for row in kept}),
        "seconds": round(frames / FPS, 2),
        "frames": frames,
        "faceless": sum(row["faceless"] for row in kept),
    }


def summary_table(summary: dict[str, Any]) -> list[RenderableType]:
    """The summary for a terminal."""
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("corpus", no_wrap=True)
    table.add_column("split", no_wrap=True)
    columns = ["clips", "kept", "dropped", "samples", "speakers", "seconds", "faceless"]
    for name in columns:
        table.add_column(name, justify="right")
    for line in summary["splits"]:
        table.add_row(line["corpus"], line["split"], *(f"{line[name]:,}" for name in columns))
    parts: list[RenderableType] = [table]
    for reason, count in summary["reasons"].items():
        parts.append(f"dropped, {reason}: {count}")
    if summary["warnings"]:
        parts.append(f"clips with a warning: {len(summary['warnings'])}")
    return parts
