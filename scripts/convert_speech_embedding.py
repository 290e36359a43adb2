"""Take the lower layers of Google's speech embedding out of the openwakeword wheel.

convert_speech_embedding.py MODELS OUT.safetensors, where MODELS is the folder
``openwakeword/resources/models`` of the wheel of openwakeword 0.4.0, which holds the network of
https://tfhub.dev/google/speech_embedding/1 (Apache License 2.0) as ONNX. Kept are the eleven
convolutions up to where a feature comes every 20 ms, and how log-mel of 128 bands becomes the 32
bands that they hear.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from safetensors.numpy import save_file
from scipy.optimize import nnls

from lipglance.audio import AudioConfig, mel_filters

LAYERS = 11


def weights(path: Path) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """A model and its constants by name."""
    model = onnx.load(path)
    return model, {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}


def bands(models: Path) -> np.ndarray:
    """(32, 128): what of each of our bands' power is in each of theirs."""
    _, held = weights(models / "melspectrogram.onnx")
    theirs = next(value for name, value in held.items() if name.endswith("melW")).T
    ours = mel_filters(AudioConfig()).T
    # Their 257 bins are every second of our 513; half the power lies in the others.
    at = np.arange(513) / 2
    fine = np.stack([np.interp(at, np.arange(257), row) for row in theirs]) / 2
    found = np.stack([nnls(ours.T.astype(float), row)[0] for row in fine])
    print("left over, share of each band:", np.linalg.norm(found @ ours - fine, axis=1).max())
    return found


def main(models: Path, out: Path) -> None:
    """Write the file."""
    model, held = weights(models / "embedding_model.onnx")
    made: dict[str, np.ndarray] = {"bands": bands(models)}
    layer = 0
    for node in model.graph.node:
        if node.op_type == "Conv" and layer < LAYERS:
            made[f"layers.{layer}.weight"] = held[node.input[1]]
            if len(node.input) > 2:
                made[f"layers.{layer}.bias"] = held[node.input[2]]
            layer += 1
        if node.op_type == "BatchNormalization":
            scale, offset, mean, spread = (held[name] for name in node.input[1:5])
            epsilon = next(a.f for a in node.attribute if a.name == "epsilon")
            factor = scale / np.sqrt(spread + epsilon)
            made["first.scale"], made["first.offset"] = factor, offset - mean * factor
    save_file({name: np.ascontiguousarray(made[name], np.float16) for name in made}, out)
    print(out, out.stat().st_size, {name: value.shape for name, value in made.items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
