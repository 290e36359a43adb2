"""What tracks over time have in common, where they are known: terms of a loss, differentiable."""

from __future__ import annotations

from torch import Tensor


def mean_where(values: Tensor, weight: Tensor) -> Tensor:
    """Mean of values where `weight`, of the same shape, is 1; 0 where it nowhere is."""
    return (values * weight).sum() / weight.sum().clamp(min=1.0)


def spread(track: Tensor, weight: Tensor) -> Tensor:
    """Standard deviation over time ``(...)`` of tracks ``(..., T)`` where `weight` is 1."""
    count = weight.sum(-1).clamp(min=1.0)
    mean = (track * weight).sum(-1) / count
    power = ((track - mean[..., None]).square() * weight).sum(-1) / count
    return (power + 1e-4).sqrt()


def correlation(one: Tensor, other: Tensor, weight: Tensor) -> Tensor:
    """Pearson's r over time ``(...)`` of tracks ``(..., T)`` where `weight` is 1; 0 if still."""
    count = weight.sum(-1, keepdim=True).clamp(min=1.0)
    parts = []
    for track in (one, other):
        centred = (track - (track * weight).sum(-1, keepdim=True) / count) * weight
        parts.append(centred / (centred.square().sum(-1, keepdim=True) + 1e-2).sqrt())
    return (parts[0] * parts[1]).sum(-1)
