"""How well lips and sound go together in time: offset, confidence and distance of a video.

The expert is a network that this project trains on real clips (`sync_net`, `docs/METRICS.md`). It
turns 0.2 s of lips and 0.2 s of sound into vectors; where the sound is moved so far that they lie
closest, picture and sound are in sync.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .audio import AudioConfig, log_mel
from .crop import CropConfig
from .errors import InputError
from .runtime import Network, networks_digest, open_network

REACH = 15
"""Largest shift looked at, video frames to either side."""
MIN_FRAMES = 10
"""Fewest frames worth an answer."""
SURE = 0.3
"""Confidence below which an answer is a guess.

It tells clips with their own sound from clips with another's best, both corpora alike
(``lipglance sync-report --data SHARDS --split val``: 82 % right). Below it lie 90 and 85 % of the
clips with another's sound, and of those with their own 3 % on GRID, but 44 % on LRC-AR, which the
expert knows less well. The first guess, 0.1, lay below 94 % of the wrong ones.
"""

_BLOCK = 500

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class SyncScore:
    """What the expert says of one video.

    Attributes:
        offset: video frames by which the sound comes late (negative: early); 0 is in sync.
        confidence: LSE-C, median less minimum of the distances over shifts; higher is surer.
        distance: LSE-D, the least mean distance over shifts; lower is better matched.
        curve: mean distance at each shift from -reach to reach.
    """

    offset: int
    confidence: float
    distance: float
    curve: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def packaged_expert() -> Path | None:
    """The folder of the expert in the package, None where it has none."""
    folder = Path(str(files("lipglance"))) / "weights" / "sync"
    return folder if folder.is_dir() else None


def describe_expert(folder: Path) -> dict[str, Any]:
    """Facts of an expert for results, without loading it: what tells two apart."""
    return {"folder": str(folder), "sha256": networks_digest(folder)}


class SyncExpert:
    """The two networks of the expert and how lips and sound must be prepared for them.

    Args:
        directory: a folder with ``sync.json``, ``lips.onnx`` and ``sound.onnx``; None for the one
            in the package.
        threads: for the networks; None for as many as there are CPUs.

    Raises:
        InputError: the folder holds no sync expert.
    """

    def __init__(self, directory: str | Path | None = None, threads: int | None = None) -> None:
        folder = Path(directory) if directory else packaged_expert()
        if folder is None:
            raise InputError(
                "this package holds no sync expert; train one (lipglance train configs/sync.yaml, "
                "lipglance export) and give its folder with --expert"
            )
        try:
            self.facts: dict[str, Any] = json.loads((folder / "sync.json").read_text())
            self.audio = AudioConfig(**self.facts["audio"])
            self.crop = CropConfig(**self.facts["crop"])
            self.context = int(self.facts["context"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{folder} holds no sync expert ({type(error).__name__}: {error}); expected "
                "sync.json, lips.onnx and sound.onnx as lipglance export writes them"
            ) from error
        self._lips = open_network(folder / "lips.onnx", threads)
        self._sound = open_network(folder / "sound.onnx", threads)

    def see(self, crops: NDArray[np.uint8]) -> FloatArray:
        """Return unit vectors (T - context + 1, D) of lip crops (T, S, S, 3) RGB at 25 fps."""
        size = self.crop.size
        if crops.ndim != 4 or crops.shape[1:] != (size, size, 3):
            raise InputError(f"lip crops of shape {crops.shape}; expected (T, {size}, {size}, 3)")
        return self._in_blocks(self._lips, "lips", crops, 1)

    def hear(self, samples: FloatArray, frames: int) -> FloatArray:
        """Return unit vectors (frames - context + 1, D) of sound (n,) at ``audio.sample_rate``."""
        mel = log_mel(samples, self.audio, frames)
        return self._in_blocks(self._sound, "mel", mel, self.audio.frames_per_video_frame)

    def _in_blocks(
        self, network: Network, name: str, values: NDArray[Any], rows: int
    ) -> FloatArray:
        """Run over a long track piece by piece, so that memory does not grow with its length."""
        frames = len(values) // rows
        if frames < self.context:
            raise InputError(
                f"{frames} frames are too few to compare; expected {MIN_FRAMES} or more"
            )
        out = []
        for start in range(0, frames - self.context + 1, _BLOCK):
            stop = min(frames, start + _BLOCK + self.context - 1)
            part = values[start * rows : stop * rows]
            if name == "lips":
                shown = part.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1.0
                out.append(network({name: shown[None]})[0])
            else:
                out.append(network({name: part[None, None].astype(np.float32)})[0])
        return np.concatenate(out)

    def score(self, crops: NDArray[np.uint8], samples: FloatArray, reach: int = REACH) -> SyncScore:
        """Judge a video: lip crops (T, S, S, 3) and its sound at ``audio.sample_rate``.

        Raises:
            InputError: fewer than `MIN_FRAMES` frames.
        """
        if len(crops) < MIN_FRAMES:
            raise InputError(
                f"{len(crops)} frames are too few to tell whether they are in sync; expected "
                f"{MIN_FRAMES} or more (0.4 s)"
            )
        return judge(self.see(crops), self.hear(samples, len(crops)), reach)


def judge(lips: FloatArray, sound: FloatArray, reach: int = REACH) -> SyncScore:
    """Compare vectors (N, D) of lips and sound at every shift of the sound.

    The distance of two unit vectors is Euclidean, 0..2. LSE-D and LSE-C after Chung and Zisserman
    2016 and Prajwal et al. 2020, with this project's expert in place of theirs: figures of other
    experts are on another scale. A shift that leaves fewer than a third of the vectors is left out.
    """
    count = len(lips)
    reach = min(reach, 2 * count // 3)
    shifts = range(-reach, reach + 1)
    curve = [_distance(lips, sound, shift) for shift in shifts]
    best = int(np.argmin(curve))
    return SyncScore(
        offset=best - reach,
        confidence=float(np.median(curve) - curve[best]),
        distance=float(curve[best]),
        curve=tuple(round(value, 5) for value in curve),
    )


def _distance(lips: FloatArray, sound: FloatArray, shift: int) -> float:
    count = min(len(lips), len(sound)) - abs(shift)
    first, second = max(0, -shift), max(0, shift)
    apart = lips[first : first + count] - sound[second : second + count]
    return float(np.linalg.norm(apart, axis=1).mean())


def windows_right(
    lips: FloatArray, sound: FloatArray, other: FloatArray, window: int = 21
) -> list[bool]:
    """Say for each second of a clip whether its own sound is closer than another.

    Args:
        lips: vectors (N, D).
        sound: vectors of the true sound, as many.
        other: vectors of the sound it is to be told from; cut to the shorter one's length.
        window: vectors to a second: 21 are made from 25 frames.
    """
    count = min(len(lips), len(sound), len(other))
    true = np.linalg.norm(lips[:count] - sound[:count], axis=1)
    wrong = np.linalg.norm(lips[:count] - other[:count], axis=1)
    window = min(window, count)
    starts: Sequence[int] = range(0, count - window + 1, max(1, window // 2))
    return [bool(true[s : s + window].mean() < wrong[s : s + window].mean()) for s in starts]
