"""Worker processes that cut clips, in order, whatever happens to one of them."""

from __future__ import annotations

import logging
import multiprocessing
import signal
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from multiprocessing.synchronize import Event
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2

from lipglance.clip_source import ClipSource
from lipglance.cutting import CutConfig, Segment, UnusableError, cut_clip
from lipglance.errors import LipglanceError
from lipglance.face import FaceFinder
from lipglance.shard_writer import ShardWriter
from lipglance.worker_process import end_with_parent

Row = dict[str, Any]
"""What became of a clip: where it comes from, what was kept, what was dropped and why."""
Result = tuple[Row, Path | None]
"""The row, and the tar with the samples if there are any."""


class Crew:
    """``workers`` processes that cut clips into tars in the folder ``spool``.

    They are started by *spawn*, compute with one thread each, and end with the process that
    started them.
    """

    def __init__(self, config: CutConfig, spool: Path, workers: int) -> None:
        self._workers = workers
        self._context = multiprocessing.get_context("spawn")
        self._stop = self._context.Event()
        self._setup = (config, spool, self._stop)
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Crew:
        self._pool = self._new_pool(self._workers)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _new_pool(self, workers: int) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(workers, self._context, _begin, self._setup)

    def cut(self, clips: Iterable[ClipSource]) -> Iterator[Result]:
        """Results of the clips in their order; a few are worked on ahead."""
        waiting: deque[tuple[ClipSource, Future[Result]]] = deque()
        rest = iter(clips)
        while True:
            try:
                for clip in islice(rest, 4 * self._workers - len(waiting)):
                    waiting.append((clip, self._submit(clip)))
                if not waiting:
                    return
                result = waiting[0][1].result()
            except BrokenProcessPool:
                # Some clip took its process and the others' work with it; each alone shows which.
                for clip, future in waiting:
                    yield self._alone(clip, future)
                waiting.clear()
                self._pool = self._new_pool(self._workers)
            else:
                waiting.popleft()
                yield result

    def _submit(self, clip: ClipSource) -> Future[Result]:
        if self._pool is None:
            raise RuntimeError("Crew is used outside its with block")
        try:
            return self._pool.submit(_cut, clip)
        except BrokenProcessPool as error:
            future: Future[Result] = Future()
            future.set_exception(error)
            return future

    def _alone(self, clip: ClipSource, future: Future[Result]) -> Result:
        if future.done() and future.exception() is None:
            return future.result()
        with self._new_pool(1) as pool:
            try:
                return pool.submit(_cut, clip).result()
            except BrokenProcessPool:
                crash = UnusableError("crash", "the process that read it died", clip.start)
                return _row(clip) | {"dropped": [_drop(crash)]}, None


@dataclass
class _Worker:
    """What a worker process keeps from clip to clip."""

    config: CutConfig
    spool: Path
    stop: Event
    finder: FaceFinder
    notes: _Notes


class _Notes(logging.Handler):
    """Keeps what is warned about while a clip is cut, for the clip's row."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


class _Stopped(BaseException):
    """The crew is sent home: not an error of the clip."""


_worker: _Worker


def _begin(config: CutConfig, spool: Path, stop: Event) -> None:
    global _worker
    # Ctrl-C reaches the whole process group; the parent alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    cv2.setNumThreads(1)
    notes = _Notes()
    logger = logging.getLogger("lipglance")
    logger.handlers, logger.propagate = [notes], False
    _worker = _Worker(config, spool, stop, FaceFinder(threads=1), notes)


def _proceed() -> None:
    if _worker.stop.is_set():
        raise _Stopped


def _cut(clip: ClipSource) -> Result:
    row = _row(clip)
    _worker.notes.lines.clear()
    samples = _worker.spool / f"{clip.key}.tar"
    with ShardWriter(samples) as writer:
        for piece in _pieces(clip):
            if isinstance(piece, UnusableError):
                row["dropped"].append(_drop(piece))
            else:
                piece.write(writer)
                row["samples"] += 1
                row["frames"] += len(piece.crops)
                row["faceless"] += len(piece.meta["missing"])
    row["warnings"] = list(dict.fromkeys(_worker.notes.lines))
    return row, samples


def _pieces(clip: ClipSource) -> Iterator[Segment | UnusableError]:
    # Only reading a clip is forgiven; what goes wrong in writing samples ends the job.
    pieces = cut_clip(clip, _worker.config, _worker.finder, _proceed)
    while True:
        try:
            piece = next(pieces, None)
        except UnusableError as problem:
            piece = problem
        except LipglanceError as problem:
            piece = UnusableError("unreadable", str(problem), clip.start)
        except Exception as problem:
            piece = UnusableError("unreadable", f"{type(problem).__name__}: {problem}", clip.start)
        if piece is None:
            return
        yield piece


def _row(clip: ClipSource) -> Row:
    return {
        "source": clip.source,
        "key": clip.key,
        "corpus": clip.corpus,
        "speaker": clip.speaker,
        "split": clip.split,
        "samples": 0,
        "frames": 0,
        "faceless": 0,
        "dropped": [],
        "warnings": [],
    }


def _drop(problem: UnusableError) -> Row:
    return {"start": problem.start, "reason": problem.reason, "detail": problem.detail}
