"""The baseline after Vondrick, Pirsiavash and Torralba, *Generating Videos with Scene Dynamics*.

The video GAN of NIPS 2016 made audio-conditional, as the ECCV 2018 paper compares with it: noise
and an audio code become a moving foreground with a mask and a still background. It is given no
identity, so that its faces are nobody's.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .discriminator import AudioStream
from .layers import init_weights
from .network_config import GeneratorConfig

NOISE = 100


def _rise3d(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose3d(inputs, outputs, 4, 2, 1, bias=False),
        nn.BatchNorm3d(outputs),
        nn.ReLU(inplace=True),
    )


def _rise2d(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class VondrickGenerator(nn.Module):
    """Log-mel ``(B, 1, 64, 128)`` -> ``(B, 3, 16, 64, 64)``; the identity is not looked at.

    Evaluation uses one noise for all, drawn once: a speech of many windows then shows one face as
    far as the model allows.
    """

    face: Tensor

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.audio = AudioStream(width)
        self.width = width * 8
        self.register_buffer("face", torch.randn(1, NOISE))
        code = NOISE + width * 4
        self.begin_moving = nn.Linear(code, self.width * 2 * 16)
        self.begin_still = nn.Linear(code, self.width * 16)
        self.moving = nn.Sequential(
            _rise3d(width * 8, width * 4),
            _rise3d(width * 4, width * 2),
            _rise3d(width * 2, width),
            nn.ConvTranspose3d(width, 4, (3, 4, 4), (1, 2, 2), (1, 1, 1)),
        )
        self.still = nn.Sequential(
            _rise2d(width * 8, width * 4),
            _rise2d(width * 4, width * 2),
            _rise2d(width * 2, width),
            nn.ConvTranspose2d(width, 3, 4, 2, 1),
        )
        init_weights(self)

    def forward(self, mel: Tensor, identity: Tensor) -> Tensor:
        """See the class."""
        return self.speak(mel, identity)[0]

    def speak(self, mel: Tensor, identity: Tensor) -> tuple[Tensor, Tensor]:
        """Like :meth:`forward`, with the audio code ``(B, 4w)`` as second result."""
        batch = mel.shape[0]
        heard = self.audio(mel)
        noise = torch.randn_like(self.face.expand(batch, -1)) if self.training else self.face
        code = torch.cat([noise.expand(batch, -1), heard.float()], 1)
        moving = self.moving(self.begin_moving(code).view(batch, self.width, 2, 4, 4)).float()
        still = torch.tanh(self.still(self.begin_still(code).view(batch, self.width, 4, 4)).float())
        mask = torch.sigmoid(moving[:, 3:])
        video = mask * torch.tanh(moving[:, :3]) + (1 - mask) * still[:, :, None]
        # The identity's part in the graph is nothing, but an exported network keeps its input.
        return video + 0.0 * identity.mean(), heard
