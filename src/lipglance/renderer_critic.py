"""Who tells painted mouths from real ones: a small critic of patches, for sharper teeth and lips.

A convolutional net whose every output judges one patch (Isola et al. 2017, *Image-to-image
translation with conditional adversarial networks*), with spectral normalization (Miyato et al.
2018) and the hinge loss (Lim and Ye 2017). It sees the middle of the crop, where the mouth is, and
the maps of the mouth that was wanted, so that a fine mouth of the wrong shape does not pass. What
its layers make of real and painted mouths is to agree as well (feature matching, Salimans et al.
2016): that keeps the painter near the one right picture.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

MIDDLE = 2.0 / 3.0
"""Share of the crop's side that is judged."""


class RendererCritic(nn.Module):
    """``(B, 3, S, S)`` frames in [-1, 1] and ``(B, 2, S, S)`` maps -> features, judgement last.

    Args:
        width: channels of the first layer; doubled twice.
        gain: of the judgement. Spectral normalization keeps what layers make of a small difference
            small: without gain, the hinge's margin of 1 is out of reach and all is learnt slowly.
    """

    def __init__(self, width: int, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = gain
        sizes = [5, width, width * 2, width * 4]
        self.layers = nn.ModuleList(
            spectral_norm(nn.Conv2d(a, b, 4, 2, 1)) for a, b in pairwise(sizes)
        )
        self.judge = spectral_norm(nn.Conv2d(sizes[-1], 1, 3, 1, 1))

    def forward(self, frames: Tensor, maps: Tensor) -> list[Tensor]:
        """See the class."""
        x = middle(torch.cat([frames, maps.to(frames.dtype)], 1))
        seen = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            seen.append(x)
        return [*seen, self.judge(x) * self.gain]


def middle(crops: Tensor) -> Tensor:
    """Cut the judged middle out of ``(B, C, S, S)``."""
    size = crops.shape[-1]
    side = round(size * MIDDLE / 8) * 8
    low = (size - side) // 2
    return crops[..., low : low + side, low : low + side]


def critic_loss(real: Tensor, made: Tensor) -> Tensor:
    """Hinge loss of judgements of real and of painted patches."""
    return F.relu(1.0 - real.float()).mean() + F.relu(1.0 + made.float()).mean()


def painter_loss(made: list[Tensor], real: list[Tensor]) -> tuple[Tensor, Tensor]:
    """What the painter is told: how false it looks, and how far its features are from the real."""
    likeness = torch.stack(
        [
            F.l1_loss(a.float(), b.detach().float())
            for a, b in zip(made[:-1], real[:-1], strict=True)
        ]
    ).mean()
    return -made[-1].float().mean(), likeness
