"""The baseline of Chung, Jamaludin and Zisserman, *You said that?* (BMVC 2017), for lip crops.

A 2-D encoder-decoder that makes one frame at a time from 0.35 s of MFCC around it and the identity
image, whose encoder hands its features on to the decoder. Frames know nothing of each other.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import conv_norm_relu, init_weights
from .network_config import GeneratorConfig

COEFFICIENTS = 12
WINDOW = 35
"""Rows of 10 ms that a frame hears."""
CODE = 256


def cosine_basis(mels: int, count: int) -> Tensor:
    """Return the first `count` rows after the constant of the orthonormal DCT-II, ``(mels, n)``.

    Log-mel times this are the mel-frequency cepstral coefficients 1 to n (Davis and Mermelstein
    1980).
    """
    band = torch.arange(mels) + 0.5
    order = torch.arange(1, count + 1)
    return torch.cos(math.pi / mels * band[:, None] * order[None]) * math.sqrt(2.0 / mels)


class ChungGenerator(nn.Module):
    """Log-mel ``(B, 1, 4T, 128)`` and identity ``(B, 3, 64, 64)`` -> ``(B, 3, T, 64, 64)``."""

    cosines: Tensor

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        width, full = config.width, config.width * 4
        self.register_buffer("cosines", cosine_basis(128, COEFFICIENTS), persistent=False)
        self.audio = nn.Sequential(
            conv_norm_relu(1, width, 3),
            conv_norm_relu(width, width * 2, 3),
            nn.MaxPool2d((1, 3), (1, 2), (0, 1)),
            conv_norm_relu(width * 2, full, 3),
            conv_norm_relu(full, full, 3),
            nn.MaxPool2d(3, 2, 1),
            nn.Flatten(),
        )
        self.audio_code = nn.Linear(full * 6 * 9, CODE)
        sizes = (width, width * 2, full, full)
        self.look = nn.ModuleList(
            conv_norm_relu(inputs, outputs, 5 if inputs == 3 else 3, 2)
            for inputs, outputs in zip((3, *sizes[:-1]), sizes, strict=True)
        )
        self.identity_code = nn.Linear(full * 16, CODE)
        self.join = nn.Linear(2 * CODE, full * 16)
        self.rise = nn.ModuleList(
            nn.Sequential(
                nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(inplace=True),
            )
            for inputs, outputs in ((full, full), (full * 2, width * 2), (width * 4, width))
        )
        self.rgb = nn.ConvTranspose2d(width * 2, 3, 4, 2, 1)
        init_weights(self)

    def forward(self, mel: Tensor, identity: Tensor) -> Tensor:
        """See the class."""
        return self.speak(mel, identity)[0]

    def speak(self, mel: Tensor, identity: Tensor) -> tuple[Tensor, Tensor]:
        """Like :meth:`forward`, with the audio codes ``(B, T, 256)`` as second result."""
        batch, frames = mel.shape[0], mel.shape[2] // 4
        heard = F.relu(self.audio_code(self.audio(self._windows(mel))))
        seen, features = identity, []
        for layer in self.look:
            seen = layer(seen)
            features.append(seen)
        known = F.relu(self.identity_code(seen.flatten(1)))
        both = torch.cat([heard, known.repeat_interleave(frames, 0)], 1)
        x = F.relu(self.join(both)).view(batch * frames, -1, 4, 4)
        for layer, skip in zip(self.rise, reversed(features[:-1]), strict=True):
            x = torch.cat([layer(x), skip.repeat_interleave(frames, 0)], 1)
        out = torch.tanh(self.rgb(x).float())
        video = out.view(batch, frames, *out.shape[1:]).transpose(1, 2)
        return video, heard.view(batch, frames, -1)

    def _windows(self, mel: Tensor) -> Tensor:
        """Cut ``(B*T, 1, 12, 35)`` coefficients, the frame's own 40 ms in the middle."""
        cepstrum = (mel[:, 0].float() @ self.cosines).transpose(1, 2)
        padded = F.pad(cepstrum, (16, 15), mode="replicate")
        return padded.unfold(2, WINDOW, 4).permute(0, 2, 1, 3).flatten(0, 1)[:, None]
