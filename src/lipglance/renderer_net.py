"""The network that finishes a moved mouth: corrects the flow and paints what the picture lacks.

A small U-Net (Ronneberger et al. 2015) that works at half the crop's resolution and below; its
colours come back to full resolution by pixel shuffling (Shi et al. 2016). It sees what
`mouth_warp.net_inputs` gives and says what `mouth_warp.net_outputs` takes apart. Warping itself
happens outside, so that the network is convolutions alone and runs anywhere.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .mouth_warp import CHANNELS, OWN_OPENING, RESIDUAL, WANTED_OPENING
from .network_config import RendererConfig


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class _Block(nn.Module):
    """A convolution and another around a skip connection, same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv(channels, channels),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return F.relu(x + self.body(x))


class RendererNet(nn.Module):
    """``(B, 12, S, S)`` of `mouth_warp.net_inputs` -> ``(B, 6, S, S)``, S a multiple of 8.

    Out: correction of the flow as a share of the crop's side (x, y), at most `RESIDUAL`; mask in
    [0, 1]; colour in [-1, 1].
    """

    def __init__(self, config: RendererConfig) -> None:
        super().__init__()
        self.config = config
        one, two, three = config.width, config.width * 2, config.width * 3
        self.stem = _conv(CHANNELS, one, 2)
        self.down1 = nn.Sequential(_conv(one, two, 2), _Block(two))
        self.down2 = nn.Sequential(_conv(two, three, 2), _Block(three), _Block(three))
        self.up1 = _conv(three, two)
        self.mix1 = _Block(two)
        self.up2 = _conv(two, one)
        self.mix2 = _Block(one)
        self.move = nn.Conv2d(one, 2, 3, padding=1)
        self.paint = nn.Conv2d(one, 16, 3, padding=1)
        # Begin as the warp alone: no correction, hardly any paint.
        for head in (self.move, self.paint):
            nn.init.normal_(head.weight, 0.0, 1e-3)
        bias = self.move.bias
        assert bias is not None
        nn.init.zeros_(bias)
        paint = self.paint.bias
        assert paint is not None
        nn.init.zeros_(paint)
        with torch.no_grad():
            paint[:4] = -2.0

    def forward(self, seen: Tensor) -> Tensor:
        """See the class."""
        half = self.stem(seen)
        quarter = self.down1(half)
        eighth = self.down2(quarter)
        x = self.mix1(self.up1(F.interpolate(eighth, scale_factor=2.0)) + quarter)
        x = self.mix2(self.up2(F.interpolate(x, scale_factor=2.0)) + half)
        move = torch.tanh(self.move(x).float()) * RESIDUAL
        move = F.interpolate(move, scale_factor=2.0, mode="bilinear", align_corners=False)
        painted = F.pixel_shuffle(self.paint(x).float(), 2)
        return torch.cat([move, torch.sigmoid(painted[:, :1]), torch.tanh(painted[:, 1:])], 1)


def rendered(said: Tensor, seen: Tensor, flow: Tensor, window: Tensor) -> tuple[Tensor, Tensor]:
    """Make frames of what the network said: `mouth_warp.net_outputs` and `compose`, differentiable.

    Args:
        said: ``(B, 6, S, S)``.
        seen: ``(B, 12, S, S)``, what the network was shown.
        flow: ``(B, 2, S, S)`` of `mouth_warp.dense_flow`, crop px.
        window: ``(S, S)`` of `mouth_warp.window`.

    Returns:
        Frames ``(B, 3, S, S)`` in [-1, 1] and the moved crops without paint.
    """
    source = seen[:, 3:6]
    total = flow + said[:, :2] * window * source.shape[-1]
    moved = warped(source, total)
    with torch.no_grad():
        own = warped(seen[:, OWN_OPENING, None], total)
        wanted = seen[:, WANTED_OPENING, None].float()
        # As `mouth_warp.opened`.
        unseen = (2 * wanted - 1).clamp(0, 1) - (2 * own - 1).clamp(0, 1)
    mask = torch.maximum(said[:, 2:3], unseen) * window
    return moved + mask * (said[:, 3:] - moved), moved


def warped(source: Tensor, flow: Tensor) -> Tensor:
    """Move crops ``(B, C, S, S)`` by backward flows ``(B, 2, S, S)`` crop px; differentiable."""
    size = source.shape[-1]
    at = torch.arange(size, device=source.device, dtype=torch.float32)
    x, y = flow[:, 0] + at, flow[:, 1] + at[:, None]
    # Whole numbers are pixel centres; grid_sample counts from -1 to 1 over the pixels' outer edges.
    grid = torch.stack([x, y], -1) * (2 / size) + (1 / size - 1)
    return F.grid_sample(source.float(), grid, padding_mode="border", align_corners=False)
