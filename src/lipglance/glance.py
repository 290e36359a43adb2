"""The product model at run time: speech moves the given picture's own mouth.

`lipglance.motion` says where the lower face's points go, `lipglance.mouth_warp` turns that into a
flow, and a small network corrects the flow and paints what the picture does not show. Everything is
made at the crop's size; into a photo it is brought at the photo's own: the flow moves the photo's
own pixels, so that skin keeps its grain.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lipglance.compositing import colourfulness, faded
from lipglance.crop import picture_crop
from lipglance.errors import InputError
from lipglance.face_points import LOWER_FACE
from lipglance.geometry import Floats, Image, apply, check_image, crop_image, invert
from lipglance.models import LipModel, ModelInfo
from lipglance.motion import Motion, Mover, MoverSession
from lipglance.mouth_warp import (
    WARP_POINTS,
    compose,
    dense_flow,
    mouth_maps,
    net_inputs,
    net_outputs,
)
from lipglance.runtime import Network, open_network

FloatArray = NDArray[np.float32]

_MOVED = len(LOWER_FACE)
_FINER = 4


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

    def _known(self, points: Floats | None) -> Floats:
        if points is not None:
            return np.asarray(points, np.float64)
        template = self.motion.basis.template
        return apply(picture_crop(template, self.crop), template)


class Face:
    """One person's crop and points, and what a movement makes of them. Holds no state.

    identity: (S, S, 3) uint8 RGB. points: (468, 2) crop px.
    """

    def __init__(self, model: GlanceModel, identity: Image, points: Floats) -> None:
        self.identity = identity
        self.points = points
        self._renderer = model.renderer
        # The network has learnt from colour films: it paints yellow teeth into a grey photo.
        self._tint = colourfulness(identity)
        self._warp = points[list(WARP_POINTS)]
        self._maps = mouth_maps(self._warp, len(identity))
        # A movement in the template's unit, upright, to crop px.
        self._unit = np.linalg.inv(model.motion.basis.to_template(points)[:, :2])

    def moved(self, change: Floats) -> tuple[FloatArray, FloatArray, FloatArray]:
        """What makes the picture's mouth another one.

        Args:
            change: (P, 2) displacement of the lower face's points, in the basis' unit.

        Returns:
            Flow (S, S, 2) crop px, mask (S, S) in [0, 1], colour (S, S, 3) in 0..255.
        """
        driven = self._warp.copy()
        driven[:_MOVED] += change @ self._unit.T
        size = len(self.identity)
        flow = dense_flow(self._warp, driven, size)
        seen = net_inputs(self.identity, flow, self._maps, mouth_maps(driven, size))
        total, mask, colour = net_outputs(self._renderer({"seen": seen[None]})[0], flow)
        return total, mask, colour if self._tint == 1 else faded(colour, self._tint)


class GlanceSession:
    """One face saying one speech, at the crop's size; see `lipglance.models.LipSession`."""

    def __init__(self, model: GlanceModel, face: Face) -> None:
        self._face = face
        self.motion: MoverSession = model.motion.start(face.points)

    def feed(self, samples: FloatArray) -> Image:
        """Take (n,) float32 samples in [-1, 1]; return the frames now certain, (k, S, S, 3) RGB."""
        return self._painted(self.motion.feed(samples))

    def finish(self, frames: int | None = None) -> Image:
        """Return the rest, (k, S, S, 3) RGB, so that there are `frames` in all."""
        return self._painted(self.motion.finish(frames))

    def _painted(self, changes: Floats) -> Image:
        identity = self._face.identity
        made = [compose(identity, *self._face.moved(change)) for change in changes]
        return np.stack(made) if made else np.zeros((0, *identity.shape), np.uint8)


class GlanceFaceSession:
    """One face saying one speech, in its photo; see `lipglance.models.FaceSession`."""

    def __init__(self, lips: GlanceSession, face: Face, picture: Image, matrix: Floats) -> None:
        self._lips, self._face, self._picture = lips, face, picture
        size = len(face.identity)
        back = invert(matrix)
        edge = size - 0.5
        corners = apply(back, [[-0.5, -0.5], [edge, -0.5], [edge, edge], [-0.5, edge]])
        height, width = picture.shape[:2]
        low = np.clip(np.floor(corners.min(0)).astype(int), 0, [width, height])
        high = np.clip(np.ceil(corners.max(0)).astype(int) + 1, 0, [width, height])
        if (low >= high).any():
            raise InputError(
                f"the mouth lies outside the picture of {width}x{height} px; give a picture that "
                "shows it"
            )
        self._box = (int(low[0]), int(low[1]), int(high[0]), int(high[1]))
        self._unit = back[:, :2].astype(np.float32)
        # From the crop `_FINER` times as large, whose pixel centres lie elsewhere, to the box.
        self._back = back.copy()
        self._back[:, :2] /= _FINER
        self._back[:, 2] += back[:, :2] @ np.full(2, 0.5 / _FINER - 0.5) - low

    def feed(self, samples: FloatArray) -> Iterator[Image]:
        """Take (n,) float32 samples in [-1, 1]; yield the frames now certain, each (H, W, 3)."""
        return map(self._painted, self._lips.motion.feed(samples))

    def finish(self, frames: int | None = None) -> Iterator[Image]:
        """Yield the frames still missing, so that there are `frames` in all."""
        return map(self._painted, self._lips.motion.finish(frames))

    def _painted(self, change: Floats) -> Image:
        flow, mask, colour = self._face.moved(change)
        left, top, right, bottom = self._box
        frame = self._picture.copy()
        patch = frame[top:bottom, left:right]
        brought = self._brought(np.concatenate([flow @ self._unit.T, mask[..., None]], axis=2))
        patch[:] = compose(patch, brought[..., :2], brought[..., 2], self._brought(colour))
        return frame

    def _brought(self, layers: FloatArray) -> FloatArray:
        """Bring (S, S, 3) from the crop to the box in the picture, (h, w, 3)."""
        left, top, right, bottom = self._box
        # Cubic sampling of a crop enlarged so is bilinear without a trace, and several times faster
        # than a turned cubic kernel.
        side = len(layers) * _FINER
        finer = cv2.resize(layers, (side, side), interpolation=cv2.INTER_CUBIC)
        made = cv2.warpAffine(
            finer, self._back, (right - left, bottom - top), borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(made, np.float32)
