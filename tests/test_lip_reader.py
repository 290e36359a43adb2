"""The lip reader learns a mouth's shape from its picture, and tells painted mouths apart by it."""

import pytest

torch = pytest.importorskip("torch")

from lipglance.lip_reader import SHAPE_SCALE, LipReader, misread, reading_error  # noqa: E402


def mouths(openings):
    """Pictures of a dark ellipse as high as asked, ``(N, 3, 64, 64)``."""
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    high = 1.0 + 60.0 * openings[:, None, None]
    inside = ((x - 32) / 18).square() + ((y - 34) / high).square() < 1
    return torch.where(inside, -0.9, 0.4)[:, None].expand(-1, 3, -1, -1).contiguous()


@pytest.fixture(scope="module")
def taught():
    torch.manual_seed(0)
    reader = LipReader(width=8, shape=1).train()
    optimizer = torch.optim.Adam(reader.parameters(), 3e-3)
    for _ in range(60):
        openings = torch.rand(4, 8) * 0.25
        video = mouths(openings.flatten()).view(4, 8, 3, 64, 64).transpose(1, 2)
        loss = misread(reader, video, openings[..., None])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return reader.eval().requires_grad_(False), float(loss.detach())


def test_learns_the_opening(taught):
    reader, left = taught
    assert left < 0.2
    small, large = reader(mouths(torch.tensor([0.02, 0.2])))
    assert float(large - small) == pytest.approx(0.18 * SHAPE_SCALE, rel=0.4)


def test_a_mouth_nearer_in_shape_reads_nearer(taught):
    reader, _ = taught
    real, ajar = mouths(torch.tensor([0.2])), mouths(torch.tensor([0.14]))
    shut = mouths(torch.tensor([0.02])).requires_grad_(True)
    errors = [reading_error(reader, fake, real) for fake in (shut, ajar, real)]
    assert float(errors[0].detach()) > float(errors[1]) > float(errors[2]) == 0
    errors[0].backward()
    assert shut.grad.any()


def test_reading_is_relative_to_the_window(taught):
    reader, _ = taught
    openings = torch.rand(2, 8) * 0.2
    video = mouths(openings.flatten()).view(2, 8, 3, 64, 64).transpose(1, 2)
    shape = openings[..., None]
    assert float(misread(reader, video, shape)) == pytest.approx(
        float(misread(reader, video, shape - 0.5)), rel=1e-3
    )
