"""The generator of *Lip Movements Generation at a Glance*: audio + one lip image -> 16 frames.

Shapes follow the paper at base width ``w`` (64 there): audio and identity features meet in a
``(4w, 16, 16, 16)`` block of channels, time, height and width, in which the audio's frequency axis
takes the place of the image height.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .layers import BatchRenorm, Residual, TimeConv, conv_norm_relu, init_weights
from .network_config import GeneratorConfig


class AudioEncoder(nn.Module):
    """Log-mel ``(B, 1, 4T, 128)`` -> features ``(B, 4w, T, 16)``: channels, time, frequency."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half, full = width // 2, width * 4
        self.body = nn.Sequential(
            conv_norm_relu(1, half, 3),
            conv_norm_relu(half, width, 3, 2),
            conv_norm_relu(width, width * 2, 3),
            conv_norm_relu(width * 2, full, 3, 2),
            conv_norm_relu(full, full, 3, (1, 2)),
        )

    def forward(self, mel: Tensor) -> Tensor:
        """See the class."""
        out: Tensor = self.body(mel)
        return out


class IdentityEncoder(nn.Module):
    """Lip image ``(B, 3, 64, 64)`` in [-1, 1] -> features ``(B, 4w, 16, 16)``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv_norm_relu(3, width, 7),
            conv_norm_relu(width, width * 2, 3, 2),
            conv_norm_relu(width * 2, width * 4, 3, 2),
        )

    def forward(self, image: Tensor) -> Tensor:
        """See the class."""
        out: Tensor = self.body(image)
        return out


class Fusion(nn.Module):
    """Concatenate audio and identity over space-time and compress by a 3x3x3 convolution.

    The audio features are repeated over the width, the identity features over time. A convolution
    of a concatenation is the sum of two convolutions, so the identity half is computed for one
    frame and repeated: the same result for a sixteenth of that half's work.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.audio = TimeConv(channels, channels)
        self.identity = TimeConv(channels, channels)
        self.norm = nn.Sequential(BatchRenorm(channels), nn.ReLU(inplace=True))

    def forward(self, audio: Tensor, identity: Tensor) -> Tensor:
        """Map ``(B, C, T, F)`` and ``(B, C, H=F, W)`` to ``(B*T, C, H, W)``."""
        batch, channels, frames, height = audio.shape
        width = identity.shape[-1]
        per_frame = audio.permute(0, 2, 1, 3).reshape(batch * frames, channels, height, 1)
        heard = self.audio(per_frame.expand(-1, -1, -1, width), frames)
        taps = self.identity.spatial(identity)
        # Inner frames see all three taps of the constant identity, the first and last only two.
        before, here, after = taps.view(batch, 3, channels, height, width).unbind(1)
        first, inner, last = here + after, before + here + after, before + here
        seen = torch.cat(
            [
                first[:, None],
                inner[:, None].expand(-1, frames - 2, -1, -1, -1),
                last[:, None],
            ],
            dim=1,
        )
        out: Tensor = self.norm(heard + seen.reshape(batch * frames, channels, height, width))
        return out


class Decoder(nn.Module):
    """Features ``(B*T, 4w, 16, 16)`` -> frames ``(B*T, 3, 64, 64)`` in [-1, 1]."""

    def __init__(self, width: int, residual_blocks: int) -> None:
        super().__init__()
        full = width * 4
        self.residual = nn.Sequential(*(Residual(full) for _ in range(residual_blocks)))
        self.up1 = TimeConv(full, width * 2, upsample=True)
        self.norm1 = nn.Sequential(BatchRenorm(width * 2), nn.ReLU(inplace=True))
        self.up2 = TimeConv(width * 2, width, upsample=True)
        self.norm2 = nn.Sequential(BatchRenorm(width), nn.ReLU(inplace=True))
        self.rgb = TimeConv(width, 3, kernel=7, time=7, bias=True)

    def forward(self, features: Tensor, frames: int) -> Tensor:
        """See the class."""
        x = self.residual(features)
        x = self.norm1(self.up1(x, frames))
        x = self.norm2(self.up2(x, frames))
        # The last sum runs over thousands of products: keep it and tanh out of bfloat16.
        return torch.tanh(self.rgb(x, frames).float())


class Generator(nn.Module):
    """The whole generator; keeps the audio features of the last call's graph for the loss."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.audio = AudioEncoder(config.width)
        self.identity = IdentityEncoder(config.width)
        self.fusion = Fusion(config.width * 4)
        self.decoder = Decoder(config.width, config.residual_blocks)
        init_weights(self)

    def forward(self, mel: Tensor, identity: Tensor) -> Tensor:
        """Make the frames.

        Args:
            mel: ``(B, 1, 4T, 128)`` log-mel in [-1, 1].
            identity: ``(B, 3, 64, 64)`` RGB in [-1, 1].

        Returns:
            ``(B, 3, T, 64, 64)`` RGB in [-1, 1].
        """
        return self.speak(mel, identity)[0]

    def speak(self, mel: Tensor, identity: Tensor) -> tuple[Tensor, Tensor]:
        """Like :meth:`forward`, with the audio features ``(B, 4w, T, 16)`` as second result."""
        heard = self.audio(mel)
        frames = heard.shape[2]
        fused = self.fusion(heard, self.identity(identity))
        out = self.decoder(fused, frames)
        video = out.view(-1, frames, *out.shape[1:]).transpose(1, 2)
        return video, heard
