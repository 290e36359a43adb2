"""Frames are compared where it matters: at the mouth, and by features whatever their scale."""

import pytest

torch = pytest.importorskip("torch")

from lipglance.picture_loss import feature_error, mouth_importance  # noqa: E402


def test_mouth_counts_more_and_the_mean_weight_is_one():
    flat, bell = mouth_importance(64, 0.0), mouth_importance(64, 4.0)
    assert torch.equal(flat, torch.ones(64, 64))
    assert float(bell.mean()) == pytest.approx(1.0, abs=1e-5)
    assert float(bell[36, 32]) > 4 * float(bell[0, 0])


def test_feature_error_does_not_depend_on_a_channels_scale():
    torch.manual_seed(0)
    got, wanted = torch.randn(4, 3, 8, 8), torch.randn(4, 3, 8, 8)
    loud = torch.tensor([1.0, 50.0, 7.0]).view(1, 3, 1, 1)
    plain = float(feature_error(got, wanted))
    assert float(feature_error(got * loud, wanted * loud)) == pytest.approx(plain, rel=0.01)
    assert float(feature_error(wanted, wanted)) == 0
