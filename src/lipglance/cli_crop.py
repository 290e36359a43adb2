"""``lipglance crop``: the lip crops of a talking-face video, steadied, with its sound."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from lipglance.cli_options import (
    ForceOption,
    JsonOption,
    OutputOption,
    QuietOption,
    check_not_read,
)
from lipglance.cli_report import Report
from lipglance.crop import CropConfig
from lipglance.media import audio_info, iter_audio, video_info
from lipglance.sound_track import TRACK_RATE
from lipglance.video_lips import FPS, track_lips
from lipglance.writer import VideoWriter, check_target


def crop_command(
    video: Annotated[Path, typer.Argument(help="Video of one talking face.", show_default=False)],
    output: OutputOption,
    size: Annotated[int, typer.Option(min=16, max=2048, help="Side of the crop in pixels.")] = 64,
    region: Annotated[
        Literal["lips", "face"], typer.Option(help="The lips, or nose to chin.")
    ] = "lips",
    force: ForceOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Cut the lips out of a video of a face.

    The crop is upright, rigid with the head and smoothed over time; 25 frames a second. Of several
    faces the largest is followed.
    """
    check_target(output, force)
    check_not_read(output, video)
    config = CropConfig(size) if region == "lips" else CropConfig.face(size)
    with Report(quiet=quiet, as_json=as_json) as report:
        info = video_info(video)
        expected = round(info.duration * FPS)
        with report.progress("looking for the face", expected) as progress:
            lips = track_lips(video, config, progress)
        sound = None
        if info.has_audio:
            sound = iter_audio(video, TRACK_RATE, min(audio_info(video).channels, 2))
        with (
            report.progress("cutting", lips.count) as progress,
            VideoWriter(output, size, size, FPS, sound, TRACK_RATE, force=force) as writer,
        ):
            for crop in lips:
                writer.write(crop)
                progress(writer.frames)
        report.finish(
            f"{output}: {lips.count} frames, {lips.count / FPS:.2f} s, {size}x{size} px",
            {
                "output": str(output),
                "frames": lips.count,
                "fps": FPS,
                "seconds": lips.count / FPS,
                "size": size,
                "without_face": lips.missing,
                "sound": info.has_audio,
            },
        )
