"""The measures of talking lips, each a small pure function: formula, units, source.

Mouth points are (T, 20, 2) arrays: dlib's points 48..67 in px of whatever picture the caller
measures in (the evaluation uses the 64-px lip crop). A frame whose points are NaN was not detected;
every function leaves out the frames that are missing in either track and returns None where
nothing is left to measure or the measure has no meaning. ``docs/METRICS.md`` tells their traps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from lipglance.errors import InputError

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

N_MOUTH = 20
# Within the 20 mouth points: corners 48 and 54, middle of the inner lips 62 and 66.
_CORNERS = (0, 6)
_INNER = (14, 18)

SSIM_SIGMA = 1.5
SSIM_RADIUS = 5
#: Opening above the closed mouth, in mouth widths, from which a frame counts as open.
OPEN_ABOVE_CLOSED = 0.08
#: Percentile of a real clip's openings taken for its closed mouth.
CLOSED_PERCENTILE = 5.0
#: What stands for silence among the words of an alignment.
SILENT_WORDS = ("sil", "sp")
#: Standard deviation in px of the track below which an opening counts as constant.
CONSTANT_OPENING = 1e-6


def _mouths(points: ArrayLike) -> Floats:
    p = np.asarray(points, np.float64)
    if p.ndim != 3 or p.shape[1:] != (N_MOUTH, 2):
        raise InputError(f"mouth points have shape {p.shape}; expected (frames, {N_MOUTH}, 2)")
    return p


def _pair(generated: ArrayLike, reference: ArrayLike) -> tuple[Floats, Floats]:
    g, r = np.asarray(generated, np.float64), np.asarray(reference, np.float64)
    if g.shape != r.shape:
        raise InputError(f"tracks have shapes {g.shape} and {r.shape}; expected the same shape")
    return g, r


def detected(*tracks: ArrayLike) -> Mask:
    """Frames that are finite in all of `tracks`, each (T, ...): (T,) bool."""
    masks = [np.isfinite(t).reshape(len(t), -1).all(1) for t in map(np.asarray, tracks)]
    return np.asarray(np.logical_and.reduce(masks), np.bool_)


def mouth_width(points: ArrayLike) -> Floats:
    """Distance between the corners of the mouth (48 and 54), px: (T, 20, 2) -> (T,)."""
    p = _mouths(points)
    return np.asarray(np.linalg.norm(p[:, _CORNERS[0]] - p[:, _CORNERS[1]], axis=1), np.float64)


def opening(points: ArrayLike) -> Floats:
    """Distance between the middles of the inner lips (62 and 66), px: (T, 20, 2) -> (T,)."""
    p = _mouths(points)
    return np.asarray(np.linalg.norm(p[:, _INNER[0]] - p[:, _INNER[1]], axis=1), np.float64)


def lmd(generated: ArrayLike, reference: ArrayLike) -> float | None:
    """Landmark distance of two mouth tracks (T, 20, 2), in their px; lower is better.

    mean over frames and points of |(g - mean g) - (r - mean r)|, the means being those of the 20
    points of a frame, so that the place of the mouth does not count (Chen et al., ECCV 2018).
    """
    g, r = _pair(_mouths(generated), _mouths(reference))
    keep = detected(g, r)
    if not keep.any():
        return None
    g, r = g[keep], r[keep]
    off = (g - g.mean(1, keepdims=True)) - (r - r.mean(1, keepdims=True))
    return float(np.linalg.norm(off, axis=2).mean())


def lmd_per_width(generated: ArrayLike, reference: ArrayLike) -> float | None:
    """`lmd` divided by the reference's mean mouth width over the same frames; no unit."""
    g, r = _pair(generated, reference)
    distance = lmd(g, r)
    if distance is None:
        return None
    width = float(mouth_width(r)[detected(g, r)].mean())
    return distance / width if width > 0 else None


def grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Luma (0.299 R + 0.587 G + 0.114 B, rounded) of an RGB picture (H, W, 3) uint8: (H, W)."""
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def psnr(a: ArrayLike, b: ArrayLike) -> float:
    """Peak signal-to-noise ratio, 10 log10(255^2 / MSE), dB, of pictures with values in 0..255.

    In floating point: uint8 differences would wrap. Equal pictures give infinity.
    """
    x, y = _pair(a, b)
    mse = float(np.mean((x - y) ** 2))
    return float("inf") if mse == 0 else 10 * float(np.log10(255.0**2 / mse))


def psnr_u8(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """PSNR as the authors' code computes it, dB: differences and squares wrap modulo 256.

    Two unrelated random pictures score 27.9 dB (float: 7.8). Only to be put beside published
    figures that were made so.
    """
    x, y = np.asarray(a, np.uint8), np.asarray(b, np.uint8)
    with np.errstate(over="ignore"):
        apart = x - y
        mse = float(np.mean(apart * apart))
    return float("inf") if mse == 0 else 10 * float(np.log10(255.0**2 / mse))


def cosine(a: ArrayLike, b: ArrayLike) -> float:
    """Cosine of the angle between two vectors, -1..1."""
    x, y = _pair(a, b)
    return float(x @ y / (np.linalg.norm(x) * np.linalg.norm(y)))


def ssim(a: ArrayLike, b: ArrayLike) -> float:
    """Structural similarity of two grey pictures (H, W), values 0..255, sides of at least 11 px.

    Wang et al. 2004: Gaussian window of 11 x 11, sigma 1.5, K1 = 0.01, K2 = 0.03, data range 255,
    population covariances, mean over the positions where the window lies inside the picture.
    Equals scikit-image's with gaussian_weights=True and use_sample_covariance=False.
    """
    x, y = _pair(a, b)
    if x.ndim != 2 or min(x.shape) < 2 * SSIM_RADIUS + 1:
        raise InputError(
            f"picture has shape {x.shape}; SSIM needs grey pictures of at least 11 x 11 px"
        )
    offsets = np.arange(-SSIM_RADIUS, SSIM_RADIUS + 1)
    window = np.exp(-(offsets**2) / (2 * SSIM_SIGMA**2))
    window /= window.sum()

    def blur(image: Floats) -> Floats:
        return np.asarray(cv2.sepFilter2D(image, cv2.CV_64F, window, window), np.float64)

    mx, my = blur(x), blur(y)
    vx, vy, cov = blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similarity = ((2 * mx * my + c1) * (2 * cov + c2)) / ((mx * mx + my * my + c1) * (vx + vy + c2))
    inside = slice(SSIM_RADIUS, -SSIM_RADIUS)
    return float(similarity[inside, inside].mean())


def aperture_r(
    generated: ArrayLike, reference: ArrayLike, constant: float = CONSTANT_OPENING
) -> float | None:
    """Pearson's r over time between two tracks (T,) of the inner-lip opening; -1..1, 1 is best.

    None where fewer than 3 frames are left or either track is constant (standard deviation not
    above `constant` px): lips that do not move have no timing that could be right or wrong.
    """
    g, r = _pair(generated, reference)
    keep = detected(g, r)
    g, r = g[keep], r[keep]
    if len(g) < 3 or min(g.std(), r.std()) <= constant:
        return None
    return float(np.mean((g - g.mean()) * (r - r.mean())) / (g.std() * r.std()))


def articulation(generated: ArrayLike, reference: ArrayLike) -> float | None:
    """Standard deviation over time of the opening (T,), generated / reference; 1 is right.

    Below 1 mumbles, above 1 exaggerates. None where the reference does not move.
    """
    g, r = _pair(generated, reference)
    keep = detected(g, r)
    if keep.sum() < 3 or r[keep].std() <= CONSTANT_OPENING:
        return None
    return float(g[keep].std() / r[keep].std())


def jitter(generated: ArrayLike, reference: ArrayLike) -> float | None:
    """Temporal jitter of two mouth tracks (T, 20, 2), generated / reference; 1 is right.

    Mean absolute second difference over time, |p[t-1] - 2 p[t] + p[t+1]|, over coordinates, points
    and all three frames in a row that are detected in both tracks.
    """
    g, r = _pair(_mouths(generated), _mouths(reference))
    keep = detected(g, r)
    keep = keep[:-2] & keep[1:-1] & keep[2:]
    if not keep.any():
        return None
    rough, real = (float(np.abs(np.diff(p, 2, axis=0)[keep]).mean()) for p in (g, r))
    return rough / real if real > 0 else None


def silent_frames(
    audio: NDArray[np.float32],
    rate: int,
    frames: int,
    fps: float = 25.0,
    words: Iterable[Sequence[float | str]] = (),
) -> Mask:
    """Frames of video during which nothing is said for certain: (frames,) bool.

    audio: (n,) in [-1, 1] at `rate` Hz. A frame is silent where its whole span of time is digital
    silence (no sample of 16 bits or more than 0) or lies inside a ``sil`` or ``sp`` of `words`,
    triples of start, end (seconds) and word.
    """
    edges = np.arange(frames + 1) / fps
    samples = np.round(edges * rate).astype(int)
    loud = np.concatenate([[0], np.cumsum(np.abs(audio) >= 1 / 65536)])
    ends = np.clip(samples, 0, len(audio))
    silent = (ends[1:] > ends[:-1]) & (loud[ends[1:]] == loud[ends[:-1]])
    for start, end, word in words:
        if str(word).lower() in SILENT_WORDS:
            silent |= (edges[:-1] >= float(start) - 1e-9) & (edges[1:] <= float(end) + 1e-9)
    return np.asarray(silent, np.bool_)


def closed_opening(reference: ArrayLike) -> float | None:
    """Opening of a person's closed mouth, px: 5th percentile of a real track (T,) of openings."""
    r = np.asarray(reference, np.float64)
    r = r[np.isfinite(r)]
    return float(np.percentile(r, CLOSED_PERCENTILE)) if len(r) else None


def silence_leak(points: ArrayLike, silent: Mask, closed: float) -> float | None:
    """Share of the silent frames with an open mouth, 0..1; 0 is right.

    points: (T, 20, 2); silent: (T,) bool; closed: opening of the same person's closed mouth in the
    same px. Open means more than 0.08 mouth widths above that. None without silent frames.
    """
    p = _mouths(points)
    keep = detected(p) & np.asarray(silent, np.bool_)
    if not keep.any():
        return None
    above = opening(p)[keep] - closed
    return float((above > OPEN_ABOVE_CLOSED * mouth_width(p)[keep]).mean())


@dataclass(frozen=True)
class Summary:
    """Mean over the clips that have a value, its interval, and how many have and have none."""

    mean: float | None
    low: float | None
    high: float | None
    n: int
    undefined: int


def bootstrap(
    values: Iterable[float | None], *, level: float = 0.95, resamples: int = 5000, seed: int = 0
) -> Summary:
    """Mean of `values` (None = undefined, left out and counted) and its bootstrap interval.

    Percentile bootstrap (Efron 1979) over the values, `resamples` draws with replacement from a
    generator seeded by `seed`: the same values in the same order give the same interval. One value
    alone has no interval (low and high None).
    """
    given = list(values)
    known = np.array([v for v in given if v is not None], np.float64)
    missing = len(given) - len(known)
    if len(known) == 0:
        return Summary(None, None, None, 0, missing)
    mean = float(known.mean())
    if len(known) == 1:
        return Summary(mean, None, None, 1, missing)
    draws = np.random.default_rng(seed).integers(0, len(known), (resamples, len(known)))
    tail = 50 * (1 - level)
    low, high = np.percentile(known[draws].mean(1), [tail, 100 - tail])
    return Summary(mean, float(low), float(high), len(known), missing)
