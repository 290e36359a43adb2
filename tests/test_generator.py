"""The generator has the paper's shapes, and the cheap fusion is the dear one."""

import pytest

torch = pytest.importorskip("torch")

from lipglance.generator import Fusion, Generator  # noqa: E402
from lipglance.network_config import GeneratorConfig  # noqa: E402


def test_full_width_has_the_papers_size():
    count = sum(p.numel() for p in Generator(GeneratorConfig(width=64)).parameters())
    assert count == pytest.approx(16.7e6, rel=0.01)


def test_shapes_and_range():
    model = Generator(GeneratorConfig(width=8))
    video, heard = model.speak(torch.randn(2, 1, 64, 128), torch.randn(2, 3, 64, 64))
    assert video.shape == (2, 3, 16, 64, 64)
    assert heard.shape == (2, 32, 16, 16)
    assert video.abs().max() <= 1


def test_any_number_of_frames():
    model = Generator(GeneratorConfig(width=8)).eval()
    assert model(torch.randn(1, 1, 20, 128), torch.randn(1, 3, 64, 64)).shape[2] == 5


def test_fusion_equals_convolving_the_repeated_identity():
    torch.manual_seed(0)
    fusion = Fusion(4).eval()
    audio, identity = torch.randn(2, 4, 5, 6), torch.randn(2, 4, 6, 6)
    heard = audio.permute(0, 2, 1, 3)[..., None].expand(-1, -1, -1, -1, 6).reshape(10, 4, 6, 6)
    seen = identity[:, None].expand(-1, 5, -1, -1, -1).reshape(10, 4, 6, 6)
    expected = fusion.norm(fusion.audio(heard, 5) + fusion.identity(seen, 5))
    torch.testing.assert_close(fusion(audio, identity), expected, atol=1e-5, rtol=1e-4)


def test_both_inputs_matter():
    torch.manual_seed(0)
    # In training mode the norms keep an untrained network's signal from fading away.
    model = Generator(GeneratorConfig(width=8)).train()
    mel, face = torch.randn(2, 1, 64, 128), torch.randn(2, 3, 64, 64)
    base = model(mel, face)
    assert (model(mel + torch.randn_like(mel), face) - base).abs().max() > 0.01
    assert (model(mel, -face) - base).abs().max() > 0.01
