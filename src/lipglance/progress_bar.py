"""The bar that a command shows on a terminal while it works."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(
    what: str, total: int | None, *, shown: bool, done: int = 0
) -> Iterator[Callable[[int], None]]:
    """Show a bar on a terminal, nothing elsewhere; yields what is to be told how much is done.

    Args:
        what: the word before the bar.
        total: how much there is to do, None where nobody knows.
        shown: False for no bar on a terminal either.
        done: how much of it was done before.
    """
    # Without a console or with its output closed a program has no stderr.
    if not shown or sys.stderr is None or not sys.stderr.isatty():
        yield lambda count: None
        return
    # Here, because a command in a pipe need not wait for rich.
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total, completed=done)
        yield lambda count: bar.update(task, completed=count)
