"""``lipglance models``: what is installed."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from lipglance.models import DEFAULT_MODEL, available


def models_command(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print all facts of each model as JSON.")
    ] = False,
) -> None:
    """List the models installed: name, size, trained on, licence."""
    models = available()
    if as_json:
        print(json.dumps([info.to_dict() | {"size": info.size} for info in models]))
        return
    if not models:
        print("no model is installed", file=sys.stderr)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "size", "description", "trained on", "licence")
    for info in models:
        name = f"{info.name} (default)" if info.name == DEFAULT_MODEL else info.name
        size = f"{info.size / 1e6:.1f} MB"
        table.add_row(name, size, info.description, info.trained_on, info.licence)
    # In a pipe nobody knows the width, and wrapped cells are hard to search.
    Console(width=None if sys.stdout.isatty() else 240).print(table)
