"""What all batches have in common: tensors by name that go to a device together."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import torch


@dataclass(frozen=True)
class TensorBatch:
    """A dataclass all of whose fields are tensors."""

    def to(self, device: torch.device) -> Self:
        """Return the batch on a device."""
        parts = (getattr(self, field.name) for field in fields(self))
        return type(self)(*(part.to(device, non_blocking=True) for part in parts))
