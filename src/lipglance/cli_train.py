"""``lipglance train`` and ``lipglance export``: the commands that need torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .cli_report import clocked


def train_command(
    config: Annotated[Path, typer.Argument(help="YAML of the run, such as configs/lmgg.yaml")],
    data: Annotated[list[Path], typer.Option("--data", help="shard folder; may be repeated")],
    run: Annotated[Path, typer.Option("--run", help="folder of the run; resumed if it exists")],
    override: Annotated[
        list[str] | None, typer.Option("--set", help="config value, as loss.pixel=2")
    ] = None,
    begin_with: Annotated[
        list[Path] | None,
        typer.Option(help="finished run or model that a new run takes over; may be repeated"),
    ] = None,
    minutes: Annotated[float, typer.Option(help="stop with a checkpoint after so long; 0: no")] = 0,
    accelerator: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    devices: Annotated[int, typer.Option(min=1, help="processes on this machine")] = 1,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0: torch's choice")] = 0,
    cache_gib: Annotated[float, typer.Option(min=0, help="memory for decoded clips")] = 6.0,
) -> None:
    """Train a model, or go on with a run that was interrupted."""
    # Here, so that --help need not wait for torch.
    from .config import load_config
    from .trainer import RunOptions, train

    options = RunOptions(minutes, accelerator, devices, threads, cache_gib)
    wanted = load_config(config, override)
    with clocked():
        checkpoint = train(wanted, list(data), run, options, *(begin_with or ()))
    typer.echo(f"checkpoint: {checkpoint}")


def export_command(
    run: Annotated[Path, typer.Argument(help="folder of a run, or its last.pt")],
    output: Annotated[Path, typer.Option("-o", "--output", help="model folder to write")],
    facts: Annotated[
        Path | None, typer.Option(help="JSON with description, trained_on, licence, ...")
    ] = None,
    motion: Annotated[
        Path | None, typer.Option(help="of a renderer: folder of the motion network it goes with")
    ] = None,
    between: Annotated[
        Path | None, typer.Option(help="of a talker: the model it began with, to mix it with")
    ] = None,
    share: Annotated[float, typer.Option(help="of the way from that model to the run")] = 0.5,
    force: Annotated[bool, typer.Option("--force", help="replace a model that is there")] = False,
) -> None:
    """Turn a run's checkpoint into a model folder: ONNX, safetensors and what it is."""
    from .export import export_model

    begun = None if between is None else (between, share)
    where = export_model(run, output, facts, force=force, motion=motion, begun=begun)
    typer.echo(f"model: {where}")
