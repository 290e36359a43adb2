"""What the trainer trains: phases of steps on batches, and a state that a checkpoint keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from .batches import Batch, BatchSource
from .config import TrainConfig
from .errors import InputError
from .optimizers import Reduce

KINDS = {
    "lmgg": "lipglance.lip_learner:LipLearner",
    "chung": "lipglance.lip_learner:LipLearner",
    "vondrick": "lipglance.lip_learner:LipLearner",
    "sync": "lipglance.sync_learner:SyncLearner",
}
"""What can be trained, by the ``kind`` in its config: ``module:class``."""


@dataclass(frozen=True)
class Draw:
    """Batches for one process; the same arguments give the same batch, whatever came before.

    Each stream (a number) of a run is another sequence of clips.
    """

    source: BatchSource
    seed: int
    rank: int
    device: torch.device

    def batch(self, stream: int, step: int, size: int) -> Batch:
        """Draw windows with their sound, identity and someone else's sound."""
        seed = self.seed + 1_000_003 * stream
        return self.source.batch(seed, step, size, self.rank).to(self.device)

    def spoken(self, stream: int, step: int, size: int) -> tuple[Tensor, Tensor]:
        """Draw sound and the shapes of the mouth that goes with it, without pictures."""
        seed = self.seed + 1_000_003 * stream
        mel, shape = self.source.spoken(seed, step, size, self.rank)
        return mel.to(self.device), shape.to(self.device)


@dataclass(frozen=True)
class Phase:
    """A part of a run: how many steps, and what one of them does.

    Attributes:
        name: key of its count in the checkpoint; the last one of a run is ``step``.
        steps: how many.
        act: does the step of a number and gives its loss terms by name.
    """

    name: str
    steps: int
    act: Callable[[Draw, int], dict[str, float]]


class Learner(Protocol):
    """Networks that are trained together."""

    def phases(self) -> Sequence[Phase]:
        """The phases in their order."""
        ...

    def state(self) -> dict[str, Any]:
        """Networks (``networks``) and optimizers (``optimizers``) as plain tensors."""
        ...

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        ...

    def begin_with(self, state: dict[str, Any]) -> None:
        """Take over what another run's lessons taught; InputError where there are none."""
        ...

    def watch(self, data: Sequence[str | Path]) -> Callable[[Path], dict[str, float]]:
        """Prepare the early look: writes a PNG and returns the figures on validation clips."""
        ...


def make_learner(config: TrainConfig, device: torch.device, reduce: Reduce) -> Learner:
    """Build what a config trains.

    Raises:
        InputError: a kind that is not known.
    """
    if config.kind not in KINDS:
        raise InputError(f"kind {config.kind!r} cannot be trained; known: {', '.join(KINDS)}")
    module, _, name = KINDS[config.kind].partition(":")
    made: Learner = getattr(import_module(module), name)(config, device, reduce)
    return made
