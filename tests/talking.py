"""Videos of a face that opens its mouth to a humming sound, in the formats corpora come in."""

from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
import skimage.data

RATE = 22_050
MOUTH = (110.0, 147.0)
"""Middle of the mouth (x, y) in the pictures of `face`."""
CODECS = {
    ".mpg": ("mpeg1video", "mp2"),
    ".mp4": ("h264", "aac"),
    ".mkv": ("h264", "pcm_s16le"),
    ".mov": ("mpeg4", "pcm_s16le"),
}


@cache
def face() -> np.ndarray:
    """The astronaut's face (NASA, public domain), (224, 224, 3) uint8 RGB."""
    return np.ascontiguousarray(skimage.data.astronaut()[0:224, 112:336])


def loudness(frames: int, fps: float = 25.0, seed: int = 0) -> np.ndarray:
    """How wide the mouth is open in each frame, 0..1."""
    time = np.arange(frames) / fps
    return np.abs(np.sin(2 * np.pi * (1.1 + 0.1 * seed) * time + seed))


def picture(opening: float, shift: float = 0.0) -> np.ndarray:
    """The face with its lower lip and chin moved down and a dark gap between the lips."""
    height, width = face().shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    near = np.exp(-(((x - MOUTH[0]) / 22) ** 2))
    gap = 9 * opening * near
    below = np.clip((y - MOUTH[1]) / np.maximum(gap, 1e-3), 0, 1)
    fade = np.clip((190 - y) / 15, 0, 1)
    moved = cv2.remap(
        face(), x - np.float32(shift), (y - gap * below * fade).astype(np.float32), cv2.INTER_LINEAR
    )
    inside = (y > MOUTH[1]) & (y < MOUTH[1] + gap) & (np.abs(x - MOUTH[0] - shift) < 15)
    moved[inside] = (60, 15, 20)
    return moved


def write_talking(
    path: Path,
    seconds: float = 1.2,
    fps: float = 25.0,
    seed: int = 0,
    faceless: range = range(0),
    pale: range = range(0),
    sound_seconds: float | None = None,
    sound: bool = True,
    loud: float = 0.4,
) -> Path:
    """Write a talking face; ``faceless`` frames are grey, ``pale`` ones nearly; return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    video_codec, audio_codec = CODECS[path.suffix]
    frames = round(seconds * fps)
    opening = loudness(frames, fps, seed)
    with av.open(str(path), "w") as container:
        video = container.add_stream(video_codec, rate=round(fps))
        video.width, video.height, video.pix_fmt = 224, 224, "yuv420p"
        video.bit_rate = 1_500_000
        rate = 44_100 if audio_codec in ("mp2", "aac") else RATE
        audio = container.add_stream(audio_codec, rate=rate, layout="mono") if sound else None
        for t in range(frames):
            shown = picture(opening[t], shift=2 * np.sin(t / 9))
            if t in faceless:
                shown = np.full_like(shown, 128)
            if t in pale:
                shown = (128 + 0.15 * (shown.astype(np.float32) - 128)).astype(np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(shown, format="rgb24")))
        container.mux(video.encode(None))
        if audio is not None:
            time = np.arange(round((sound_seconds or seconds) * rate)) / rate
            level = np.interp(time * fps, np.arange(frames) + 0.5, opening)
            wave = np.clip(loud * level * np.sin(2 * np.pi * 220 * time), -1, 1)
            samples = (wave * 32767).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            frame.sample_rate, frame.pts = rate, 0
            size = audio.codec_context.frame_size or 1024
            fifo = av.AudioFifo()
            fifo.write(frame)
            while fifo.samples:
                part = fifo.read(min(size, fifo.samples))
                container.mux(audio.encode(part))
            container.mux(audio.encode(None))
    return path
