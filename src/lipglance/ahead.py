"""Things that are made ahead of their use: in order, in a thread, never far ahead."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable
from contextlib import suppress
from queue import Empty, Queue
from typing import TypeVar

Item = TypeVar("Item")


def ahead(items: Iterable[Item], depth: int = 2) -> Generator[Item, None, None]:
    """Go through `items` while a thread makes those that come next.

    What making one raises comes out here, after the items before it. Where the generator is closed
    early it waits for the item that is being made; no more are made then.

    Args:
        items: gone through in the thread, and in no other.
        depth: how many may be ready and waiting.
    """
    ready: Queue[list[Item]] = Queue(depth)  # one item each; none at the end
    errors: list[BaseException] = []
    stopped = threading.Event()

    def make() -> None:
        try:
            for item in items:
                ready.put([item])
                if stopped.is_set():
                    break
        except BaseException as error:
            errors.append(error)
        ready.put([])

    # A daemon, so that a process whose caller was interrupted while it waited can end.
    thread = threading.Thread(target=make, name=__name__, daemon=True)
    thread.start()
    try:
        while item := ready.get():
            yield item[0]
        for error in errors:
            raise error
    finally:
        stopped.set()
        while thread.is_alive():
            with suppress(Empty):  # the thread may wait for room
                ready.get_nowait()
            thread.join(0.001)
