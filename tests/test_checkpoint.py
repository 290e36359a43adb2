"""What is told of a run: its steps, and hours that are counted once."""

import pytest

pytest.importorskip("torch")

from lipglance.checkpoint import Progress


def spent(hours, *before, run):
    made = Progress({"step": 3}, ["a CPU"], run=run)
    for other in before:
        made.add(other)
    made.spend(3600 * hours)
    return made


def test_what_two_runs_began_with_is_counted_once():
    first = spent(2.0, run="first")
    one, two = (spent(1.0, first, run=name) for name in ("one", "two"))
    both = spent(0.5, one, two, run="both")
    assert both.hours == pytest.approx(2.0 + 1.0 + 1.0 + 0.5)
    assert both.hardware == ["a CPU"]


def test_a_run_that_is_stopped_goes_on_as_itself():
    before = Progress.from_dict(spent(1.0, run="one").to_dict())
    again = Progress({"step": 0}, run=before.run)
    again.add(before)
    again.spend(1800)
    assert again.spent == {"one": pytest.approx(1.5)}
    assert again.done == {"step": 3}


def test_hours_alone_are_kept_and_the_same_model_counted_once():
    facts = {"step": 100, "hours": 4.4, "hardware": ["a CPU"]}
    one, two = (spent(1.0, Progress.from_dict(facts), run=name) for name in ("one", "two"))
    assert one.hours == pytest.approx(5.4)
    assert spent(0.0, one, two, run="both").hours == pytest.approx(6.4)
