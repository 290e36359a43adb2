"""The lessons use the generator as its forward pass does: what they teach is what it then knows."""

import pytest

torch = pytest.importorskip("torch")

from lipglance.generator import Generator  # noqa: E402
from lipglance.lessons import ShapeCode, hear, paint  # noqa: E402
from lipglance.network_config import GeneratorConfig  # noqa: E402


@pytest.fixture
def generator():
    torch.manual_seed(0)
    made = Generator(GeneratorConfig(width=4, residual_blocks=1)).eval()
    # One frame uses the middle time taps; silence the others to compare with a whole video.
    for layer in (made.fusion.identity, made.fusion.audio, *decoder_convs(made)):
        weight = layer.get_parameter("spatial.weight")
        axis = 1 if isinstance(layer.spatial, torch.nn.ConvTranspose2d) else 0
        outputs = weight.shape[axis] // layer.time
        keep = weight.narrow(axis, layer.time // 2 * outputs, outputs).detach().clone()
        torch.nn.init.zeros_(weight)
        weight.data.narrow(axis, layer.time // 2 * outputs, outputs).copy_(keep)
    return made


def decoder_convs(generator):
    return (generator.decoder.up1, generator.decoder.up2, generator.decoder.rgb)


def test_painting_what_was_heard_is_the_forward_pass(generator):
    mel, identity = torch.rand(2, 1, 64, 128), torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        whole = generator(mel, identity)
        single = paint(generator, identity, hear(generator, generator.audio(mel)))
    # The picture's rim hears one column less; the middle must agree.
    got = single.view(2, 16, 3, 64, 64).transpose(1, 2)[..., 24:40, 24:40]
    torch.testing.assert_close(got, whole[..., 24:40, 24:40], atol=1e-4, rtol=1e-3)


def test_rest_says_nothing():
    code = ShapeCode(8)
    assert not code(torch.zeros(3, 4)).any()
    assert code(torch.ones(3, 4)).shape == (3, 8, 1)
