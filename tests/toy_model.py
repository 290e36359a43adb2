"""A model small enough for tests: it opens a dark mouth in the identity as the sound gets louder.

Obeys the contract of an ``lmgg`` model directory, so that all around the network is the real thing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE, WINDOW, MELS = 64, 16, 128


def write_toy_model(directory: Path, name: str = "toy", *, seam: float = 0.0, **facts: Any) -> Path:
    """Write a model directory.

    `seam` darkens each frame by that much (of the range -1..1) times its place in the window, from
    -1 to 1: windows then disagree about every frame that they share.
    """
    directory.mkdir(parents=True, exist_ok=True)
    values = {
        "name": name,
        "kind": "lmgg",
        "description": "opens a dark mouth when it is loud",
        "trained_on": "nothing",
        "licence": "CC0",
    }
    (directory / "model.json").write_text(json.dumps(values | facts))
    onnx.save(_network(seam), str(directory / "model.onnx"))
    return directory


def _network(seam: float) -> onnx.ModelProto:
    at = (np.arange(SIZE) - 33.0) / 32.0
    x, y = at[None, :], at[:, None] - 0.05
    across = np.sqrt(np.clip(1 - (x / 0.5) ** 2, 0, None))
    shape = (1, 1, 1, SIZE, SIZE)
    constants = {
        "per_frame": np.array([0, WINDOW, 4 * MELS], np.int64),
        "to_video": np.array([-1, 1, WINDOW, 1, 1], np.int64),
        "last": np.array([2], np.int64),
        "time": np.array([2], np.int64),
        "one": np.float32(1),
        "zero": np.float32(0),
        "quiet": np.float32(0.5),
        "gain": np.float32(1.2),
        "inside": np.broadcast_to(across * 0.35, (SIZE, SIZE)).reshape(shape).astype(np.float32),
        "distance": np.broadcast_to(np.abs(y), (SIZE, SIZE)).reshape(shape).astype(np.float32),
        "sharp": np.float32(12),
        "dark": np.array([-0.6, -0.85, -0.85], np.float32).reshape(1, 3, 1, 1, 1),
        "place": (seam * np.linspace(-1, 1, WINDOW, dtype=np.float32)).reshape(1, 1, WINDOW, 1, 1),
    }
    steps = [
        ("Reshape", ["audio", "per_frame"], "grouped", {}),
        ("ReduceMean", ["grouped", "last"], "mean", {"keepdims": 1}),
        ("Add", ["mean", "quiet"], "louder", {}),
        ("Mul", ["louder", "gain"], "scaled", {}),
        ("Clip", ["scaled", "zero", "one"], "loud", {}),
        ("Reshape", ["loud", "to_video"], "opening", {}),
        ("Mul", ["opening", "inside"], "reach", {}),
        ("Sub", ["reach", "distance"], "depth", {}),
        ("Mul", ["depth", "sharp"], "steep", {}),
        ("Clip", ["steep", "zero", "one"], "mask", {}),
        ("Unsqueeze", ["identity", "time"], "still", {}),
        ("Sub", ["dark", "still"], "change", {}),
        ("Mul", ["mask", "change"], "painted", {}),
        ("Add", ["still", "painted"], "mouth", {}),
        ("Add", ["mouth", "place"], "frames", {}),
    ]
    graph = helper.make_graph(
        [helper.make_node(op, ins, [out], **extra) for op, ins, out, extra in steps],
        "toy",
        [
            helper.make_tensor_value_info("audio", TensorProto.FLOAT, ["B", 1, 4 * WINDOW, MELS]),
            helper.make_tensor_value_info("identity", TensorProto.FLOAT, ["B", 3, SIZE, SIZE]),
        ],
        [helper.make_tensor_value_info("frames", TensorProto.FLOAT, ["B", 3, WINDOW, SIZE, SIZE])],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 10
    onnx.checker.check_model(model, full_check=True)
    return model
