"""Weights between those of a model and of a run that began with it.

A network that is trained on gains on faces like those it is taught and loses some of what it could
on others. Weights between the two keep most of both (Wortsman et al. 2022, *Robust fine-tuning of
zero-shot models*): they lie in one valley, because the one began as the other.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .errors import InputError

PARTS = ("hearing", "painting")


def between(before: dict[str, Any], after: dict[str, Any], share: float) -> dict[str, Any]:
    """Return a talker's state whose running averages lie between two talkers'.

    Args:
        before: what the run began with, as `starts.read_start` gives it.
        after: the run's; all but the averages is kept.
        share: of the way from `before` to `after`, 0 to 1.

    Raises:
        InputError: a share out of range, or states of anything but talkers of one size.
    """
    if not 0.0 <= share <= 1.0:
        raise InputError(f"share {share:g}; expected 0 (the model) to 1 (the run)")
    kinds = [state["config"].get("kind") for state in (before, after)]
    if kinds != ["talker", "talker"]:
        raise InputError(
            f"between a {kinds[0]} and a {kinds[1]}; expected a model such as glance and a run of "
            "talker that began with it"
        )
    mixed = dict(after)
    for part in PARTS:
        old, new = (state[part]["networks"]["average"] for state in (before, after))
        networks = after[part]["networks"] | {"average": _mixed(old, new, share)}
        mixed[part] = after[part] | {"networks": networks}
    return mixed


def _mixed(old: dict[str, Tensor], new: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    if {k: v.shape for k, v in old.items()} != {k: v.shape for k, v in new.items()}:
        raise InputError(
            "networks of other sizes; expected a run that began with the model it is mixed with"
        )
    return {
        name: (1.0 - share) * old[name] + share * value if value.is_floating_point() else value
        for name, value in new.items()
    }
