"""Audio-visual derivative correlation: speech changes and lip motion should go together.

The temporal derivative of the generator's audio features and the optical flow of the lips are each
encoded to one number per step; the loss is 1 - cosine similarity of the two 15-vectors. Learned
encoders make the loss free of a fixed lag between sound and lips.

The encoders count in float32 under autocast too: they read small differences, cost next to
nothing, and on one CPU with AMX the bfloat16 gradients of such narrow convolutions came out NaN.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import conv_norm_relu, init_weights


class AudioDerivativeEncoder(nn.Module):
    """Audio features ``(B, C, T, 16)`` -> ``(B, T-1)`` (derivative) or ``(B, T-1)`` without it.

    Args:
        channels: C of the generator's audio features.
        width: base width; the layers have 2, 1, 1/2 and 1/4 of it.
        derivative: take differences along time first (Tab. 1's row with, against without).
    """

    def __init__(self, channels: int, width: int, *, derivative: bool) -> None:
        super().__init__()
        self.derivative = derivative
        sizes = [channels, width * 2, width, max(1, width // 2), max(1, width // 4)]
        self.body = nn.Sequential(
            *(conv_norm_relu(a, b, 3, (1, 2)) for a, b in itertools.pairwise(sizes[:-1])),
            # No ReLU at the end: a correlation needs both signs.
            nn.Conv2d(sizes[-2], sizes[-1], 3, (1, 2), 1),
        )
        init_weights(self)

    def forward(self, features: Tensor) -> Tensor:
        """See the class."""
        with torch.autocast(features.device.type, enabled=False):
            heard = features.float()
            steps = heard[:, :, 1:] - heard[:, :, :-1] if self.derivative else heard[:, :, 1:]
            encoded: Tensor = self.body(steps)
            return encoded.mean(dim=(1, 3))


class FlowEncoder(nn.Module):
    """Flow fields ``(B, 2, T-1, 64, 64)`` -> ``(B, T-1)``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        sizes = [2, max(2, width // 16), max(4, width // 8), max(8, width // 4), max(8, width // 4)]
        layers: list[nn.Module] = []
        for index, (a, b) in enumerate(itertools.pairwise(sizes)):
            layers.append(nn.Conv3d(a, b, 3, (1, 2, 2), 1))
            if index < len(sizes) - 2:
                layers += [nn.BatchNorm3d(b), nn.ReLU(inplace=True)]
        self.body = nn.Sequential(*layers)
        init_weights(self)

    def forward(self, flow: Tensor) -> Tensor:
        """See the class."""
        with torch.autocast(flow.device.type, enabled=False):
            encoded: Tensor = self.body(flow.float())
            return encoded.mean(dim=(1, 3, 4))


def correlation_loss(audio: Tensor, flow: Tensor, *, centred: bool = False) -> Tensor:
    """Return ``1 - cos(audio, flow)``, averaged over the batch; both ``(B, T-1)``.

    The authors' cosine is 1 for any two constant vectors, and that is what the encoders learn to
    give; ``centred`` takes the means over time out first, which makes it Pearson's r.
    """
    if centred:
        audio = audio - audio.mean(dim=1, keepdim=True)
        flow = flow - flow.mean(dim=1, keepdim=True)
    return 1.0 - F.cosine_similarity(audio, flow, dim=1).mean()
