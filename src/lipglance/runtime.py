"""Running an ONNX network: which engine, on which device, with how many threads."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipglance.errors import InputError

#: What can run a network. ``auto`` takes CUDA where this onnxruntime has it, else onnxruntime on
#: the CPU: OpenVINO is a little faster a frame but takes longer to open than that saves in 30 s.
ENGINES = ("auto", "onnxruntime", "cuda", "openvino")

#: What networks compute in: what is faster leaves fp32's pictures by more than 1 % of what moves in
#: them; measured by scripts/precision_trials.py, see docs/experiments.md.
PRECISION = "fp32"

Arrays = Mapping[str, NDArray[np.float32]]


class Network:
    """One loaded network: named float32 arrays in, its first output out. May be shared by threads.

    engine: what runs it, one of `ENGINES` but never ``auto``. threads: how many it uses.
    """

    def __init__(
        self, engine: str, threads: int, run: Callable[[Arrays], NDArray[np.float32]]
    ) -> None:
        self.engine = engine
        self.threads = threads
        self._run = run

    def describe(self) -> str:
        """Say in words what runs it and how."""
        threads = f"{self.threads} thread{'s' * (self.threads != 1)}"
        return f"{self.engine}, {PRECISION}, {threads}"

    def __call__(self, inputs: Arrays) -> NDArray[np.float32]:
        """Run once."""
        return self._run(inputs)


def cpu_count() -> int:
    """CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def hardware() -> dict[str, Any]:
    """Name of the CPU and how many cores this process may use."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
        names = (x.partition(":")[2].strip() for x in lines if x.startswith("model name"))
        name = next(names, name)
    return {"cpu": name, "cores": cpu_count()}


def engines() -> tuple[str, ...]:
    """The engines installed here, the one that ``auto`` takes first."""
    import onnxruntime

    found = ["onnxruntime"]
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        found.insert(0, "cuda")
    if find_spec("openvino") is not None:
        found.append("openvino")
    return tuple(found)


def networks_digest(directory: Path) -> str:
    """SHA-256 of the ONNX files in `directory`: what tells two states of a model apart."""
    digest = hashlib.sha256()
    for part in sorted(directory.glob("*.onnx")):
        digest.update(part.read_bytes())
    return digest.hexdigest()


def open_network(path: Path, threads: int | None = None, engine: str = "auto") -> Network:
    """Load the ONNX file `path`.

    threads: None for as many as there are CPUs. engine: one of `ENGINES`. Raises InputError where
    the file cannot be read as a network or the engine is not installed.
    """
    if threads is not None and threads < 1:
        raise InputError(f"got {threads} threads; expected 1 or more")
    threads = threads or cpu_count()
    installed = engines()
    engine = installed[0] if engine == "auto" else engine
    if engine not in installed:
        known = ", ".join(("auto", *installed))
        raise InputError(f"engine {engine!r} is not installed here; expected one of {known}")
    if not path.is_file():
        raise InputError(f"no network at {path}; expected a model directory with model.onnx")
    opener = _open_openvino if engine == "openvino" else _open_onnxruntime
    try:
        run = opener(path, threads, engine)
    # Each engine has an error class of its own for a file that it cannot parse.
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path} is not a network that {engine} can load: {reason}") from error
    return Network(engine, threads, run)


def _open_onnxruntime(
    path: Path, threads: int, engine: str
) -> Callable[[Arrays], NDArray[np.float32]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that wait in a loop would take the CPU from decoding, compositing and encoding.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    cuda = ["CUDAExecutionProvider"] if engine == "cuda" else []
    session = onnxruntime.InferenceSession(path, options, [*cuda, "CPUExecutionProvider"])
    output = session.get_outputs()[0].name

    def run(inputs: Arrays) -> NDArray[np.float32]:
        return np.asarray(session.run([output], dict(inputs))[0], np.float32)

    return run


def _open_openvino(
    path: Path, threads: int, engine: str
) -> Callable[[Arrays], NDArray[np.float32]]:
    import openvino

    # float32 keeps the frames those of onnxruntime to within rounding on every CPU.
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(path, "CPU", settings)

    def run(inputs: Arrays) -> NDArray[np.float32]:
        # A request of its own for each call: one request serves one thread at a time.
        request = compiled.create_infer_request()
        return np.array(request.infer(dict(inputs))[0], np.float32)

    return run
