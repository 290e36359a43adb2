"""``lipglance compare``: several models say the same speech, side by side."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer

from lipglance.cli_options import (
    FaceNumberOption,
    ForceOption,
    JsonOption,
    MaxSideOption,
    OutputOption,
    QuietOption,
    SpeechArgument,
    ThreadsOption,
    ViewOption,
    check_not_read,
    face_index,
)
from lipglance.cli_report import Report
from lipglance.compare import compare
from lipglance.writer import check_target


def compare_command(
    face: Annotated[
        Path,
        typer.Argument(
            help="Photo of a face, or a video: its first frame with a usable face is taken.",
            show_default=False,
        ),
    ],
    speech: SpeechArgument,
    output: OutputOption,
    models: Annotated[
        str,
        typer.Option(
            help="Columns from left to right, with commas between: names from 'lipglance models', "
            "model directories, 'real' (the frames of SPEECH itself), 'still' (nothing moves).",
            show_default=False,
        ),
    ] = "",
    view: ViewOption = "face",
    face_number: FaceNumberOption = None,
    max_side: MaxSideOption = 1920,
    threads: ThreadsOption = None,
    force: ForceOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Put models side by side in one video.

    One column a model, each under its name, the speech as sound; 25 frames a second.
    """
    begin = perf_counter()
    check_target(output, force)
    check_not_read(output, face, speech)
    with Report(quiet=quiet, as_json=as_json) as report:
        shown = compare(
            face,
            speech,
            [name.strip() for name in models.split(",")],
            view=view,
            face_index=face_index(face_number),
            max_side=max_side,
            threads=threads,
        )
        for line in shown.portrait.describe() if shown.portrait else ():
            report.note(line)
        with report.progress("frames", shown.count) as progress:
            frames = shown.save(output, force=force, progress=progress)
        seconds, total = frames / shown.fps, perf_counter() - begin
        names = [column.name for column in shown.columns]
        report.finish(
            f"{output}: {', '.join(names)}; {frames} frames, {seconds:.2f} s, "
            f"{shown.width}x{shown.height} px; made in {total:.1f} s",
            {
                "output": str(output),
                "models": names,
                "view": view,
                "frames": frames,
                "fps": shown.fps,
                "seconds": seconds,
                "width": shown.width,
                "height": shown.height,
                "timings": {"total": total},
            },
        )
