"""``lipglance bench``: how long each stage takes and the whole command, or a stream's chunks."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from lipglance import __version__
from lipglance.bench_stages import Stage, measure
from lipglance.bench_stream import Streamed, measure_streams
from lipglance.errors import InputError
from lipglance.models import DEFAULT_MODEL
from lipglance.runtime import PRECISION, cpu_count, engines, hardware

_STAGE_HEADINGS = ("ms a frame", "fps", "real-time factor", "slowest/fastest run", "peak MiB")
_STREAM_HEADINGS = (
    "first frame, ms",
    "of that sound, ms",
    "chunk p50, ms",
    "p95",
    "p99",
    "max",
    "peak MiB",
    "grown MiB",
)


def bench_command(
    model: Annotated[
        str, typer.Option(help="A name from 'lipglance models', or a model directory.")
    ] = DEFAULT_MODEL,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=0.7,
            max=600,
            help="Length of the speech; 10, or 30 with --stream.",
            show_default=False,
        ),
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="The median of so many runs is told.")] = 3,
    side: Annotated[int, typer.Option(min=256, max=8192, help="Side of the photo, pixels.")] = 1024,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads for the network; else all.")
    ] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Instead, time a stream chunk by chunk.")
    ] = False,
    chunk: Annotated[float, typer.Option(min=1, max=1000, help="Chunks of a stream, ms.")] = 40.0,
    batch: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65536,
            help="Instead, time the networks on so many frames at once (needs torch).",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all runs as JSON.")] = False,
) -> None:
    """Time each stage and the whole command.

    Detection, mesh and crop are per picture; all others per frame of video, 25 to a second of
    speech. With --stream, what a live stream takes: from the first sample to the first frame, the
    computing of a chunk, and by how much memory rises in the last four fifths of the speech. With
    --batch, the product's networks in torch, on a CUDA GPU if there is one.
    """
    if batch is not None:
        if stream:
            raise InputError("--stream and --batch were given; expected one of them at most")
        _batched(model, batch, runs, threads, as_json)
        return
    facts = hardware() | {
        "engine": engines()[0],
        "precision": PRECISION,
        "threads": threads or cpu_count(),
        "model": model,
        "speech_seconds": seconds or (30.0 if stream else 10.0),
        "photo": f"{side}x{side}",
        "runs": 1 if stream else runs,
        "lipglance": __version__,
    }
    told: Sequence[Stage | Streamed]
    if stream:
        told = list(measure_streams(model, facts["speech_seconds"], side, threads, chunk))
    else:
        told = list(measure(model, facts["speech_seconds"], runs, side, threads))
    if as_json:
        key = "streams" if stream else "stages"
        print(json.dumps(facts | {key: [part.to_dict() for part in told]}))
        return
    how = f"chunks of {chunk:g} ms" if stream else f"median of {runs} runs"
    _print(
        told,
        f"{facts['cpu']}, {facts['cores']} cores, network: {facts['engine']}, {PRECISION}, "
        f"{facts['threads']} threads; {model}; "
        f"{facts['speech_seconds']:g} s of speech, photo {facts['photo']}; {how}",
    )


def _batched(model: str, batch: int, runs: int, threads: int | None, as_json: bool) -> None:
    from lipglance.bench_batch import Batched

    networks = Batched(model, batch, threads)
    told = list(networks.measure(runs))
    facts = {
        "hardware": networks.hardware,
        "precision": networks.precision,
        "model": model,
        "batch": batch,
        "size": networks.size,
        "runs": runs,
        "lipglance": __version__,
    }
    if as_json:
        print(json.dumps(facts | {"stages": [stage.to_dict() for stage in told]}))
        return
    _print(
        told,
        f"{networks.hardware}, torch, {networks.precision}; {model}, {batch} frames of "
        f"{networks.size}x{networks.size} at once; median of {runs} runs",
    )


def _print(told: Sequence[Stage | Streamed], caption: str) -> None:
    from rich.console import Console
    from rich.table import Table

    stream = isinstance(told[0], Streamed)
    table = Table("view" if stream else "stage", caption=caption, caption_justify="left")
    for heading in _STREAM_HEADINGS if stream else _STAGE_HEADINGS:
        table.add_column(heading, justify="right")
    for part in told:
        table.add_row(*(_stream_row(part) if isinstance(part, Streamed) else _stage_row(part)))
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def _stage_row(stage: Stage) -> Iterator[str]:
    yield stage.name
    yield f"{stage.ms:.2f}"
    yield f"{stage.fps:.1f}"
    factor = stage.real_time_factor
    yield "" if factor is None else f"{factor:.3f}"
    yield f"{max(stage.seconds) / min(stage.seconds):.2f}"
    yield "" if stage.peak_mib is None else f"{stage.peak_mib:.0f}"


def _stream_row(stream: Streamed) -> Iterator[str]:
    yield stream.view
    yield f"{stream.first_ms:.0f}"
    yield f"{1000 * stream.needed:.0f} (chunk {stream.first_chunk})"
    for share in (50, 95, 99, 100):
        yield f"{stream.percentile(share):.1f}"
    yield "" if stream.peak_mib is None else f"{stream.peak_mib:.0f}"
    yield "" if stream.grown_mib is None else f"{stream.grown_mib:.1f}"
