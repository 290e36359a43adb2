"""``lipglance bench``: how long each stage takes, and the whole command.

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
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from lipglance import __version__
from lipglance.audio import frames_for, log_mel
from lipglance.compositing import Compositor
from lipglance.crop import crop_image, picture_crop
from lipglance.errors import LipglanceError
from lipglance.face import FaceFinder
from lipglance.geometry import Image, apply
from lipglance.lmgg import LmggModel
from lipglance.media import read_audio, read_image
from lipglance.models import DEFAULT_MODEL, find_model, load_model
from lipglance.runtime import cpu_count, engines, hardware
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


def bench_command(
    model: Annotated[
        str, typer.Option(help="A name from 'lipglance models', or a model directory.")
    ] = DEFAULT_MODEL,
    seconds: Annotated[float, typer.Option(min=0.7, max=600, help="Length of the speech.")] = 10.0,
    runs: Annotated[int, typer.Option(min=1, help="The median of so many runs is told.")] = 3,
    side: Annotated[int, typer.Option(min=128, max=8192, help="Side of the photo, pixels.")] = 1024,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads for the network; else all.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all runs as JSON.")] = False,
) -> None:
    """Time each stage and the whole command.

    Detection, mesh and crop are per picture; all others per frame of video, 25 to a second of
    speech.
    """
    stages = list(measure(model, seconds, runs, side, threads))
    facts = hardware() | {
        "threads": threads or cpu_count(),
        "model": model,
        "speech_seconds": seconds,
        "photo": f"{side}x{side}",
        "runs": runs,
        "lipglance": __version__,
    }
    if as_json:
        print(json.dumps(facts | {"stages": [stage.to_dict() for stage in stages]}))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("stage", title_justify="left", caption_justify="left")
    for heading in ("ms a frame", "fps", "real-time factor", "slowest/fastest run", "peak MiB"):
        table.add_column(heading, justify="right")
    for stage in stages:
        factor = stage.real_time_factor
        table.add_row(
            stage.name,
            f"{stage.ms:.2f}",
            f"{stage.fps:.1f}",
            "" if factor is None else f"{factor:.3f}",
            f"{max(stage.seconds) / min(stage.seconds):.2f}",
            "" if stage.peak_mib is None else f"{stage.peak_mib:.0f}",
        )
    table.caption = (
        f"{facts['cpu']}, {facts['cores']} cores, network on {facts['threads']} threads; {model}; "
        f"{seconds:g} s of speech, photo {facts['photo']}; median of {runs} runs"
    )
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def measure(
    name: str, seconds: float, runs: int, side: int, threads: int | None
) -> Iterator[Stage]:
    """Time the stages, one by one; parameters as for the command. Raises InputError as it does."""
    model = load_model(name, threads=threads)
    photo = _photo(side)
    samples = _speech(seconds, model.audio.sample_rate)
    frames = frames_for(len(samples), model.audio.sample_rate)
    finder = FaceFinder(threads=1)

    def timed(stage: str, work: Callable[[], object], count: int, **kind: bool) -> Stage:
        # Once for nothing: memory is touched and kernels are chosen.
        work()
        return Stage(stage, count, tuple(_time(work) for _ in range(runs)), **kind)

    yield timed("detect", lambda: finder.detect(photo), 1, of_speech=False)
    faces = finder.detect(photo)
    yield timed("mesh", lambda: finder.landmarks(photo, faces[0]), 1, of_speech=False)
    points = finder.landmarks(photo, faces[0]).points
    matrix = picture_crop(points, model.crop)
    size = model.crop.size
    yield timed("crop", lambda: crop_image(photo, matrix, size), 1, of_speech=False)
    yield timed("log-mel", lambda: log_mel(samples, model.audio), frames)
    identity = crop_image(photo, matrix, size)
    if isinstance(model, LmggModel):
        yield from _networks(model, name, threads, timed)

    def speak() -> NDArray[np.uint8]:
        session = model.start(identity, apply(matrix, points))
        return np.concatenate([session.feed(samples), session.finish()])

    yield timed("speech to lips, windows overlapping", speak, frames)
    lips = speak()
    compositor = Compositor(photo, matrix, size)
    yield timed("compositing", lambda: [compositor.paste(crop) for crop in lips][:0], frames)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out.mp4"
        yield timed("encoding", lambda: _encode(path, compositor, lips, samples), frames)
        for view in ("face", "lips"):
            yield _whole_command(Path(folder), photo, samples, name, view, runs, threads)


def _networks(
    model: LmggModel, name: str, threads: int | None, timed: Callable[..., Stage]
) -> Iterator[Stage]:
    """The network alone through every engine that is installed, window after window."""
    info = model.info
    rows = info.window * info.audio.frames_per_video_frame
    rng = np.random.default_rng(0)
    inputs = {
        "audio": rng.uniform(-1, 0, (1, 1, rows, info.audio.mels)).astype(np.float32),
        "identity": rng.uniform(-1, 1, (1, 3, info.crop.size, info.crop.size)).astype(np.float32),
    }
    for engine in engines():
        loaded = load_model(find_model(name), threads=threads, engine=engine)
        assert isinstance(loaded, LmggModel)
        network = loaded.network
        label = f"network, {engine}" + " (chosen)" * (engine == model.network.engine)
        yield timed(label, lambda network=network: network(inputs), info.window)


def _encode(path: Path, compositor: Compositor, lips: Image, samples: NDArray[np.float32]) -> None:
    # Only the encoder's time counts here, so one pasted frame in eight must do for variety.
    pictures = [compositor.paste(crop) for crop in lips[::8]]
    height, width = pictures[0].shape[:2]
    with VideoWriter(path, width, height, _FPS, iter([samples[None]]), 16000, force=True) as writer:
        for k in range(len(lips)):
            writer.write(pictures[k // 8])


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


def _photo(side: int) -> Image:
    path = Path(str(files("lipglance"))) / "assets" / "sample_face.jpg"
    image = read_image(path)
    way = cv2.INTER_AREA if side < image.shape[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (side, side), interpolation=way), np.uint8)


def _speech(seconds: float, rate: int) -> NDArray[np.float32]:
    """The sample sentence, again and again."""
    path = Path(str(files("lipglance"))) / "assets" / "sample_speech.flac"
    return np.resize(read_audio(path, rate), round(seconds * rate)).astype(np.float32)


def _time(work: Callable[[], object]) -> float:
    begin = perf_counter()
    work()
    return perf_counter() - begin
