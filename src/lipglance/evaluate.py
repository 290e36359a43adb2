"""``lipglance evaluate``: rows measured on the test clips of a split, into one JSON.

Clips are shared out to several processes. Each one's records are appended to a file beside the
output as they come, so that a run that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, zip_longest
from pathlib import Path
from time import perf_counter
from typing import Any

from lipglance import __version__
from lipglance.cross_identity import other_identity
from lipglance.dlib68 import predictor_path
from lipglance.errors import InputError
from lipglance.evaluation_work import Record, Task, measured, open_expert
from lipglance.measure import PROTOCOL, VIEWS
from lipglance.progress_bar import progress_bar
from lipglance.results import about_data, summarise
from lipglance.rows import describe_row
from lipglance.runtime import hardware
from lipglance.shard_index import check_place, write_text
from lipglance.shards import Sample, ShardDataset
from lipglance.sync import describe_expert, packaged_expert
from lipglance.voiced_clips import babblers_of, check_voice

log = logging.getLogger("lipglance")

Place = tuple[str, str, str]
"""Corpus, key of the clip, row."""

IDENTITIES = ("own", "other")


def evaluate(
    models: Sequence[str],
    data: Sequence[Path],
    output: Path,
    *,
    split: str = "test_seen",
    view: str = "lips",
    identity: str = "own",
    voice: str = "clean",
    corpora: Sequence[str] | None = None,
    limit: int | None = None,
    workers: int = 2,
    force: bool = False,
    keep: bool = False,
    progress: bool = False,
    command: str = "",
    expert: Path | None = None,
) -> dict[str, Any]:
    """Measure `models` on the clips of `split` in the shards `data`; write and return the results.

    models: names or directories of models, or built-in rows (`lipglance.rows.BUILT_IN`), each
    once. view: "lips" puts the lips back into the real frames; "face" paints them into the first
    frame, as for a user (`lipglance.measure`). identity: "own" gives each clip its own first
    frame, "other" that of another speaker (`lipglance.cross_identity`). voice:
    one of `lipglance.voiced_clips.VOICES`, how the rows hear the sound. corpora: only these (None
    = all). limit: clips of each corpus, spread over it. workers: processes. force: replace an
    `output` that is there. keep: return one that is there where it is of the very same networks,
    data and options. progress: a bar on stderr. expert: folder of a sync expert; None for
    the package's, without which there are no LSE. command: kept in the results, so that a reader
    can run it again.

    A clip or a model that fails on one is kept as a failure with its reason and logged. Raises
    InputError for unknown rows, a split without clips or without another speaker where one is
    asked for, an output that exists or cannot be written, and where the ``eval`` extra is missing.
    """
    if len(set(models)) < len(models) or not models:
        raise InputError(f"rows {', '.join(models) or 'none'}; expected one or more, each once")
    if workers < 1 or (limit is not None and limit < 1):
        raise InputError(f"{workers} workers, limit {limit}; expected 1 or more")
    if view not in VIEWS:
        raise InputError(f"view {view!r}; expected one of {', '.join(VIEWS)}")
    if identity not in IDENTITIES:
        raise InputError(f"identity {identity!r}; expected one of {', '.join(IDENTITIES)}")
    if identity == "other" and "pasted" in models:
        raise InputError("row pasted with other identities: nobody filmed those lips; leave it out")
    check_place(output, force or keep, parents=True)
    voice_facts = check_voice(voice)
    facts = [describe_row(name) for name in models]
    predictor_path()
    chosen = spread(ShardDataset(data, split, corpora), limit)
    places = Counter((sample.entry.corpus, sample.key) for sample in chosen)
    (((corpus, key), times),) = places.most_common(1)
    if times > 1:
        raise InputError(
            f"{key} of {corpus} is in the shards {times} times; expected each clip "
            "once; give one --data folder, or prepare the others with a name of their own"
        )
    about = about_data(data, chosen)
    # What must be the same for an earlier run's records to be this run's.
    task: Record = {"protocol": PROTOCOL, "split": split, "view": view, "rows": facts}
    task["data"] = about["sha256"]
    task["identity"] = identity
    if voice != "clean":  # so that clean results of old are still of the same question
        task |= voice_facts
    faces: list[Sample] = []
    behind: list[tuple[Sample, ...]] = []
    if voice == "babble":
        # Of all corpora, so that the same is heard whichever of them are asked for.
        everyone = list(ShardDataset(data, split))
        behind = [tuple(babblers_of(sample, everyone)) for sample in chosen]
        about["babblers"] = about_data(data, list(chain(*behind)))
        task["babblers"] = about["babblers"]["sha256"]
    if identity == "other":
        pool = list(ShardDataset(data))
        faces = [other_identity(sample, pool) for sample in chosen]
        about["identities"] = about_data(data, faces)
        task["identities"] = about["identities"]["sha256"]
    expert = expert or packaged_expert()
    if expert is not None:
        # Else every clip would tell what is wrong with it.
        open_expert(expert)
    task["expert"] = None if expert is None else describe_expert(expert)
    asked = hashlib.sha256(json.dumps([task, limit]).encode()).hexdigest()
    if keep and (before := _kept(output, asked)) is not None:
        return before
    partial = output.with_name(f"{output.stem}.partial.jsonl")
    start = perf_counter()
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        records = _resume(partial, task)
        tasks = [
            Task(sample, face, list(models), view, expert, voice, others or ())
            for sample, face, others in zip_longest(chosen, faces, behind)
        ]
        _run(tasks, records, partial, workers, progress)
        results = {
            "lipglance": __version__,
            "command": command,
            "protocol": PROTOCOL,
            "split": split,
            "view": view,
            "identity": identity,
            **voice_facts,
            "expert": task["expert"],
            "asked": asked,
            "data": about,
            "hardware": hardware() | {"workers": workers},
            "seconds": round(perf_counter() - start, 1),
            "rows": [
                fact | _row_results(name, chosen, records)
                for name, fact in zip(models, facts, strict=True)
            ],
        }
        write_text(output, json.dumps(results, indent=1, ensure_ascii=False) + "\n")
        partial.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{output}: cannot write the results: {error}") from None
    return results


def _kept(output: Path, asked: str) -> dict[str, Any] | None:
    """Earlier results in `output` if they answer what is `asked`."""
    try:
        before = json.loads(output.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    same = isinstance(before, dict) and before.get("asked") == asked
    return before if same else None


def spread(dataset: ShardDataset, limit: int | None) -> list[Sample]:
    """All samples, or `limit` of each corpus at even distances."""
    groups: dict[str, list[Sample]] = {}
    for sample in dataset:
        groups.setdefault(sample.entry.corpus, []).append(sample)
    chosen = []
    for samples in groups.values():
        count = min(limit or len(samples), len(samples))
        chosen += [samples[i * len(samples) // count] for i in range(count)]
    return chosen


def _resume(partial: Path, task: dict[str, Any]) -> dict[Place, Record]:
    """Records of an interrupted run of the same task, by clip and row; begins the file anew if not.

    A last line that was cut short is dropped.
    """
    lines = partial.read_text(encoding="utf-8").splitlines() if partial.is_file() else []
    parsed: list[Any] = []
    for line in lines:
        try:
            parsed.append(json.loads(line))
        except ValueError:
            break
    same = bool(parsed) and parsed[0] == json.loads(json.dumps(task))
    if parsed and not same:
        log.warning("%s is of another evaluation (models, data or split); starting anew", partial)
    kept = parsed if same else [task]
    write_text(partial, "".join(json.dumps(item) + "\n" for item in kept))
    return {(record["corpus"], record["key"], record["row"]): record for record in kept[1:]}


def _place(sample: Sample, row: str) -> Place:
    return sample.entry.corpus, sample.key, row


def _run(
    tasks: Sequence[Task],
    records: dict[Place, Record],
    partial: Path,
    workers: int,
    progress: bool,
) -> None:
    """Fill `records` with what is missing, each clip with all its missing rows at once."""
    missing = [
        replace(task, rows=[row for row in task.rows if _place(task.sample, row) not in records])
        for task in tasks
    ]
    todo = [task for task in missing if task.rows]
    done = len(tasks) - len(todo)
    with progress_bar("evaluating", len(tasks), shown=progress, done=done) as tell:
        if todo:
            with partial.open("a", encoding="utf-8") as file:
                for count, made in enumerate(measured(todo, min(workers, len(todo))), done + 1):
                    for record in made:
                        records[record["corpus"], record["key"], record["row"]] = record
                        file.write(json.dumps(record, ensure_ascii=False) + "\n")
                        if "error" in record:
                            log.warning("%s, %s: %s", record["key"], record["row"], record["error"])
                    file.flush()
                    tell(count)


def _row_results(
    name: str, samples: Sequence[Sample], records: dict[Place, Record]
) -> dict[str, Any]:
    clips = [records[_place(sample, name)] for sample in samples]
    return {
        "groups": summarise(clips),
        "clips": [{k: v for k, v in clip.items() if k != "row"} for clip in clips],
    }
