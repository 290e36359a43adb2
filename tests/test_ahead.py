"""Items are made by a thread before they are asked for: in order, bounded, errors included."""

import threading
import time

import pytest

from lipglance.ahead import ahead

ALONE = threading.active_count


def test_all_come_in_order_and_are_made_by_another_thread():
    makers, before = set(), ALONE()

    def make():
        for k in range(50):
            makers.add(threading.current_thread())
            yield k

    assert list(ahead(make())) == list(range(50))
    assert len(makers) == 1
    assert threading.current_thread() not in makers
    assert ALONE() == before


def test_the_next_are_made_while_one_is_used():
    """Made and used for 20 ms each, ten times: in turns that would be 400 ms."""

    def make():
        for k in range(10):
            time.sleep(0.02)
            yield k

    begin = time.perf_counter()
    for _ in ahead(make()):
        time.sleep(0.02)
    assert time.perf_counter() - begin < 0.36


def test_no_more_are_made_than_may_wait():
    made = []

    def make():
        for k in range(20):
            made.append(k)
            yield k

    items = ahead(make(), 2)
    assert next(items) == 0
    time.sleep(0.1)
    # One is used, two wait and one is being handed over.
    assert made == [0, 1, 2, 3]
    items.close()


def test_an_error_comes_out_after_what_was_made_before_it():
    def make():
        yield 1
        yield 2
        raise ValueError("no third")

    before = ALONE()
    items = ahead(make())
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(ValueError, match="no third"):
        next(items)
    assert ALONE() == before


def test_who_stops_early_stops_the_making():
    made, before = [], ALONE()

    def make():
        k = 0
        while True:
            made.append(k)
            yield k
            k += 1

    items = ahead(make(), 1)
    assert next(items) == 0
    items.close()
    assert ALONE() == before
    count = len(made)
    assert count <= 4
    time.sleep(0.02)
    assert len(made) == count


def test_items_that_count_as_false_are_items():
    assert list(ahead([0, None, (), 0])) == [0, None, (), 0]
    assert list(ahead([])) == []
