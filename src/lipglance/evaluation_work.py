"""Clips measured side by side in several processes."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2

from lipglance.cross_identity import measure_cross
from lipglance.dlib68 import Dlib68
from lipglance.errors import InputError
from lipglance.evaluation_clip import opened
from lipglance.measure import leaving_out, measure_clip
from lipglance.rows import Row, make_row
from lipglance.shards import Sample
from lipglance.sync import SyncExpert
from lipglance.voiced_clips import FAST_LEAVES_OUT, voiced
from lipglance.worker_process import end_with_parent

log = logging.getLogger("lipglance")

Record = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """One clip to be measured with some rows."""

    sample: Sample
    face: Sample | None
    """The clip whose first frame says the sound; None for the sample's own."""
    rows: list[str]
    view: str
    expert: Path | None
    voice: str = "clean"
    babblers: tuple[Sample, ...] = ()


def measured(todo: list[Task], workers: int) -> Iterator[list[Record]]:
    """Yield the records of each task as it is done, in any order; 1 worker: in this process."""
    if workers == 1:
        yield from map(_measure, todo)
        return
    # Spawned, because threads of onnxruntime and OpenCV do not survive a fork.
    with (
        _one_thread(),
        ProcessPoolExecutor(workers, get_context("spawn"), initializer=_quiet) as pool,
    ):
        try:
            futures = [pool.submit(_measure, task) for task in todo]
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@contextmanager
def _one_thread() -> Iterator[None]:
    """Processes started meanwhile multiply matrices with one thread each, or they would contend."""
    before = os.environ.get("OPENBLAS_NUM_THREADS")
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["OPENBLAS_NUM_THREADS"]
        else:
            os.environ["OPENBLAS_NUM_THREADS"] = before


def _quiet() -> None:
    """One thread for each process; no warnings, which every pass over a clip would repeat.

    Nobody wants the records of a worker whose evaluation was killed.
    """
    end_with_parent()
    cv2.setNumThreads(1)
    log.setLevel(logging.ERROR)


@lru_cache(maxsize=1)
def _detector() -> Dlib68:
    return Dlib68()


@lru_cache(maxsize=16)
def _row(name: str) -> Row:
    return make_row(name)


@lru_cache(maxsize=2)
def open_expert(folder: Path) -> SyncExpert:
    """The sync expert of a folder, opened once in each process; InputError where it is none."""
    return SyncExpert(folder, threads=1)


def _measure(task: Task) -> list[Record]:
    """Records of one clip for the task's rows, made in this process."""
    entry = task.sample.entry
    head: Record = {"key": entry.key, "corpus": entry.corpus, "speaker": entry.speaker}
    head["frames"] = entry.frames
    if task.face is not None:
        face = task.face.entry
        head["face"] = {name: getattr(face, name) for name in ("corpus", "split", "speaker", "key")}
    try:
        with ExitStack() as files:
            own = files.enter_context(opened(task.sample))
            clip = voiced(own, task.voice, task.babblers)
            head["frames"] = clip.frames
            rows = [_row(name) for name in task.rows]
            judge = None if task.expert is None else open_expert(task.expert)
            if task.face is None:
                made = measure_clip(clip, rows, _detector(), task.view, judge)
            else:
                other = files.enter_context(opened(task.face))
                made = measure_cross(other, clip, rows, _detector(), task.view, judge)
            if task.voice == "fast":
                made = leaving_out(made, FAST_LEAVES_OUT)
    except InputError as error:
        made = {name: {"error": str(error)} for name in task.rows}
    return [head | {"row": name} | made[name] for name in task.rows]
