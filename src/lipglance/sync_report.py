"""How far the sync expert can be trusted: right answers on clips it has not seen, by shift.

And how sure it is where lips and sound belong together and where they do not: what the warning of
``lipglance sync`` is drawn from.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import ArrayLike

from .metrics import bootstrap
from .progress_bar import progress_bar
from .results import about_data, markdown_table, with_interval
from .runtime import hardware
from .shard_index import check_place, write_text
from .shards import Sample, ShardDataset
from .sync import SURE, FloatArray, SyncExpert, judge, windows_right

SHIFTS = (1, 2, 4, 8)
#: Of the clips' confidences.
PERCENTILES = (5, 25, 50, 75, 95)


def sync_report(
    expert: SyncExpert, samples: Sequence[Sample], *, progress: bool = False
) -> dict[str, dict[str, Any]]:
    """Let the expert choose between a clip's own sound and a wrong one, second by second.

    Wrong is the own sound moved by 1, 2, 4 or 8 frames to either side, or that of another clip,
    of the same speaker where there is one. Chance is 0.5.

    Returns:
        By corpus, for each question the `Summary` of the clips' shares of right seconds, and
        ``seconds`` asked; ``offset_0`` and ``offset_1``: share of clips whose best offset over
        +-15 frames is 0, and at most 1; ``confidence``: see `confidences`.
    """
    by_speaker: dict[tuple[str, str], list[int]] = defaultdict(list)
    by_corpus: dict[str, list[int]] = defaultdict(list)
    for index, sample in enumerate(samples):
        by_speaker[sample.entry.corpus, sample.speaker].append(index)
        by_corpus[sample.entry.corpus].append(index)
    heard = [expert.hear(sample.audio(), sample.frames) for sample in samples]
    sure: dict[str, list[tuple[float, float]]] = defaultdict(list)
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
            count = min(len(sound), len(other))
            own, wrong = (judge(lips[:count], track[:count]) for track in (sound, other))
            sure[corpus].append((own.confidence, wrong.confidence))
            tell(index + 1)
    return {
        corpus: {
            "clips": len(by_corpus[corpus]),
            "seconds": seconds[corpus],
            "confidence": confidences(sure[corpus]),
            **{name: vars(bootstrap(values)) for name, values in found.items()},
        }
        for corpus, found in shares.items()
    }


def confidences(pairs: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """How sure the expert is of clips with their own sound and with another clip's.

    Args:
        pairs: of each clip the confidence with its own sound and with another, over the same
            number of frames.

    Returns:
        ``own`` and ``other``: the `PERCENTILES` of each; ``values``: `pairs`, sorted apart;
        ``threshold`` and ``right``: the confidence that tells the two apart best, and the mean of
        the shares of own at or above it and of others below it (0.5 is chance).
    """
    own, other = np.sort(np.array(pairs, np.float64), axis=0).T
    threshold, right = best_threshold([(own, other)])
    return {
        "own": [round(float(v), 4) for v in np.percentile(own, PERCENTILES)],
        "other": [round(float(v), 4) for v in np.percentile(other, PERCENTILES)],
        "threshold": threshold,
        "right": right,
        "values": {"own": own.round(4).tolist(), "other": other.round(4).tolist()},
    }


def best_threshold(groups: Sequence[tuple[ArrayLike, ArrayLike]]) -> tuple[float, float]:
    """The value that has most of own (n,) at or above it and most of other (m,) below it.

    groups: pairs of own and other, each pair of the same weight. Returns the value, half way
    between two that occur, and the mean of all the shares that lie on the right side.
    """
    parts = [np.asarray(part, np.float64) for pair in groups for part in pair]
    known = np.unique(np.concatenate(parts))
    tried = np.concatenate([known[:1], (known[1:] + known[:-1]) / 2])[:, None]
    shares = [(part >= tried).mean(1) for part in parts[::2]]
    shares += [(part < tried).mean(1) for part in parts[1::2]]
    right = np.mean(shares, axis=0)
    best = int(right.argmax())
    return round(float(tried[best, 0]), 4), round(float(right[best]), 4)


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


def confidence_table(groups: dict[str, dict[str, Any]]) -> str:
    """Confidences with the own and with another sound, as a Markdown table and a line below it."""
    titles = ["sound", *(f"{p} %" for p in PERCENTILES), f"below {SURE}", "told apart best at"]
    rows = []
    for corpus, found in groups.items():
        sure = found["confidence"]
        best = {"own": f"{sure['threshold']:.2f} ({sure['right']:.2f} right)", "other": ""}
        for sound, title in (("own", "its own"), ("other", "another clip's")):
            below = float((np.array(sure["values"][sound]) < SURE).mean())
            figures = [*(f"{v:.2f}" for v in sure[sound]), f"{below:.2f}"]
            rows.append([f"{corpus}, {title}", *figures, best[sound]])
    pairs = [found["confidence"]["values"] for found in groups.values()]
    threshold, right = best_threshold([(values["own"], values["other"]) for values in pairs])
    line = f"All corpora alike: told apart best at {threshold:.2f} ({right:.2f} right)."
    return f"{markdown_table(titles, rows)}\n\n{line}"


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
    if output is not None:
        check_place(output, force=True)
    samples = list(ShardDataset(data, split=split))
    net = SyncExpert(expert)
    groups = sync_report(net, samples, progress=not quiet)
    if not quiet:
        typer.echo(report_table(groups))
        typer.echo("\nConfidence (LSE-C), percentiles over clips:\n")
        typer.echo(confidence_table(groups))
    if output is not None:
        said = {
            "split": split,
            "expert": {k: net.facts.get(k) for k in ("name", "steps", "training_hours")},
            "data": about_data(data, samples),
            "hardware": hardware(),
            "groups": groups,
        }
        write_text(output, json.dumps(said, indent=1) + "\n")
