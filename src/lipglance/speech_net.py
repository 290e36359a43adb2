"""The lower layers of a network that has heard far more speech than there is here to learn from.

Google's speech embedding (Lin et al. 2020, *Training Keyword Spotters with Limited and Synthesized
Speech Data*; https://tfhub.dev/google/speech_embedding/1, Apache License 2.0) is a stack of
convolutions that learnt to tell words on YouTube's speech. Its first eleven say, every 20 ms, what
sounds like what, whoever speaks; `MotionNet` begins with them and trains them on.
"""

from __future__ import annotations

import math
from importlib.resources import as_file, files

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

FEATURES = 576
"""Numbers to 20 ms: 72 channels of 8 places in frequency."""
REACH = 22
"""Log-mel rows that one of them hears."""
_SLOPE, _LEAST = 0.2, -0.4
# What it knows is log10 of the power of samples in int16 by a plain Hann window of 512, plus 2:
# a sine of amplitude 1, of power 1 in our log-mel, has (32767 * 128) ** 2 there.
_FULL_SCALE = 2.0 * math.log10(32767 * 128) + 2.0
# Channels in and out, kernel (time, frequency) of each convolution, pooling after it.
_LAYERS = (
    (1, 24, (3, 3), None),
    (24, 24, (1, 3), None),
    (24, 24, (3, 1), (2, 2)),
    (24, 48, (1, 3), None),
    (48, 48, (3, 1), None),
    (48, 48, (1, 3), None),
    (48, 48, (3, 1), (1, 2)),
    (48, 72, (1, 3), None),
    (72, 72, (3, 1), None),
    (72, 72, (1, 3), None),
    (72, 72, (3, 1), None),
)


class SpeechNet(nn.Module):
    """Log-mel ``(B, R, 128)`` in [-1, 1] -> features ``(B, 576, (R - REACH) // 2 + 1)``.

    Valid in time: a feature depends on the `REACH` rows that it hears and on nothing else.
    """

    bands: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, kernel, padding=(0, kernel[1] // 2), bias=index > 0)
            for index, (before, after, kernel, _) in enumerate(_LAYERS)
        )
        self.scale = nn.Parameter(torch.ones(24))
        self.offset = nn.Parameter(torch.zeros(24))
        # (32, 128): how the bands that the stack knows are made of the power in ours.
        self.register_buffer("bands", torch.zeros(32, 128))

    def take_over(self) -> None:
        """Take the weights that come with the package, as they were learnt."""
        with as_file(files("lipglance") / "assets" / "speech_embedding.safetensors") as path:
            held = load_file(str(path))
        renamed = {name.removeprefix("first."): value for name, value in held.items()}
        self.load_state_dict({name: value.float() for name, value in renamed.items()})

    def forward(self, mel: Tensor) -> Tensor:
        """See the class."""
        # 50 dB a unit, 0 dB at 1. Powers span more than half precision holds, so they are counted
        # from each row's loudest band.
        with torch.autocast(mel.device.type, enabled=False):
            loudest = mel.float().amax(-1, keepdim=True)
            power = torch.exp((mel.float() - loudest) * (5.0 * math.log(10.0))) @ self.bands.t()
            heard = torch.log10(power.clamp(min=1e-20)) + 5.0 * (loudest - 1.0) + _FULL_SCALE
        x = heard[:, None]
        for index, (layer, (*_, pool)) in enumerate(zip(self.layers, _LAYERS, strict=True)):
            x = layer(x)
            if index == 0:
                x = F.relu(x) * self.scale[:, None, None] + self.offset[:, None, None]
            x = F.leaky_relu(x, _SLOPE).clamp(min=_LEAST)
            if pool is not None:
                x = F.max_pool2d(x, pool)
        out: Tensor = x.permute(0, 1, 3, 2).flatten(1, 2)
        return out
