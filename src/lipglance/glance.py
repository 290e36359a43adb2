"""The product model at run time: speech moves the given picture's own mouth.

`lipglance.motion` says where the lower face's points go, `lipglance.mouth_warp` turns that into a
flow, and a small network corrects the flow and paints what the picture does not show. Everything is
made at the crop's size; into a photo it is brought at the photo's own: the flow moves the photo's
own pixels, so that skin keeps its grain.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lipglance.ahead import ahead
from lipglance.crop import picture_crop
from lipglance.errors import InputError
from lipglance.face_points import LOWER_FACE
from lipglance.geometry import Floats, Image, apply, check_image, crop_image
from lipglance.model_info import ModelInfo
from lipglance.models import FaceSession, LipModel
from lipglance.motion import Motion, Mover, MoverSession
from lipglance.mouth_warp import (
    WARP_POINTS,
    compose,
    dense_flow,
    mouth_maps,
    net_inputs,
    net_outputs,
)
from lipglance.palette import Palette
from lipglance.placing import Place
from lipglance.runtime import Network, open_network

if TYPE_CHECKING:
    from lipglance.talking_clip import Clip

FloatArray = NDArray[np.float32]

_MOVED = len(LOWER_FACE)


class GlanceModel(LipModel):
    """Motion and renderer, ready to speak. Sessions and threads may share it."""

    def __init__(self, info: ModelInfo, motion: Mover, renderer: Network) -> None:
        self.info = info
        self.motion = motion
        self.renderer = renderer

    @classmethod
    def load(
        cls, directory: Path, info: ModelInfo, *, threads: int | None = None, engine: str = "auto"
    ) -> GlanceModel:
        """Load from a model directory; InputError where a part is missing or broken."""
        renderer = open_network(directory / "renderer.onnx", threads, engine)
        # A frame's hearing is a few small products: more than one thread would only wait.
        return cls(info, Motion(directory, 1, engine), renderer)

    @property
    def painter(self) -> Network:
        """The network that makes the pictures; see `LipModel.painter`."""
        return self.renderer

    def start(self, identity: Image, points: Floats | None = None) -> GlanceSession:
        """Begin a session with a crop, (S, S, 3) uint8 RGB; see `LipModel.start`.

        Without `points` the template's mouth is taken to be where `crop` would have put it.
        """
        check_image(identity)
        size = self.crop.size
        if identity.shape != (size, size, 3):
            raise InputError(
                f"identity has shape {identity.shape}; model {self.info.name} needs a crop of "
                f"shape {(size, size, 3)}"
            )
        return GlanceSession(self, Face(self, identity, self._known(points)))

    def start_face(
        self, picture: Image, matrix: Floats, points: Floats | None = None
    ) -> GlanceFaceSession:
        """Begin a session with a whole picture; see `LipModel.start_face`."""
        check_image(picture)
        identity = crop_image(picture, matrix, self.crop.size)
        inside = None if points is None else apply(matrix, points)
        face = Face(self, identity, self._known(inside))
        return GlanceFaceSession(GlanceSession(self, face), face, picture, matrix)

    def start_clip(self, clip: Clip) -> FaceSession:
        """Begin to dub a clip; see `LipModel.start_clip`."""
        from lipglance.glance_dub import GlanceDub

        return GlanceDub(self, clip)

    def _known(self, points: Floats | None) -> Floats:
        if points is not None:
            return np.asarray(points, np.float64)
        template = self.motion.basis.template
        return apply(picture_crop(template, self.crop), template)


class Mouth:
    """The mouth of one crop, and what makes it another one. Holds no state.

    identity: (S, S, 3) uint8 RGB. own: (len(WARP_POINTS), 2) crop px, where its points are.
    """

    def __init__(self, model: GlanceModel, identity: Image, own: Floats) -> None:
        self.identity = identity
        self.own = own
        self._renderer = model.renderer
        self._maps = mouth_maps(own, len(identity))
        self._palette = Palette(identity)

    def driven(self, wanted: Floats) -> tuple[FloatArray, FloatArray, FloatArray]:
        """What brings the points to where they are wanted, (len(WARP_POINTS), 2) crop px.

        Returns:
            Flow (S, S, 2) crop px, mask (S, S) in [0, 1], colour (S, S, 3) in 0..255.
        """
        size = len(self.identity)
        flow = dense_flow(self.own, wanted, size)
        seen = net_inputs(self.identity, flow, self._maps, mouth_maps(wanted, size))
        total, mask, colour = net_outputs(self._renderer({"seen": seen[None]})[0], flow, seen)
        return total, mask, self._palette.nearest(colour)


class Face(Mouth):
    """One person's crop and points, and what a movement makes of them. Holds no state.

    identity: (S, S, 3) uint8 RGB. points: (468, 2) crop px.
    """

    def __init__(self, model: GlanceModel, identity: Image, points: Floats) -> None:
        super().__init__(model, identity, points[list(WARP_POINTS)])
        self.points = points
        # A movement in the template's unit, upright, to crop px.
        self._unit = np.linalg.inv(model.motion.basis.to_template(points)[:, :2])

    def moved(self, change: Floats) -> tuple[FloatArray, FloatArray, FloatArray]:
        """As `driven`, for a displacement (P, 2) of the lower face's points in the basis' unit."""
        wanted = self.own.copy()
        wanted[:_MOVED] += change @ self._unit.T
        return self.driven(wanted)


class GlanceSession:
    """One face saying one speech, at the crop's size; see `lipglance.models.LipSession`."""

    def __init__(self, model: GlanceModel, face: Face) -> None:
        self._face = face
        self.motion: MoverSession = model.motion.start(face.points, face.identity)

    def feed(self, samples: FloatArray) -> Image:
        """Take (n,) float32 samples in [-1, 1]; return the frames now certain, (k, S, S, 3) RGB."""
        return self._painted(self.motion.feed(samples))

    def finish(self, frames: int | None = None) -> Image:
        """Return the rest, (k, S, S, 3) RGB, so that there are `frames` in all."""
        return self._painted(self.motion.finish(frames))

    def _painted(self, changes: Floats) -> Image:
        identity = self._face.identity
        made = list(ahead(lambda change: compose(identity, *self._face.moved(change)), changes))
        return np.stack(made) if made else np.zeros((0, *identity.shape), np.uint8)


class GlanceFaceSession:
    """One face saying one speech, in its photo; see `lipglance.models.FaceSession`."""

    def __init__(self, lips: GlanceSession, face: Face, picture: Image, matrix: Floats) -> None:
        self._lips, self._face, self._picture = lips, face, picture
        self._place = Place(picture, matrix, len(face.identity), grain=True)

    def feed(self, samples: FloatArray) -> Iterator[Image]:
        """Take (n,) float32 samples in [-1, 1]; yield the frames now certain, each (H, W, 3)."""
        return self._painted(self._lips.motion.feed(samples))

    def finish(self, frames: int | None = None) -> Iterator[Image]:
        """Yield the frames still missing, so that there are `frames` in all."""
        return self._painted(self._lips.motion.finish(frames))

    def _painted(self, changes: Floats) -> Iterator[Image]:
        for parts in ahead(self._face.moved, changes):
            yield self._place.painted(self._picture, *parts)
