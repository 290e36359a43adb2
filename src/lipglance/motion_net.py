"""From sound to the motion of a mouth.

A small network hears a frame's sound with a little of what comes before and after, remembers, and
says a code of motion that is free of who speaks. What the given picture's own mouth is doing, which
may be the middle of a word, `look_net` says. The mouth to show is then

    shape = given shape + components . (heard code - code of the given mouth)
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import from_dict
from .motion import UNHEARD
from .network_config import MotionConfig
from .speech_net import FEATURES, REACH, SpeechNet

ROWS = 4
"""Log-mel rows to a video frame."""
BANDS = 128


class MotionNet(nn.Module):
    """Log-mel -> codes of motion, frame by frame, with a memory of what was heard before.

    Two ears: the lower layers of a speech embedding that was learnt elsewhere, and convolutions
    on all 128 bands (the embedding hears nothing above 3.8 kHz). All convolutions are 'valid': a
    frame's features depend on the rows from ``past`` frames before it to ``ahead`` frames after it
    and on nothing else, so that speech may arrive in pieces.
    """

    def __init__(self, config: MotionConfig) -> None:
        super().__init__()
        self.config = config
        rows = (config.past + 1 + config.ahead) * ROWS
        # Two halvings bring rows to video frames; the last kernel spans what is left.
        left = ((rows - 4) // 2 + 1 - 4) // 2 + 1
        self.listen = nn.Sequential(
            nn.Conv1d(BANDS, config.width, 4, 2),
            nn.GELU(),
            nn.Conv1d(config.width, config.width, 4, 2),
            nn.GELU(),
            nn.Conv1d(config.width, config.memory, left),
            nn.GELU(),
        )
        self.speech = SpeechNet()
        spans = (rows - UNHEARD - REACH) // 2 + 1
        self.gather = nn.Sequential(nn.Conv1d(FEATURES, config.memory, spans, 2), nn.GELU())
        self.drop = nn.Dropout(config.dropout)
        self.remember = nn.GRU(config.memory, config.memory, 2, batch_first=True)
        self.say = nn.Linear(config.memory * 2, config.codes)

    def forward(self, mel: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Say the codes of frames whose sound is known.

        Args:
            mel: ``(B, 4 * (past + N + ahead), 128)`` log-mel in [-1, 1].
            memory: ``(2, B, memory)``, zeros before the first frame.

        Returns:
            Codes ``(B, N, K)`` and the memory after the last frame.
        """
        known = self.gather(self.speech(mel[:, :-UNHEARD]))
        heard = (self.listen(mel.transpose(1, 2)) + known).transpose(1, 2)
        heard = self.drop(heard)
        kept, memory = self.remember(heard, memory)
        out: Tensor = self.say(torch.cat([heard, kept], -1))
        return out, memory

    def padded(self, mel: Tensor) -> Tensor:
        """Surround whole sequences ``(B, 4T, 128)`` by the silence that T codes need."""
        before, after = self.config.past * ROWS, self.config.ahead * ROWS
        return F.pad(mel, (0, 0, before, after), value=-1.0)

    def silence(self, batch: int, device: torch.device | None = None) -> Tensor:
        """The memory of someone who has heard nothing, ``(2, B, memory)``."""
        return torch.zeros(2, batch, self.config.memory, device=device)


def load_hearing(state: dict[str, Any]) -> MotionNet:
    """Return the running average of the network of a motion run's checkpoint, for use."""
    # A run that goes on draws the same random numbers whether or not it opened another's network.
    with torch.random.fork_rng(devices=[]):
        net = MotionNet(from_dict(state["config"]).motion)
    net.load_state_dict(state["networks"]["average"])
    return net.eval().requires_grad_(False)
