"""How far the sync expert can be trusted: right answers on clips it has not seen, by shift."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from .metrics import bootstrap
from .progress_bar import progress_bar
from .results import about_data, markdown_table, with_interval
from .runtime import hardware
from .shard_index import write_text
from .shards import Sample, ShardDataset
from .sync import FloatArray, SyncExpert, judge, windows_right

SHIFTS = (1, 2, 4, 8)


def sync_report(
    expert: SyncExpert, samples: Sequence[Sample], *, progress: bool = False
) -> dict[str, dict[str, Any]]:
    """Let the expert choose between a clip's own sound and a wrong one, second by second.

    Wrong is the own sound moved by 1, 2, 4 or 8 frames to either side, or that of another clip,
    of the same speaker where there is one. Chance is 0.5.

    Returns:
        By corpus, for each question the `Summary` of the clips' shares of right seconds, and
        ``seconds`` asked; ``offset_0`` and ``offset_1``: share of clips whose best offset over
        +-15 frames is 0, and at most 1.
    """
    by_speaker: dict[tuple[str, str], list[int]] = defaultdict(list)
    by_corpus: dict[str, list[int]] = defaultdict(list)
    for index, sample in enumerate(samples):
        by_speaker[sample.entry.corpus, sample.speaker].append(index)
        by_corpus[sample.entry.corpus].append(index)
    heard = [expert.hear(sample.audio(), sample.frames) for sample in samples]
    shares: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    seconds: dict[str, int] = defaultdict(int)
    with progress_bar("looking at lips", len(samples), shown=progress) as tell:
        for index, sample in enumerate(samples):
            corpus = sample.entry.corpus
            lips, sound = expert.see(sample.crops()), heard[index]
            peers = by_speaker[corpus, sample.speaker]
            peers = peers if len(peers) > 1 else by_corpus[corpus]
            other = heard[peers[(peers.index(index) + 1) % len(peers)]]
            answers = {"other_clip": windows_right(lips, sound, other)}
            for shift in SHIFTS:
                answers[f"shift_{shift}"] = _moved(lips, sound, shift)
            for question, right in answers.items():
                if right:
                    shares[corpus][question].append(float(np.mean(right)))
            seconds[corpus] += len(answers["other_clip"])
            offset = judge(lips, sound).offset
            shares[corpus]["offset_0"].append(float(offset == 0))
            shares[corpus]["offset_1"].append(float(abs(offset) <= 1))
            tell(index + 1)
    return {
        corpus: {
            "clips": len(by_corpus[corpus]),
            "seconds": seconds[corpus],
            **{name: vars(bootstrap(values)) for name, values in found.items()},
        }
        for corpus, found in shares.items()
    }


def _moved(lips: FloatArray, sound: FloatArray, shift: int) -> list[bool]:
    """Answers with the sound late and early by `shift` frames."""
    late = windows_right(lips[shift:], sound[shift:], sound[:-shift])
    early = windows_right(lips[:-shift], sound[:-shift], sound[shift:])
    return late + early


def report_table(groups: dict[str, dict[str, Any]]) -> str:
    """The report as a Markdown table."""
    questions = ["other_clip", *(f"shift_{s}" for s in SHIFTS), "offset_0", "offset_1"]
    titles = ["another clip", *(f"{s} frames off" for s in SHIFTS), "best offset 0", "within 1"]
    rows = [
        [f"{corpus} ({found['clips']})", *(with_interval(found[q], 3) for q in questions)]
        for corpus, found in groups.items()
    ]
    return markdown_table(["clips", *titles], rows)


def sync_report_command(
    data: Annotated[list[Path], typer.Option("--data", help="shard folder; may be repeated")],
    split: Annotated[str, typer.Option(help="split to ask about")] = "test_seen",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="JSON to write, replaced if there")
    ] = None,
    expert: Annotated[
        Path | None, typer.Option(help="folder of an expert; default: the one in the package")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="no progress, no table")] = False,
) -> None:
    """Report how often the sync expert is right, on clips of a split."""
    samples = list(ShardDataset(data, split=split))
    net = SyncExpert(expert)
    shown = sys.stderr.isatty() and not quiet
    groups = sync_report(net, samples, progress=shown)
    if not quiet:
        typer.echo(report_table(groups))
    if output is not None:
        said = {
            "split": split,
            "expert": {k: net.facts.get(k) for k in ("name", "steps", "training_hours")},
            "data": about_data(data, samples),
            "hardware": hardware(),
            "groups": groups,
        }
        write_text(output, json.dumps(said, indent=1) + "\n")
