"""The lip autoencoder whose features define the perceptual loss.

Trained first, on the same lips; then fixed. 7x7 convolution, two stride-2 convolutions, six
residual blocks, mirrored decoder; the features are taken after the residual blocks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .layers import BatchRenorm, Residual, TimeConv, conv_norm_relu, init_weights
from .network_config import AutoencoderConfig


class LipAutoencoder(nn.Module):
    """Images ``(N, 3, 64, 64)`` in [-1, 1] -> features ``(N, 4w, 16, 16)`` -> images."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        width, full = config.width, config.width * 4
        self.encoder = nn.Sequential(
            conv_norm_relu(3, width, 7),
            conv_norm_relu(width, width * 2, 3, 2),
            conv_norm_relu(width * 2, full, 3, 2),
            *(Residual(full) for _ in range(config.residual_blocks)),
        )
        self.up1 = TimeConv(full, width * 2, time=1, upsample=True)
        self.norm1 = nn.Sequential(BatchRenorm(width * 2), nn.ReLU(inplace=True))
        self.up2 = TimeConv(width * 2, width, time=1, upsample=True)
        self.norm2 = nn.Sequential(BatchRenorm(width), nn.ReLU(inplace=True))
        self.rgb = TimeConv(width, 3, kernel=7, time=1, bias=True)
        init_weights(self)

    def features(self, images: Tensor) -> Tensor:
        """Return the features ``(N, 4w, 16, 16)`` that the perceptual loss compares."""
        out: Tensor = self.encoder(images)
        return out

    def forward(self, images: Tensor) -> Tensor:
        """Rebuild the images."""
        x = self.features(images)
        x = self.norm1(self.up1(x, 1))
        x = self.norm2(self.up2(x, 1))
        return torch.tanh(self.rgb(x, 1).float())
