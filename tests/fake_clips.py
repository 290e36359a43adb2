"""Clips of a drawn mouth in shards, and a detector that reads its shape off the picture."""

import io

import av
import cv2
import numpy as np

from lipglance.crop import CropConfig
from lipglance.geometry import apply, square_matrix
from lipglance.shard_writer import ShardWriter
from lipglance.shards import ShardDataset

CROP = CropConfig(size=64)
WIDTH, HEIGHT = 160, 128
HALF = 32.0
RATE = 16_000


def track(frames, seed=0):
    """Openings (T,) px of a mouth that talks."""
    rng = np.random.default_rng(seed)
    time = np.arange(frames) / 25
    return 10 + 5 * np.sin(2 * np.pi * (3 + rng.random()) * time + 6 * rng.random())


def places(frames):
    """Centres (T, 2) px of the mouth of a head that sways."""
    return np.stack([80 + 4 * np.sin(np.arange(frames) / 6), np.full(frames, 70.0)], 1)


def draw(opening, centre, shade=20):
    """A picture (H, W, 3) with a dark mouth 40 px wide on textured skin."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
    skin = 190 + 12 * np.sin(x / 5) * np.cos(y / 7)
    # An edge that is soft over one pixel makes the area, and so the opening, sub-pixel.
    radius = np.hypot((x - centre[0]) / 20, (y - centre[1]) / (opening / 2))
    dark = np.clip(0.5 - (radius - 1) * opening / 2, 0, 1)
    grey = skin * (1 - dark) + shade * dark
    return np.clip(grey[..., None] * [1.0, 0.8, 0.75], 0, 255).astype(np.uint8)


class DrawnDetector:
    """Landmarks of `draw`n mouths; no face where the picture's first pixel is black."""

    def points(self, image, near=None):
        if not image[0, 0].any():
            return None
        dark = np.clip((150 - image[..., 0].astype(np.float64)) / 130, 0, 1)
        y, x = np.mgrid[0 : image.shape[0], 0 : image.shape[1]]
        area = dark.sum()
        centre = np.array([(dark * x).sum(), (dark * y).sum()]) / area
        if near is not None and np.abs(centre - near).max() > 40:
            return None
        half = np.sqrt((dark * (x - centre[0]) ** 2).sum() / area) * 2
        opening = 2 * area / (np.pi * half)
        points = np.zeros((68, 2))
        angles = np.pi + 2 * np.pi * np.arange(12) / 12
        points[48:60] = np.stack([half * np.cos(angles), opening / 2 * np.sin(angles)], 1)
        angles = np.pi + 2 * np.pi * np.arange(8) / 8
        points[60:] = np.stack([half * np.cos(angles), opening / 2 * np.sin(angles)], 1)
        return points + centre

    def embedding(self, image, points):
        """The colours of the picture: the same person in every drawing."""
        return image.reshape(-1, 3).mean(0)


def encode(pictures, audio):
    """An mkv, lossless in picture and sound, as bytes."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as container:
        video = container.add_stream("ffv1", rate=25)
        video.height, video.width = pictures[0].shape[:2]
        video.pix_fmt = "bgr0"
        sound = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for picture in pictures:
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(video.encode())
        samples = np.round(audio * 32767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = RATE
        container.mux(sound.encode(frame))
        container.mux(sound.encode())
    return buffer.getvalue()


def mesh(centres):
    """Mesh points (T, 468, 2) px of a head that moves as `centres` (T, 2) do, of no real face."""
    return centres[:, None] + np.random.default_rng(1).uniform(-20, 20, (468, 2))


def add_clip(
    writer, key, pictures, centres, half, corpus="DRAWN", split="test_seen", points=None, **meta
):
    """Write a sample whose crops are centred on `centres` (T, 2) with half side `half`, px.

    points: mesh points (T, 468, 2) px; None for those of `mesh`.
    """
    frames = len(pictures)
    time = np.arange(frames * RATE // 25) / RATE
    audio = (0.3 * np.sin(2 * np.pi * 220 * time)).astype(np.float32)
    transforms = square_matrix(centres, np.full(frames, half), np.zeros(frames), CROP.size)
    points = apply(transforms, mesh(centres) if points is None else points)
    writer.add(
        {
            "key": key,
            "corpus": corpus,
            "speaker": "a",
            "split": split,
            "crop": vars(CROP),
            "clip_suffix": ".mkv",
            **meta,
        },
        np.zeros((frames, CROP.size, CROP.size, 3), np.uint8),
        audio,
        points.astype(np.float32),
        transforms.astype(np.float32),
        encode(pictures, audio),
    )


def drawn_shard(path, clips=2, frames=20, corpus="DRAWN", split="test_seen", **meta):
    """A shard of `clips` drawn clips at `path`."""
    with ShardWriter(path) as writer:
        for k in range(clips):
            centres = places(frames)
            pictures = [draw(o, c) for o, c in zip(track(frames, k), centres, strict=True)]
            add_clip(writer, f"clip{k}", pictures, centres, HALF, corpus, split, **meta)
    return path


def opened_face(face, opening):
    """`face` (H, W, 3) with the lower lip of the mouth at (127, 146) moved down by `opening` px.

    For the astronaut's portrait cut as in the tests, of which dlib then sees an open mouth.
    """
    y, x = np.mgrid[0 : face.shape[0], 0 : face.shape[1]].astype(np.float32)
    across = np.clip(1 - ((x - 127) / 24) ** 2, 0, 1)
    down = np.where(y < 147, 0, np.clip((190 - y) / 30, 0, 1))
    rows = (y - opening * across * down).astype(np.float32)
    moved = cv2.remap(face, x, rows, cv2.INTER_LINEAR)
    inside = (y >= 147) & (y < 147 + opening * across)
    moved[inside] = (60, 20, 20)
    return moved


def drawn_groups(folder, *groups):
    """Shards of groups (corpus, split, speaker, clips), and all their samples, of four frames."""
    folder.mkdir(exist_ok=True)
    for number, (corpus, split, speaker, clips) in enumerate(groups):
        with ShardWriter(folder / f"{split}-{number:05d}.tar") as writer:
            for k in range(clips):
                pictures = [draw(o, c) for o, c in zip(track(4, k), places(4), strict=True)]
                key = f"{speaker}{k}"
                add_clip(writer, key, pictures, places(4), HALF, corpus, split, speaker=speaker)
    return list(ShardDataset(folder))
