"""The model of *Lip Movements Generation at a Glance* (ECCV 2018) at run time.

The network turns 16 video frames' worth of log-mel and one lip image into 16 frames at once. A
speech of any length is cut into overlapping windows; where two overlap, their frames are
cross-faded linearly, so that no seam shows.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipglance.audio import LogMelStream, frames_for
from lipglance.errors import InputError
from lipglance.geometry import Floats, Image, check_image
from lipglance.model_info import ModelInfo
from lipglance.models import LipModel
from lipglance.runtime import Network, open_network

FloatArray = NDArray[np.float32]


class LmggModel(LipModel):
    """A trained network, ready to speak. Sessions and threads may share it."""

    def __init__(self, info: ModelInfo, network: Network) -> None:
        self.info = info
        self.network = network

    @classmethod
    def load(
        cls, directory: Path, info: ModelInfo, *, threads: int | None = None, engine: str = "auto"
    ) -> LmggModel:
        """Load from a model directory; InputError where its ``model.onnx`` is missing or broken."""
        return cls(info, open_network(directory / "model.onnx", threads, engine))

    @property
    def painter(self) -> Network:
        """The network that makes the pictures; see `LipModel.painter`."""
        return self.network

    def start(self, identity: Image, points: Floats | None = None) -> LmggSession:
        """Begin a session with a lip crop, (S, S, 3) uint8 RGB, S = ``crop.size``.

        Where the lips are in it (`points`) the network sees for itself.
        """
        check_image(identity)
        size = self.crop.size
        if identity.shape != (size, size, 3):
            raise InputError(
                f"identity has shape {identity.shape}; model {self.info.name} needs a lip crop of "
                f"shape {(size, size, 3)}"
            )
        return LmggSession(self.info, self.network, identity)


class LmggSession:
    """One person saying one speech; see `lipglance.models.LipSession`.

    Window k covers the frames from k * (window - overlap) on and runs once all its sound is there,
    always alone: a batch would round differently, and frames must not depend on how sound arrives.
    The last window is filled up with silence.
    """

    def __init__(self, info: ModelInfo, network: Network, identity: Image) -> None:
        self._network = network
        self._window, self._overlap = info.window, info.overlap
        self._audio = info.audio
        scaled = identity.astype(np.float32) / np.float32(127.5) - np.float32(1)
        self._identity = np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])
        self._mel = LogMelStream(info.audio)
        self._samples = 0
        # Rows from the next window's first on, and that window's first frame: all before are out.
        self._rows: FloatArray = np.zeros((0, info.audio.mels), np.float32)
        self._start = 0
        # What the window before says about the next window's first frames.
        self._tail: FloatArray | None = None

    def feed(self, samples: FloatArray) -> Image:
        """Take (n,) float32 samples in [-1, 1]; return the frames now certain, (k, S, S, 3) RGB."""
        rows = self._mel.feed(samples)
        self._samples += len(samples)
        return self._to_image(self._advance(rows))

    def finish(self, frames: int | None = None) -> Image:
        """Return the rest, (k, S, S, 3) RGB, so that there are `frames` in all.

        By default ``round(duration * 25)``, at least one. InputError where more are out already.
        """
        if frames is None:
            audio = self._audio
            frames = frames_for(self._samples, audio.sample_rate, audio.video_fps)
        if frames < self._start:
            raise InputError(
                f"asked to finish after {frames} frames, but {self._start} are out already; "
                "expected at least as many"
            )
        out = self._start
        heard = out + len(self._rows) // self._audio.frames_per_video_frame
        parts = self._advance(self._mel.finish(max(frames, heard)))
        while self._start < frames:
            if self._tail is not None and frames - self._start <= self._overlap:
                parts.append(self._tail)
                break
            missing = self._window * self._audio.frames_per_video_frame - len(self._rows)
            silence = np.full((missing, self._audio.mels), -1, np.float32)
            parts += self._advance(silence)
        return self._to_image(parts)[: frames - out]

    def _advance(self, rows: FloatArray) -> list[FloatArray]:
        """Add log-mel rows and run every window that is complete; return the frames to let go."""
        self._rows = np.concatenate([self._rows, rows])
        per_frame = self._audio.frames_per_video_frame
        hop = self._window - self._overlap
        parts = []
        while len(self._rows) >= self._window * per_frame:
            frames = self._run(self._rows[: self._window * per_frame])
            if self._tail is not None:
                rise = (np.arange(self._overlap, dtype=np.float32) + np.float32(0.5)) / max(
                    self._overlap, 1
                )
                weight = rise[:, None, None, None]
                frames[: self._overlap] *= weight
                frames[: self._overlap] += (1 - weight) * self._tail
            parts.append(frames[:hop])
            self._tail = frames[hop:]
            self._rows = self._rows[hop * per_frame :].copy()
            self._start += hop
        return parts

    def _run(self, rows: FloatArray) -> FloatArray:
        """One window: rows (4W, mels) to frames (W, S, S, 3) in [-1, 1]."""
        video = self._network({"audio": rows[None, None], "identity": self._identity})
        return np.ascontiguousarray(video[0].transpose(1, 2, 3, 0))

    def _to_image(self, parts: list[FloatArray]) -> Image:
        size = self._identity.shape[-1]
        frames = np.concatenate(parts) if parts else np.zeros((0, size, size, 3), np.float32)
        image: Image = np.rint(np.clip(frames, -1, 1) * 127.5 + 127.5).astype(np.uint8)
        return image
