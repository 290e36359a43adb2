"""``lipglance reproduce``: what it is asked and what it says."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .cli_report import clocked
from .errors import InputError

if TYPE_CHECKING:
    from .figures import Drawing


class What(StrEnum):
    """What can be reproduced."""

    TABLE1 = "table1"
    TABLE2 = "table2"
    FIG1 = "fig1"
    FIG3 = "fig3"
    FIG4 = "fig4"
    FIG5 = "fig5"


FIGURES = (What.FIG1, What.FIG3, What.FIG4, What.FIG5)


def reproduce_command(
    what: Annotated[What, typer.Argument(help="Which part of the paper.")],
    data: Annotated[
        list[str],
        typer.Option("--data", help="Shard folder; for table2 NAME=FOLDER, as grid=shards."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for runs, models, results.")],
    configs: Annotated[
        Path | None, typer.Option(help="Tables: folder of the rows' YAMLs; default: configs/WHAT.")
    ] = None,
    override: Annotated[
        list[str] | None,
        typer.Option("--set", help="Tables: config value for every row, as steps=900."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Tables and fig3: clips of each corpus.")
    ] = None,
    accelerator: Annotated[str, typer.Option(help="Tables: auto, cpu or cuda.")] = "auto",
    threads: Annotated[
        int, typer.Option(min=0, help="Tables: CPU threads; 0: torch's choice.")
    ] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="Tables, tiny and meaningless: to see that they run.")
    ] = False,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", help="fig1, 4, 5: name or folder; may be repeated."),
    ] = None,
    split: Annotated[
        list[str] | None, typer.Option(help="Figures: default test_seen and test_unseen.")
    ] = None,
    corpus: Annotated[
        list[str] | None, typer.Option(help="Figures: default all, for fig5 grid.")
    ] = None,
    speakers: Annotated[str, typer.Option(help="Figures: only these, as n07,grid/s1.")] = "",
    face: Annotated[
        list[Path] | None, typer.Option(help="fig5: picture of a person; may be repeated.")
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="fig3: last.pt of a run, for its learned encoders.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Figures: of the draw of clips.")] = 0,
) -> None:
    """Make the paper's tables, trained and measured, or its figures; one command each.

    A table may be stopped and called again: what is done is kept.
    """
    if what in FIGURES:
        from .figures import Drawing

        grid = ("grid",) if what is What.FIG5 else None
        drawing = Drawing(
            data=tuple(Path(folder) for folder in data),
            out=out,
            splits=tuple(split or ("test_seen", "test_unseen")),
            corpora=tuple(corpus) if corpus else grid,
            speakers=tuple(name.strip() for name in speakers.split(",") if name.strip()),
            seed=seed,
        )
        for path in _figure(what, drawing, model or ["lmgg"], face or [_portrait()], run, limit):
            typer.echo(path)
        return
    # Here, so that --help and the figures need not wait for torch.
    from .reproduce import Task, table1, table2
    from .trainer import RunOptions

    task = Task(
        configs=configs or Path("configs") / what.value,
        out=out,
        overrides=tuple(override or ()),
        limit=limit if limit or not quick else 2,
        options=RunOptions(accelerator=accelerator, threads=threads),
        quick=quick,
        command=shlex.join(["lipglance", *sys.argv[1:]]),
    )
    with clocked():
        if what is What.TABLE1:
            text = table1(task, [Path(folder) for folder in data])
        else:
            text = table2(task, _by_corpus(data))
    typer.echo(text)


def _by_corpus(data: Sequence[str]) -> dict[str, list[Path]]:
    """Shard folders by the name that each is given with; InputError where one has none."""
    named: dict[str, list[Path]] = {}
    for item in data:
        name, equals, folder = item.partition("=")
        if not equals:
            raise InputError(f"--data {item}; table2 expects NAME=FOLDER, as grid=shards")
        named.setdefault(name, []).append(Path(folder))
    return named


def _figure(
    what: What,
    drawing: Drawing,
    models: Sequence[str],
    faces: Sequence[Path],
    run: Path | None,
    limit: int | None,
) -> list[Path]:
    """Draw a figure; return its files."""
    if what is What.FIG3:
        from .figure_correlation import derivative_correlation

        return derivative_correlation(drawing, run, limit)
    from .figure_lips import lips_of_another, outputs_against_real, outside_faces

    if what is What.FIG5:
        return outside_faces(drawing, models, faces)
    return (lips_of_another if what is What.FIG1 else outputs_against_real)(drawing, models)


def _portrait() -> Path:
    """The portrait in the package: a NASA astronaut, in none of the corpora."""
    return Path(str(files("lipglance"))) / "assets" / "sample_face.jpg"
