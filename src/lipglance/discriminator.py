"""The three-stream discriminator: video, optical flow and audio judged together.

It learns realism from real against generated, and sync from real video with its own against
someone else's audio.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from .layers import init_weights


def _stream(inputs: int, width: int) -> nn.Sequential:
    sizes = [inputs, width, width * 2, width * 4, width * 4]
    layers: list[nn.Module] = []
    for index, (a, b) in enumerate(itertools.pairwise(sizes)):
        layers.append(nn.Conv3d(a, b, 4, (1, 2, 2), 1, bias=index == 0))
        if index:
            layers.append(nn.BatchNorm3d(b))
        layers.append(nn.LeakyReLU(0.2, inplace=True))
    return nn.Sequential(*layers)


class AudioStream(nn.Module):
    """Log-mel ``(B, 1, 64, 128)`` -> code ``(B, 4w)``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        sizes = [1, width // 2, width, width * 2, width * 4]
        layers: list[nn.Module] = []
        for index, (a, b) in enumerate(itertools.pairwise(sizes)):
            layers.append(nn.Conv2d(a, b, 4, 2, 1, bias=index == 0))
            if index:
                layers.append(nn.BatchNorm2d(b))
            layers.append(nn.LeakyReLU(0.2, inplace=True))
        self.body = nn.Sequential(*layers, nn.Flatten())
        self.full = nn.Linear(width * 4 * 4 * 8, width * 4)

    def forward(self, mel: Tensor) -> Tensor:
        """See the class."""
        code: Tensor = nn.functional.leaky_relu(self.full(self.body(mel)), 0.2)
        return code


class Discriminator(nn.Module):
    """Video ``(B, 3, 16, 64, 64)`` + flow ``(B, 2, 15, 64, 64)`` + log-mel -> logit ``(B,)``.

    Args:
        width: base width (64 in the paper).
        flow_stream: watch the optical flow as well.
        audio_stream: listen as well; without it the discriminator judges pictures alone.
    """

    def __init__(self, width: int, *, flow_stream: bool = True, audio_stream: bool = True) -> None:
        super().__init__()
        self.video = _stream(3, width)
        self.flow = _stream(2, width) if flow_stream else None
        self.audio = AudioStream(width) if audio_stream else None
        streams = 1 + int(flow_stream) + int(audio_stream)
        self.join = nn.Sequential(
            nn.Conv3d(width * 4 * streams, width * 8, (3, 4, 4), bias=False),
            nn.BatchNorm3d(width * 8),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv3d(width * 8, 1, 1),
        )
        init_weights(self)

    def look(self, video: Tensor, flow: Tensor | None) -> Tensor:
        """Return what is seen ``(B, C, t, 4, 4)``: shared by pairs of one video and two audios."""
        seen: Tensor = self.video(video)
        if self.flow is None:
            return seen
        if flow is None:
            raise ValueError("a discriminator with a flow stream needs the flow")
        moved = self.flow(flow)
        # 15 flow fields give one step fewer than 16 frames.
        return torch.cat([seen[:, :, : moved.shape[2]], moved], dim=1)

    def judge(self, seen: Tensor, mel: Tensor | None) -> Tensor:
        """Return the logit ``(B,)`` of what is seen with what is heard."""
        if self.audio is not None:
            if mel is None:
                raise ValueError("a discriminator with an audio stream needs the audio")
            heard = self.audio(mel)[:, :, None, None, None]
            seen = torch.cat([seen, heard.expand(-1, -1, *seen.shape[2:]).to(seen.dtype)], dim=1)
        score: Tensor = self.join(seen)
        return score.float().flatten(1).mean(1)

    def forward(self, video: Tensor, flow: Tensor | None, mel: Tensor | None) -> Tensor:
        """See the class."""
        return self.judge(self.look(video, flow), mel)
