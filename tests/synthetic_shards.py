"""Shards of drawn mouths that open with the loudness of a tone: enough to train on."""

from pathlib import Path

import cv2
import numpy as np

from lipglance.shard_writer import ShardWriter


def draw_clip(seed: int, frames: int = 40, size: int = 64):
    """Return crops (T, S, S, 3), audio (T*640,), landmarks (T, 468, 2) of one drawn speaker."""
    rng = np.random.default_rng(seed)
    skin = tuple(int(v) for v in rng.integers(120, 230, 3))
    loud = np.abs(np.sin(np.arange(frames) * rng.uniform(0.3, 0.9) + rng.uniform(0, 6)))
    loud[:4] = 0
    crops = np.zeros((frames, size, size, 3), np.uint8)
    # A face of points anywhere, the same for all, so that heads can be laid over one another.
    face = np.random.default_rng(7).uniform(0.1, 0.9, (468, 2)).astype(np.float32) * size
    face[33], face[263] = (0.2 * size, 0.1 * size), (0.8 * size, 0.1 * size)
    face[[0, 17]] = size / 2
    landmarks = np.repeat(face[None], frames, axis=0)
    for t in range(frames):
        crops[t] = skin
        gap = int(1 + 12 * loud[t])
        cv2.ellipse(crops[t], (size // 2, size // 2), (20, gap + 4), 0, 0, 360, (170, 60, 60), -1)
        cv2.ellipse(crops[t], (size // 2, size // 2), (16, gap), 0, 0, 360, (40, 10, 10), -1)
        landmarks[t, 61], landmarks[t, 291] = (size / 2 - 20, size / 2), (size / 2 + 20, size / 2)
        landmarks[t, 13], landmarks[t, 14] = (size / 2, size / 2 - gap), (size / 2, size / 2 + gap)
    time = np.arange(frames * 640) / 16000
    level = np.repeat(loud, 640)
    audio = (0.5 * level * np.sin(2 * np.pi * 300 * time)).astype(np.float32)
    return crops, audio, landmarks


FACE = {"size": 64, "half_side": 1.0, "smooth": 2.0, "region": "face"}


def write_shards(
    root: Path,
    clips: int = 6,
    corpora=("alpha", "beta"),
    splits=("train", "val"),
    crop: dict[str, object] | None = None,
):
    """Write shards of drawn clips and return their folder; `crop` says what they pretend to be."""
    root.mkdir(parents=True, exist_ok=True)
    transforms = np.tile(np.array([[1, 0, 0], [0, 1, 0]], np.float32), (40, 1, 1))
    for split in splits:
        with ShardWriter(root / f"{split}-00000.tar") as writer:
            for index in range(clips):
                seed = index + 100 * splits.index(split)
                crops, audio, landmarks = draw_clip(seed)
                corpus = corpora[index % len(corpora)]
                meta: dict[str, object] = {
                    "key": f"{split}_{index}",
                    "corpus": corpus,
                    "speaker": f"s{index}",
                    "utterance": f"u{index}",
                    "split": split,
                }
                if crop:
                    meta["crop"] = crop
                writer.add(meta, crops, audio, landmarks, transforms)
    return root
