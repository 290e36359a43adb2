"""How each kind of video file is encoded, by its suffix."""

from __future__ import annotations

from dataclasses import dataclass

from lipglance.sound_track import TRACK_RATE


@dataclass(frozen=True)
class Encoding:
    """How one kind of file is encoded; ``bit_rate`` of the sound for each channel."""

    container: str
    options: dict[str, str]
    video: str
    video_options: dict[str, str]
    audio: str
    bit_rate: int
    crf: int


ENCODINGS = {
    ".mp4": Encoding(
        container="mp4",
        # The time scale makes the edit list exact to the sample (1 ms else): it is what removes
        # the AAC encoder's priming.
        options={"movflags": "+faststart", "movie_timescale": str(TRACK_RATE)},
        # Without B-frames the pictures need no edit list: they start with the sound even in players
        # that ignore one.
        video="libx264",
        # The quick preset, but with a look ahead at what stays as it is ("mbtree"), which it leaves
        # out: most of a talking picture does, and files are less than half as large: measured in
        # docs/experiments.md.
        video_options={
            "preset": "superfast",
            "mbtree": "1",
            "rc-lookahead": "10",
            "weightp": "0",
            "bf": "0",
            "g": "125",
        },
        audio="aac",
        bit_rate=96_000,
        crf=18,
    ),
    ".webm": Encoding(
        container="webm",
        options={},
        video="libvpx-vp9",
        video_options={
            "deadline": "realtime",
            "cpu-used": "6",
            "row-mt": "1",
            "b": "0",
            "lag-in-frames": "0",
        },
        audio="libopus",
        bit_rate=64_000,
        crf=24,
    ),
}
