"""``lipglance generate``: a face and a speech in, a video out."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

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
from lipglance.generate import Video, generate
from lipglance.models import DEFAULT_MODEL, LIFE, load_model
from lipglance.runtime import PRECISION
from lipglance.writer import check_target


def generate_command(
    face: Annotated[
        Path,
        typer.Argument(
            help="Photo of a face, or a video, which is dubbed: each frame gets a new mouth.",
            show_default=False,
        ),
    ],
    speech: SpeechArgument,
    output: OutputOption,
    view: ViewOption = "face",
    model: Annotated[
        str, typer.Option(help="A name from 'lipglance models', or a model directory.")
    ] = DEFAULT_MODEL,
    face_number: FaceNumberOption = None,
    max_side: MaxSideOption = 1920,
    still: Annotated[
        bool,
        typer.Option("--still", help="Of a video take one frame, the first that is usable."),
    ] = False,
    life: Annotated[
        float,
        typer.Option(
            min=0.0, max=1.0, help="How often a photo's face blinks: 0 never, 1 as people who talk."
        ),
    ] = LIFE,
    threads: ThreadsOption = None,
    force: ForceOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a face say a speech.

    Writes 25 frames a second and the speech, as long as the speech is. A video keeps its own motion
    and is played back and forth where the speech is longer; its frames without a face stay as they
    are. With --view lips a picture of a mouth alone will do.
    """
    begin = perf_counter()
    check_target(output, force)
    check_not_read(output, face, speech)
    with Report(quiet=quiet, as_json=as_json) as report:
        speaker = load_model(model, threads=threads)
        loaded = perf_counter()
        with report.progress("looking for the face", None) as progress:
            video = generate(
                speaker,
                face,
                speech,
                view=view,
                face_index=face_index(face_number),
                max_side=max_side,
                still=still,
                life=life,
                progress=progress,
            )
        for line in video.describe():
            report.note(line)
        found = perf_counter()
        with report.progress("frames", video.expected_frames) as progress:
            frames = video.save(output, force=force, progress=progress)
        end = perf_counter()
        seconds = frames / video.fps
        timings = {
            "load": loaded - begin,
            "face": found - loaded,
            "frames": end - found,
            "total": end - begin,
        }
        by = "" if speaker.painter is None else f" by {speaker.painter.describe()}"
        report.finish(
            f"{output}: {frames} frames, {seconds:.2f} s, {video.width}x{video.height} px; made in "
            f"{timings['total']:.1f} s{by}",
            _facts(video, output, frames) | {"timings": timings},
        )


def _facts(video: Video, output: Path, frames: int) -> dict[str, Any]:
    portrait, clip, network = video.portrait, video.clip, video.model.painter
    dubbed = None
    if clip is not None:
        dubbed = {"frames": len(clip), "without_face": clip.without_face}
    face = None
    if portrait.face is not None and portrait.box is not None:
        face = {
            "number": portrait.face + 1,
            "of": portrait.faces,
            "box": list(portrait.box),
            "yaw": portrait.yaw,
        }
    return {
        "output": str(output),
        "model": video.model.info.name,
        "engine": None if network is None else network.engine,
        "precision": None if network is None else PRECISION,
        "threads": None if network is None else network.threads,
        "view": video.view,
        "life": video.life,
        "frames": frames,
        "fps": video.fps,
        "seconds": frames / video.fps,
        "width": video.width,
        "height": video.height,
        "face": face,
        "video_frame": portrait.frame,
        "dubbed": dubbed,
        "scale": portrait.scale,
    }
