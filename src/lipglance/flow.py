"""Optical flow that gradients pass through.

The correlation loss and the flow stream of the discriminator look at how lips *move*, and must
teach the generator, so the flow has to be differentiable with respect to the frames. We use
iterative pyramidal Lucas-Kanade (Lucas & Kanade 1981; Bouguet 2001) written as tensor operations
rather than a flow network trained along: it has no parameters, so real and generated videos are
measured by the same fixed rule and the generator cannot bend it; it needs no flow ground truth
and costs a few per cent of a training step at 64x64. The price is flow smoothed over its window,
which at this size is about half a lip.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

GREY = (0.299, 0.587, 0.114)
"""ITU-R BT.601 luma weights of red, green and blue."""


def _box(x: Tensor, radius: int) -> Tensor:
    return F.avg_pool2d(x, 2 * radius + 1, 1, radius, count_include_pad=False)


def _warp(image: Tensor, flow: Tensor) -> Tensor:
    _, _, height, width = image.shape
    ys = torch.arange(height, device=image.device, dtype=image.dtype)
    xs = torch.arange(width, device=image.device, dtype=image.dtype)
    grid_x = (xs[None, None, :] + flow[:, 0]) * (2.0 / (width - 1)) - 1.0
    grid_y = (ys[None, :, None] + flow[:, 1]) * (2.0 / (height - 1)) - 1.0
    grid = torch.stack([grid_x, grid_y], dim=-1)
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=True)


def _lucas_kanade(
    first: Tensor, second: Tensor, flow: Tensor, radius: int, damping: float
) -> Tensor:
    moved = _warp(second, flow)
    middle = 0.5 * (first + moved)
    padded = F.pad(middle, (1, 1, 1, 1), mode="replicate")
    dx = 0.5 * (padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2])
    dy = 0.5 * (padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1])
    dt = moved - first
    sums = _box(torch.cat([dx * dx, dx * dy, dy * dy, dx * dt, dy * dt], dim=1), radius)
    xx, xy, yy, xt, yt = torch.split(sums, 1, dim=1)
    # Damping (Levenberg) keeps flat skin, where the 2x2 system is singular, at zero flow.
    xx, yy = xx + damping, yy + damping
    inverse = 1.0 / (xx * yy - xy * xy)
    step_x = -(yy * xt - xy * yt) * inverse
    step_y = -(xx * yt - xy * xt) * inverse
    return flow + torch.cat([step_x, step_y], dim=1)


def video_flow(video: Tensor, levels: int = 2, radius: int = 3, damping: float = 1e-3) -> Tensor:
    """Estimate the flow between neighbouring frames.

    Args:
        video: ``(B, 3, T, H, W)`` RGB in [-1, 1]; H and W divisible by ``2 ** (levels - 1)``.
        levels: pyramid levels; each doubles the reach of about ``radius`` pixels.
        radius: half side of the window over which one motion is assumed, in pixels.
        damping: added to the diagonal of the structure tensor (image range 2, squared gradients).

    Returns:
        ``(B, 2, T-1, H, W)`` float32: x and y displacement in pixels from frame t to t+1.
    """
    # Second differences of small numbers: bfloat16 has too few digits for the 2x2 solve.
    with torch.autocast(video.device.type, enabled=False):
        batch, _, frames, height, width = video.shape
        weights = torch.tensor(GREY, device=video.device).view(1, 3, 1, 1, 1)
        grey = (video.float() * weights).sum(1)
        first = grey[:, :-1].reshape(-1, 1, height, width)
        second = grey[:, 1:].reshape(-1, 1, height, width)
        pyramid = [(first, second)]
        for _ in range(levels - 1):
            pyramid.append((F.avg_pool2d(pyramid[-1][0], 2), F.avg_pool2d(pyramid[-1][1], 2)))
        flow = torch.zeros_like(pyramid[-1][0]).repeat(1, 2, 1, 1)
        for level, (a, b) in enumerate(reversed(pyramid)):
            if level:
                flow = 2.0 * F.interpolate(
                    flow, scale_factor=2.0, mode="bilinear", align_corners=False
                )
            flow = _lucas_kanade(a, b, flow, radius, damping)
        return flow.view(batch, frames - 1, 2, height, width).transpose(1, 2)
