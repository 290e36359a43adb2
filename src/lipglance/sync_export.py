"""From a sync run to the folder that `SyncExpert` loads."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from safetensors.torch import save_file

from .audio import AudioConfig
from .config import from_dict, to_dict
from .crop import CropConfig
from .onnx_files import as_half, save_as_half
from .sync_net import CONTEXT, SyncNet


def load_sync_net(state: dict[str, Any]) -> SyncNet:
    """Return the network of a checkpoint's state, for evaluation."""
    net = SyncNet(from_dict(state["config"]).sync)
    net.load_state_dict(state["networks"]["sync"])
    return net.eval()


def write_sync(state: dict[str, Any], folder: Path, facts: dict[str, Any]) -> float:
    """Write both streams as ONNX, the weights as safetensors, and what they are.

    Args:
        state: of a checkpoint.
        folder: exists.
        facts: description, trained_on, licence and more, kept in ``sync.json``.

    Returns:
        The largest difference between torch and onnxruntime in one number of a unit vector.
    """
    net, config, progress = load_sync_net(state), from_dict(state["config"]), state["progress"]
    frames = torch.export.Dim("frames", min=CONTEXT, max=100_000)
    lips, mel = torch.rand(1, 30, 3, 64, 64) * 2 - 1, torch.rand(1, 1, 120, 128) * 2 - 1
    save_as_half(net.lips, (lips,), ["lips"], "vectors", ({1: frames},), folder / "lips.onnx")
    save_as_half(net.sound, (mel,), ["mel"], "vectors", ({2: 4 * frames},), folder / "sound.onnx")
    apart = 0.0
    for stream, value, name in ((net.lips, lips, "lips"), (net.sound, mel, "mel")):
        path = folder / ("lips.onnx" if name == "lips" else "sound.onnx")
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        got = session.run(None, {name: value.numpy()})[0]
        with torch.no_grad():
            apart = max(apart, float(np.abs(got - stream(value).numpy()).max()))
    save_file(as_half(net), folder / "model.safetensors")
    known = {
        **facts,
        "kind": "sync",
        "context": CONTEXT,
        "audio": asdict(AudioConfig()),
        "crop": asdict(CropConfig()),
        "steps": progress["step"],
        "training": to_dict(config),
        "training_hours": round(progress["hours"], 2),
        "training_hardware": progress["hardware"],
        "onnx_difference": round(apart, 6),
    }
    (folder / "sync.json").write_text(json.dumps(known, indent=2) + "\n")
    return apart
