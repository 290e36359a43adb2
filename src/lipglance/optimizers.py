"""The optimizers of one run by name: rates that rise and fade, gradients averaged and clipped."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

Reduce = Callable[[Iterable[nn.Parameter]], None]
"""Averages gradients over processes; does nothing when there is one."""


class Optimizers:
    """Adam optimizers that share how a step is done.

    Args:
        reduce: averages gradients over processes before each step.
    """

    def __init__(self, reduce: Reduce) -> None:
        self.reduce = reduce
        self.named: dict[str, torch.optim.Optimizer] = {}

    def add(
        self,
        name: str,
        parameters: Iterable[nn.Parameter],
        rate: float,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
    ) -> None:
        """Add an optimizer of `parameters`."""
        self.named[name] = torch.optim.Adam(
            parameters, rate, betas=betas, weight_decay=weight_decay
        )

    def set_rate(self, name: str, rate: float) -> None:
        """Set the rate of all its parameters."""
        for group in self.named[name].param_groups:
            group["lr"] = rate

    def fade(self, name: str, rate: float, step: int, steps: int) -> None:
        """Let a rate rise over 20 steps and fall linearly to a twentieth."""
        self.set_rate(name, rate * max(0.05, min(1.0 - step / max(1, steps), (step + 1) / 20)))

    def minimise(self, name: str, loss: Tensor, clip: float = 0.0) -> None:
        """Go one step down `loss`."""
        loss.backward()  # type: ignore[no-untyped-call]
        self.step(name, clip)

    def step(self, name: str, clip: float = 0.0) -> None:
        """Do a step with the gradients there are, their norm at most `clip` (0: any)."""
        optimizer = self.named[name]
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self.reduce(parameters)
        if clip:
            nn.utils.clip_grad_norm_(parameters, clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Any]:
        """Return the states by name."""
        return {name: optimizer.state_dict() for name, optimizer in self.named.items()}

    def load(self, states: dict[str, Any]) -> None:
        """Take back what :meth:`state` gave."""
        for name, optimizer in self.named.items():
            optimizer.load_state_dict(states[name])


def decayed(step: int, steps: int, warmup: int, decay_from: float) -> float:
    """Return the factor of a run's rate: a linear rise, a plateau, a linear fall to a fiftieth.

    Args:
        step: number of steps done.
        steps: of the run.
        warmup: steps of the rise.
        decay_from: share of the steps after which the rate falls.
    """
    left = (steps - step) / max(1.0, steps * (1.0 - decay_from))
    return max(0.02, min(1.0, left, (step + 1) / max(1, warmup)))
