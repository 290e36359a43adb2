"""A network that reads the shape of a mouth from its picture: does a painted mouth show it?

Pixel and feature losses let an open mouth pass as a soft shadow: the dark of an open mouth is a few
pixels. What a mouth *says* is its shape, so the reader is asked for that, and the generator is held
to what it reads in the real frame. Not in the paper; off unless ``loss.reading`` is set.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .batches import SHAPE

SHAPE_SCALE = 12.0
"""A mouth's shape, in mouth widths, times this has a spread of about one."""


def _layer(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, 2, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class LipReader(nn.Module):
    """Lip crops ``(N, 3, 64, 64)`` in [-1, 1] -> mouth shapes ``(N, SHAPE)``, spread about one.

    A shape is relative to the mouth at rest, which one picture does not show: only differences
    between pictures of one clip mean something.
    """

    def __init__(self, width: int = 24, shape: int = SHAPE) -> None:
        super().__init__()
        self.look = nn.Sequential(
            _layer(3, width, 5),
            _layer(width, width * 2, 3),
            _layer(width * 2, width * 3, 3),
            _layer(width * 3, width * 3, 3),
        )
        self.tell = nn.Sequential(
            nn.Linear(width * 3 * 16, 64), nn.ReLU(inplace=True), nn.Linear(64, shape)
        )

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        out: Tensor = self.tell(self.look(images).flatten(1))
        return out.float()


def misread(reader: LipReader, video: Tensor, shape: Tensor) -> Tensor:
    """Return the share of the shape's power, about its mean in each window, that is read wrongly.

    Args:
        reader: in training or evaluation mode.
        video: ``(B, 3, T, 64, 64)`` RGB in [-1, 1].
        shape: ``(B, T, SHAPE)`` of `batches.mouth_shape`.
    """
    batch, _, frames = video.shape[:3]
    read: Tensor = reader(video.transpose(1, 2).flatten(0, 1)).view(batch, frames, -1)
    wanted = shape * SHAPE_SCALE
    wanted = wanted - wanted.mean(1, keepdim=True)
    error = read - read.mean(1, keepdim=True) - wanted
    return error.square().mean() / wanted.square().mean().clamp(min=1e-6)


def reading_error(reader: LipReader, fake: Tensor, real: Tensor) -> Tensor:
    """Return how differently two batches of frames ``(N, 3, 64, 64)`` read (Huber's loss).

    Gradients reach `fake` only.
    """
    with torch.no_grad():
        wanted = reader(real)
    return F.smooth_l1_loss(reader(fake), wanted)
