"""``lipglance sync``: are the lips and the sound of a video in time?"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from .cli_report import Report
from .crop import video_crops
from .errors import InputError
from .geometry import crop_image
from .media import iter_video, read_audio, video_info
from .shards import FPS
from .sync import MIN_FRAMES, REACH, SURE, SyncExpert
from .video_lips import track_points

log = logging.getLogger("lipglance")


def sync_command(
    video: Annotated[Path, typer.Argument(help="Video of a talking face, with sound.")],
    reach: Annotated[
        int, typer.Option(min=1, max=50, help="Largest shift to try, frames of 1/25 s.")
    ] = REACH,
    expert: Annotated[
        Path | None, typer.Option(help="Folder of an expert; default: the one in the package.")
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Say nothing but the result.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as one JSON object.")
    ] = False,
) -> None:
    """Tell by how much the sound of a talking-face video comes early or late, and how surely.

    Of several faces the largest is followed.
    """
    with Report(quiet=quiet, as_json=as_json) as report:
        info = video_info(video)
        if not info.has_audio:
            raise InputError(f"{video} has no sound; expected a video of a talking face with sound")
        judge = SyncExpert(expert)
        expected = round(info.duration * FPS)
        with report.progress("looking for the face", expected) as progress:
            points = track_points(iter_video(video, FPS), progress)
        seen = int(np.isfinite(points[:, 0, 0]).sum())
        if seen < MIN_FRAMES:
            raise InputError(
                f"{video} shows a face in {seen} of {len(points)} frames; expected {MIN_FRAMES} "
                "or more to tell whether it is in sync"
            )
        if seen < len(points):
            log.warning("%d of %d frames show no face", len(points) - seen, len(points))
        matrices = video_crops(points, judge.crop)
        frames = zip(iter_video(video, FPS), matrices, strict=False)
        crops = np.stack([crop_image(frame, m, judge.crop.size) for frame, m in frames])
        score = judge.score(crops, read_audio(video, judge.audio.sample_rate), reach)
        late = score.offset * 1000 // FPS
        place = "in sync" if not late else f"sound {abs(late)} ms {'late' if late > 0 else 'early'}"
        if score.confidence < SURE:
            log.warning(
                "low confidence (%.2f): the lips may not say this sound at all", score.confidence
            )
        report.finish(
            f"{place} (offset {score.offset:+d} frames, confidence {score.confidence:.2f}, "
            f"distance {score.distance:.2f})",
            {"video": str(video), "frames": len(crops), "fps": FPS, **score.to_dict()},
        )
