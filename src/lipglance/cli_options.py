"""What subcommands share: their arguments and options, declared once, and checks of paths."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from lipglance.errors import InputError

SpeechArgument = Annotated[
    Path, typer.Argument(help="Sound or video that holds the speech.", show_default=False)
]
OutputOption = Annotated[
    Path, typer.Option("--output", "-o", help="Video to write, .mp4 or .webm.")
]
ViewOption = Annotated[
    Literal["face", "lips"],
    typer.Option(help="The whole picture, or the lip crop at the model's size."),
]
FaceNumberOption = Annotated[
    int | None,
    typer.Option("--face", min=1, help="Which face, counted from the left; else the largest."),
]
MaxSideOption = Annotated[
    int, typer.Option(min=64, help="Scale larger pictures down to this many pixels.")
]
ThreadsOption = Annotated[
    int | None, typer.Option(min=1, help="CPU threads for the network; else all.")
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace a video that is there.")]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Say nothing but warnings and errors.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print what was done as one JSON object.")]


def check_not_read(output: Path, *sources: Path) -> None:
    """InputError where `output` is one of the files that are read."""
    for source in sources:
        if output.exists() and source.exists() and output.samefile(source):
            raise InputError(f"{output} is both read and written; give another name with -o")


def face_index(number: int | None) -> int | None:
    """The API's index, from 0, of the face that a user counts from 1."""
    return None if number is None else number - 1
