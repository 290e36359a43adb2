"""The speech embedding's lower layers: taken over, valid in time, able to tell sounds apart."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lipglance.audio import log_mel  # noqa: E402
from lipglance.speech_net import FEATURES, REACH, SpeechNet  # noqa: E402


@pytest.fixture(scope="module")
def net():
    made = SpeechNet().eval()
    made.take_over()
    return made


@torch.no_grad()
def test_a_feature_hears_its_rows_and_nothing_else(net):
    mel = torch.rand(1, 40, 128) * 2 - 1
    said = net(mel)
    assert said.shape == (1, FEATURES, (40 - REACH) // 2 + 1)
    changed = mel.clone()
    changed[:, 6 + REACH :] = 0.0
    changed[:, :6] = 0.0
    other = net(changed)
    torch.testing.assert_close(other[..., 3], said[..., 3])
    assert not torch.allclose(other[..., 4], said[..., 4])
    assert not torch.allclose(other[..., 2], said[..., 2])


@torch.no_grad()
def test_is_loudness_and_speaker_free_enough_to_tell_hiss_from_tone(net):
    t = np.arange(8000) / 16000
    rng = np.random.default_rng(0)

    def said(sound):
        return net(torch.from_numpy(log_mel(sound.astype(np.float32)))[None])[0].mean(1)

    low, high = (said(0.1 * np.sin(2 * np.pi * hz * t)) for hz in (200, 230))
    hiss = said(0.1 * rng.standard_normal(8000))
    assert torch.dist(low, high) < 0.5 * torch.dist(low, hiss)


def test_does_not_lose_what_half_precision_cannot_hold(net):
    mel = torch.full((1, REACH, 128), -1.0)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.isfinite(net(mel)).all()
    assert torch.isfinite(net(mel + 2)).all()
