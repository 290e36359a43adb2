"""How the sync expert is trained: true pairs against shifted ones and against other clips'."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .batches import Batch, BatchSource
from .config import TrainConfig
from .learner import Draw, Phase, refuse_beginning, window_source, windows
from .optimizers import Optimizers, Reduce, decayed
from .sync_net import SyncNet, shifted_cosine
from .validation import validation_source

SHIFTS = (0, -8, -4, -3, -2, -1, 1, 2, 3, 4, 8)
"""The true one and those it must be told from, video frames."""
REPORTED = (1, 2, 4, 8)


class SyncLearner:
    """Trains a `SyncNet`.

    The loss is two cross-entropies over mean cosines of a window: which of the batch's sounds goes
    with these lips (and which lips with this sound), and which shift of their own sound.

    Args:
        config: the run.
        device: where the network lives.
        reduce: averages gradients over processes before each step.
    """

    def __init__(self, config: TrainConfig, device: torch.device, reduce: Reduce) -> None:
        self.config, self.device = config, device
        self.net = SyncNet(config.sync).to(device)
        self.optimizers = Optimizers(reduce)
        self.optimizers.add("sync", self.net.parameters(), config.rate, config.betas)
        self._lips: Callable[[Tensor], Tensor] = self.net.lips
        self._sound: Callable[[Tensor], Tensor] = self.net.sound
        if config.compile:
            self._lips, self._sound = torch.compile(self.net.lips), torch.compile(self.net.sound)

    def source(self, data: Sequence[str | Path], cache_gib: float) -> BatchSource:
        """See `Learner`."""
        return window_source(self.config, data, cache_gib)

    def phases(self) -> Sequence[Phase]:
        """See `Learner`."""
        return (Phase("step", self.config.steps, self._step),)

    def state(self) -> dict[str, Any]:
        """See `Learner`."""
        return {"networks": {"sync": self.net.state_dict()}, "optimizers": self.optimizers.state()}

    def load(self, state: dict[str, Any]) -> None:
        """See `Learner`."""
        self.net.load_state_dict(state["networks"]["sync"])
        self.optimizers.load(state["optimizers"])

    def begin_with(self, runs: Mapping[str, dict[str, Any]]) -> None:
        """See `Learner`."""
        refuse_beginning("a sync expert")

    def _step(self, draw: Draw[BatchSource], step: int) -> dict[str, float]:
        return self.step(windows(draw, 0, step, self.config.batch), step)

    def step(self, batch: Batch, step: int) -> dict[str, float]:
        """Do one step; return the losses and how often the right sound and shift came first."""
        config = self.config
        self.net.train()
        factor = decayed(step, config.steps, config.warmup, config.decay_from)
        self.optimizers.set_rate("sync", config.rate * factor)
        lips = self._lips(batch.video.transpose(1, 2).contiguous())
        sound = self._sound(batch.mel)
        across = torch.einsum("itd,jtd->ij", lips, sound) / lips.shape[1] * self.net.scale
        within = torch.stack([shifted_cosine(lips, sound, s) for s in SHIFTS], 1) * self.net.scale
        own = torch.arange(len(lips), device=across.device)
        clip = 0.5 * (F.cross_entropy(across, own) + F.cross_entropy(across.T, own))
        shift = F.cross_entropy(within, torch.zeros_like(own))
        self.optimizers.minimise("sync", clip + shift, config.clip)
        return {
            "clip": float(clip.detach()),
            "shift": float(shift.detach()),
            "clip_right": float((across.argmax(1) == own).float().mean()),
            "shift_right": float((within.argmax(1) == 0).float().mean()),
        }

    def watch(self, data: Sequence[str | Path]) -> Callable[[Path], dict[str, float]]:
        """See `Learner`: the picture shows which lips match which sounds of a batch."""
        source, prefix = validation_source(data, self.config)
        batches = [source.batch(0, part, 32).to(self.device) for part in range(4)]
        return lambda picture: self._look(batches, prefix, picture)

    @torch.no_grad()
    def _look(self, batches: list[Batch], prefix: str, picture: Path) -> dict[str, float]:
        self.net.eval()
        found: dict[str, list[float]] = {}
        across = torch.zeros(1, 1)
        for batch in batches:
            lips = self.net.lips(batch.video.transpose(1, 2))
            sound = self.net.sound(batch.mel)
            across = torch.einsum("itd,jtd->ij", lips, sound) / lips.shape[1]
            true = across.diagonal()
            others = ~torch.eye(len(true), dtype=torch.bool, device=true.device)
            right = (true[:, None] > across)[others].float().mean()
            found.setdefault("other_clip", []).append(float(right))
            for shift in REPORTED:
                wrong = [shifted_cosine(lips, sound, s) for s in (-shift, shift)]
                right = torch.stack([(true > w).float() for w in wrong]).mean()
                found.setdefault(f"shift_{shift}", []).append(float(right))
        shown = ((across.float().cpu().numpy() + 1) * 127.5).clip(0, 255).astype(np.uint8)
        part = picture.with_suffix(".part.png")
        cv2.imwrite(str(part), np.kron(shown, np.ones((8, 8), np.uint8)))
        part.replace(picture)
        return {prefix + name: float(np.mean(values)) for name, values in found.items()}
