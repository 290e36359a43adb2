"""Where the lip crop lies in each frame.

The paper cuts a square around dlib's mouth box in every frame on its own: the square follows the
lips as they open and trembles with each landmark, so half of what the generator must learn is the
crop's own motion. Here the square is rigid with the HEAD:

1. Every frame's similarity transform (shift, scale, roll) from the clip's mean face is fitted to
   points that speech does not move (`face_points.STABLE`: eyes, bridge of the nose, brow,
   temples), never to mouth or jaw.
2. In the mean face the square is fixed: centre at the median of the mouth's centre, side by the
   median of its size, upright by the line of the eyes. An opening mouth therefore moves within the
   crop, not the crop with it. In clips of more than four seconds the medians run over four
   seconds, so that the square follows a head that turns away.
3. Centre, log-size and angle of the square are smoothed over time, after single outliers have
   been taken out and frames without a face filled in from their neighbours.

``scripts/crop_jitter.py`` measures both on real clips.

A crop is a (2, 3) matrix that maps px of the picture to px of the crop, roll removed (conventions
in `lipglance.geometry`); `crop_image` samples it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lipglance.errors import InputError
from lipglance.face import eye_angle
from lipglance.face_points import MOUTH_20, N_POINTS, STABLE
from lipglance.geometry import (
    Floats,
    apply,
    crop_image,
    fit_similarity,
    invert,
    square_matrix,
)

__all__ = ["CropConfig", "apply", "crop_image", "invert", "picture_crop", "video_crops"]

# Running medians over about four seconds at 25 fps, taken once a second.
_MEDIAN_FRAMES = 101
_KNOT_FRAMES = 25
# A single frame farther from its neighbours' median than this many typical deviations is noise.
_OUTLIER = 4.0
_OUTLIER_FRAMES = 7


@dataclass(frozen=True)
class CropConfig:
    """What a crop shows.

    size: side of the crop, px. half_side: half the square's side as a fraction of the mouth's
    size, max(width, height) of the box of the 20 mouth points. smooth: standard deviation of the
    smoothing over time, frames; 0 for none. region: "lips" is centred on the mouth; "face" has its
    centre moved down by `drop` mouth sizes, to hold the lower nose and the chin of an open jaw
    (see `CropConfig.face`). Raises InputError on values that cannot be.
    """

    size: int = 64
    half_side: float = 0.75
    smooth: float = 2.0
    region: str = "lips"

    def __post_init__(self) -> None:
        if self.size < 16 or self.half_side <= 0 or self.smooth < 0:
            raise InputError(f"{self}: expected size >= 16, half_side > 0 and smooth >= 0")
        if self.region not in ("lips", "face"):
            raise InputError(f"crop region {self.region!r}; expected 'lips' or 'face'")

    @classmethod
    def face(cls, size: int = 96) -> CropConfig:
        """Nose to chin, for a larger model."""
        return cls(size=size, half_side=1.0, region="face")

    @property
    def drop(self) -> float:
        """How far the square's centre lies below the mouth's, in mouth sizes."""
        return 0.25 if self.region == "face" else 0.0


class _Boxes(NamedTuple):
    """Squares in each frame: centre (T, 2) px, log of the mouth's size (T,), angle (T,) rad."""

    centre: Floats
    size: Floats
    angle: Floats


def picture_crop(points: ArrayLike, config: CropConfig) -> Floats:
    """Crop of one picture from its face's points (468, 2), px; returns (2, 3) float64.

    Centred on the mean of the 20 mouth points of this very picture, upright by the line of the
    eyes. Raises InputError on points of the wrong shape or not finite.
    """
    p = _checked(points, 2)
    if not np.isfinite(p).all():
        raise InputError("no face in the picture: its landmarks are not finite")
    matrix: Floats = picture_crops(p[None], config)[0]
    return matrix


def picture_crops(points: ArrayLike, config: CropConfig) -> Floats:
    """Crops of pictures, each as `picture_crop` cuts it: points (N, 468, 2) px to (N, 2, 3)."""
    p = _checked(points, 3)
    return _matrices(_mouth(p, np.atleast_1d(eye_angle(p))), config)


def video_crops(points: ArrayLike, config: CropConfig) -> Floats:
    """Crops of a clip from its face's points (T, 468, 2), px; returns (T, 2, 3) float64.

    NaN anywhere in a frame's points marks a frame without a face; its crop is interpolated (held
    at the ends). How the crop is steadied is told at the top of this module. One continuous shot
    is expected: at a cut the crop glides over a few frames. Raises InputError on points of the
    wrong shape and where no frame has a face.
    """
    p = _checked(points, 3)
    seen = np.flatnonzero(np.isfinite(p).all(axis=(1, 2)))
    if not seen.size:
        raise InputError(f"no face in any of the {len(p)} frames")
    known = p[seen]
    stable = known[:, STABLE]
    mean = _mean_shape(stable)
    to_mean = fit_similarity(stable, mean)
    in_mean = _mouth(apply(to_mean, known), eye_angle(apply(to_mean, known)))
    fixed = _Boxes(*(_running_median(v, seen, len(p)) for v in in_mean))
    # Measured at the mouth, not at the origin, so that noise in scale and angle stays small.
    back = invert(to_mean)
    scale = 0.5 * np.log(np.linalg.det(back[:, :, :2]))
    turn = np.unwrap(np.arctan2(back[:, 1, 0], back[:, 0, 0]))
    centre = apply(back, fixed.centre[seen, None])[:, 0]
    frames = np.arange(len(p))
    tracks = np.column_stack([centre, fixed.size[seen] + scale, fixed.angle[seen] + turn])
    full = np.column_stack([np.interp(frames, seen, v) for v in _without_outliers(tracks).T])
    full = smoothed(full, config.smooth)
    return _matrices(_Boxes(full[:, :2], full[:, 2], full[:, 3]), config)


def _checked(points: ArrayLike, ndim: int) -> Floats:
    p = np.asarray(points, np.float64)
    if p.ndim != ndim or p.shape[-2:] != (N_POINTS, 2):
        expected = f"({N_POINTS}, 2)" if ndim == 2 else f"(frames, {N_POINTS}, 2)"
        raise InputError(f"landmarks have shape {p.shape}; expected {expected}")
    return p


def _mouth(points: Floats, angle: Floats) -> _Boxes:
    """Square of the mouth in points (T, 468, 2), measured along `angle` (T,)."""
    mouth = points[:, MOUTH_20]
    centre = mouth.mean(axis=1)
    upright = apply(square_matrix(centre, np.full(len(points), 0.5), angle, 1), mouth)
    extent = np.ptp(upright, axis=1).max(axis=1)
    if not (extent > 0).all():
        raise InputError("the mouth's landmarks all lie in one place")
    return _Boxes(centre, np.log(extent), angle)


def _matrices(boxes: _Boxes, config: CropConfig) -> Floats:
    size = np.exp(boxes.size)
    down = np.stack([-np.sin(boxes.angle), np.cos(boxes.angle)], axis=1)
    centre = boxes.centre + config.drop * size[:, None] * down
    return square_matrix(centre, config.half_side * size, boxes.angle, config.size)


def _mean_shape(shapes: Floats) -> Floats:
    """Mean (N, 2) of shapes (T, N, 2) after similarity alignment to the clip's middle frame."""
    mean: Floats = shapes[len(shapes) // 2]
    for _ in range(2):
        mean = np.median(apply(fit_similarity(shapes, mean), shapes), axis=0)
    return mean


def _running_median(values: Floats, seen: NDArray[np.intp], count: int) -> Floats:
    """Median of values (n, ...) at frames `seen`, one for each of `count` frames: (count, ...)."""
    if count <= _MEDIAN_FRAMES:
        return np.repeat(np.median(values, axis=0)[None], count, axis=0)
    knots = np.linspace(0, count - 1, -(-count // _KNOT_FRAMES) + 1)
    flat = values.reshape(len(values), -1)
    reach = max(_MEDIAN_FRAMES // 2, 1)
    at_knots = []
    for knot in knots:
        near = np.abs(seen - knot) <= reach
        # In a gap longer than the window the nearest frames must do.
        chosen = flat[near] if near.any() else flat[[np.abs(seen - knot).argmin()]]
        at_knots.append(np.median(chosen, axis=0))
    frames = np.arange(count)
    columns = [np.interp(frames, knots, v) for v in np.array(at_knots).T]
    return np.column_stack(columns).reshape(count, *values.shape[1:])


def _without_outliers(tracks: Floats) -> Floats:
    """Replace single wild frames of tracks (n, k) by their neighbours' median (Hampel filter)."""
    reach = _OUTLIER_FRAMES // 2
    if len(tracks) <= reach:
        return tracks
    padded = np.pad(tracks, ((reach, reach), (0, 0)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, _OUTLIER_FRAMES, axis=0)
    middle = np.median(windows, axis=-1)
    typical = 1.4826 * np.median(np.abs(windows - middle[..., None]), axis=-1)
    # A nearly still clip has next to no deviation; the clip's own keeps the filter off it.
    floor = np.median(np.abs(tracks - middle), axis=0) + 1e-9
    wild = np.abs(tracks - middle) > _OUTLIER * np.maximum(typical, floor)
    return np.where(wild, middle, tracks)


def smoothed(tracks: Floats, sigma: float) -> Floats:
    """Smooth tracks (T, k) along time by straight lines fitted with Gaussian weights.

    Away from the ends this is the Gaussian mean. At the ends, where a mean over the frames there
    are would lag behind a moving head, the line does not.
    """
    count = len(tracks)
    if sigma == 0 or count < 3:
        return tracks
    reach = min(int(np.ceil(3 * sigma)), count - 1)
    offset = np.arange(-reach, reach + 1)
    weight = np.exp(-0.5 * (offset / sigma) ** 2)

    def moment(values: Floats, power: int) -> Floats:
        """Sum over d of weight * d^power * values[t + d]."""
        kernel = (weight * offset**power)[::-1]
        return np.asarray(np.convolve(values, kernel)[reach : reach + count], np.float64)

    ones = np.ones(count)
    s0, s1, s2 = (moment(ones, power) for power in range(3))
    columns = [(s2 * moment(v, 0) - s1 * moment(v, 1)) / (s0 * s2 - s1**2) for v in tracks.T]
    return np.column_stack(columns)
