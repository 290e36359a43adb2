"""The stages of the job, timed one by one, and the whole command.

Stages are timed in this process, one after the other, on the sample face and speech that ship with
the package; the whole command runs as a process of its own, start and files included.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import wave
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lipglance.audio import frames_for, log_mel
from lipglance.compositing import Compositor
from lipglance.crop import crop_image, picture_crop
from lipglance.errors import LipglanceError
from lipglance.face import FaceFinder
from lipglance.geometry import Image, apply
from lipglance.glance import GlanceModel
from lipglance.lmgg import LmggModel
from lipglance.media import read_audio, read_image
from lipglance.models import LipModel, find_model, load_model
from lipglance.motion import Motion
from lipglance.mouth_warp import CHANNELS
from lipglance.runtime import engines
from lipglance.writer import VideoWriter

_FPS = 25.0


@dataclass(frozen=True)
class Stage:
    """What one stage took.

    frames: how many frames (or pictures) one run made. seconds: of each run. of_speech: whether
    the frames stand for time, 25 a second, so that a real-time factor has a meaning. peak_mib:
    memory at its height, where the stage was a process of its own.
    """

    name: str
    frames: int
    seconds: tuple[float, ...]
    of_speech: bool = True
    peak_mib: float | None = None

    @property
    def ms(self) -> float:
        """Median time of a frame, ms."""
        return 1000 * median(self.seconds) / self.frames

    @property
    def fps(self) -> float:
        """Frames a second, by the median run."""
        return self.frames / median(self.seconds)

    @property
    def real_time_factor(self) -> float | None:
        """Time taken over time shown, by the median run: below 1 is faster than life."""
        return _FPS / self.fps if self.of_speech else None

    def to_dict(self) -> dict[str, Any]:
        """All of it in plain values."""
        derived = {"ms": self.ms, "fps": self.fps, "real_time_factor": self.real_time_factor}
        return asdict(self) | derived


def measure(
    name: str, seconds: float, runs: int, side: int, threads: int | None
) -> Iterator[Stage]:
    """Time the stages, one by one; parameters as for the command. Raises InputError as it does."""
    model = load_model(name, threads=threads)
    photo = sample_photo(side)
    samples = sample_speech(seconds, model.audio.sample_rate)
    frames = frames_for(len(samples), model.audio.sample_rate)
    finder = FaceFinder(threads=1)

    def timed(stage: str, work: Callable[[], object], count: int, **kind: bool) -> Stage:
        # Once for nothing: memory is touched and kernels are chosen.
        work()
        return Stage(stage, count, tuple(_time(work) for _ in range(runs)), **kind)

    yield timed("detect", lambda: finder.detect(photo), 1, of_speech=False)
    faces = finder.detect(photo)
    yield timed("mesh", lambda: finder.landmarks(photo, faces[0]), 1, of_speech=False)
    points = np.asarray(finder.landmarks(photo, faces[0]).points, np.float64)
    matrix = picture_crop(points, model.crop)
    size = model.crop.size
    yield timed("crop", lambda: crop_image(photo, matrix, size), 1, of_speech=False)
    yield timed("log-mel", lambda: log_mel(samples, model.audio), frames)
    identity = crop_image(photo, matrix, size)
    yield from _networks(model, name, threads, timed)

    def speak() -> NDArray[np.uint8]:
        session = model.start(identity, apply(matrix, points))
        return np.concatenate([session.feed(samples), session.finish()])

    def show() -> Iterator[Image]:
        session = model.start_face(photo, matrix, points)
        yield from session.feed(samples)
        yield from session.finish()

    yield timed("speech to lips", speak, frames)
    if isinstance(model, LmggModel):
        lips = speak()
        compositor = Compositor(photo, matrix, size)
        yield timed("compositing", lambda: [compositor.paste(crop) for crop in lips][:0], frames)
    yield timed("speech to picture", lambda: sum(1 for _ in show()), frames)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out.mp4"
        # Only the encoder's time counts here, so one frame in eight must do for variety.
        some = [picture for k, picture in enumerate(show()) if k % 8 == 0]
        yield timed("encoding", lambda: _encode(path, some, frames, samples), frames)
        for view in ("face", "lips"):
            yield _whole_command(Path(folder), photo, samples, name, view, runs, threads)


def _networks(
    model: LipModel, name: str, threads: int | None, timed: Callable[..., Stage]
) -> Iterator[Stage]:
    """The networks alone through every engine that is installed, window after window."""
    _, _, chosen = _network(model)
    for engine in engines():
        loaded = load_model(find_model(name), threads=threads, engine=engine)
        work, frames, _ = _network(loaded)
        yield timed(f"network, {engine}" + " (chosen)" * (engine == chosen), work, frames)


def _network(model: LipModel) -> tuple[Callable[[], object], int, str]:
    """What runs a model's networks on noise, for how many frames, and the engine it uses."""
    info = model.info
    rows, mels, size = info.audio.frames_per_video_frame, info.audio.mels, info.crop.size
    rng = np.random.default_rng(0)
    if isinstance(model, GlanceModel) and isinstance(model.motion, Motion):
        motion, frames = model.motion, 25
        rows *= motion.past + 1 + motion.ahead
        heard = {
            "mel": rng.uniform(-1, 0, (1, rows, mels)).astype(np.float32),
            "memory": np.zeros((2, 1, motion.memory), np.float32),
        }
        seen = {"seen": rng.uniform(-1, 1, (1, CHANNELS, size, size)).astype(np.float32)}

        def work() -> None:
            for _ in range(frames):
                motion.hear(heard)
                model.renderer(seen)

        return work, frames, model.renderer.engine
    if not isinstance(model, LmggModel):
        raise LipglanceError(f"the networks of a {type(model).__name__} cannot be timed alone")
    network = model.network
    inputs = {
        "audio": rng.uniform(-1, 0, (1, 1, rows * info.window, mels)).astype(np.float32),
        "identity": rng.uniform(-1, 1, (1, 3, size, size)).astype(np.float32),
    }
    return lambda: network(inputs), info.window, network.engine


def _encode(path: Path, some: list[Image], frames: int, samples: NDArray[np.float32]) -> None:
    height, width = some[0].shape[:2]
    with VideoWriter(path, width, height, _FPS, iter([samples[None]]), 16000, force=True) as writer:
        for k in range(frames):
            writer.write(some[k // 8])


def _whole_command(
    folder: Path,
    photo: Image,
    samples: NDArray[np.float32],
    model: str,
    view: str,
    runs: int,
    threads: int | None,
) -> Stage:
    """``lipglance generate`` as a process of its own, from files to a file."""
    face, speech, out = (folder / name for name in ("face.png", "speech.wav", "whole.mp4"))
    cv2.imwrite(str(face), photo[..., ::-1])
    with wave.open(str(speech), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    command = [sys.executable, "-m", "lipglance", "generate", str(face), str(speech)]
    command += ["-o", str(out), "--model", model, "--view", view, "--force", "--json"]
    command += [] if threads is None else ["--threads", str(threads)]
    # The child must find this very package, however it was found here.
    paths = [str(files("lipglance").joinpath("..")), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    taken, peaks = [], []
    for _ in range(runs):
        begin = perf_counter()
        child = subprocess.run(command, env=environment, capture_output=True, text=True)
        taken.append(perf_counter() - begin)
        if child.returncode:
            raise LipglanceError(f"the whole command failed: {child.stderr.strip()}")
        told = json.loads(child.stdout)
        peaks.append(told["peak_mib"])
    peak = None if None in peaks else max(peaks)
    return Stage(f"whole command, {view} view", told["frames"], tuple(taken), peak_mib=peak)


def sample_photo(side: int) -> Image:
    """The sample face, (side, side, 3) uint8 RGB."""
    path = Path(str(files("lipglance"))) / "assets" / "sample_face.jpg"
    image = read_image(path)
    way = cv2.INTER_AREA if side < image.shape[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (side, side), interpolation=way), np.uint8)


def sample_speech(seconds: float, rate: int) -> NDArray[np.float32]:
    """The sample sentence, again and again."""
    path = Path(str(files("lipglance"))) / "assets" / "sample_speech.flac"
    return np.resize(read_audio(path, rate), round(seconds * rate)).astype(np.float32)


def _time(work: Callable[[], object]) -> float:
    begin = perf_counter()
    work()
    return perf_counter() - begin
