"""One test clip measured: the protocol that every row of an evaluation goes through.

The lips a row made are put back into the real frames, dlib's landmarks are found in the result as
in the real frames, and both are compared in the *evaluation crop*: a square, upright in the frame,
centred on the mean of the real frame's 20 mouth points (smoothed over time by 1/4, 1/2, 1/4), half
side 0.65 times the clip's median of the larger side of the mouth's box, resized to 64 x 64 px.
Centre and size come from the real frame for both. ``docs/METRICS.md`` explains the choices.

In the *face* view the row paints its lips into the first frame instead, as for a user, and nothing
of the later real frames is in its pictures. The head then keeps still, so that only landmarks can
be compared, and how sharp the pictures are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipglance import metrics
from lipglance.cpbd import BLOCK, cpbd
from lipglance.dlib68 import MOUTH
from lipglance.errors import InputError
from lipglance.evaluation_clip import Clip
from lipglance.evaluation_crop import SIZE, coverage, put_back, square_at
from lipglance.geometry import Floats, Image, apply, crop_image
from lipglance.reference import Detector, Reference, filmed, middles
from lipglance.rows import Row
from lipglance.shards import FPS
from lipglance.sync import MIN_FRAMES, SyncExpert

#: Raised when results of an earlier version can no longer be put beside new ones.
PROTOCOL = 3
VIEWS = ("lips", "face")

METRICS = (
    "lmd",
    "lmd_w",
    "ssim",
    "psnr",
    "psnr_u8",
    "aperture_r",
    "articulation",
    "cpbd",
    "identity",
    "silence_leak",
    "lse_d",
    "lse_c",
    "in_sync",
    "jitter",
)


@dataclass
class _Track:
    """What is gathered of one row while its clip goes by."""

    row: Row
    lips: NDArray[np.uint8] | None
    faces: Iterator[Image] | None
    transforms: Floats
    seconds: float
    points: Floats
    told: Floats | None
    """Landmarks of a row that makes no pictures."""
    moves: bool
    """Whether the row has shown more than one picture."""
    first: Image | None = None
    ssim: list[float] = field(default_factory=list)
    psnr: list[float] = field(default_factory=list)
    psnr_u8: list[float] = field(default_factory=list)
    identity: list[float] = field(default_factory=list)
    cpbd: list[float] = field(default_factory=list)
    coverage: list[float] = field(default_factory=list)
    crops: list[Image] = field(default_factory=list)

    def shown(self, t: int, picture: Image) -> Image:
        """The whole picture that the row shows in place of the real one of frame t."""
        if self.faces is not None:
            face = next(self.faces, None)
            if face is None:
                raise InputError(f"{self.row.name} made only {t} frames")
            self.first = face if self.first is None else self.first
            self.moves = self.moves or not np.array_equal(face, self.first)
            return face
        if self.lips is not None:
            return put_back(picture, self.lips[t], self.transforms[t])
        return picture

    @property
    def painted(self) -> bool:
        """Whether the row made pictures, in which landmarks are still to be found."""
        return self.lips is not None or self.faces is not None


def measure_clip(
    clip: Clip,
    rows: Sequence[Row],
    detector: Detector,
    view: str = "lips",
    expert: SyncExpert | None = None,
    reference: Reference | None = None,
) -> dict[str, dict[str, Any]]:
    """Measure what every row makes of `clip`; returns a record for each row's name.

    A record has ``values`` (a number or None for each of `METRICS`), ``missing_real`` and
    ``missing_generated`` (frames without landmarks), ``coverage`` (share of the evaluation crop
    that the row made, 0..1), ``seconds`` (for making the lips), ``opening`` (of the mouth in each
    frame, px of the evaluation crop), ``offset`` (the expert's best, frames; None without one) or,
    where the row could not make them, ``error``. view: one of `VIEWS`; no SSIM, PSNR and coverage
    in the face view. expert: judges picture and sound; without it there are no LSE and offset.
    reference: what the landmarks are compared with; None for the clip's own real frames. Raises
    InputError where the clip itself cannot be read.
    """
    if reference is None:
        reference = filmed(clip, detector)
    real, place = reference.shown, reference.place
    records: dict[str, dict[str, Any]] = {}
    tracks: list[_Track] = []
    for row in rows:
        try:
            tracks.append(_make(row, clip, real, view))
        except InputError as error:
            records[row.name] = {"error": str(error)}
    if place is None:
        return records | {t.row.name: _nothing(clip) for t in tracks}
    squares = square_at(*place, SIZE)
    # At the frames' own resolution, in whole blocks of CPBD.
    natives_size = BLOCK * max(1, round(2 * place[1] / BLOCK))
    natives = square_at(place[0], natives_size / 2, natives_size)
    seen = metrics.detected(real)
    places = middles(clip)
    # One frame a second tells who it is.
    asked = range(min(FPS // 2, clip.frames - 1), clip.frames, FPS)
    sync_places = clip.transforms(expert.crop) if expert is not None else squares
    person: NDArray[np.float64] | None = None
    for t, picture in enumerate(clip.pictures()):
        if person is None and seen[t]:
            person = detector.embedding(picture, real[t])
        for track in tracks:
            shown = track.shown(t, picture)
            if seen[t] and track.painted:
                found = detector.points(shown, places[0 if track.faces is not None else t])
                if found is not None:
                    track.points[t] = found
            if expert is not None and track.told is None:
                at = sync_places[0 if track.faces is not None else t]
                track.crops.append(crop_image(shown, at, expert.crop.size))
            if t in asked and person is not None and track.told is None:
                marks = track.points[t]
                if np.isfinite(marks).all():
                    alike = metrics.cosine(detector.embedding(shown, marks), person)
                    track.identity.append(alike)
            if seen[t] and track.told is None:
                if track.faces is None:
                    _compare(track, shown, picture, squares[t], t)
                at = natives[0 if track.faces is not None else t]
                track.cpbd.append(cpbd(metrics.grey(crop_image(shown, at, natives_size))))
    silent = clip.silent()
    sound = clip.spoken(expert.audio.sample_rate) if expert is not None else None
    for track in tracks:
        # A head that keeps still is not to be seen through a square that moves.
        places_made = squares if track.faces is None else squares[:1].repeat(clip.frames, 0)
        made = apply(places_made, track.points[:, MOUTH])
        record = _record(track, made, reference, silent)
        if expert is not None and sound is not None and len(track.crops) >= MIN_FRAMES:
            score = expert.score(np.stack(track.crops), sound)
            lse = {"lse_d": score.distance, "lse_c": score.confidence}
            record["values"] |= _rounded(lse | {"in_sync": float(abs(score.offset) <= 1)})
            record["offset"] = score.offset
        records[track.row.name] = record
    return records


def leaving_out(
    records: dict[str, dict[str, Any]], names: Collection[str]
) -> dict[str, dict[str, Any]]:
    """`records` of `measure_clip` without values of the metrics in `names`."""
    for record in records.values():
        if "values" in record:
            record["values"] = {k: None if k in names else v for k, v in record["values"].items()}
    return records


def _make(row: Row, clip: Clip, real: Floats, view: str) -> _Track:
    start = perf_counter()
    told = row.points(clip, real)
    lips = row.lips(clip) if view == "lips" and told is None else None
    faces = row.faces(clip) if view == "face" and told is None else None
    seconds = perf_counter() - start
    if lips is not None and len(lips) != clip.frames:
        raise InputError(f"{row.name} made {len(lips)} frames of {clip.frames}")
    is_real = told is None and lips is None and faces is None
    points = real.copy() if is_real else np.full_like(real, np.nan)
    return _Track(
        row=row,
        lips=lips,
        faces=None if faces is None else iter(faces),
        transforms=row.places(clip),
        seconds=seconds,
        points=points if told is None else told,
        told=told,
        moves=is_real or told is not None or (lips is not None and bool((lips != lips[0]).any())),
    )


def _compare(track: _Track, shown: Image, picture: Image, square: Floats, t: int) -> None:
    """The picture that a row shows against the real one, in the evaluation crop."""
    real = metrics.grey(crop_image(picture, square, SIZE))
    made = metrics.grey(crop_image(shown, square, SIZE))
    track.ssim.append(metrics.ssim(made, real))
    track.psnr.append(metrics.psnr(made, real))
    track.psnr_u8.append(metrics.psnr_u8(made, real))
    if track.lips is not None:
        track.coverage.append(coverage(square, track.transforms[t], track.lips.shape[1]))


def _record(
    track: _Track, made: Floats, reference: Reference, silent: NDArray[np.bool_]
) -> dict[str, Any]:
    """The figures of one row, from mouth points (T, 20, 2) in px of the evaluation crop."""
    mouth, closed = reference.mouth, reference.closed
    open_made, open_real = metrics.opening(made), metrics.opening(mouth)
    # Only equal frames have no finite PSNR: there is no noise to speak of in them.
    noisy = [value for value in track.psnr if np.isfinite(value)]
    wrapped = [value for value in track.psnr_u8 if np.isfinite(value)]
    values = dict.fromkeys(METRICS) | {
        "lmd": metrics.lmd(made, mouth),
        "lmd_w": metrics.lmd_per_width(made, mouth),
        "ssim": float(np.mean(track.ssim)) if track.ssim else None,
        "psnr": float(np.mean(noisy)) if noisy else None,
        "psnr_u8": float(np.mean(wrapped)) if wrapped else None,
        # Landmarks of a still mouth move none the less, with dlib's noise and the real jaw around
        # it: their r would be nothing that the row did.
        "aperture_r": metrics.aperture_r(open_made, open_real) if track.moves else None,
        "articulation": metrics.articulation(open_made, open_real),
        "cpbd": float(np.mean(track.cpbd)) if track.cpbd else None,
        "identity": float(np.mean(track.identity)) if track.identity else None,
        "silence_leak": None if closed is None else metrics.silence_leak(made, silent, closed),
        "jitter": metrics.jitter(made, mouth),
    }
    found = metrics.detected(made)
    return {
        "values": _rounded(values),
        "missing_real": int((~metrics.detected(mouth)).sum()),
        "missing_generated": int((metrics.detected(reference.shown) & ~found).sum()),
        "coverage": round(float(np.mean(track.coverage)), 4) if track.coverage else None,
        "seconds": round(track.seconds, 3),
        "opening": [None if np.isnan(v) else round(float(v), 2) for v in open_made],
        "offset": None,
    }


def _rounded(values: Mapping[str, float | None]) -> dict[str, float | None]:
    return {name: None if v is None else round(v, 5) for name, v in values.items()}


def _nothing(clip: Clip) -> dict[str, Any]:
    """The record of a clip in no frame of which dlib finds the real face."""
    return {
        "values": dict.fromkeys(METRICS),
        "missing_real": clip.frames,
        "missing_generated": 0,
        "coverage": None,
        "seconds": 0.0,
        "opening": [None] * clip.frames,
        "offset": None,
    }
