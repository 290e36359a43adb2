"""The flow that gradients go through is the one that is shipped."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lipglance.flow_field import FlowField  # noqa: E402
from lipglance.mouth_warp import dense_flow  # noqa: E402
from test_mouth_warp import SIZE, face, opened  # noqa: E402, F401


def test_is_the_flow_of_mouth_warp(face):  # noqa: F811
    _, points = face
    driven = np.stack([opened(points, 6.0), opened(points, -2.0), points])
    source = np.repeat(points[None], 3, 0)
    made = FlowField(SIZE, torch.device("cpu"))(
        torch.from_numpy(source).float(), torch.from_numpy(driven).float()
    )
    for flow, wanted in zip(made.permute(0, 2, 3, 1).numpy(), driven, strict=True):
        np.testing.assert_allclose(flow, dense_flow(points, wanted, SIZE), atol=0.02)


def test_says_which_way_a_point_must_go(face):  # noqa: F811
    _, points = face
    source = torch.from_numpy(points[None]).float()
    driven = torch.from_numpy(opened(points, 1.0)[None]).float().requires_grad_()
    aim = torch.from_numpy(dense_flow(points, opened(points, 4.0), SIZE)).permute(2, 0, 1)[None]
    field = FlowField(SIZE, torch.device("cpu"))
    before = (field(source, driven) - aim).square().mean()
    (slope,) = torch.autograd.grad(before, driven)
    with torch.no_grad():
        after = (field(source, driven - slope / slope.norm()) - aim).square().mean()
    assert after < before
