"""What every model is: the interface, and how one is found and loaded.

A model on disk is a directory: ``model.json`` (facts, `lipglance.model_info`), ``model.onnx`` (what
runs), ``model.safetensors`` (the same weights for training on) and ``CARD.md``. Those shipped lie
in the package under ``weights/NAME``; any other directory is loaded by its path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from lipglance.audio import AudioConfig
from lipglance.crop import CropConfig
from lipglance.errors import InputError
from lipglance.geometry import Floats, Image, apply, crop_image
from lipglance.model_info import ModelInfo, read_info

if TYPE_CHECKING:
    from lipglance.generate import Video
    from lipglance.media import Speech
    from lipglance.portrait import FaceInput, Portrait
    from lipglance.runtime import Network
    from lipglance.stream import Stream
    from lipglance.talking_clip import Clip

DEFAULT_MODEL = "glance"
#: How lively a photo is, 0 to 1, unless it is said otherwise: it blinks every 6 s.
LIFE = 0.4

#: The modules that can run a model, by the ``kind`` in its ``model.json``: ``module:class``.
KINDS = {
    "glance": "lipglance.glance:GlanceModel",
    "lmgg": "lipglance.lmgg:LmggModel",
    # The baselines have the paper's windows and the same inputs and outputs.
    "chung": "lipglance.lmgg:LmggModel",
    "vondrick": "lipglance.lmgg:LmggModel",
}


class LipSession(Protocol):
    """The lips of one person saying one speech that arrives in pieces.

    However the speech is cut, the frames are the same to the bit. Not for use by two threads at
    once; any number of sessions of one model may run side by side.
    """

    def feed(self, samples: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Take (n,) float32 samples in [-1, 1]; return the frames now certain, (k, S, S, 3) RGB."""
        ...

    def finish(self, frames: int | None = None) -> NDArray[np.uint8]:
        """Return the frames still missing, (k, S, S, 3) RGB, so that there are `frames` in all.

        By default ``round(duration * 25)``, at least one. InputError where more are out already.
        """
        ...


class FaceSession(Protocol):
    """Like `LipSession`, but its frames are the whole picture with the lips moving in it."""

    def feed(self, samples: NDArray[np.float32]) -> Iterable[Image]:
        """Take (n,) float32 samples in [-1, 1]; yield the frames now certain, each (H, W, 3)."""
        ...

    def finish(self, frames: int | None = None) -> Iterable[Image]:
        """Yield the frames still missing, as `LipSession.finish` does."""
        ...


class LipModel(Protocol):
    """A network that makes a person's lips say something. May be shared by threads.

    A model need only say how lips are made (`start`); one that paints into the photo at the photo's
    own resolution has its own `start_face`, too.
    """

    info: ModelInfo

    @property
    def audio(self) -> AudioConfig:
        """How the speech must be sampled (`AudioConfig.sample_rate`) and is heard."""
        return self.info.audio

    @property
    def crop(self) -> CropConfig:
        """Which part of a face the model sees and makes, and in how many px."""
        return self.info.crop

    @property
    def painter(self) -> Network | None:
        """The network that makes the pictures, and takes most of the time; None where none does."""
        return None

    def start(self, identity: Image, points: Floats | None = None) -> LipSession:
        """Begin a session with a lip crop, (S, S, 3) uint8 RGB, cut as `crop` says.

        points: the face's 468 mesh points in the crop, (468, 2) px, where they are known.
        """
        ...

    def start_face(
        self, picture: Image, matrix: Floats, points: Floats | None = None
    ) -> FaceSession:
        """Begin a session with a whole picture, (H, W, 3) uint8 RGB.

        matrix: (2, 3), picture px to crop px, see `lipglance.crop.picture_crop`. points: the face's
        468 mesh points, (468, 2) px of the picture, where they are known.
        """
        from lipglance.compositing import Compositor, PastingSession

        inside = None if points is None else apply(matrix, points)
        lips = self.start(crop_image(picture, matrix, self.crop.size), inside)
        return PastingSession(lips, Compositor(picture, matrix, self.crop.size))

    def start_clip(self, clip: Clip) -> FaceSession:
        """Begin a session that dubs a clip: its frames are those of `Clip.frames`, re-voiced."""
        from lipglance.dubbing import PastingDub

        return PastingDub(self, clip)

    def generate(
        self,
        face: FaceInput,
        speech: Speech,
        *,
        view: str = "face",
        face_index: int | None = None,
        max_side: int = 1920,
        still: bool = False,
        life: float = LIFE,
        progress: Callable[[int], None] | None = None,
    ) -> Video:
        """Make the face say the speech; see `lipglance.generate.generate`."""
        from lipglance.generate import generate

        return generate(
            self,
            face,
            speech,
            view=view,
            face_index=face_index,
            max_side=max_side,
            still=still,
            life=life,
            progress=progress,
        )

    def stream(
        self,
        face: FaceInput | Portrait,
        sample_rate: int = 16000,
        *,
        view: str = "face",
        face_index: int | None = None,
        max_side: int = 1920,
        life: float = LIFE,
    ) -> Stream:
        """Make the face say speech that arrives in chunks; see `lipglance.stream.open_stream`.

        ``with model.stream(face, 16000) as stream: frames = stream.feed(chunk)``
        """
        from lipglance.stream import open_stream

        return open_stream(
            self, face, sample_rate, view=view, face_index=face_index, max_side=max_side, life=life
        )


def available() -> list[ModelInfo]:
    """Facts of the models shipped in the package, the default first, then by name."""
    root = _shipped()
    found = [read_info(path.parent) for path in root.glob("*/model.json")]
    return sorted(found, key=lambda info: (info.name != DEFAULT_MODEL, info.name))


def load_model(
    name: str | Path = DEFAULT_MODEL, *, threads: int | None = None, engine: str = "auto"
) -> LipModel:
    """Load a model that is shipped in the package, or one from a directory.

    name: one of `available`, or the path of a model directory. threads: for the network; None for
    as many as there are CPUs. engine: what runs the network, see `lipglance.runtime.ENGINES`.
    Raises InputError for a name that is not known (the message lists those that are), and for a
    directory that does not hold a model.
    """
    directory = find_model(name)
    info = read_info(directory)
    if info.kind not in KINDS:
        raise InputError(
            f"model {info.name} is of kind {info.kind!r}; this version of lipglance runs "
            f"{', '.join(KINDS)}; update lipglance"
        )
    module, _, attribute = KINDS[info.kind].partition(":")
    loaded: LipModel = getattr(import_module(module), attribute).load(
        directory, info, threads=threads, engine=engine
    )
    return loaded


def find_model(name: str | Path) -> Path:
    """The directory of model `name`, or `name` itself where it is the path of one."""
    shipped = {path.parent.name: path.parent for path in _shipped().glob("*/model.json")}
    if str(name) in shipped:
        return shipped[str(name)]
    if Path(name).is_dir():
        return Path(name)
    known = ", ".join(sorted(shipped)) or "none is installed"
    raise InputError(f"unknown model {str(name)!r}; known: {known}; or give a model directory")


def _shipped() -> Path:
    return Path(str(files("lipglance"))) / "weights"
