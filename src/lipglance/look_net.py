"""What is the mouth of a picture doing? From one look at it to the code of motion it shows.

A picture may show a mouth in the middle of a word, and what is heard moves it from there: so it
must be known how far from the middle of its movements it is. Two answers are mixed: a linear one of
the mesh points, which never errs far, and one of the picture, which knows more (teeth, creases,
whose mouth it is) and is less sure where faces are unlike those it has seen.

The same features also read where the mouth's points lie: in training, what a made frame reads is
held against what the true one does.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .face_points import LOWER_FACE, MOUTH_20
from .network_config import LookConfig

SHAPE_SCALE = 20.0
"""Displacements are some hundredths of the distance of the eyes."""
READ_SCALE = 1.0 / 6.0
"""Points lie this share of the crop's side about its middle."""


def _layer(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, 2, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class RestNet(nn.Module):
    """Shape of a lower face ``(B, P, 2)``, less the template's -> its code of motion ``(B, K)``."""

    def __init__(self, codes: int) -> None:
        super().__init__()
        self.say = nn.Linear(2 * len(LOWER_FACE), codes)

    def forward(self, shape: Tensor) -> Tensor:
        """See the class."""
        out: Tensor = self.say(shape.flatten(1) * SHAPE_SCALE)
        return out

    @torch.no_grad()
    def solve(self, shapes: Tensor, codes: Tensor, ridge: float) -> None:
        """Take the best weights for shapes ``(N, P, 2)`` and their codes ``(N, K)``."""
        seen = F.pad(shapes.double().flatten(1) * SHAPE_SCALE, (0, 1), value=1.0)
        kept = ridge * torch.eye(seen.shape[1], dtype=seen.dtype)
        found = torch.linalg.solve(seen.T @ seen + kept, seen.T @ codes.double())
        self.say.weight.copy_(found[:-1].T)
        self.say.bias.copy_(found[-1])


class LookNet(nn.Module):
    """Crop ``(B, 3, S, S)`` in [-1, 1] and shape ``(B, P, 2)`` -> code of motion ``(B, K)``.

    The shape is that of the mesh points less the template's; S is a multiple of 16.
    """

    def __init__(self, config: LookConfig, codes: int, size: int) -> None:
        super().__init__()
        self.config, self.size = config, size
        width = config.width
        self.see = nn.Sequential(
            _layer(3, width, 5),
            _layer(width, 2 * width, 3),
            _layer(2 * width, 3 * width, 3),
            _layer(3 * width, 4 * width, 3),
            nn.Flatten(),
            nn.Linear(4 * width * (size // 16) ** 2, config.features),
            nn.ReLU(inplace=True),
        )
        self.tell = nn.Linear(config.features, 2 * len(MOUTH_20))
        self.say = nn.Sequential(
            nn.Dropout(0.2),
            nn.Linear(config.features + 2 * len(LOWER_FACE), 128),
            nn.GELU(),
            nn.Dropout(0.1),
            nn.Linear(128, codes),
        )
        self.rest = RestNet(codes)

    def forward(self, crop: Tensor, shape: Tensor) -> Tensor:
        """See the class."""
        _, seen = self.both(crop, shape)
        trust = self.config.trust
        told: Tensor = self.rest(shape)
        return trust * seen + (1.0 - trust) * told.float()

    def both(self, crop: Tensor, shape: Tensor) -> tuple[Tensor, Tensor]:
        """What a crop alone says: points of its mouth ``(B, 20, 2)`` px, code ``(B, K)``."""
        features = self.see(crop)
        told = torch.cat([features, shape.flatten(1) * SHAPE_SCALE], 1)
        return self._points(features), self.say(told).float()

    def read(self, crop: Tensor) -> Tensor:
        """Where the mouth's points lie in crops ``(B, 3, S, S)``, ``(B, 20, 2)`` px."""
        return self._points(self.see(crop))

    def _points(self, features: Tensor) -> Tensor:
        told: Tensor = self.tell(features).float().view(-1, len(MOUTH_20), 2)
        return told * (self.size * READ_SCALE) + (self.size - 1) / 2
