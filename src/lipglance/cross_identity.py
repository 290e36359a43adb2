"""The cross-identity pass: the sound of one clip said by the face of another speaker.

The face is one picture, the first frame of that speaker's clip, as users give one; its head keeps
still. Nobody has filmed that face saying this sound, so there is no picture to compare with. What
is left: how sharp the lips are and whose, when they open (the sound's own speaker opened his mouth
at the right times), whether they keep still in silence, and what the sync expert says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipglance import metrics
from lipglance.crop import CropConfig
from lipglance.dlib68 import MOUTH
from lipglance.errors import InputError
from lipglance.evaluation_clip import Clip
from lipglance.evaluation_crop import SIZE, mouth_place, square_at
from lipglance.geometry import Floats, Image, apply
from lipglance.measure import METRICS, leaving_out, measure_clip
from lipglance.reference import Detector, Reference, filmed
from lipglance.rows import Real, Row
from lipglance.shards import Sample
from lipglance.sync import SyncExpert

#: Metrics that need no film of that face saying that sound.
APPLYING = (
    "aperture_r",
    "cpbd",
    "identity",
    "silence_leak",
    "lse_d",
    "lse_c",
    "in_sync",
    "jitter",
)
#: What of these is told by the face's own clip and not by the sound's, in the row ``real``.
_OF_THE_FACE = ("cpbd", "identity")


@dataclass(frozen=True)
class CrossClip(Clip):
    """A clip to be made: `sample` and `path` give the face, `sound` what it is to say."""

    sound: Clip

    @property
    def frames(self) -> int:
        """Number of frames T at 25 fps, the sound's."""
        return self.sound.frames

    @property
    def words(self) -> Sequence[Sequence[float | str]]:
        """The words of the sound."""
        return self.sound.words

    def pictures(self) -> Iterator[Image]:
        """The face's first frame, (H, W, 3), T times."""
        return repeat(next(super().pictures()), self.frames)

    def audio(self, rate: int) -> NDArray[np.float32]:
        """The sound, mono at `rate` Hz: (n,) float32, no longer than the T frames."""
        return self.sound.audio(rate)

    def landmarks(self) -> NDArray[np.float32]:
        """How the mouth that said the sound moved, (T, 468, 2) px of its own crops."""
        return self.sound.landmarks()

    def spoken(self, rate: int) -> NDArray[np.float32]:
        """The sound, undisturbed."""
        return self.sound.spoken(rate)

    def silent(self) -> NDArray[np.bool_]:
        """Frames during which the sound says nothing, (T,)."""
        return self.sound.silent()

    def transforms(self, crop: CropConfig | None = None) -> Floats:
        """Similarities (T, 2, 3) from the first frame to its crop: one, T times."""
        return super().transforms(crop)[:1].repeat(self.frames, 0)


def other_identity(sample: Sample, pool: Sequence[Sample], seed: int = 0) -> Sample:
    """Choose the clip of `pool` that gives the face for the sound of `sample`.

    Another speaker of the same corpus and split; where there is none, of the corpus in other
    splits; then of other corpora in the split; then any. Among these a speaker and then one of the
    speaker's clips, each as likely as the next; the choice is a function of `seed`, the sample's
    name and the pool alone. Only samples that hold their original clip can be chosen. Raises
    InputError where nobody else is there.
    """
    own = sample.entry
    others = [
        other
        for other in pool
        if "clip" in other.entry.members
        and (other.entry.corpus, other.speaker) != (own.corpus, own.speaker)
    ]
    if not others:
        raise InputError(
            f"{own.corpus}: {own.speaker} is the only speaker whose clips are stored; to evaluate "
            "with other identities add shards of another speaker with --data"
        )

    def distance(other: Sample) -> tuple[bool, bool]:
        return other.entry.corpus != own.corpus, other.entry.split != own.split

    nearest = min(map(distance, others))
    faces: dict[tuple[str, str], list[Sample]] = {}
    for other in others:
        if distance(other) == nearest:
            faces.setdefault((other.entry.corpus, other.speaker), []).append(other)
    name = f"{seed}/{own.corpus}/{own.split}/{own.key}"
    drawn = int.from_bytes(hashlib.sha256(name.encode()).digest())
    drawn, speaker = divmod(drawn, len(faces))
    clips = faces[sorted(faces)[speaker]]
    clips.sort(key=lambda clip: (clip.entry.split, clip.key))
    return clips[drawn % len(clips)]


def measure_cross(
    face: Clip,
    sound: Clip,
    rows: Sequence[Row],
    detector: Detector,
    view: str = "lips",
    expert: SyncExpert | None = None,
) -> dict[str, dict[str, Any]]:
    """Measure what every row makes of the first frame of `face` and the sound of `sound`.

    Returns records as `measure_clip` does, with values for `APPLYING` alone. The mouth that says
    the sound, in ``sound``, is the reference for the times of opening and for jitter; the closed
    mouth is that of ``face``. The row ``real`` is the clip of the sound as it was filmed, its CPBD
    and identity those of the face's clip. Raises InputError where a clip cannot be read and where
    dlib finds no face in the picture that gives the identity.
    """
    said, looked = filmed(sound, detector), filmed(face, detector)
    clip = CrossClip(face.sample, face.path, sound)
    shown = looked.shown[:1].repeat(clip.frames, 0)
    place = mouth_place(shown[:, MOUTH])
    if place is None:
        raise InputError(f"identity {face.sample.key}: dlib finds no face in its first frame")
    # The face's closed mouth at the size at which its made lips are seen.
    squares = square_at(place[0][:1].repeat(face.frames, 0), place[1], SIZE)
    openings = metrics.opening(apply(squares, looked.shown[:, MOUTH]))
    reference = Reference(shown, place, said.mouth, metrics.closed_opening(openings))
    made = [row for row in rows if not isinstance(row, Real)]
    records = measure_clip(clip, made, detector, view, expert, reference)
    for row in rows:
        if isinstance(row, Real):
            records[row.name] = _real(face, sound, row, detector, expert, looked, said)
    return leaving_out(records, set(METRICS) - set(APPLYING))


def _real(
    face: Clip,
    sound: Clip,
    row: Row,
    detector: Detector,
    expert: SyncExpert | None,
    looked: Reference,
    said: Reference,
) -> dict[str, Any]:
    """The sound's clip as filmed; what tells of the picture comes from the face's clip."""
    record = measure_clip(sound, [row], detector, "lips", expert, said)[row.name]
    picture = measure_clip(face, [row], detector, "lips", None, looked)[row.name]
    record["values"] |= {name: picture["values"][name] for name in _OF_THE_FACE}
    return record
