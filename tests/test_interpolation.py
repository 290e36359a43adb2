"""Weights between a model's and a run's: the ends are the two, the middle is their mean."""

import pytest

torch = pytest.importorskip("torch")

from lipglance.errors import InputError  # noqa: E402
from lipglance.interpolation import between  # noqa: E402


def talker(value, kind="talker", size=3):
    def part(offset):
        average = {"w": torch.full((size,), value + offset), "count": torch.tensor(int(value))}
        return {"networks": {"average": average, "critic": {"w": torch.tensor(value)}}}

    return {"config": {"kind": kind}, "hearing": part(0.0), "painting": part(10.0)}


@pytest.mark.parametrize(("share", "said"), [(0.0, 1.0), (0.25, 2.0), (1.0, 5.0)])
def test_share_is_of_the_way_to_the_run(share, said):
    before, after = talker(1.0), talker(5.0)
    mixed = between(before, after, share)
    for part, offset in (("hearing", 0.0), ("painting", 10.0)):
        average = mixed[part]["networks"]["average"]
        torch.testing.assert_close(average["w"], torch.full((3,), said + offset))
        # Counters cannot be mixed, and what is not shipped stays the run's.
        assert average["count"] == 5
        assert mixed[part]["networks"]["critic"]["w"] == 5.0
    assert after["painting"]["networks"]["average"]["w"][0] == 15.0


def test_what_cannot_be_mixed_is_one_clear_line():
    with pytest.raises(InputError, match=r"share 1\.5; expected 0"):
        between(talker(1.0), talker(2.0), 1.5)
    with pytest.raises(InputError, match="between a sync and a talker"):
        between(talker(1.0, "sync"), talker(2.0), 0.5)
    with pytest.raises(InputError, match="other sizes"):
        between(talker(1.0, size=2), talker(2.0), 0.5)
