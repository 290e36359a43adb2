"""Rows of an array at places between them."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Real = TypeVar("Real", np.float32, np.float64)


def rows_at(values: NDArray[Real], at: ArrayLike) -> NDArray[Real]:
    """Interpolate rows linearly.

    Args:
        values: ``(N, ...)``, N of two or more.
        at: ``(M,)`` places, 0 the first row and N - 1 the last; beyond them these are repeated.

    Returns:
        ``(M, ...)`` of the same type.
    """
    places = np.asarray(at, np.float64).clip(0, len(values) - 1)
    low = np.minimum(places.astype(int), len(values) - 2)
    share = (places - low).astype(values.dtype).reshape(-1, *(1,) * (values.ndim - 1))
    between: NDArray[Real] = values[low] * (1 - share) + values[low + 1] * share
    return between
