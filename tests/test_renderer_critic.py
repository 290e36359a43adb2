"""The critic of painted mouths: looks at the middle, learns to tell, and says so to the painter."""

import pytest

torch = pytest.importorskip("torch")

from lipglance.renderer_critic import (  # noqa: E402
    RendererCritic,
    critic_loss,
    middle,
    painter_loss,
)


def pictures(seed, blurred):
    """Noise, or the same noise without its fine detail."""
    torch.manual_seed(seed)
    noise = torch.rand(16, 3, 48, 48) * 2 - 1
    return torch.nn.functional.avg_pool2d(noise, 5, 1, 2) if blurred else noise


def test_only_the_middle_is_judged():
    critic = RendererCritic(4).eval()
    frames, maps = pictures(0, False), torch.zeros(16, 2, 48, 48)
    outside = frames.clone()
    outside[..., :8] = 0
    assert middle(frames).shape == (16, 3, 32, 32)
    assert torch.equal(critic(frames, maps)[-1], critic(outside, maps)[-1])


def test_learns_to_tell_sharp_from_blurred():
    torch.manual_seed(0)
    critic = RendererCritic(8)
    maps = torch.zeros(16, 2, 48, 48)
    optimizer = torch.optim.Adam(critic.parameters(), 2e-3, betas=(0.0, 0.99))
    for step in range(40):
        real, made = pictures(step, False), pictures(step + 1000, True)
        loss = critic_loss(critic(real, maps)[-1], critic(made, maps)[-1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    critic.eval()
    real, made = critic(pictures(5000, False), maps), critic(pictures(6000, True), maps)
    assert real[-1].mean() > made[-1].mean() + 0.5
    false, likeness = painter_loss(made, real)
    assert false > painter_loss(real, real)[0]
    assert likeness > painter_loss(real, real)[1] == 0
