"""What a run keeps: reading it back, and whether it may go on with another config."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from .config import TrainConfig, to_dict
from .errors import InputError

_ALLOWED_CHANGES = {
    "steps", "log_every", "validate_minutes", "checkpoint_minutes", "compile", "accumulate"
}  # fmt: skip


@dataclass
class Progress:
    """How far a run has come: steps done of each phase by name, hours, and on what."""

    done: dict[str, int] = field(default_factory=dict)
    hours: float = 0.0
    hardware: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the checkpoint."""
        return {**self.done, "hours": self.hours, "hardware": self.hardware}

    def add(self, other: Progress) -> None:
        """Count another run's phases, hours and hardware as this one's."""
        known = {name: count for name, count in other.done.items() if name in self.done}
        self.done |= known
        self.hours += other.hours
        self.hardware += [name for name in other.hardware if name not in self.hardware]

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Progress:
        """Take back what :meth:`to_dict` gave."""
        done = {k: int(v) for k, v in values.items() if k not in ("hours", "hardware")}
        return cls(done, float(values["hours"]), list(values["hardware"]))


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
