"""The frame-by-frame convolutions are the 3-D convolutions they stand for."""

import pytest

torch = pytest.importorskip("torch")

from lipglance.layers import Residual, TimeConv, shifted_sum  # noqa: E402


def as_conv3d_weight(layer: TimeConv, inputs: int, outputs: int):
    """Rearrange (kt*out, in, k, k) into Conv3d's (out, in, kt, k, k)."""
    weight = layer.spatial.weight
    return weight.view(layer.time, outputs, inputs, *weight.shape[-2:]).permute(1, 2, 0, 3, 4)


@pytest.mark.parametrize(("kernel", "time"), [(3, 3), (7, 7), (3, 1), (5, 3)])
def test_time_conv_equals_conv3d(kernel, time):
    torch.manual_seed(0)
    layer = TimeConv(5, 4, kernel, time, bias=True)
    torch.nn.init.normal_(layer.bias)
    video = torch.randn(2, 5, 6, 10, 8)
    expected = torch.nn.functional.conv3d(
        video,
        as_conv3d_weight(layer, 5, 4),
        layer.bias,
        padding=(time // 2, kernel // 2, kernel // 2),
    )
    folded = video.transpose(1, 2).reshape(12, 5, 10, 8)
    got = layer(folded, 6).view(2, 6, 4, 10, 8).transpose(1, 2)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-4)


def test_upsampling_time_conv_equals_transposed_conv3d():
    torch.manual_seed(1)
    layer = TimeConv(3, 2, upsample=True)
    video = torch.randn(2, 3, 5, 4, 6)
    # ConvTranspose3d scatters: its time kernel runs the other way round.
    weight = layer.spatial.weight.view(3, 3, 2, 3, 3).transpose(1, 2).flip(2)
    expected = torch.nn.functional.conv_transpose3d(
        video, weight, stride=(1, 2, 2), padding=1, output_padding=(0, 1, 1)
    )
    got = layer(video.transpose(1, 2).reshape(10, 3, 4, 6), 5).view(2, 5, 2, 8, 12).transpose(1, 2)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-4)


def test_frames_outside_the_window_count_as_zero():
    taps = torch.ones(4, 3, 1, 1)
    assert shifted_sum(taps, 4, 3).flatten().tolist() == [2.0, 3.0, 3.0, 2.0]


def test_videos_of_a_batch_do_not_leak_into_each_other():
    layer = TimeConv(1, 1)
    torch.nn.init.ones_(layer.spatial.weight)
    video = torch.zeros(2, 3, 4, 4)
    video[1] = 1.0
    out = layer(video.reshape(6, 1, 4, 4), 3)
    assert out[:3].abs().max() == 0
    assert out[3:].min() > 0


def test_residual_keeps_shape():
    assert Residual(4)(torch.randn(2, 4, 8, 8)).shape == (2, 4, 8, 8)
