"""What a command says while it works: notes, warnings and a progress bar, or one JSON object."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Self

from .progress_bar import progress_bar


def peak_memory() -> float | None:
    """The most memory this process has held so far, MiB; None where the system does not tell."""
    status = Path("/proc/self/status")
    if status.is_file():
        # Not getrusage: there a child begins with the peak of the process that started it.
        lines = status.read_text(encoding="utf-8").splitlines()
        peak = next((line for line in lines if line.startswith("VmHWM:")), None)
        if peak is not None:
            return int(peak.split()[1]) / 2**10
    try:
        import resource
    except ModuleNotFoundError:
        return None
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Bytes on a Mac, KiB elsewhere.
    return highest / (2**20 if sys.platform == "darwin" else 2**10)


@contextmanager
def clocked() -> Iterator[None]:
    """While this is open, what the package logs goes to stderr with the time of day."""
    logger, handler = logging.getLogger("lipglance"), logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _tell(text: str) -> None:
    if sys.stderr is not None:  # print would take stdout then
        print(text, file=sys.stderr)


class Report(logging.Handler):
    """Passes on the package's log and the command's own words, as much of it as is wanted.

    A context manager. Notes and warnings go to stderr, the result to stdout. `quiet` leaves only
    warnings; `as_json` keeps all for the one object that `finish` prints.
    """

    def __init__(self, *, quiet: bool = False, as_json: bool = False) -> None:
        super().__init__(logging.INFO)
        self.quiet = quiet
        self.as_json = as_json
        self.notes: list[str] = []
        self.warnings: list[str] = []

    def __enter__(self) -> Self:
        logger = logging.getLogger("lipglance")
        self._level = logger.level
        logger.addHandler(self)
        logger.setLevel(logging.INFO)
        return self

    def __exit__(self, *_: object) -> None:
        logger = logging.getLogger("lipglance")
        logger.removeHandler(self)
        logger.setLevel(self._level)

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record of the package's log."""
        if record.levelno < logging.WARNING:
            self.note(record.getMessage())
            return
        self.warnings.append(record.getMessage())
        if not self.as_json:
            _tell("warning: " + record.getMessage())

    def note(self, text: str) -> None:
        """Say something that is worth knowing but nothing to worry about."""
        self.notes.append(text)
        if not (self.quiet or self.as_json):
            _tell(text)

    def finish(self, text: str, facts: dict[str, Any]) -> None:
        """Say what was done: `text` to people, `facts` to machines."""
        if self.as_json:
            said = {"notes": self.notes, "warnings": self.warnings}
            print(json.dumps(facts | {"peak_mib": peak_memory()} | said))
        elif not self.quiet:
            print(text)

    def progress(
        self, what: str, total: int | None
    ) -> AbstractContextManager[Callable[[int], None]]:
        """A bar on a terminal, nothing elsewhere; yields what is to be told how much is done."""
        return progress_bar(what, total, shown=not (self.quiet or self.as_json))
