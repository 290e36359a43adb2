"""Terms of tracks count what is known and nothing else."""

import pytest

torch = pytest.importorskip("torch")

from lipglance.track_terms import correlation, mean_where, spread  # noqa: E402


def test_correlation_over_what_is_taught():
    torch.manual_seed(0)
    track, weight = torch.randn(3, 40) * 5, torch.ones(3, 40)
    weight[1, 20:] = 0
    other = track * 2 + 3
    other[1, 20:] = torch.randn(20) * 50
    assert correlation(track, other, weight).min() > 0.999
    assert correlation(track, -track, weight).max() < -0.999
    assert correlation(track, torch.zeros(3, 40), weight).abs().max() == 0


def test_mean_and_spread_over_what_is_taught():
    track, weight = torch.tensor([[1.0, 3.0, 99.0]]), torch.tensor([[1.0, 1.0, 0.0]])
    assert float(mean_where(track, weight)) == 2
    assert float(mean_where(track, weight * 0)) == 0
    assert float(spread(track, weight)[0]) == pytest.approx(1.0, abs=1e-3)
