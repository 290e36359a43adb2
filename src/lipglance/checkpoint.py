"""What a run keeps: reading it back, and whether it may go on with another config."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from uuid import uuid4

import torch

from .config import TrainConfig, to_dict
from .errors import InputError

_ALLOWED_CHANGES = {
    "steps", "log_every", "validate_minutes", "checkpoint_minutes", "compile", "accumulate"
}  # fmt: skip
# Of a `Progress`, beside the steps of its phases.
_KEPT = ("hardware", "spent", "run")


@dataclass
class Progress:
    """How far a run has come: steps done of each phase by name, hours, and on what.

    Attributes:
        spent: hours of the run and of all that went before it, by run: two that it begins with may
            have begun with the same third.
        run: this run's key in `spent`.
    """

    done: dict[str, int] = field(default_factory=dict)
    hardware: list[str] = field(default_factory=list)
    spent: dict[str, float] = field(default_factory=dict)
    run: str = field(default_factory=lambda: uuid4().hex)

    @property
    def hours(self) -> float:
        """Hours in all."""
        return sum(self.spent.values())

    def spend(self, seconds: float) -> None:
        """Count time of this run."""
        self.spent[self.run] = self.spent.get(self.run, 0.0) + seconds / 3600

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the checkpoint."""
        kept = {name: getattr(self, name) for name in _KEPT}
        return {**self.done, **kept, "hours": self.hours}

    def add(self, other: Progress) -> None:
        """Count another run's phases, hours and hardware as this one's."""
        known = {name: count for name, count in other.done.items() if name in self.done}
        self.done |= known
        for run, hours in other.spent.items():
            self.spent[run] = max(hours, self.spent.get(run, 0.0))
        self.hardware += [name for name in other.hardware if name not in self.hardware]

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Progress:
        """Take back what :meth:`to_dict` gave, or a model's facts, which tell hours in all."""
        done = {k: int(v) for k, v in values.items() if k not in (*_KEPT, "hours")}
        spent = values.get("spent", {f"{values['hours']} h": float(values["hours"])})
        made = cls(done, list(values["hardware"]), dict(spent))
        made.run = values.get("run", made.run)
        return made


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint's plain state (no code is run).

    Raises:
        InputError: there is none, or the file is not one.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, UnpicklingError) as error:
        raise InputError(
            f"no checkpoint of lipglance train at {path} ({type(error).__name__}); "
            "expected the last.pt of a run's folder"
        ) from error
    return dict(state)


def check_same_run(old: TrainConfig, new: TrainConfig, folder: Path) -> None:
    """InputError unless a folder's run may go on with another config."""
    before, after = to_dict(old), to_dict(new)
    changed = [k for k in before if before[k] != after[k] and k not in _ALLOWED_CHANGES]
    if changed:
        raise InputError(
            f"{folder} holds a run whose {', '.join(changed)} differ from the config given; "
            "give another --run folder, or the config it was started with"
        )
