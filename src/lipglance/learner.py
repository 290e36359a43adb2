"""What the trainer trains: phases of steps on batches, and a state that a checkpoint keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, NoReturn, Protocol, TypeVar

import torch

from .audio import AudioConfig
from .batches import Batch, BatchSource
from .config import TrainConfig
from .errors import InputError
from .optimizers import Reduce

KINDS = {
    "lmgg": "lipglance.lip_learner:LipLearner",
    "chung": "lipglance.lip_learner:LipLearner",
    "vondrick": "lipglance.lip_learner:LipLearner",
    "look": "lipglance.look_learner:LookLearner",
    "motion": "lipglance.motion_learner:MotionLearner",
    "renderer": "lipglance.renderer_learner:RendererLearner",
    "sync": "lipglance.sync_learner:SyncLearner",
    "talker": "lipglance.talker_learner:TalkerLearner",
}
"""What can be trained, by the ``kind`` in its config: ``module:class``."""


S = TypeVar("S")


@dataclass(frozen=True)
class Draw(Generic[S]):
    """Where one process draws its batches; the same arguments give the same batch, whatever came
    before.

    Attributes:
        source: made by the learner.
        seed: of the run.
        rank: of the process.
        device: where batches are wanted.
    """

    source: S
    seed: int
    rank: int
    device: torch.device

    def stream(self, number: int) -> int:
        """The seed of a numbered stream of the run: each is another sequence of clips."""
        return self.seed + 1_000_003 * number


def windows(draw: Draw[BatchSource], stream: int, step: int, size: int) -> Batch:
    """Draw windows with their sound, identity and someone else's sound."""
    return draw.source.batch(draw.stream(stream), step, size, draw.rank).to(draw.device)


def window_source(config: TrainConfig, data: Sequence[str | Path], cache_gib: float) -> BatchSource:
    """Return where a run's training windows are drawn from."""
    return BatchSource(data, "train", config.data, AudioConfig(), config.frames, cache_gib)


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
    act: Callable[[Draw[Any], int], dict[str, float]]


class Learner(Protocol):
    """Networks that are trained together."""

    def source(self, data: Sequence[str | Path], cache_gib: float) -> Any:
        """Open the training data; what it is only the learner's own phases need to know."""
        ...

    def phases(self) -> Sequence[Phase]:
        """The phases in their order."""
        ...

    def state(self) -> dict[str, Any]:
        """Networks and optimizers as plain tensors; `TrainConfig` says of what kind."""
        ...

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        ...

    def begin_with(self, runs: Mapping[str, dict[str, Any]]) -> None:
        """Take over what other runs' checkpoints, by their paths, hold; InputError if it cannot."""
        ...

    def watch(self, data: Sequence[str | Path]) -> Callable[[Path], dict[str, float]]:
        """Prepare the early look: writes a PNG and returns the figures on validation clips."""
        ...


def refuse_beginning(kind: str) -> NoReturn:
    """Say that runs of a kind begin with nothing: InputError."""
    raise InputError(f"{kind} has no other run to begin with; leave --begin-with away")


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
