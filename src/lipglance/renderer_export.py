"""From a renderer's run, and a motion network beside it, to the folder that `GlanceModel` loads."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime
import torch
from safetensors.torch import save_file

from .audio import AudioConfig
from .config import from_dict, to_dict
from .crop import CropConfig
from .errors import InputError
from .model_info import ModelInfo
from .motion_export import write_motion
from .mouth_warp import CHANNELS, MAPS
from .onnx_files import as_half, save_as_half
from .renderer_net import RendererNet

MOTION_FILES = (
    "motion.json",
    "motion.onnx",
    "look.onnx",
    "rest.onnx",
    "basis.npz",
    "motion.safetensors",
)


def load_renderer(state: dict[str, Any]) -> RendererNet:
    """Return the running average of the network of a checkpoint's state, for use."""
    net = RendererNet(from_dict(state["config"]).renderer)
    net.load_state_dict(state["networks"]["average"])
    return net.eval()


def write_talker(state: dict[str, Any], folder: Path, facts: dict[str, Any]) -> float:
    """Write the whole model of a run that hears and paints; see `write_renderer`."""
    about = {"config": state["config"], "progress": state["progress"]}
    with TemporaryDirectory() as place:
        apart = write_motion(state["hearing"] | about, Path(place), {**facts, "name": "motion"})
        # The hours are told with the motion's.
        once = {**state["progress"], "hours": 0.0}
        painting = state["painting"] | about | {"progress": once}
        return max(apart, write_renderer(painting, folder, facts | {"motion": place}))


def write_renderer(state: dict[str, Any], folder: Path, facts: dict[str, Any]) -> float:
    """Write the network as ONNX and safetensors, and the whole model where `facts` name a motion.

    Args:
        state: of a checkpoint.
        folder: exists.
        facts: name, description, trained_on, licence and more; ``motion`` is the folder of an
            exported motion network, whose files are taken over.

    Returns:
        The largest difference between torch and onnxruntime in one value, colours in [-1, 1].

    Raises:
        InputError: no motion network is named or there is none.
    """
    net, config, progress = load_renderer(state), from_dict(state["config"]), state["progress"]
    said = dict(facts)
    motion = Path(str(said.pop("motion", "")))
    missing = [name for name in MOTION_FILES if not (motion / name).is_file()]
    if missing:
        raise InputError(
            f"no motion network in {motion}: {', '.join(missing)} missing; export one and give its "
            "folder as --motion"
        )
    size, heard = config.renderer.size, json.loads((motion / "motion.json").read_text())
    if heard["size"] != size:
        raise InputError(
            f"{motion} looks at crops of {heard['size']} px and the renderer makes such of {size}; "
            "expected one size for both"
        )
    seen = torch.rand(1, CHANNELS, size, size) * 2 - 1
    # Maps are shares: below 0 the network never sees them, and says nothing of use.
    seen[:, MAPS] = seen[:, MAPS].abs()
    save_as_half(net, (seen,), ["seen"], "said", ({},), folder / "renderer.onnx")
    session = onnxruntime.InferenceSession(
        str(folder / "renderer.onnx"), providers=["CPUExecutionProvider"]
    )
    got = session.run(None, {"seen": seen.numpy()})[0]
    with torch.no_grad():
        apart = float(np.abs(got - net(seen).numpy()).max())
    save_file(as_half(net), folder / "renderer.safetensors")
    for name in MOTION_FILES:
        shutil.copy(motion / name, folder / name)
    info = ModelInfo(
        name=said.pop("name"),
        kind="glance",
        description=said.pop("description"),
        trained_on=said.pop("trained_on"),
        licence=said.pop("licence"),
        steps=progress["step"],
        width=config.renderer.width,
        audio=AudioConfig(**heard["audio"]),
        crop=CropConfig.face(size),
        window=1,
        overlap=0,
        extra={
            **said,
            "renderer": asdict(config.renderer),
            "training": to_dict(config),
            "training_hours": round(progress["hours"] + heard["training_hours"], 2),
            "training_hardware": progress["hardware"],
            "onnx_difference": round(apart, 6),
        },
    )
    (folder / "model.json").write_text(json.dumps(info.to_dict(), indent=2) + "\n")
    return apart
