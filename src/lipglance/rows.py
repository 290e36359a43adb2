"""The rows of an evaluation: models, and what puts their figures in their place.

A row makes the lips of a test clip, one crop a frame. ``real`` is the clip itself (the ceiling),
``pasted`` its own lip crops cut out and put back (what the crop alone costs, the best a model of
that crop size can do), ``still`` the first frame's lips all the time (what saying nothing scores),
``mismatched`` real lips that say something else, ``linear`` what a ridge regression makes of the
sound: landmarks, no picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lipglance.compositing import Compositor
from lipglance.crop import CropConfig
from lipglance.dlib68 import MOUTH
from lipglance.errors import InputError
from lipglance.evaluation_clip import Clip
from lipglance.geometry import Floats, Image, apply, crop_image, invert
from lipglance.linear import LinearMouth, fit
from lipglance.model_info import read_info
from lipglance.models import LipModel, find_model, load_model
from lipglance.runtime import networks_digest
from lipglance.shards import Sample, ShardDataset


class Row(Protocol):
    """What is evaluated."""

    name: str
    crop: CropConfig | None
    """How its crops are cut; None for the way the shards were made."""

    def lips(self, clip: Clip) -> NDArray[np.uint8] | None:
        """The T lip crops, (T, S, S, 3) RGB; None where the row is the real frames themselves."""
        ...

    def places(self, clip: Clip) -> Floats:
        """Where its crops belong: similarities (T, 2, 3), px of the frames to px of the crops."""
        return clip.carried(self.crop)

    def faces(self, clip: Clip) -> Iterable[Image] | None:
        """T whole pictures, (H, W, 3): the first frame with moving lips. None as for `lips`."""
        lips = self.lips(clip)
        if lips is None:
            return None
        crop = self.crop or clip.crop
        picture = next(clip.pictures())
        return map(Compositor(picture, self.places(clip)[0], crop.size).paste, lips)

    def points(self, clip: Clip, real: Floats) -> Floats | None:
        """The T frames' 68 landmarks, (T, 68, 2) px, of a row that makes landmarks and no picture.

        real: dlib's landmarks of the real frames, (T, 68, 2) px. None for a row that is looked at.
        """
        return None


class Real(Row):
    """The clip itself."""

    name = "real"
    crop: CropConfig | None = None

    def lips(self, clip: Clip) -> None:
        """Nothing is made."""
        return


class Pasted(Row):
    """The clip's own lips, cut out and put back."""

    name = "pasted"
    crop: CropConfig | None = None

    def lips(self, clip: Clip) -> NDArray[np.uint8]:
        """The real crops, from the frames and not from the shards' JPEGs."""
        pairs = zip(clip.pictures(), clip.transforms(), strict=True)
        return np.stack([crop_image(p, matrix, clip.crop.size) for p, matrix in pairs])

    def places(self, clip: Clip) -> Floats:
        """Where they were cut."""
        return clip.transforms()


class Still(Row):
    """The identity image in every frame."""

    name = "still"
    crop: CropConfig | None = None

    def lips(self, clip: Clip) -> NDArray[np.uint8]:
        """The first frame's crop, T times."""
        return np.broadcast_to(identity := clip.identity(), (clip.frames, *identity.shape))


class Mismatched(Row):
    """The real lips of another clip of the same speaker (of the corpus where there is none)."""

    name = "mismatched"
    crop: CropConfig | None = None

    def lips(self, clip: Clip) -> NDArray[np.uint8]:
        """Another clip's crops, forth and back where it is shorter."""
        other = _peer(clip.sample).crops()
        there_and_back = np.concatenate([other, other[-2:0:-1]])
        return there_and_back[np.arange(clip.frames) % len(there_and_back)]

    def places(self, clip: Clip) -> Floats:
        """Where the clip's own would be cut, as the other's were."""
        return clip.transforms()


class Linear(Row):
    """Mouth points by ridge regression on the sound; makes no picture (`lipglance.linear`)."""

    name = "linear"
    crop: CropConfig | None = None

    def lips(self, clip: Clip) -> None:
        """Nothing is painted."""
        return

    def points(self, clip: Clip, real: Floats) -> Floats:
        """The true first frame's points, moved as the sound says and carried by the real head."""
        told = _linear(clip.sample.shard.parent).offsets(clip.audio(16_000), clip.frames)
        return moved_mouth(clip, real, told)


def moved_mouth(clip: Clip, real: Floats, told: Floats, *, from_given: bool = False) -> Floats:
    """Landmarks (T, 68, 2) px with the mouth of the first frame moved, carried by the real head.

    real: dlib's landmarks of the real frames, (T, 68, 2) px; the first frame that has any gives the
    mouth. told: offsets of the 20 mouth points, (T, 20, 2) mouth widths. from_given: they lead away
    from the mouth in the clip's first frame, as told; else, and where dlib does not see that frame,
    only how they change counts: those of the frame that gives the mouth are taken off them all.
    """
    known = np.flatnonzero(np.isfinite(real[:, 0, 0]))
    if not len(known):
        return np.full_like(real, np.nan)
    first = known[0]
    frames = clip.transforms()
    mouth = apply(frames[first], real[first, MOUTH])
    width = float(np.linalg.norm(mouth[6] - mouth[0]))
    points = real.copy()
    level = 0.0 if from_given and first == 0 else told[first]
    points[:, MOUTH] = apply(invert(frames), mouth + width * (told - level))
    return points


@lru_cache(maxsize=2)
def _linear(shards: Path) -> LinearMouth:
    """Fitted to the train split that lies beside the clips that are measured."""
    return fit(ShardDataset(shards, split="train"))


@lru_cache(maxsize=8)
def _peers(shards: Path, split: str, corpus: str) -> ShardDataset:
    return ShardDataset(shards, split=split, corpora=corpus)


def _peer(sample: Sample) -> Sample:
    """The next clip of the same speaker, else of the same corpus; InputError where it is alone."""
    entry = sample.entry
    clips = list(_peers(sample.shard.parent, entry.split, entry.corpus))
    same = [other for other in clips if other.speaker == sample.speaker]
    clips = same if len(same) > 1 else clips
    keys = [other.key for other in clips]
    if len(keys) < 2:
        raise InputError(f"{sample.key}: no other clip of {entry.corpus} in {entry.split}")
    return clips[(keys.index(sample.key) + 1) % len(keys)]


class ModelRow(Row):
    """A model: the first frame's lips saying the clip's sound."""

    def __init__(self, name: str, model: LipModel) -> None:
        self.name = name
        self.crop: CropConfig | None = model.crop
        self._model = model

    def lips(self, clip: Clip) -> NDArray[np.uint8]:
        """Generate as many frames as the clip has."""
        return self.say(clip.identity(self.crop), clip, clip.identity_points(self.crop))

    def say(self, identity: Image, clip: Clip, points: Floats | None = None) -> NDArray[np.uint8]:
        """Let anyone's lip crop (S, S, 3), cut as the model's, say the clip: (T, S, S, 3).

        points: the face's mesh in the crop, (468, 2) px, where it is known.
        """
        session = self._model.start(identity, points)
        first = session.feed(clip.audio(self._model.audio.sample_rate))
        return np.concatenate([first, session.finish(clip.frames)])

    def faces(self, clip: Clip) -> Iterable[Image]:
        """As the model itself paints into a photo."""
        matrix = self.places(clip)[0]
        session = self._model.start_face(next(clip.pictures()), matrix, clip.face_points())
        first = session.feed(clip.audio(self._model.audio.sample_rate))
        return chain(first, session.finish(clip.frames))


BUILT_IN: dict[str, Callable[[], Row]] = {
    row.name: row for row in (Real, Pasted, Still, Mismatched, Linear)
}


ORACLES = ("true-motion", "heard-motion")
"""Rows of `lipglance.oracles`, written ``ORACLE=MODEL``."""


def _model_of(name: str) -> str:
    """The model that a row is about."""
    oracle, separator, model = name.partition("=")
    return model if separator and oracle in ORACLES else name


def make_row(name: str) -> Row:
    """A built-in row, an oracle, or the model of that name or directory (one thread)."""
    if name in BUILT_IN:
        return BUILT_IN[name]()
    if _model_of(name) != name:
        from lipglance.oracles import make_oracle

        return make_oracle(name)
    return ModelRow(name, load_model(name, threads=1))


def describe_row(name: str) -> dict[str, Any]:
    """Facts of a row for the results, without loading it; InputError for an unknown name.

    For a model its ``model.json`` and the SHA-256 of its networks: what tells two states apart.
    """
    if name in BUILT_IN:
        return {"name": name, "kind": "built in"}
    directory = find_model(_model_of(name))
    info = read_info(directory)
    facts = info.to_dict() | {"audio": asdict(info.audio), "crop": asdict(info.crop)}
    return {"name": name, "kind": info.kind, "model": facts, "sha256": networks_digest(directory)}
