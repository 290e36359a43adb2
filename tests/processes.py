"""Running lipglance as a process of its own, wherever the package under test lies."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import lipglance


def environment() -> dict[str, str]:
    """The environment in which a child finds the package that this process imports."""
    return os.environ | {"PYTHONPATH": str(Path(lipglance.__file__).parents[1])}


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python to its end; an error where it fails."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)


def start_lipglance(*arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
    """Start the command; its output is to be had from ``communicate``."""
    command = [sys.executable, "-m", "lipglance", *map(str, arguments)]
    return subprocess.Popen(
        command,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
