"""Work that is done behind its caller's back: in order, in a thread, never far behind."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Behind(Generic[Item]):
    """Does the same work for one item after another in a thread of its own.

    What the work raises comes out of the next call of `put` or `finish`, in the caller; what was
    handed over after that is left undone. One of `finish` and `stop` must be called at the end.

    Args:
        work: what is done with each item.
        depth: how many items may wait, besides the one being worked on.
    """

    def __init__(self, work: Callable[[Item], None], depth: int) -> None:
        self._work = work
        # Bounded by its second, which has an entry for each item that may still be put: `Queue`,
        # which is bounded itself, has locks of Python's own. A signal's exception (Ctrl-C) may come
        # between taking one and knowing that it is taken, and all who wait for it wait for ever.
        self._items: SimpleQueue[Item | None] = SimpleQueue()
        self._room: SimpleQueue[None] = SimpleQueue()
        for _ in range(depth):
            self._room.put(None)
        self._error: BaseException | None = None
        self._stopped = False
        # A daemon, so that a process whose caller was interrupted while it waited can end.
        self._thread = threading.Thread(target=self._run, name=__name__, daemon=True)
        self._thread.start()

    def put(self, item: Item) -> None:
        """Hand over an item; wait while as many as may wait do. Raises what the work raised."""
        self._raise()
        self._room.get()
        self._items.put(item)

    def finish(self) -> None:
        """Wait until all is done. Raises what the work raised."""
        self._end()
        self._raise()

    def stop(self) -> None:
        """Leave undone what waits and wait for what is being done. May be called at any time."""
        self._stopped = True
        self._end()

    def _end(self) -> None:
        if self._thread.is_alive():
            self._items.put(None)
            self._thread.join()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while (item := self._items.get()) is not None:
            self._room.put(None)
            # Items are taken to the end even where nothing is done with them: the caller may wait.
            if self._error is None and not self._stopped:
                try:
                    self._work(item)
                except BaseException as error:
                    self._error = error
