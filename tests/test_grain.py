"""Grain is made as strong and as fine as a picture's, and of nothing else that it shows."""

import cv2
import numpy as np
import pytest

from lipglance.grain import grain_like


def noisy(size=120, deviation=5.0, seed=1, grey=False, coarse=0.0):
    """A smooth ramp with noise, uint8 RGB."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 1, (size, size, 1 if grey else 3)).astype(np.float32)
    if coarse:
        noise = cv2.GaussianBlur(noise, (0, 0), coarse).reshape(noise.shape)
        noise /= noise.std()
    ramp = np.linspace(80, 160, size, dtype=np.float32)[:, None, None]
    return np.broadcast_to(ramp + deviation * noise, (size, size, 3)).round().astype(np.uint8)


def fine(image):
    shown = np.asarray(image, np.float32)
    return shown - cv2.GaussianBlur(shown, (0, 0), 1.5)


@pytest.mark.parametrize("deviation", [2.0, 5.0, 10.0])
def test_it_is_as_strong_as_the_pictures(deviation):
    picture = noisy(deviation=deviation)
    made = grain_like(picture, 200, 300, 0.5)
    assert made.shape == (200, 300, 3)
    assert made.std() == pytest.approx(fine(picture).std(), rel=0.12)
    assert np.abs(made.mean((0, 1))).max() < 0.1 * deviation


def test_it_is_as_coarse_as_the_pictures():
    def beside(grain):
        return float((grain[:, 1:] * grain[:, :-1]).mean() / np.square(grain).mean())

    for coarse in (0.0, 1.0):
        picture = noisy(coarse=coarse)
        assert beside(grain_like(picture, 120, 120, 0.5)) == pytest.approx(
            beside(fine(picture)), abs=0.1
        )


def test_colours_vary_together_where_the_pictures_do():
    made = grain_like(noisy(grey=True), 64, 64, 0.5)
    assert np.abs(np.ptp(made, axis=2)).max() < 1e-3
    made = grain_like(noisy(), 128, 128, 0.5)
    assert abs(np.corrcoef(made[..., 0].ravel(), made[..., 1].ravel())[0, 1]) < 0.15


def test_edges_are_no_grain():
    """A flat drawing has none, whatever is drawn in it, and noise stays what it is beside lines."""
    drawing = np.full((120, 120, 3), 200, np.uint8)
    cv2.line(drawing, (0, 60), (119, 60), (0, 0, 0), 3)
    cv2.circle(drawing, (60, 60), 20, (255, 0, 0), 2)
    assert not grain_like(drawing, 50, 50, 0.15).any()
    picture = noisy()
    cv2.line(picture, (0, 60), (119, 60), (0, 0, 0), 5)
    assert grain_like(picture, 120, 120, 0.5).std() == pytest.approx(fine(noisy()).std(), rel=0.15)


def test_nothing_of_the_picture_is_seen_in_it():
    picture = noisy(size=128)
    made = grain_like(picture, 128, 128, 0.5)
    assert abs(np.corrcoef(made.ravel(), fine(picture).ravel())[0, 1]) < 0.05


def test_it_is_always_the_same():
    assert np.array_equal(grain_like(noisy(), 90, 70, 0.3), grain_like(noisy(), 90, 70, 0.3))


@pytest.mark.parametrize("shape", [(0, 40), (40, 0), (5, 200), (1, 1), (20, 20)])
def test_of_too_little_none_is_made(shape):
    made = grain_like(np.full((*shape, 3), 9, np.uint8), 30, 20, 0.15)
    assert made.shape == (30, 20, 3)
    assert not made.any()
