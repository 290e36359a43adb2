"""Moving the mouth of one picture: a flow from points, maps of the mouth, and putting it together.

A picture shows one mouth; another is wanted whose points are known. Where the picture has what is
wanted (skin, lips, chin, often teeth) it is *moved* there by a flow; what it does not have is
painted by a network (`renderer_net`) and laid over by a mask. All of this is arithmetic on arrays,
the same in training and in use.

The flow is interpolated from the points by inverse distance (Shepard 1968). One field for the
whole face would glue the lips together: between an upper lip that goes up and a lower lip that
goes down it is their mean, and when an open mouth closes, the teeth of the picture are drawn over
both. So there are two fields, one that does not know the lower lip and one that does not know the
upper, and they meet in a seam: the line midway between the inner lips, sharp inside the mouth and
ever softer outside its corners.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InputError
from .face_points import LIPS, LOWER_FACE
from .geometry import Floats, Image

FloatArray = NDArray[np.float32]

NOSE = (2, 98, 327)
"""Base and wings of the nose: what lies above a mouth and does not follow it."""
WARP_POINTS = (*LOWER_FACE, *NOSE)
"""The mesh points that `dense_flow` and `mouth_maps` take, in this order; lips first."""
CHANNELS = 12
"""Of what the network sees; see `net_inputs`."""
WANTED_OPENING, OWN_OPENING = 6, 8
"""Which of them are the openings between the lips, as wanted and in the picture."""
MAPS = slice(6, 10)
"""Which of them are `mouth_maps`, in [0, 1]: wanted, then the picture's."""
RESIDUAL = 4.0 / 96.0
"""Largest correction of the flow by the network, as a share of the crop's side."""
FLOW_GAIN = 10.0
"""The network sees displacements as shares of the crop's side times this: about 1."""

_RING = len(LIPS) // 2
_UPPER = (*range(1, _RING // 2), *range(_RING + 1, _RING + _RING // 2))
_LOWER = (*range(_RING // 2 + 1, _RING), *range(_RING + _RING // 2 + 1, 2 * _RING))
_INNER_UP = list(range(_RING + 1, _RING + _RING // 2))
_INNER_DOWN = list(range(2 * _RING - 1, _RING + _RING // 2, -1))
_CORNERS = [0, _RING // 2, _RING, _RING + _RING // 2]
_BORDER_POINTS = 6
# Shares of the crop's side: how near a point must be to rule alone; half the seam's softness inside
# the mouth; how fast it grows with the distance from a corner; the strip in which all fades.
NEAR = 0.02
_SEAM = 0.008
_SEAM_GROWS = 0.6
_FADE = 0.07


def _kept(left_out: tuple[int, ...]) -> NDArray[np.intp]:
    return np.setdiff1d(np.arange(len(WARP_POINTS)), left_out)


ABOVE, BELOW = _kept(_LOWER), _kept(_UPPER)


def _checked(points: ArrayLike) -> Floats:
    p = np.asarray(points, np.float64)
    if p.shape != (len(WARP_POINTS), 2) or not np.isfinite(p).all():
        raise InputError(
            f"points have shape {p.shape}; expected ({len(WARP_POINTS)}, 2) finite px of "
            "mouth_warp.WARP_POINTS"
        )
    return p


def window(size: int) -> FloatArray:
    """Where a crop may change, (size, size) in [0, 1]: 0 on its outermost px, 1 well inside."""
    return _window(size).copy()


@lru_cache
def _window(size: int) -> FloatArray:
    at = np.arange(size, dtype=np.float32)
    t = np.clip(np.minimum(at, size - 1 - at) / np.float32(_FADE * size), 0, 1)
    edge = t * t * (3 - 2 * t)
    inside = np.asarray(edge[:, None] * edge[None, :], np.float32)
    inside.flags.writeable = False  # it is everybody's
    return inside


def border(size: int) -> Floats:
    """Points on the crop's border, which stay."""
    at = np.linspace(0, size - 1, _BORDER_POINTS, endpoint=False)
    zero, full = np.zeros_like(at), np.full_like(at, size - 1)
    sides = [(at, zero), (full, at), (size - 1 - at, full), (zero, size - 1 - at)]
    return np.concatenate([np.stack(side, axis=1) for side in sides])


@lru_cache
def _cells(size: int, grid: int) -> Floats:
    """Middles of the cells in which a crop's flow is worked out, (grid * grid, 2) px."""
    at = (np.arange(grid) + 0.5) * (size / grid) - 0.5
    cells = np.stack(np.meshgrid(at, at), axis=-1).reshape(-1, 2)
    cells.flags.writeable = False
    return cells


def _fields(places: Floats, moves: Floats, cells: Floats, near: float) -> FloatArray:
    """Displacements (len(WARP_POINTS), 2) at the first of `places` (N, 2), none at the others.

    Returns:
        (C, 4) at `cells` (C, 2): the field that knows `ABOVE`, then the one that knows `BELOW`.
    """
    # The square of the distance as one product of matrices: several times faster than differences,
    # but it needs all its digits; what follows does not.
    apart = np.square(cells).sum(1)[:, None] + np.square(places).sum(1) - 2.0 * (cells @ places.T)
    weights = np.maximum(apart, 0.0).astype(np.float32)
    weights += np.float32(near**2)
    np.reciprocal(np.square(weights, out=weights), out=weights)
    # Both fields in one product: each place's move and whether it counts, for each field.
    told = np.zeros((len(places), 2, 3), np.float32)
    told[len(moves) :, :, 2] = 1.0
    for which, group in enumerate((ABOVE, BELOW)):
        told[group, which, :2] = moves[group]
        told[group, which, 2] = 1.0
    sums = (weights @ told.reshape(-1, 6)).reshape(-1, 2, 3)
    return np.asarray((sums[..., :2] / sums[..., 2:]).reshape(-1, 4))


def dense_flow(source: ArrayLike, driven: ArrayLike, size: int, grid: int = 24) -> FloatArray:
    """Backward flow that moves the mouth of a crop.

    Args:
        source: (len(WARP_POINTS), 2) crop px, where the points are in the picture.
        driven: the same points where they are wanted.
        size: side of the crop, px.
        grid: side of the grid on which the fields are interpolated, cells.

    Returns:
        (size, size, 2) crop px (x, y): the pixel at p shows what the picture has at p + flow[p].
        Zero on the crop's border, and everywhere where nothing moves.

    Raises:
        InputError: points of the wrong shape or not finite.
    """
    s, d = _checked(source), _checked(driven)
    places = np.concatenate([d, border(size)])
    spread = _fields(places, s - d, _cells(size, grid), NEAR * size).reshape(grid, grid, 4)
    fields = cv2.resize(spread, (size, size), interpolation=cv2.INTER_CUBIC)
    above, below = fields[..., :2], fields[..., 2:]
    share = below_seam(d, size)[..., None]
    flow = (above + share * (below - above)) * _window(size)[..., None]
    return np.asarray(flow, np.float32)


def below_seam(points: Floats, size: int) -> FloatArray:
    """How much a pixel belongs to the lower lip, (size, size) in [0, 1]."""
    middle = 0.5 * (points[_INNER_UP] + points[_INNER_DOWN])
    knots = np.concatenate([points[_CORNERS], middle])
    knots = knots[knots[:, 0].argsort()]
    x = np.arange(size, dtype=np.float64)
    line = np.interp(x, knots[:, 0], knots[:, 1])
    outside = np.maximum(np.maximum(knots[0, 0] - x, x - knots[-1, 0]), 0.0)
    soft = _SEAM * size + _SEAM_GROWS * outside
    half = 0.5 / soft
    t = (x[:, None] * half + (0.5 - line * half)).astype(np.float32)
    np.clip(t, 0, 1, out=t)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def mouth_maps(points: ArrayLike, size: int) -> FloatArray:
    """Draw a mouth: (2, size, size) in [0, 1], the opening between the lips and all within them.

    Between lips that are pressed together, the lower one's edge above the upper's, nothing is open.

    Args:
        points: (len(WARP_POINTS), 2) crop px.
        size: side of the crop, px.

    Raises:
        InputError: points of the wrong shape or not finite.
    """
    p = _checked(points).copy()
    p[_INNER_DOWN, 1] = np.maximum(p[_INNER_DOWN, 1], p[_INNER_UP, 1])
    bits = 4
    fixed = np.clip(np.round(p[: 2 * _RING] * (1 << bits)), -(1 << 20), 1 << 20).astype(np.int32)
    maps = np.zeros((2, size, size), np.float32)
    for shown, ring in zip(maps, (fixed[_RING:], fixed[:_RING]), strict=True):
        drawn = np.zeros((size, size), np.uint8)
        cv2.fillPoly(drawn, [ring], 255, cv2.LINE_AA, bits)
        shown[:] = cv2.GaussianBlur(drawn, (0, 0), 0.008 * size)
    maps *= np.float32(1 / 255)
    return maps


def net_inputs(
    crop: Image, flow: FloatArray, source_maps: FloatArray, driven_maps: FloatArray
) -> FloatArray:
    """What the network sees of one frame, (CHANNELS, S, S).

    Args:
        crop: (S, S, 3) uint8 RGB of the picture.
        flow: of `dense_flow`.
        source_maps: of `mouth_maps` in the picture.
        driven_maps: the same as wanted.

    Returns:
        Moved crop and crop in [-1, 1], wanted maps, the picture's maps, flow (`FLOW_GAIN`).
    """
    size = len(crop)
    shown = np.empty((CHANNELS, size, size), np.float32)
    shown[0:3] = warped(crop, flow).transpose(2, 0, 1)
    shown[3:6] = crop.transpose(2, 0, 1)
    shown[:6] *= np.float32(1 / 127.5)
    shown[:6] -= 1.0
    shown[MAPS] = np.concatenate([driven_maps, source_maps])
    shown[10:12] = flow.transpose(2, 0, 1) * np.float32(FLOW_GAIN / size)
    return shown


def net_outputs(
    said: FloatArray, flow: FloatArray, seen: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Take apart what the network said of one frame.

    What lies between the lips and did not in the picture is painted whatever the network says: all
    that could be moved there is lips drawn out, which on a mouth of a kind that it has not seen it
    would leave half uncovered.

    Args:
        said: (6, S, S): correction of the flow as a share of the crop's side (x, y), mask in
            [0, 1], colour in [-1, 1].
        flow: of `dense_flow`, (S, S, 2) crop px.
        seen: of `net_inputs`, what the network was shown.

    Returns:
        Flow (S, S, 2) crop px, mask (S, S), colour (S, S, 3) in 0..255; nothing at the border.
    """
    size = flow.shape[0]
    inside = _window(size)
    total = flow + said[:2].transpose(1, 2, 0) * (inside * np.float32(size))[..., None]
    own = np.asarray(_remapped(seen[OWN_OPENING], total, cv2.INTER_LINEAR), np.float32)
    unseen = opened(seen[WANTED_OPENING]) - opened(own)
    mask = np.maximum(said[2], unseen) * inside
    colour = (said[3:6].transpose(1, 2, 0) + 1.0) * np.float32(127.5)
    return np.asarray(total, np.float32), mask, np.asarray(colour, np.float32)


def opened(drawn: FloatArray) -> FloatArray:
    """Where an opening of `mouth_maps` surely is one: a closed mouth's is a line half as bright."""
    return np.asarray(np.clip(2.0 * drawn - 1.0, 0.0, 1.0), np.float32)


def _remapped(layer: Image | FloatArray, flow: FloatArray, way: int) -> NDArray[Any]:
    """Move a layer (H, W, ...) by a backward flow (H, W, 2) in its own px; way: of sampling."""
    height, width = layer.shape[:2]
    x = flow[..., 0] + np.arange(width, dtype=np.float32)
    y = flow[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    return np.asarray(cv2.remap(layer, x, y, way, borderMode=cv2.BORDER_REPLICATE))


def warped(picture: Image, flow: FloatArray, *, fine: bool = False) -> Image:
    """Move a picture (H, W, 3) uint8 by a backward flow (H, W, 2) in its own px.

    fine: sample bicubically, which keeps grain that bilinear sampling would blur.
    """
    way = cv2.INTER_CUBIC if fine else cv2.INTER_LINEAR
    return np.asarray(_remapped(picture, flow, way), np.uint8)


def compose(patch: Image, flow: FloatArray, mask: FloatArray, colour: FloatArray) -> Image:
    """Move a patch of the picture and lay over it what was painted.

    Args:
        patch: (H, W, 3) uint8 RGB, at the picture's own resolution.
        flow: (H, W, 2) px of the patch.
        mask: (H, W) in [0, 1]: where painted colour counts.
        colour: (H, W, 3) in 0..255.

    Returns:
        (H, W, 3) uint8; the patch to the bit wherever flow and mask are 0.

    Raises:
        InputError: sizes that do not agree.
    """
    if not patch.shape[:2] == flow.shape[:2] == mask.shape[:2] == colour.shape[:2]:
        raise InputError(
            f"patch {patch.shape}, flow {flow.shape}, mask {mask.shape} and colour {colour.shape}"
            " differ in size; expected one height and width for all"
        )
    moved = warped(patch, flow, fine=True)
    change = np.asarray(cv2.subtract(colour, moved, dtype=cv2.CV_32F), np.float32)
    change *= mask[..., None]
    # Rounds and clips in one go.
    return np.asarray(cv2.add(moved, change, dtype=cv2.CV_8U), np.uint8)
