"""Rows that tell which half of a two-stage model loses what: each half with the other made perfect.

``true-motion=MODEL`` paints with the model's renderer what the clip's own face really does, as far
as the model's codes can say it: the best that hearing could ever give this renderer.
``heard-motion=MODEL`` is what the model hears, as landmarks and unpainted: the best that painting
could ever make of this hearing. Both need a model of kind ``glance``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lipglance.errors import InputError
from lipglance.evaluation_clip import Clip
from lipglance.face_points import LOWER_FACE, MOUTH_20, MOUTH_LEFT, MOUTH_RIGHT
from lipglance.face_shape import ShapeBasis
from lipglance.geometry import Floats, Image
from lipglance.glance import GlanceModel
from lipglance.models import load_model
from lipglance.rows import ModelRow, Row, moved_mouth

_MOUTH = [LOWER_FACE.index(point) for point in MOUTH_20]


@dataclass(frozen=True)
class Told:
    """Stands in for `lipglance.motion.Motion`: hears nothing and knows what the face does.

    basis: the codes' meaning. changes: (T, P, 2) displacement of the lower face, unit of the basis.
    """

    basis: ShapeBasis
    changes: Floats

    def start(self, landmarks: ArrayLike, crop: Image) -> Told:
        """Begin; the picture does not matter."""
        return self

    def feed(self, samples: NDArray[np.float32]) -> Floats:
        """Nothing is certain before the end."""
        return self.changes[:0]

    def finish(self, frames: int | None = None) -> Floats:
        """The first `frames` changes, all of them by default."""
        return self.changes[:frames]


def true_changes(basis: ShapeBasis, landmarks: ArrayLike) -> Floats:
    """What a face does beside its first known frame, (T, P, 2), said in the basis' codes.

    landmarks: (T, 468, 2) px of steady crops; frames without a face repeat the one before.
    InputError where no frame has one.
    """
    shapes = basis.track_shapes(landmarks)
    seen = np.flatnonzero(np.isfinite(shapes).all(axis=(1, 2)))
    if not len(seen):
        raise InputError("the clip shows no face; expected one with landmarks")
    nearest = seen[np.searchsorted(seen, np.arange(len(shapes)), side="right").clip(1) - 1]
    codes = basis.encode(shapes[nearest])
    return basis.decode(codes - codes[0])


class TrueMotion(Row):
    """The clip's own motion through the model's renderer."""

    def __init__(self, name: str, model: GlanceModel) -> None:
        self.name, self._model = name, model
        self.crop = model.crop

    def _knowing(self, clip: Clip) -> ModelRow:
        basis = self._model.motion.basis
        told = Told(basis, true_changes(basis, clip.landmarks()))
        return ModelRow(self.name, GlanceModel(self._model.info, told, self._model.renderer))

    def lips(self, clip: Clip) -> NDArray[np.uint8]:
        """See `Row`."""
        return self._knowing(clip).lips(clip)

    def faces(self, clip: Clip) -> Iterable[Image]:
        """See `Row`."""
        return self._knowing(clip).faces(clip)


class HeardMotion(Row):
    """What the model hears, as mouth points that the real head carries; makes no picture."""

    crop = None

    def __init__(self, name: str, model: GlanceModel) -> None:
        self.name, self._model = name, model

    def lips(self, clip: Clip) -> None:
        """Nothing is painted."""
        return

    def points(self, clip: Clip, real: Floats) -> Floats:
        """See `Row`; without a face in the first frame the mouth stays as it is."""
        model, motion = self._model, self._model.motion
        given = clip.identity_points(model.crop)
        told = np.zeros((clip.frames, len(_MOUTH), 2))
        if given is not None:
            session = motion.start(given, clip.identity(model.crop))
            heard = session.feed(clip.audio(model.audio.sample_rate))
            changes = np.concatenate([heard, session.finish(clip.frames)])
            shape = motion.basis.to_template(given)[:, :2] @ (
                given[MOUTH_RIGHT] - given[MOUTH_LEFT]
            )
            told = changes[:, _MOUTH] / max(float(np.linalg.norm(shape)), 1e-6)
        # The first change is no nothing: it leads from the given mouth to what is heard first.
        return moved_mouth(clip, real, told, from_given=True)


def make_oracle(name: str) -> Row:
    """The row ``ORACLE=MODEL``; InputError for a model without the two stages."""
    oracle, _, model = name.partition("=")
    loaded = load_model(model, threads=1)
    if not isinstance(loaded, GlanceModel):
        raise InputError(
            f"{name}: model {loaded.info.name} is of kind {loaded.info.kind!r} and has no motion "
            "of its own; expected one of kind 'glance'"
        )
    return TrueMotion(name, loaded) if oracle == "true-motion" else HeardMotion(name, loaded)
