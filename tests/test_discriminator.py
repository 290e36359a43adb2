"""Each stream of the discriminator is a switch, and each that is on is looked at."""

import pytest

torch = pytest.importorskip("torch")

from lipglance.discriminator import Discriminator  # noqa: E402

VIDEO, FLOW, MEL = (3, 16, 64, 64), (2, 15, 64, 64), (1, 64, 128)


@pytest.mark.parametrize("flow_stream", [True, False])
@pytest.mark.parametrize("audio_stream", [True, False])
def test_streams(flow_stream, audio_stream):
    torch.manual_seed(0)
    net = Discriminator(8, flow_stream=flow_stream, audio_stream=audio_stream).eval()
    video, flow, mel = (torch.randn(2, *shape) for shape in (VIDEO, FLOW, MEL))
    base = net(video, flow, mel)
    assert base.shape == (2,)
    assert torch.equal(net(video, flow + 1, mel), base) is not flow_stream
    assert torch.equal(net(video, flow, mel + 1), base) is not audio_stream
    assert not torch.equal(net(video * 0, flow, mel), base)


def test_missing_stream_is_an_error():
    net = Discriminator(8)
    with pytest.raises(ValueError, match="flow"):
        net(torch.randn(1, *VIDEO), None, torch.randn(1, *MEL))
    with pytest.raises(ValueError, match="audio"):
        net(torch.randn(1, *VIDEO), torch.randn(1, *FLOW), None)
