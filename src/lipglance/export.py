"""From a training run to a model folder: ONNX to run, safetensors to build on, facts to read.

Weights are stored as fp16 where the widened fp32 network stays within ``TOLERANCE`` of the trained
one: half the size, and onnxruntime widens them once at load, so speed is that of fp32.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from .audio import AudioConfig
from .checkpoint import read_checkpoint
from .config import TrainConfig, from_dict, to_dict
from .crop import CropConfig
from .errors import InputError
from .generators import GENERATORS, make_generator, speaking
from .interpolation import between
from .model_info import ModelInfo
from .motion_export import write_motion
from .network_config import GeneratorConfig
from .onnx_files import as_half, save_as_half
from .renderer_export import write_renderer, write_talker
from .starts import read_start
from .sync_export import write_sync

TOLERANCE = 4 / 255
"""Largest difference of one output value, in [-1, 1], that storing as fp16 may make."""

_WRITERS = {
    "sync": write_sync,
    "motion": write_motion,
    "renderer": write_renderer,
    "talker": write_talker,
}
"""What writes the files of kinds that are not lip generators."""

FACTS = ("description", "trained_on", "licence")

_MARKS = ("model.json", "motion.json", "sync.json")
"""What every export holds one of, and what may be replaced is known by."""


def load_generator(state: dict[str, Any]) -> tuple[nn.Module, TrainConfig]:
    """Return the running average of the generator of a checkpoint's state, and its config."""
    config = from_dict(state["config"])
    generator = make_generator(config)
    generator.load_state_dict(state["networks"]["average"])
    return generator.eval(), config


def read_generator(folder: str | Path) -> nn.Module:
    """Return the torch generator of a model folder, from its ``model.safetensors``.

    Raises:
        InputError: the folder holds no model of this kind.
    """
    folder = Path(folder)
    try:
        info = json.loads((folder / "model.json").read_text())
        generator = GENERATORS[info["kind"]](GeneratorConfig(**info["generator"]))
        weights = load_file(folder / "model.safetensors")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{folder} holds no lip model ({type(error).__name__}: {error}); expected model.json "
            "and model.safetensors as lipglance export writes them"
        ) from error
    generator.load_state_dict(
        {name: v.float() if v.is_floating_point() else v for name, v in weights.items()}
    )
    return generator.eval()


def export_model(
    run: str | Path,
    output: str | Path,
    facts: str | Path | None = None,
    *,
    force: bool = False,
    motion: str | Path | None = None,
    begun: tuple[str | Path, float] | None = None,
) -> Path:
    """Write a run's model folder.

    Args:
        run: the run's folder or its ``last.pt``.
        output: folder to write; its name is the model's name.
        facts: JSON with ``description``, ``trained_on`` and ``licence`` and any further facts.
        force: replace a model that is there.
        motion: folder of an exported motion network, which a renderer is made a model with.
        begun: of a talker, the model that it began with, and how far to go from there to the run:
            the share that `interpolation.between` takes.

    Returns:
        The folder.

    Raises:
        InputError: no checkpoint, unreadable facts, an existing folder without ``force`` or one
            that is no model's, or an ONNX file that does not agree with the trained network.
    """
    run, output = Path(run), Path(output)
    _check_output(output, force, *(path for path in (run, facts) if path is not None))
    state = read_checkpoint(run if run.is_file() else run / "last.pt")
    said = _read_facts(facts) | ({} if motion is None else {"motion": str(motion)})
    if begun is not None:
        model, share = begun
        state = between(read_start(model), state, share)
        said["between"] = f"{share:g} of the way from {Path(model).name} to this run"
    part = output.with_name(f".{output.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        write = _WRITERS.get(state["config"].get("kind"), _write_lmgg)
        worst = write(state, part, said | {"name": output.name})
        if worst > TOLERANCE:
            raise InputError(
                f"the ONNX file differs from the network by {worst:.4f} (at most {TOLERANCE:.4f} "
                "expected); this is a fault of the export, please report it"
            )
        for file in part.iterdir():
            # safetensors writes for the owner alone; a package is for everybody.
            file.chmod(0o644)
        card = output / "CARD.md"
        if card.is_file():
            shutil.copy(card, part / "CARD.md")
        shutil.rmtree(output, ignore_errors=True)
        part.rename(output)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return output


def _check_output(output: Path, force: bool, *read: str | Path) -> None:
    """InputError unless nothing but a model is lost when the folder is replaced."""
    if not output.name.strip("."):
        raise InputError(f"{output} is no name of a model; expected a folder's; give one with -o")
    if output.is_symlink() or (output.exists() and not output.is_dir()):
        raise InputError(f"{output} is a file or a link; expected a folder; give another name")
    if not output.exists():
        return
    for source in map(Path, read):
        if output.resolve() in (source.resolve(), *source.resolve().parents):
            raise InputError(f"{output} holds {source}, which is read; give another folder with -o")
    if any(output.iterdir()) and not any((output / name).is_file() for name in _MARKS):
        raise InputError(
            f"{output} holds something else than a model, which would be lost; expected a model's "
            "folder, an empty or a new one; give another with -o"
        )
    if not force:
        raise InputError(f"{output} exists; give --force to replace it, or another folder")


def _write_lmgg(state: dict[str, Any], folder: Path, said: dict[str, Any]) -> float:
    """Write the generator's files; return how far ONNX is from torch in one output value."""
    generator, config = load_generator(state)
    save_file(as_half(generator), folder / "model.safetensors")
    write_onnx(generator, folder / "model.onnx")
    worst = disagreement(generator, folder / "model.onnx")
    values = _info(config, state, said) | {"onnx_difference": round(worst, 6)}
    (folder / "model.json").write_text(json.dumps(values, indent=2) + "\n")
    return worst


def _read_facts(path: str | Path | None) -> dict[str, Any]:
    if path is None:
        return dict.fromkeys(FACTS, "not stated")
    try:
        said = json.loads(Path(path).read_text())
        missing = [key for key in FACTS if key not in said]
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"facts {path} not understood: {error}; expected a JSON object") from error
    if missing:
        raise InputError(f"facts {path} lack {', '.join(missing)}; add them")
    return dict(said)


def _info(config: TrainConfig, state: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    progress = state["progress"]
    info = ModelInfo(
        name=said["name"],
        kind=config.kind,
        steps=progress["step"],
        width=config.generator.width,
        audio=AudioConfig(),
        crop=CropConfig(size=config.generator.size),
        window=config.generator.frames,
        overlap=config.generator.frames // 2,
        extra={
            **{k: v for k, v in said.items() if k not in (*FACTS, "name")},
            "generator": asdict(config.generator),
            "training": to_dict(config),
            "training_hours": round(progress["hours"], 2),
            "training_hardware": progress["hardware"],
        },
        **{key: said[key] for key in FACTS},
    )
    return info.to_dict()


def write_onnx(generator: nn.Module, path: str | Path) -> None:
    """Write the network as ONNX: ``audio`` and ``identity`` in, ``frames`` out, any batch.

    Shapes: ``(B, 1, 4T, 128)`` and ``(B, 3, S, S)`` to ``(B, 3, T, S, S)``, T and S as configured.
    Weights are fp16 with one Cast each, which onnxruntime folds away at load.
    """
    config = speaking(generator).config
    batch = torch.export.Dim("batch", min=1, max=1024)
    inputs = (
        torch.zeros(2, 1, config.frames * 4, 128),
        torch.zeros(2, 3, config.size, config.size),
    )
    shapes = ({0: batch}, {0: batch})
    save_as_half(generator, inputs, ["audio", "identity"], "frames", shapes, path)


def disagreement(generator: nn.Module, path: str | Path, seed: int = 0) -> float:
    """Return the largest difference between torch and onnxruntime on random input, in [-1, 1]."""
    import onnxruntime

    rng = np.random.default_rng(seed)
    config = speaking(generator).config
    audio = rng.uniform(-1, 0.2, (2, 1, config.frames * 4, 128)).astype(np.float32)
    identity = rng.uniform(-1, 1, (2, 3, config.size, config.size)).astype(np.float32)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    got = session.run(["frames"], {"audio": audio, "identity": identity})[0]
    with torch.no_grad():
        expected = generator(torch.from_numpy(audio), torch.from_numpy(identity)).numpy()
    return float(np.abs(got - expected).max())
