"""The correlation loss rewards speech and motion that go together."""

import pytest

torch = pytest.importorskip("torch")

from lipglance.correlation import (  # noqa: E402
    AudioDerivativeEncoder,
    FlowEncoder,
    correlation_loss,
)


def test_bounds():
    x = torch.tensor([[1.0, -2.0, 3.0]])
    assert correlation_loss(x, 5 * x) == pytest.approx(0.0, abs=1e-6)
    assert correlation_loss(x, -x) == pytest.approx(2.0, abs=1e-6)
    y = torch.tensor([[2.0, 1.0, 0.0]])
    assert correlation_loss(x, y) == pytest.approx(1.0, abs=1e-6)


def test_two_constants_are_correlated_only_uncentred():
    a, b = torch.full((1, 5), 2.0), torch.full((1, 5), 3.0)
    assert correlation_loss(a, b) == pytest.approx(0.0, abs=1e-6)
    assert correlation_loss(a, b, centred=True) == pytest.approx(1.0, abs=1e-6)


def test_centred_is_pearson():
    a, b = torch.randn(4, 15), torch.randn(4, 15)
    r = [torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(a, b, strict=True)]
    expected = 1 - torch.stack(r).mean()
    torch.testing.assert_close(correlation_loss(a, b, centred=True), expected)


@pytest.mark.parametrize("derivative", [True, False])
def test_encoders_give_fifteen_numbers(derivative):
    audio = AudioDerivativeEncoder(32, 16, derivative=derivative)
    assert audio(torch.randn(2, 32, 16, 16)).shape == (2, 15)
    assert FlowEncoder(16)(torch.randn(2, 2, 15, 64, 64)).shape == (2, 15)


def test_encoders_count_in_float32_under_autocast():
    audio, flow = AudioDerivativeEncoder(32, 16, derivative=True), FlowEncoder(16)
    heard, moved = torch.randn(2, 32, 16, 16), torch.randn(2, 2, 15, 64, 64)
    plain = audio(heard), flow(moved)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = audio(heard), flow(moved)
    assert torch.equal(plain[1], cast[1])
    assert cast[0].dtype is torch.float32
    correlation_loss(*cast).backward()
    assert all(p.grad is not None and p.grad.dtype is torch.float32 for p in audio.parameters())


def test_derivative_ignores_a_constant():
    torch.manual_seed(0)
    encoder = AudioDerivativeEncoder(8, 8, derivative=True).eval()
    x = torch.randn(1, 8, 16, 16)
    torch.testing.assert_close(encoder(x), encoder(x + 3.0), atol=1e-5, rtol=1e-4)


def test_encoders_learn_a_lag_between_sound_and_motion():
    """Speech whose derivative moves the lips two steps later is found, whatever the lag."""
    torch.manual_seed(0)
    audio, flow = AudioDerivativeEncoder(4, 8, derivative=True), FlowEncoder(32)
    optimizer = torch.optim.Adam([*audio.parameters(), *flow.parameters()], 3e-3)
    losses = []
    for _ in range(60):
        drive = torch.randn(8, 18)
        sound = drive[:, 2:].cumsum(1)[:, None, :, None].expand(-1, 4, -1, 16)
        motion = drive[:, 1:16][:, None, :, None, None].expand(-1, 2, -1, 64, 64)
        loss = correlation_loss(audio(sound), flow(motion))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) < 0.75 * sum(losses[:10])
