"""The differentiable flow measures known motion and lets gradients through."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lipglance.flow import video_flow  # noqa: E402


def smooth_picture(seed: int, size: int = 96):
    cv2 = pytest.importorskip("cv2")
    noise = np.random.default_rng(seed).normal(size=(size, size, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    return smooth / np.abs(smooth).max()


@pytest.mark.parametrize(("dx", "dy"), [(1, 0), (0, 1), (2, -1), (-3, 2)])
def test_known_shift(dx, dy):
    picture = smooth_picture(3)
    frames = [picture[16 + dy * -k : 80 + dy * -k, 16 + dx * -k : 80 + dx * -k] for k in (0, 1, 2)]
    video = torch.from_numpy(np.stack(frames)).permute(3, 0, 1, 2)[None]
    flow = video_flow(video, levels=3)
    assert flow.shape == (1, 2, 2, 64, 64)
    inner = flow[0, :, :, 12:-12, 12:-12].mean(dim=(1, 2, 3))
    np.testing.assert_allclose(inner.numpy(), [dx, dy], atol=0.25)


def test_still_video_has_no_flow():
    frame = torch.from_numpy(smooth_picture(1)[:64, :64]).permute(2, 0, 1)
    assert video_flow(frame[None, :, None].expand(1, 3, 4, 64, 64)).abs().max() < 1e-4


def test_flat_picture_stays_finite():
    assert torch.isfinite(video_flow(torch.zeros(1, 3, 3, 64, 64))).all()


def test_gradient_moves_a_frame_towards_the_wanted_flow():
    picture = torch.from_numpy(smooth_picture(2)[:64, :64]).permute(2, 0, 1)
    video = picture[None, :, None].repeat(1, 1, 2, 1, 1).requires_grad_()
    wanted = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1, 1)
    optimizer = torch.optim.Adam([video], 0.01)
    losses = []
    for _ in range(15):
        loss = (video_flow(video) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
