"""Items are made by threads before they are asked for: in order, bounded, errors included."""

import threading
import time

import pytest

from lipglance.ahead import MAKERS, ahead

ALONE = threading.active_count


def test_all_come_in_order_and_are_made_by_other_threads():
    makers, before = set(), ALONE()

    def make(k):
        makers.add(threading.current_thread())
        time.sleep(0.002 * (k % 3))
        return k * k

    assert list(ahead(make, range(50))) == [k * k for k in range(50)]
    assert 1 <= len(makers) <= MAKERS
    assert threading.current_thread() not in makers
    assert ALONE() == before


def test_the_next_are_made_while_one_is_used():
    """Made and used for 20 ms each, ten times: in turns that would be 400 ms."""

    def make(k):
        time.sleep(0.02)
        return k

    begin = time.perf_counter()
    for _ in ahead(make, range(10)):
        time.sleep(0.02)
    assert time.perf_counter() - begin < 0.36


def test_one_alone_is_made_by_the_caller():
    assert list(ahead(lambda _: threading.current_thread(), [1])) == [threading.current_thread()]
    assert list(ahead(lambda _: 1, [])) == []


def test_no_more_are_made_than_may_wait():
    made = []
    items = ahead(made.append, range(20), 3)
    next(items)
    time.sleep(0.1)
    assert len(made) == 4  # one is used, three wait
    next(items)
    time.sleep(0.1)
    assert len(made) == 5
    items.close()


def test_an_error_comes_out_after_what_was_made_before_it():
    def make(k):
        if k == 3:
            raise ValueError("no third")
        return k

    before = ALONE()
    items = ahead(make, range(1, 9))
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(ValueError, match="no third"):
        next(items)
    assert ALONE() == before


def test_an_error_of_the_items_comes_out_too():
    def items():
        yield from range(6)
        raise ValueError("no more")

    before = ALONE()
    with pytest.raises(ValueError, match="no more"):
        list(ahead(lambda k: k, items()))
    assert ALONE() == before


def test_who_stops_early_stops_the_making():
    made, before = [], ALONE()
    items = ahead(made.append, iter(int, 1), 1)
    next(items)
    items.close()
    assert ALONE() == before
    count = len(made)
    assert count <= 3
    time.sleep(0.02)
    assert len(made) == count
