"""From a motion run to the files that `lipglance.motion` loads."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from .audio import AudioConfig
from .config import from_dict, to_dict
from .face_points import LOWER_FACE
from .look_learner import load_look, read_basis
from .motion_net import BANDS, ROWS, MotionNet, load_hearing
from .onnx_files import as_half, save_as_half


class _Step(nn.Module):
    """One frame: what the net hears and remembers in, its code and its memory out, in one row."""

    def __init__(self, net: MotionNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, mel: Tensor, memory: Tensor) -> Tensor:
        """``(1, R, 128)`` and ``(2, 1, M)`` to ``(K + 2 M,)``."""
        code, after = self.net(mel, memory)
        return torch.cat([code.flatten(), after.flatten()])


@torch.no_grad()
def _silent(net: MotionNet, frames: int = 75) -> Tensor:
    """The code ``(K,)`` of someone who has said nothing for so long."""
    mel = torch.full((1, frames * ROWS, BANDS), -1.0)
    codes, _ = net(net.padded(mel), net.silence(1))
    settled: Tensor = codes[0, -1]
    return settled


def write_motion(state: dict[str, Any], folder: Path, facts: dict[str, Any]) -> float:
    """Write the networks as ONNX, the basis, the weights as safetensors, and what they are.

    Args:
        state: of a checkpoint.
        folder: exists.
        facts: description, trained_on, licence and more, kept in ``motion.json``.

    Returns:
        The largest difference between torch and onnxruntime in one number of a code.
    """
    net, look, config = load_hearing(state), load_look(state["seeing"]), from_dict(state["config"])
    motion, progress, basis = config.motion, state["progress"], read_basis(state["seeing"])
    rows = (motion.past + 1 + motion.ahead) * ROWS
    mel = torch.rand(1, rows, BANDS) * 2 - 1
    memory = torch.rand(2, 1, motion.memory) - 0.5
    crop = torch.rand(1, 3, look.size, look.size) * 2 - 1
    shape = torch.randn(1, len(LOWER_FACE), 2) * 0.02
    parts: tuple[tuple[nn.Module, tuple[Tensor, ...], list[str], str], ...] = (
        (_Step(net).eval(), (mel, memory), ["mel", "memory"], "motion.onnx"),
        (look, (crop, shape), ["crop", "shape"], "look.onnx"),
        (look.rest, (shape,), ["shape"], "rest.onnx"),
    )
    apart = 0.0
    for network, values, names, file in parts:
        fixed: tuple[dict[int, Any], ...] = tuple({} for _ in values)
        save_as_half(network, values, names, "out", fixed, folder / file)
        session = onnxruntime.InferenceSession(
            str(folder / file), providers=["CPUExecutionProvider"]
        )
        got = session.run(
            None, {name: value.numpy() for name, value in zip(names, values, strict=True)}
        )[0]
        with torch.no_grad():
            apart = max(apart, float(np.abs(got - network(*values).numpy()).max()))
    weights = {f"motion.{name}": value for name, value in as_half(net).items()}
    weights |= {f"look.{name}": value for name, value in as_half(look).items()}
    save_file(weights, folder / "motion.safetensors")
    np.savez(
        folder / "basis.npz",
        template=basis.template.astype(np.float32),
        components=basis.components.astype(np.float32),
    )
    known = {
        **facts,
        "kind": "motion",
        "audio": asdict(AudioConfig()),
        "past": motion.past,
        "ahead": motion.ahead,
        "codes": motion.codes,
        "memory": motion.memory,
        "size": look.size,
        "emphasis": motion.emphasis,
        "wide": motion.wide,
        "small": motion.small,
        "silent": [round(float(number), 5) for number in _silent(net)],
        "steps": progress["step"],
        "training": to_dict(config),
        "training_hours": round(progress["hours"], 2),
        "training_hardware": progress["hardware"],
        "onnx_difference": round(apart, 6),
    }
    (folder / "motion.json").write_text(json.dumps(known, indent=2) + "\n")
    return apart
