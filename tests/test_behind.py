"""Work in a thread: in order, bounded, and its errors come out in the caller."""

import threading
import time

import pytest

from lipglance.behind import Behind
from processes import run_python

ALONE = threading.active_count


def test_all_is_done_in_order_by_another_thread():
    done, before = [], ALONE()
    behind = Behind(lambda item: done.append((item, threading.current_thread())), 2)
    for k in range(50):
        behind.put(k)
    behind.finish()
    assert [k for k, _ in done] == list(range(50))
    assert {thread for _, thread in done} != {threading.current_thread()}
    assert ALONE() == before


def test_the_caller_waits_when_the_work_is_slow():
    handed, ahead = [], []

    def work(item):
        time.sleep(0.005)
        ahead.append(len(handed) - item)

    behind = Behind(work, 2)
    for k in range(20):
        handed.append(k)
        behind.put(k)
    behind.finish()
    # Two wait, one is being worked on and one is being handed over.
    assert max(ahead) <= 4


def test_an_error_comes_out_and_nothing_more_is_done():
    done = []

    def work(item):
        if item == 3:
            raise ValueError("at three")
        done.append(item)

    def hand_over():
        for k in range(1000):
            behind.put(k)

    before = ALONE()
    behind = Behind(work, 2)
    with pytest.raises(ValueError, match="at three"):
        hand_over()
    with pytest.raises(ValueError, match="at three"):
        behind.finish()
    behind.stop()
    assert done == [0, 1, 2]
    assert ALONE() == before


def test_the_last_items_error_comes_out_at_the_end():
    behind = Behind(lambda item: 1 / item, 4)
    behind.put(1)
    behind.put(0)
    with pytest.raises(ZeroDivisionError):
        behind.finish()


def test_stopping_leaves_undone_what_waits():
    going, done, before = threading.Event(), [], ALONE()

    def work(item):
        going.wait(10)
        done.append(item)

    behind = Behind(work, 3)
    for k in range(3):
        behind.put(k)
    threading.Timer(0.05, going.set).start()
    behind.stop()
    behind.stop()
    assert done == [0]
    time.sleep(0.1)
    assert ALONE() == before


INTERRUPTED = """
import faulthandler, random, signal, sys
from lipglance.ahead import ahead
from lipglance.behind import Behind

LONG = 3000  # lasts longer than until the signal

class Stop(BaseException): ...

def stop(*_):
    raise Stop

def behind():
    work = Behind(lambda item: sum(range(200)), 3)
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.001, 0.003))
        for _ in range(LONG):
            work.put(1)
    finally:
        work.stop()

def before():
    signal.setitimer(signal.ITIMER_REAL, random.uniform(0.001, 0.003))
    for _ in ahead(lambda item: sum(range(200)), range(LONG)):
        sum(range(200))

random.seed(int(sys.argv[2]))
signal.signal(signal.SIGALRM, stop)
faulthandler.dump_traceback_later(50, exit=True)
for _ in range(500):
    try:
        {"behind": behind, "ahead": before}[sys.argv[1]]()
    except Stop:
        pass
    signal.setitimer(signal.ITIMER_REAL, 0)
print("done")
"""


@pytest.mark.parametrize("which", ["behind", "ahead"])
def test_an_interruption_at_any_moment_leaves_nobody_waiting(which):
    """With queues that have locks of Python's own, one in some hundreds hung for good."""
    assert run_python("-c", INTERRUPTED, which, "1").stdout == "done\n"
