"""What a new run may begin with: another run, or a model that was exported or is shipped."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from .checkpoint import read_checkpoint
from .errors import InputError
from .models import find_model

Weights = dict[str, Tensor]


def read_start(start: str | Path) -> dict[str, Any]:
    """Read what a run begins with, as a checkpoint's state.

    Args:
        start: folder of a run, its ``last.pt``, folder of an exported model, or the name of a
            shipped one. A model has running averages alone: no optimizers, no critic.

    Raises:
        InputError: there is none, or a model of a kind that nothing begins with.
    """
    path = Path(start)
    if path.is_file() or (path / "last.pt").exists():
        return read_checkpoint(path if path.is_file() else path / "last.pt")
    if not path.exists() and len(path.parts) == 1:
        path = find_model(start)
    for facts, read in _MODELS.items():
        if (path / facts).is_file():
            return _read_model(path, facts, read)
    return read_checkpoint(path / "last.pt")


def _read_model(
    folder: Path, facts: str, read: Callable[[Path, dict[str, Any]], dict[str, Any]]
) -> dict[str, Any]:
    try:
        known = json.loads((folder / facts).read_text())
        progress = {
            "step": known["steps"],
            "hours": known["training_hours"],
            "hardware": known["training_hardware"],
        }
        parts = read(folder, known["training"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise InputError(
            f"{folder} holds no model to begin with ({type(error).__name__}: {error}); expected a "
            "folder that lipglance export wrote of a talker or a sync expert, or a run"
        ) from error
    return {"config": known["training"], "progress": progress} | parts


def _read_talker(folder: Path, training: dict[str, Any]) -> dict[str, Any]:
    if training["kind"] not in ("talker", "renderer"):
        raise ValueError(f"a model of kind {training['kind']}")
    heard = json.loads((folder / "motion.json").read_text())["training"]
    weights = _widened(folder / "motion.safetensors")
    with np.load(folder / "basis.npz") as stored:
        basis = {name: torch.from_numpy(stored[name].astype(np.float64)) for name in stored.files}
    seeing = {"config": heard, "networks": {"average": _part(weights, "look")}, "basis": basis}
    return {
        # A renderer that was exported with a motion network is no less of one.
        "config": training | {"kind": "talker"},
        "hearing": {"networks": {"average": _part(weights, "motion")}, "seeing": seeing},
        "painting": {"networks": {"average": _widened(folder / "renderer.safetensors")}},
        "judging": None,
    }


def _read_sync(folder: Path, training: dict[str, Any]) -> dict[str, Any]:
    return {"networks": {"sync": _widened(folder / "model.safetensors")}}


_MODELS = {"model.json": _read_talker, "sync.json": _read_sync}


def _widened(path: Path) -> Weights:
    """Weights as they are trained: fp32, counters as they are."""
    stored = load_file(path)
    return {name: v.float() if v.is_floating_point() else v for name, v in stored.items()}


def _part(weights: Weights, name: str) -> Weights:
    """Those of one network, by its own names."""
    return {
        key.removeprefix(f"{name}."): value
        for key, value in weights.items()
        if key.startswith(f"{name}.")
    }
