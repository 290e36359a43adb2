"""How far a generated frame is from the real one: pixels, features, and what is read from it."""

from __future__ import annotations

import torch
from torch import Tensor

from .autoencoder import LipAutoencoder
from .config import LossConfig
from .lip_reader import LipReader, reading_error


def feature_error(got: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean squared error of autoencoder features ``(N, C, h, w)``.

    Relative to each channel's spread on real lips: the features' scale is the autoencoder's own
    affair, and unscaled a few loud channels drown every other term.
    """
    wanted = wanted.float()
    spread = wanted.var(dim=(0, 2, 3), keepdim=True) + 1e-3
    return ((got.float() - wanted).square() / spread).mean()


def mouth_importance(size: int, mouth: float) -> Tensor:
    """Return pixel weights ``(size, size)`` with mean 1, highest at the lips.

    Args:
        size: side of the crop.
        mouth: how much more a pixel at the lips counts than one at the rim.

    The bell's place and spread are those of the pixels' variance over time in training crops,
    which are aligned so that the lips' line lies in the middle.
    """
    at = (torch.arange(size) + 0.5) / size
    across = torch.exp(-0.5 * ((at - 0.5) / 0.2).square())
    down = torch.exp(-0.5 * ((at - 0.56) / 0.17).square())
    weights = 1.0 + mouth * down[:, None] * across[None, :]
    return weights / weights.mean()


class PictureLoss:
    """The pixel, perceptual and reading terms of the objective, weighed.

    Args:
        config: the terms' weights.
        size: side of the frames.
        autoencoder: gives the features; its own weights are left alone.
        device: where the frames are.
        reader: needed where ``config.reading`` is set.
    """

    def __init__(
        self,
        config: LossConfig,
        size: int,
        autoencoder: LipAutoencoder,
        device: torch.device,
        reader: LipReader | None = None,
    ) -> None:
        self.config, self.autoencoder, self.reader = config, autoencoder, reader
        self.importance = mouth_importance(size, config.mouth).to(device)

    def __call__(self, fake: Tensor, real: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Compare frames ``(N, 3, S, S)`` in [-1, 1].

        Returns:
            The weighed sum, and the unweighed terms by name.
        """
        error = fake - real
        seen = {"pixel": (error.abs() * self.importance).mean()}
        total = self.config.pixel * seen["pixel"]
        if self.config.square:
            seen["square"] = (error.square() * self.importance).mean()
            total = total + self.config.square * seen["square"]
        if self.config.perceptual:
            with torch.no_grad():
                wanted = self.autoencoder.features(real)
            seen["perceptual"] = feature_error(self.autoencoder.features(fake), wanted)
            total = total + self.config.perceptual * seen["perceptual"]
        if self.reader is not None:
            seen["reading"] = reading_error(self.reader, fake, real)
            total = total + self.config.reading * seen["reading"]
        return total, seen
