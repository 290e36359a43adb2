"""The streams of the sync expert: their shapes, and that no vector knows where it stands."""

import pytest

torch = pytest.importorskip("torch")

from lipglance.network_config import SyncConfig  # noqa: E402
from lipglance.sync_net import CONTEXT, SyncNet, shifted_cosine  # noqa: E402


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return SyncNet(SyncConfig(width=4, embedding=8)).eval()


@pytest.mark.parametrize("frames", [CONTEXT, 16, 25])
def test_both_streams_give_a_unit_vector_for_each_place_of_the_context(net, frames):
    lips, sound = (
        net.lips(torch.rand(2, frames, 3, 64, 64)),
        net.sound(torch.rand(2, 1, 4 * frames, 128)),
    )
    assert lips.shape == sound.shape == (2, frames - CONTEXT + 1, 8)
    for vectors in (lips, sound):
        torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(2, frames - CONTEXT + 1))


def test_a_vector_does_not_depend_on_where_its_window_begins(net):
    lips, mel = torch.rand(1, 20, 3, 64, 64), torch.rand(1, 1, 80, 128)
    with torch.no_grad():
        torch.testing.assert_close(net.lips(lips)[:, 3:], net.lips(lips[:, 3:]), atol=1e-5, rtol=0)
        later = net.sound(mel[:, :, 12:])
        torch.testing.assert_close(net.sound(mel)[:, 3:], later, atol=1e-5, rtol=0)


def test_shifted_cosine_finds_the_shift():
    torch.manual_seed(0)
    lips = torch.nn.functional.normalize(torch.randn(2, 30, 16), dim=-1)
    late = torch.roll(lips, 3, dims=1)
    cosines = [float(shifted_cosine(lips, late, shift).mean()) for shift in range(-5, 6)]
    assert max(range(11), key=lambda i: cosines[i]) - 5 == 3
    assert cosines[8] == pytest.approx(1.0, abs=1e-5)
