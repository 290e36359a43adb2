"""``lipglance evaluate``: what it is asked."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from .evaluate import evaluate
from .results import markdown, tables
from .rows import BUILT_IN, ORACLES
from .voiced_clips import VOICES


def evaluate_command(
    models: Annotated[
        list[str],
        typer.Argument(
            help=f"names or directories of models; {', '.join(BUILT_IN)}; or "
            f"{' or '.join(ORACLES)}=MODEL"
        ),
    ],
    data: Annotated[list[Path], typer.Option("--data", help="shard folder; may be repeated")],
    output: Annotated[Path, typer.Option("-o", "--output", help="results, JSON")],
    split: Annotated[str, typer.Option(help="val, test_seen or test_unseen")] = "test_seen",
    view: Annotated[
        str, typer.Option(help="lips: put back into each frame; face: painted into the first one")
    ] = "lips",
    identity: Annotated[
        str, typer.Option(help="whose face says the sound: own, or other for another speaker's")
    ] = "own",
    voice: Annotated[
        str, typer.Option(help=f"how the sound is heard: {', '.join(VOICES)}")
    ] = "clean",
    corpus: Annotated[
        list[str] | None, typer.Option(help="only this corpus; may be repeated")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="clips of each corpus")] = None,
    expert: Annotated[
        Path | None, typer.Option(help="folder of a sync expert, for LSE and offsets")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="processes")] = 2,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="print the table as Markdown")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="replace results that are there")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="no progress, no table")] = False,
) -> None:
    """Measure models on the test clips of prepared data."""
    results = evaluate(
        models,
        data,
        output,
        split=split,
        view=view,
        identity=identity,
        voice=voice,
        corpora=corpus,
        limit=limit,
        workers=workers,
        force=force,
        progress=not quiet,
        command=shlex.join(["lipglance", *sys.argv[1:]]),
        expert=expert,
    )
    if as_markdown:
        typer.echo(markdown(results))
    elif not quiet:
        console = Console()
        for table in tables(results):
            console.print(table)
