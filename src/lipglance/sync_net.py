"""The network of the sync expert: lips and sound into one space, where what belongs together lies.

After SyncNet (Chung and Zisserman, *Out of time*, 2016): two streams, each from 0.2 s of its own
kind to a vector. No layer pads in time, so that no vector knows how far from an edge it is: it
could be matched by that alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .network_config import SyncConfig

CONTEXT = 5
"""Video frames that a vector is made from; T frames give T - 4 vectors."""


def _conv2d(
    inputs: int,
    outputs: int,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _conv1d(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(inputs, outputs, kernel, bias=False),
        nn.BatchNorm1d(outputs),
        nn.ReLU(inplace=True),
    )


class LipStream(nn.Module):
    """Lip crops ``(B, T, 3, 64, 64)`` in [-1, 1] -> unit vectors ``(B, T - 4, D)``."""

    def __init__(self, config: SyncConfig) -> None:
        super().__init__()
        width, full = config.width, config.width * 4
        self.look = nn.Sequential(
            _conv2d(3, width, (5, 5), (2, 2), (2, 2)),
            _conv2d(width, width * 2, (3, 3), (2, 2), (1, 1)),
            _conv2d(width * 2, full, (3, 3), (2, 2), (1, 1)),
            _conv2d(full, full, (3, 3), (2, 2), (1, 1)),
        )
        self.follow = nn.Sequential(
            _conv1d(full * 16, 128, 1),
            _conv1d(128, 128, 3),
            _conv1d(128, 128, 3),
            nn.Conv1d(128, config.embedding, 1),
        )

    def forward(self, lips: Tensor) -> Tensor:
        """See the class."""
        batch = lips.shape[0]
        seen = self.look(lips.flatten(0, 1)).flatten(1)
        tracks = seen.unflatten(0, (batch, -1)).transpose(1, 2)
        return F.normalize(self.follow(tracks).transpose(1, 2).float(), dim=-1)


class SoundStream(nn.Module):
    """Log-mel ``(B, 1, 4T, 128)`` in [-1, 1] -> unit vectors ``(B, T - 4, D)``."""

    def __init__(self, config: SyncConfig) -> None:
        super().__init__()
        width, full = config.width, config.width * 4
        self.listen = nn.Sequential(
            _conv2d(1, width, (3, 5), (1, 2), (0, 2)),
            _conv2d(width, width * 2, (3, 3), (2, 2), (0, 1)),
            _conv2d(width * 2, full, (3, 3), (1, 2), (0, 1)),
            _conv2d(full, full, (2, 3), (2, 2), (0, 1)),
        )
        self.follow = nn.Sequential(
            _conv1d(full * 8, 128, 1), _conv1d(128, 128, 3), nn.Conv1d(128, config.embedding, 1)
        )

    def forward(self, mel: Tensor) -> Tensor:
        """See the class."""
        heard = self.listen(mel)
        tracks = heard.transpose(2, 3).flatten(1, 2)
        return F.normalize(self.follow(tracks).transpose(1, 2).float(), dim=-1)


class SyncNet(nn.Module):
    """Both streams and the scale that turns their cosines into logits."""

    def __init__(self, config: SyncConfig) -> None:
        super().__init__()
        self.config = config
        self.lips = LipStream(config)
        self.sound = SoundStream(config)
        self.log_scale = nn.Parameter(torch.tensor(2.3))

    @property
    def scale(self) -> Tensor:
        """What cosines are multiplied by, 1 to 50."""
        return self.log_scale.clamp(0.0, 3.9).exp()


def shifted_cosine(lips: Tensor, sound: Tensor, shift: int) -> Tensor:
    """Mean cosine ``(B,)`` of the lips at t and the sound at t + shift, both ``(B, N, D)``."""
    count = lips.shape[1] - abs(shift)
    first, second = max(0, -shift), max(0, shift)
    pairs = lips[:, first : first + count] * sound[:, second : second + count]
    return pairs.sum(-1).mean(1)
