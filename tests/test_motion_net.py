"""The motion network hears no more than it says, and speech may arrive in pieces."""

import pytest

torch = pytest.importorskip("torch")

from lipglance.motion_net import ROWS, MotionNet  # noqa: E402
from lipglance.network_config import MotionConfig  # noqa: E402

SMALL = MotionConfig(codes=3, width=8, memory=8)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return MotionNet(SMALL).eval()


@torch.no_grad()
def test_pieces_say_the_same_as_the_whole(net):
    mel = net.padded(torch.rand(2, 20 * ROWS, 128))
    whole, _ = net(mel, net.silence(2))
    assert whole.shape == (2, 20, 3)
    context = (SMALL.past + SMALL.ahead) * ROWS
    memory, parts = net.silence(2), []
    for start, stop in ((0, 1), (1, 8), (8, 20)):
        part, memory = net(mel[:, start * ROWS : stop * ROWS + context], memory)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_hears_no_farther_ahead_than_it_says(net):
    mel = torch.rand(1, 20 * ROWS, 128)
    later = mel.clone()
    later[:, (10 + SMALL.ahead + 1) * ROWS :] = 0.0
    one, _ = net(net.padded(mel), net.silence(1))
    two, _ = net(net.padded(later), net.silence(1))
    torch.testing.assert_close(one[:, :11], two[:, :11])
    assert not torch.allclose(one[:, 11:], two[:, 11:])
