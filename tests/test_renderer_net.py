"""The renderer begins as the warp alone, says as much as it may, and runs at any size."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lipglance.mouth_warp import (  # noqa: E402
    OWN_OPENING,
    RESIDUAL,
    WANTED_OPENING,
    compose,
    net_outputs,
    window,
)
from lipglance.network_config import RendererConfig  # noqa: E402
from lipglance.renderer_net import RendererNet, rendered  # noqa: E402


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return RendererNet(RendererConfig(width=4)).eval()


@pytest.mark.parametrize("size", [96, 128])
def test_says_what_it_may(net, size):
    with torch.no_grad():
        said = net(torch.rand(2, 12, size, size))
    assert said.shape == (2, 6, size, size)
    assert said[:, :2].abs().max() <= RESIDUAL
    assert said[:, 2].min() >= 0
    assert said[:, 2].max() < 0.2


def test_nothing_to_do_gives_the_picture():
    seen = torch.rand(1, 12, 32, 32)
    seen[:, OWN_OPENING] = seen[:, WANTED_OPENING]
    source = seen[:, 3:6]
    said, flow = torch.zeros(1, 6, 32, 32), torch.zeros(1, 2, 32, 32)
    made, moved = rendered(said, seen, flow, torch.from_numpy(window(32)))
    torch.testing.assert_close(made, source, atol=1e-5, rtol=0)
    torch.testing.assert_close(moved, source, atol=1e-5, rtol=0)


def test_training_and_use_put_a_frame_together_alike():
    rng = np.random.default_rng(0)
    size = 48
    picture = rng.integers(0, 255, (6, 6, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    flow = rng.normal(0, 1, (2, 2, 2)).repeat(24, 0).repeat(24, 1).astype(np.float32)
    said = rng.uniform(0, 1, (6, size, size)).astype(np.float32)
    said[:2] = (said[:2] - 0.5) * 0.02
    seen = np.zeros((12, size, size), np.float32)
    seen[3:6] = picture.transpose(2, 0, 1) / 127.5 - 1
    seen[[WANTED_OPENING, OWN_OPENING]] = rng.uniform(0, 1, (2, 6, 6)).repeat(8, 1).repeat(8, 2)
    used = compose(picture, *net_outputs(said, flow, seen))
    made, _ = rendered(
        torch.from_numpy(said)[None],
        torch.from_numpy(seen)[None],
        torch.from_numpy(flow.transpose(2, 0, 1))[None],
        torch.from_numpy(window(size)),
    )
    learnt = (made[0].permute(1, 2, 0).numpy() + 1) * 127.5
    # Sampling is bicubic in use and bilinear in training.
    assert np.abs(used - learnt).mean() < 4
