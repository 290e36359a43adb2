"""``lipglance prepare``: what it is asked and what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .corpora import CORPORA
from .errors import InputError
from .prepare import prepare
from .shard_summary import summary_table


def prepare_command(
    corpus: Annotated[str, typer.Argument(help=f"One of {', '.join(CORPORA)}.")],
    root: Annotated[Path, typer.Argument(help="Folder of the corpus.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the shards.")],
    table: Annotated[
        Path | None,
        typer.Option("--csv", help="For 'folder': path, dataset, speaker, utterance, split."),
    ] = None,
    size: Annotated[int, typer.Option(help="Side of the crops in px, a multiple of 8.")] = 64,
    region: Annotated[str, typer.Option(help="What a crop shows: lips or face.")] = "lips",
    half_side: Annotated[
        float | None,
        typer.Option(help="Half the side of a crop over the mouth's size; 0.75, for face 1."),
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; default: one a core.")] = None,
    max_seconds: Annotated[float, typer.Option(help="Longer clips are cut into parts.")] = 10.0,
    limit: Annotated[int | None, typer.Option(help="So many clips of every split only.")] = None,
    splits: Annotated[str | None, typer.Option(help="Splits to make, comma-separated.")] = None,
    held_out: Annotated[
        str | None, typer.Option(help="Speakers kept for test_unseen, comma-separated.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no table.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Make shards of aligned lip crops, sound and landmarks from a corpus of talking faces.

    May be stopped and called again: what is done is kept. A clip that cannot be used is left out
    and listed with the reason in SHARDS/summary.json.
    """
    summary = prepare(
        corpus,
        root,
        out,
        table=table,
        size=size,
        region=region,
        half_side=half_side,
        workers=workers,
        max_seconds=max_seconds,
        limit=limit,
        splits=_listed(splits),
        held_out=_listed(held_out),
        progress=not quiet,
    )
    if as_json:
        typer.echo(json.dumps(summary, indent=1, ensure_ascii=False))
    elif not quiet:
        from rich.console import Console

        Console().print(*summary_table(summary), sep="\n")
    if not summary["samples"]:
        raise InputError(f"{root}: none of its clips could be used; see {out / 'summary.json'}")


def _listed(names: str | None) -> list[str] | None:
    return None if names is None else [n for name in names.split(",") if (n := name.strip())]
