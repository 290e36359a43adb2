"""The linear row: ridge regression from log-mel to mouth points, what sound alone gives away.

It paints nothing. Its 20 mouth points begin at the clip's true first frame and move as a linear
function of 0.36 s of sound says. A model that does not beat it has learned nothing worth having.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .audio import AudioConfig, log_mel
from .errors import InputError
from .face_points import MOUTH_20, MOUTH_LEFT, MOUTH_RIGHT
from .geometry import Floats
from .shards import Sample

REACH = 4
"""Video frames heard before and after: +-160 ms."""
BANDS = 32
"""Mel bands heard, each the mean of four."""
PENALTY = 1e-3
"""Ridge penalty as a share of the features' mean variance."""


@dataclass(frozen=True)
class LinearMouth:
    """Weights (features + 1, 40) from what is heard to 20 points' places.

    The places are relative to the clip's mean shape, in mouth widths, upright in the crop.
    """

    weights: NDArray[np.float64]

    def offsets(self, samples: NDArray[np.float32], frames: int) -> Floats:
        """Where the points are relative to the first frame's, (T, 20, 2) in mouth widths."""
        told = features(samples, frames) @ self.weights
        return np.asarray((told - told[0]).reshape(frames, 20, 2), np.float64)


def features(samples: NDArray[np.float32], frames: int) -> NDArray[np.float64]:
    """What is heard around each of T frames, (T, features + 1): the last column is 1.

    samples: (n,) at 16 kHz.
    """
    mel = log_mel(samples, AudioConfig(), frames)
    rows = mel.reshape(frames, 4, BANDS, -1).mean(3)
    rows = rows.reshape(frames, 2, 2, BANDS).mean(2).reshape(frames, -1)
    padded = np.concatenate([rows[:1].repeat(REACH, 0), rows, rows[-1:].repeat(REACH, 0)])
    heard = [padded[k : k + frames] for k in range(2 * REACH + 1)]
    return np.concatenate([*heard, np.ones((frames, 1))], 1)


def mouth_track(landmarks: NDArray[np.float32]) -> Floats:
    """Mouth points (T, 20, 2) of mesh landmarks (T, 468, 2): less their mean, in mouth widths.

    NaN where there is no face.
    """
    points = landmarks[:, list(MOUTH_20)].astype(np.float64)
    width = np.linalg.norm(landmarks[:, MOUTH_LEFT] - landmarks[:, MOUTH_RIGHT], axis=1)
    points -= points.mean(1, keepdims=True)
    return np.asarray(points / max(float(np.nanmedian(width)), 1e-6), np.float64)


def fit(samples: Iterable[Sample]) -> LinearMouth:
    """Fit to prepared clips.

    Raises:
        InputError: none of them shows a face.
    """
    size = (2 * REACH + 1) * 2 * BANDS + 1
    square, product = np.zeros((size, size)), np.zeros((size, 40))
    count = 0
    for sample in samples:
        points = sample.landmarks()
        if not np.isfinite(points).any():
            continue
        mouth = mouth_track(points).reshape(sample.frames, 40)
        seen = np.isfinite(mouth).all(1)
        heard = features(sample.audio(), sample.frames)[seen]
        moved = mouth[seen] - mouth[seen].mean(0)
        square += heard.T @ heard
        product += heard.T @ moved
        count += len(heard)
    if not count:
        raise InputError("no training clip shows a face; expected shards with a train split")
    ridge = PENALTY * np.trace(square) / size * np.eye(size)
    ridge[-1, -1] = 0
    return LinearMouth(np.linalg.solve(square + ridge, product))
