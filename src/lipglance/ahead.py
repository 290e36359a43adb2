"""Things that are made ahead of their use: by threads, in order, never far ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from itertools import chain, islice
from queue import SimpleQueue
from threading import Thread
from typing import Generic, TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")

#: How many are made at once: networks as small as ours gain less by threads of their own.
MAKERS = 2


def ahead(
    make: Callable[[Given], Made], items: Iterable[Given], depth: int = 3
) -> Generator[Made, None, None]:
    """Do as ``map(make, items)`` does, while threads make what comes next.

    What making one raises comes out here, after those before it. Where the generator is closed
    early it waits for those that are being made; no more are made then.

    Args:
        make: is called by `MAKERS` threads at once.
        items: gone through by the caller, as far as is made.
        depth: how many may be made or ready besides the one that is used.
    """
    rest = iter(items)
    begin = list(islice(rest, 2))
    if len(begin) < 2:
        yield from map(make, begin)  # a live stream has one at a time: no thread is quicker
        return
    makers: _Makers[Given, Made] = _Makers(make)
    waiting: deque[_Box[Made]] = deque()
    try:
        makers.start()
        for item in chain(begin, rest):
            waiting.append(makers.put(item))
            if len(waiting) > depth:
                yield _taken(waiting.popleft())
        while waiting:
            yield _taken(waiting.popleft())
    finally:
        makers.stop()


# What was made, or why it was not. Not a `concurrent.futures.Future`, whose lock is Python's own:
# see `behind`.
_Box = SimpleQueue[tuple[list[Made], BaseException | None]]


def _taken(box: _Box[Made]) -> Made:
    made, error = box.get()
    if error is not None:
        raise error
    return made[0]


class _Makers(Generic[Given, Made]):
    """Threads that make things of items."""

    def __init__(self, make: Callable[[Given], Made]) -> None:
        self._make = make
        self._items: SimpleQueue[tuple[Given, _Box[Made]] | None] = SimpleQueue()
        self._stopped = False
        # Daemons, so that a process whose caller was interrupted while it waited can end.
        self._threads = [
            Thread(target=self._run, name=__name__, daemon=True) for _ in range(MAKERS)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def put(self, item: Given) -> _Box[Made]:
        box: _Box[Made] = SimpleQueue()
        self._items.put((item, box))
        return box

    def stop(self) -> None:
        self._stopped = True
        for _ in self._threads:
            self._items.put(None)
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def _run(self) -> None:
        while (task := self._items.get()) is not None:
            item, box = task
            if self._stopped:
                continue
            try:
                box.put(([self._make(item)], None))
            except BaseException as error:
                box.put(([], error))
