"""Hearing at run time: speech that arrives in pieces -> where the lower face's points go.

The network of `lipglance.motion_net` hears one video frame at a time, with a little of the sound
before and after it, and carries its memory on; so frames are the same to the bit however the speech
is cut. What it says is a change of shape; the person's own shape is that of the given picture.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lipglance.audio import AudioConfig, LogMelStream, frames_for
from lipglance.crop import CropConfig, picture_crop
from lipglance.emphasis import Emphasis
from lipglance.errors import InputError
from lipglance.face_shape import ShapeBasis
from lipglance.geometry import Floats, Image, crop_image
from lipglance.runtime import Network, open_network

FloatArray = NDArray[np.float32]

UNHEARD = 2
"""Log-mel rows at the end of what the network is given that nothing in it reaches: its halvings
pass over them. So nobody need wait for their sound."""


class MoverSession(Protocol):
    """Where one face's points go, piece by piece; see `MotionSession`."""

    def feed(self, samples: FloatArray) -> Floats:
        """See `MotionSession.feed`."""
        ...

    def finish(self, frames: int | None = None) -> Floats:
        """See `MotionSession.finish`."""
        ...


class Mover(Protocol):
    """Whatever says where a face's points go: `Motion`, or in evaluation the truth."""

    @property
    def basis(self) -> ShapeBasis:
        """What the changes' unit and points are."""
        ...

    def start(self, landmarks: ArrayLike, crop: Image) -> MoverSession:
        """See `Motion.start`."""
        ...


class Motion:
    """A trained motion network, ready to hear. Sessions and threads may share it.

    Attributes:
        basis: what its codes mean.
        audio: how the speech must be sampled and is heard.
        past: video frames heard before the present one.
        ahead: video frames heard after it.
        silent: (K,) the code of silence.
    """

    def __init__(self, folder: Path, threads: int | None = None, engine: str = "auto") -> None:
        """Load from a folder written by ``lipglance export``; InputError where it holds none."""
        try:
            facts = json.loads((folder / "motion.json").read_text(encoding="utf-8"))
            self.audio = AudioConfig(**facts["audio"])
            self.past, self.ahead = int(facts["past"]), int(facts["ahead"])
            self.codes, self.memory = int(facts["codes"]), int(facts["memory"])
            self._first, self._wide = float(facts["emphasis"]), float(facts["wide"])
            self._small = float(facts.get("small", 0.0))
            self.silent: Floats = np.asarray(facts["silent"], np.float64)
            with np.load(folder / "basis.npz", allow_pickle=False) as kept:
                self.basis: ShapeBasis = ShapeBasis(
                    kept["template"].astype(np.float64), kept["components"].astype(np.float64)
                )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{folder} holds no motion network ({type(error).__name__}: {error}); expected "
                "motion.json, motion.onnx, look.onnx, rest.onnx and basis.npz"
            ) from error
        self.hear: Network = open_network(folder / "motion.onnx", threads, engine)
        self.look: Network = open_network(folder / "look.onnx", threads, engine)
        self.rest: Network = open_network(folder / "rest.onnx", threads, engine)

    def start(self, landmarks: ArrayLike, crop: Image) -> MotionSession:
        """Begin with a picture.

        landmarks: its mesh points, (468, 2) px of the crop; InputError where they are not finite.
        crop: (S, S, 3) uint8 RGB, its face as the model cuts it out; cut anew by the points,
            because crops of a video are centred on what its mouth does later too.
        """
        points = np.asarray(landmarks, np.float64)
        if not np.isfinite(points).all():
            raise InputError("no face in the picture: its landmarks are not finite")
        config = CropConfig.face(len(crop))
        cut = crop_image(crop, picture_crop(points, config), config.size, smooth=True)
        seen = cut.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(127.5) - np.float32(1)
        code = self.look({"crop": seen, "shape": self._moved(self.basis.shapes(points))})
        return MotionSession(self, np.asarray(code[0], np.float64))

    def begin(self) -> MotionSession:
        """Begin with no picture: what is said is the motion alone, a rest of code 0 is taken."""
        return MotionSession(self, np.zeros(self.codes))

    def code(self, shape: Floats) -> Floats:
        """Of the motion that a shape of `basis`, (P, 2), shows: (K,); without a look at a picture.

        For those who have many pictures of one mouth.
        """
        return np.asarray(self.rest({"shape": self._moved(shape)})[0], np.float64)

    def emphasis(self) -> Emphasis:
        """How far the mouth of a speech that begins is to move."""
        return Emphasis(self.silent, self.basis.components, self._first, self._wide, self._small)

    def _moved(self, shape: Floats) -> FloatArray:
        return (shape - self.basis.mean)[None].astype(np.float32)


class MotionSession:
    """One speech heard by one person's face.

    Frame t is certain when half the sound of frame t + ahead is there, and 11 ms that the last
    window reaches beyond.
    """

    def __init__(self, motion: Motion, rest: Floats) -> None:
        self._motion, self._rest = motion, rest
        self._emphasis = motion.emphasis()
        self._mel = LogMelStream(motion.audio)
        # Rows come as many at once as a video frame has. Some of silence put before the sound, and
        # taken away again, let them come as soon as the network can use them.
        self._mel.feed(np.zeros(UNHEARD * motion.audio.hop, np.float32))
        self._lead = UNHEARD
        rows = motion.past * motion.audio.frames_per_video_frame
        self._rows: FloatArray = np.full((rows, motion.audio.mels), -1, np.float32)
        self._memory: FloatArray = np.zeros((2, 1, motion.memory), np.float32)
        self._samples = 0
        self._out = 0

    def feed(self, samples: FloatArray) -> Floats:
        """Take (n,) float32 samples in [-1, 1]; return the changes of shape now certain.

        Returns:
            (k, P, 2) displacement of the lower face's points from the picture's, in the unit of
            the basis (distance of the eyes, upright).
        """
        self._samples += len(samples)
        return self._advance(self._led(self._mel.feed(samples)))

    def finish(self, frames: int | None = None) -> Floats:
        """Return the rest, so that there are `frames` in all (default: round(duration * 25)).

        InputError where more are out already.
        """
        motion, audio = self._motion, self._motion.audio
        if frames is None:
            frames = frames_for(self._samples, audio.sample_rate, audio.video_fps)
        if frames < self._out:
            raise InputError(
                f"asked to finish after {frames} frames, but {self._out} are out already; "
                "expected at least as many"
            )
        per_frame = audio.frames_per_video_frame
        heard = (self._out - motion.past) * per_frame + len(self._rows)
        done = (heard + UNHEARD - self._lead) // per_frame
        rows = self._led(self._mel.finish(max(frames + 1, done)))
        # After the speech there is silence as before it, not what little a window hears of it.
        rows = rows[: max(0, frames * per_frame - heard)]
        silence = np.full((motion.ahead * per_frame, audio.mels), -1, np.float32)
        wanted = frames - self._out
        return self._advance(np.concatenate([rows, silence]))[:wanted]

    def _led(self, rows: FloatArray) -> FloatArray:
        """Rows without those of the silence before the sound."""
        led = min(self._lead, len(rows))
        self._lead -= led
        return rows[led:]

    def _advance(self, rows: FloatArray) -> Floats:
        motion = self._motion
        per_frame = motion.audio.frames_per_video_frame
        self._rows = np.concatenate([self._rows, rows])
        window = (motion.past + 1 + motion.ahead) * per_frame
        needed = window - UNHEARD
        ready = max(0, (len(self._rows) - needed) // per_frame + 1)
        mel = np.full((1, window, motion.audio.mels), -1, np.float32)
        moved = np.zeros((ready, *motion.basis.mean.shape))
        for k in range(ready):
            mel[0, :needed] = self._rows[k * per_frame : k * per_frame + needed]
            said = motion.hear({"mel": mel, "memory": self._memory})
            # One frame at a time: how BLAS rounds depends on how many there are.
            code = self._emphasis.stressed(said[: motion.codes].astype(np.float64))
            moved[k] = motion.basis.decode(code - self._rest)
            self._memory = np.ascontiguousarray(said[motion.codes :].reshape(self._memory.shape))
        self._rows = self._rows[ready * per_frame :].copy()
        self._out += ready
        return moved
