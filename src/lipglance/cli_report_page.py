"""``lipglance report``: what it is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .cli_options import check_not_read
from .errors import InputError


def report_command(
    results: Annotated[
        list[Path], typer.Argument(help="JSONs of lipglance evaluate, or folders of them.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="HTML page to write.")],
    data: Annotated[
        list[Path] | None, typer.Option("--data", help="Shards, for strips of frames.")
    ] = None,
    as_latex: Annotated[
        bool, typer.Option("--latex", help="Print the tables in LaTeX as well.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a page that is there.")] = False,
) -> None:
    """Show results of evaluations as one HTML page that needs nothing else."""
    # Here, so that --help need not wait for matplotlib.
    from .report import latex, read_results, report

    files = [
        file
        for path in results
        for file in (sorted(path.glob("*.json")) if path.is_dir() else [path])
    ]
    if not files:
        raise InputError(f"{results[0]} holds no JSON; expected results of lipglance evaluate")
    check_not_read(output, *files, *(data or ()))
    report(files, output, data or (), force=force)
    for path in files if as_latex else ():
        typer.echo(latex(read_results(path)))
    typer.echo(f"{output}: {len(files)} evaluations")
