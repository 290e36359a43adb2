"""``lipglance crop``: the lip crops of a talking-face video, steadied, with its sound."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer

from lipglance.cli_report import Report
from lipglance.crop import CropConfig, crop_image, video_crops
from lipglance.errors import InputError
from lipglance.face import N_POINTS
from lipglance.geometry import Floats, Image
from lipglance.media import audio_info, iter_audio, iter_video, video_info
from lipglance.portrait import face_finder
from lipglance.sound_track import TRACK_RATE
from lipglance.writer import VideoWriter, check_target

log = logging.getLogger("lipglance")

FPS = 25.0


def crop_command(
    video: Annotated[Path, typer.Argument(help="Video of one talking face.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="Video to write, .mp4 or .webm.")],
    size: Annotated[int, typer.Option(min=16, max=2048, help="Side of the crop in pixels.")] = 64,
    region: Annotated[
        Literal["lips", "face"], typer.Option(help="The lips, or nose to chin.")
    ] = "lips",
    force: Annotated[bool, typer.Option("--force", help="Replace a video that is there.")] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Say nothing but warnings and errors.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what was done as one JSON object.")
    ] = False,
) -> None:
    """Cut the lips out of a video of a face.

    The crop is upright, rigid with the head and smoothed over time; 25 frames a second. Of several
    faces the largest is followed.
    """
    check_target(output, force)
    config = CropConfig(size) if region == "lips" else CropConfig.face(size)
    with Report(quiet=quiet, as_json=as_json) as report:
        info = video_info(video)
        expected = round(info.duration * FPS)
        with report.progress("looking for the face", expected) as progress:
            points = track_points(iter_video(video, FPS), progress)
        missing = int(np.isnan(points[:, 0, 0]).sum())
        if missing == len(points):
            raise InputError(
                f"no face in any of the {len(points)} frames of {video}; expected a video of a "
                "talking face"
            )
        if missing:
            log.warning(
                "%d of %d frames show no face; their crops lie between their neighbours'",
                missing, len(points),
            )  # fmt: skip
        matrices = video_crops(points, config)
        sound = None
        if info.has_audio:
            sound = iter_audio(video, TRACK_RATE, min(audio_info(video).channels, 2))
        with (
            report.progress("cutting", len(points)) as progress,
            VideoWriter(output, size, size, FPS, sound, TRACK_RATE, force=force) as writer,
        ):
            for frame, matrix in zip(iter_video(video, FPS), matrices, strict=False):
                writer.write(crop_image(frame, matrix, size))
                progress(writer.frames)
        report.finish(
            f"{output}: {len(points)} frames, {len(points) / FPS:.2f} s, {size}x{size} px",
            {
                "output": str(output),
                "frames": len(points),
                "fps": FPS,
                "seconds": len(points) / FPS,
                "size": size,
                "without_face": missing,
                "sound": info.has_audio,
            },
        )


def track_points(frames: Iterator[Image], progress: Callable[[int], None]) -> Floats:
    """Landmarks of the face followed through `frames`, (T, 468, 2) px, NaN where it is lost."""
    nowhere = np.full((N_POINTS, 2), np.nan, np.float32)
    points = []
    for marks in face_finder().track(frames):
        points.append(nowhere if marks is None else marks.points)
        progress(len(points))
    return np.array(points, np.float64)
