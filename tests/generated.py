"""Small media made on the spot: what the tests feed to the readers and the command.

Everything is deterministic. Sound is float32 (channels, n) in [-1, 1], pictures are (H, W, 3)
uint8 RGB.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

# Pixel and sample formats the encoders want.
_SOUND_CODECS = {
    ".wav": "pcm_s16le",
    ".flac": "flac",
    ".mp3": "libmp3lame",
    ".ogg": "libopus",
    ".opus": "libopus",
    ".m4a": "aac",
    ".mp4": "aac",
    ".mov": "aac",
    ".mkv": "flac",
    ".mpg": "mp2",
    ".avi": "pcm_s16le",
    ".webm": "libopus",
}
_PICTURE_CODECS = {".webm": "libvpx-vp9", ".mpg": "mpeg1video", ".avi": "mpeg4"}


def tone(seconds: float, rate: int = 16000, hz: float = 440.0, level: float = 0.5) -> np.ndarray:
    """A sine, (1, n)."""
    time = np.arange(round(seconds * rate)) / rate
    return (level * np.sin(2 * np.pi * hz * time))[None].astype(np.float32)


def clicks(seconds: float, times: Sequence[float], rate: int = 16000) -> np.ndarray:
    """Silence with a burst of 2.5 ms at 2 kHz starting at each of ``times`` (s), (1, n)."""
    sound = np.zeros((1, round(seconds * rate)), np.float32)
    burst = 0.8 * np.cos(2 * np.pi * 2000 * np.arange(round(0.0025 * rate)) / rate)
    for time in times:
        first = round(time * rate)
        room = sound[0, first : first + burst.size]
        room[:] = burst[: room.size]
    return sound


def onsets(sound: np.ndarray, rate: int, threshold: float = 0.25) -> list[float]:
    """When (s) each burst of ``clicks`` begins in a mono sound (n,)."""
    loud = np.flatnonzero(np.abs(sound) > threshold)
    return [float(i / rate) for j, i in enumerate(loud) if j == 0 or i - loud[j - 1] > rate // 20]


def speech_like(seconds: float, rate: int = 16000, seed: int = 0) -> np.ndarray:
    """Buzz with drifting formants in four syllables a second and pauses between, (1, n)."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    pitch = 120 + 20 * np.sin(2 * np.pi * 0.7 * time + rng.uniform(0, 6))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    first = 500 + 250 * np.sin(2 * np.pi * 2.1 * time + rng.uniform(0, 6))
    second = 1500 + 600 * np.sin(2 * np.pi * 1.3 * time + rng.uniform(0, 6))
    sound = np.zeros_like(time)
    for harmonic in range(1, 25):
        hz = harmonic * pitch
        gain = 1 / (1 + ((hz - first) / 150) ** 2) + 0.5 / (1 + ((hz - second) / 250) ** 2)
        sound += gain * np.sin(harmonic * phase) * (hz < rate / 2.2)
    sound += 0.05 * rng.standard_normal(time.size)
    syllables = np.clip(np.sin(2 * np.pi * 4 * time) * 1.5, 0, 1) ** 0.5
    words = np.sin(2 * np.pi * 0.55 * time + 0.5) > -0.7
    sound *= syllables * words + 1e-3
    return (0.5 * sound / max(np.abs(sound).max(initial=0), 1e-9))[None].astype(np.float32)


def photo(width: int = 96, height: int = 64) -> np.ndarray:
    """A picture that looks different however it is turned or mirrored.

    A ramp with the top left quarter red, the top right green, the bottom left blue.
    """
    picture = np.zeros((height, width, 3), np.uint8)
    picture[...] = np.linspace(60, 140, width)[None, :, None]
    picture[: height // 2, : width // 2] = (200, 30, 30)
    picture[: height // 2, width // 2 :] = (30, 180, 30)
    picture[height // 2 :, : width // 2] = (30, 30, 200)
    return picture


def numbered(count: int, width: int = 64, height: int = 48, step: int = 3) -> list[np.ndarray]:
    """Grey noise, picture k of mean level 20 + step * k: ``number_of`` reads it back."""
    rng = np.random.default_rng(0)
    pictures = []
    for k in range(count):
        noise = rng.integers(-12, 13, (height // 2, width // 2))
        grey = 20 + step * k + np.kron(np.vstack([noise, -noise]), np.ones((1, 2), int))
        pictures.append(np.repeat(np.clip(grey, 0, 255)[..., None], 3, axis=2).astype(np.uint8))
    return pictures


def number_of(picture: np.ndarray, step: int = 3) -> int:
    """Which of ``numbered`` a decoded picture is."""
    return round((float(picture.mean()) - 20) / step)


def moving(count: int, width: int = 96, height: int = 64) -> list[np.ndarray]:
    """Pictures of a bright square on its way over ``photo``."""
    pictures = []
    for k in range(count):
        picture = photo(width, height)
        x = (3 * k) % max(1, width - 12)
        picture[height // 2 : height // 2 + 10, x : x + 10] = 250
        pictures.append(picture)
    return pictures


def write_sound(
    path: Path, sound: np.ndarray, rate: int = 16000, codec: str | None = None, layout: str = ""
) -> Path:
    """Write (channels, n) to a sound file; the codec by the suffix unless given."""
    with av.open(str(path), "w") as container:
        track = _Track(container, path, sound, rate, codec, layout)
        track.encode()
    return path


def write_video(
    path: Path,
    pictures: Iterable[np.ndarray],
    fps: float | Fraction = 25,
    sound: np.ndarray | None = None,
    rate: int = 16000,
    *,
    codec: str | None = None,
    sound_codec: str | None = None,
    sound_start: float = 0.0,
    times: Sequence[float] | None = None,
    rotation: int | None = None,
    mirrored: bool = False,
    pixel_aspect: Fraction | None = None,
    options: dict[str, str] | None = None,
    settings: dict[str, str] | None = None,
) -> Path:
    """Write a video.

    ``sound_start`` s is when the sound begins after (or, negative, before) the pictures; ``times``
    s of each picture where the rate varies; ``rotation`` (degrees counter-clockwise, 0, 90, 180 or
    -90) and ``mirrored`` are only stated in the file, as cameras do; ``options`` are the
    container's, ``settings`` the encoder's.
    """
    codec = codec or _PICTURE_CODECS.get(path.suffix, "libx264")
    usual = {"libx264": {"crf": "12", "preset": "ultrafast"}, "libvpx-vp9": {"crf": "12"}}
    settings = usual.get(codec, {}) | (settings or {})
    shift = max(0.0, -sound_start)
    with av.open(str(path), "w", options=options or {}) as container:
        rational = Fraction(fps).limit_denominator(1001)
        video = container.add_stream(codec, rate=rational, options=settings)
        if codec in ("mpeg1video", "mpeg4"):
            video.bit_rate = 4_000_000
        video.pix_fmt = "yuv420p"
        base = Fraction(1, 1000) if times is not None else 1 / rational
        video.codec_context.time_base = base
        if rotation is not None:
            video.set_display_rotation(rotation, hflip=mirrored)
        track = None
        for k, picture in enumerate(pictures):
            if k == 0:
                video.height, video.width = picture.shape[:2]
                if pixel_aspect is not None:
                    video.codec_context.sample_aspect_ratio = pixel_aspect
                if sound is not None:
                    track = _Track(container, path, sound, rate, sound_codec)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture))
            frame.time_base = base
            second = float(k / rational) if times is None else times[k]
            frame.pts = round(second / float(base)) + round(shift / float(base))
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if track is not None:
            track.encode(sound_start + round(shift / float(base)) * float(base))
    return path


def write_grid_clip(path: Path, seconds: float = 3.0, seed: int = 0) -> Path:
    """A clip as the GRID corpus has them: 360x288 at 25 fps, ``.mpg`` or ``.mkv`` or ``.mp4``."""
    sound = speech_like(seconds, 44100 if path.suffix != ".mkv" else 22050, seed)
    rate = 44100 if path.suffix != ".mkv" else 22050
    return write_video(path, moving(round(seconds * 25), 360, 288), 25, sound, rate)


class _Track:
    """One sound stream of a container that is being written."""

    def __init__(
        self,
        container: av.container.OutputContainer,
        path: Path,
        sound: np.ndarray,
        rate: int,
        codec: str | None,
        layout: str = "",
    ) -> None:
        self._container = container
        self._sound = sound
        self._rate = rate
        self._layout = layout or {1: "mono", 2: "stereo", 6: "5.1"}[sound.shape[0]]
        codec = codec or _SOUND_CODECS[path.suffix]
        self._stream = container.add_stream(codec, rate=rate, layout=self._layout)
        self._stream.codec_context.open()

    def encode(self, start: float = 0.0) -> None:
        context = self._stream.codec_context
        if context.name in ("pcm_f32le", "pcm_f64le"):
            # As bytes: a resampler would not pass on what is no number.
            frame = av.AudioFrame.from_ndarray(
                self._sound.T.reshape(1, -1).astype(context.name[4:7].replace("f", "f4")[:2]),
                format="flt",
                layout=self._layout,
            )
            frames = [frame]
            frame.sample_rate = self._rate
            frame.pts = 0
        else:
            resampler = av.AudioResampler(
                context.format.name, self._layout, self._rate, context.frame_size or 1024
            )
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(self._sound), format="fltp", layout=self._layout
            )
            frame.sample_rate = self._rate
            frame.time_base = Fraction(1, self._rate)
            frame.pts = 0
            frames = [*resampler.resample(frame), *resampler.resample(None)]
        for piece in frames:
            piece.time_base = Fraction(1, self._rate)
            piece.pts = (piece.pts or 0) + round(start * self._rate)
            self._container.mux(self._stream.encode(piece))
        self._container.mux(self._stream.encode(None))
