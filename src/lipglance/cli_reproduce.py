"""``lipglance reproduce``: what it is asked and what it says."""

from __future__ import annotations

import logging
import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .errors import InputError


class What(StrEnum):
    """What can be reproduced."""

    TABLE1 = "table1"
    TABLE2 = "table2"


def reproduce_command(
    what: Annotated[What, typer.Argument(help="Which part of the paper.")],
    data: Annotated[
        list[str],
        typer.Option("--data", help="Shard folder; for table2 NAME=FOLDER, as grid=shards."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for runs, models, results.")],
    configs: Annotated[
        Path | None, typer.Option(help="Folder of the rows' YAMLs; default: configs/WHAT.")
    ] = None,
    override: Annotated[
        list[str] | None, typer.Option("--set", help="Config value for every row, as steps=900.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Test clips of each corpus.")] = None,
    accelerator: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0: torch's choice.")] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="Tiny and meaningless: only to see that it runs.")
    ] = False,
) -> None:
    """Train and measure every row of one of the paper's tables.

    May be stopped and called again: what is done is kept.
    """
    # Here, so that --help need not wait for torch.
    from .reproduce import Task, table1, table2
    from .trainer import RunOptions

    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", force=True)
    logging.getLogger("lipglance").setLevel(logging.INFO)
    task = Task(
        configs=configs or Path("configs") / what.value,
        out=out,
        overrides=tuple(override or ()),
        limit=limit if limit or not quick else 2,
        options=RunOptions(accelerator=accelerator, threads=threads),
        quick=quick,
        command=shlex.join(["lipglance", *sys.argv[1:]]),
    )
    if what is What.TABLE1:
        typer.echo(table1(task, [Path(folder) for folder in data]))
        return
    named: dict[str, list[Path]] = {}
    for item in data:
        name, equals, folder = item.partition("=")
        if not equals:
            raise InputError(f"--data {item}; table2 expects NAME=FOLDER, as grid=shards")
        named.setdefault(name, []).append(Path(folder))
    typer.echo(table2(task, named))
