"""The look at a mouth: what is linear is solved, what is mixed is mixed, points lie in the crop."""

import pytest

torch = pytest.importorskip("torch")

from lipglance.face_points import LOWER_FACE  # noqa: E402
from lipglance.look_net import LookNet, RestNet  # noqa: E402
from lipglance.network_config import LookConfig  # noqa: E402

POINTS = len(LOWER_FACE)


def test_rest_finds_a_linear_answer():
    torch.manual_seed(0)
    shapes = torch.randn(900, POINTS, 2) * 0.02
    wanted = shapes.flatten(1)[:, :3] * 7 + 1
    net = RestNet(3)
    net.solve(shapes, wanted, ridge=1e-6)
    torch.testing.assert_close(net(shapes), wanted, atol=1e-3, rtol=1e-3)
    net.solve(shapes, wanted, ridge=1e6)
    assert net.say.weight.abs().max() < 1e-3


@torch.no_grad()
def test_answers_are_mixed_by_trust():
    torch.manual_seed(0)
    crop, shape = torch.rand(2, 3, 48, 48) * 2 - 1, torch.randn(2, POINTS, 2) * 0.02
    net = LookNet(LookConfig(width=4, features=8, trust=0.25), 3, 48).eval()
    points, seen = net.both(crop, shape)
    assert points.shape == (2, 20, 2)
    assert net.read(crop).equal(points)
    torch.testing.assert_close(net(crop, shape), 0.25 * seen + 0.75 * net.rest(shape))


@torch.no_grad()
def test_what_it_sees_hangs_on_the_picture():
    torch.manual_seed(0)
    net = LookNet(LookConfig(width=4, features=8, trust=1.0), 3, 32).eval()
    shape = torch.zeros(1, POINTS, 2)
    one, other = net(torch.rand(1, 3, 32, 32), shape), net(-torch.rand(1, 3, 32, 32), shape)
    assert not torch.allclose(one, other)
