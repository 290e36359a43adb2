"""A mumble is stressed until it is as wide as speech is, small openings are held back."""

import numpy as np
import pytest

from lipglance.emphasis import LEAST, MOST, SLIGHT, Emphasis
from lipglance.face_points import INNER_LIP_BOTTOM, INNER_LIP_TOP, LOWER_FACE

SILENT = np.array([0.3, -0.2])
WIDE = 0.12


def components():
    """Of two codes: the first opens the inner lips by 1, the second moves all points aside."""
    known = np.zeros((2, len(LOWER_FACE), 2))
    known[0, LOWER_FACE.index(INNER_LIP_TOP), 1] = -0.25
    known[0, LOWER_FACE.index(INNER_LIP_BOTTOM), 1] = 0.75
    known[1, :, 0] = 1.0
    return known


def spoken(scale, frames=400):
    """Codes of a mouth whose openings have the width `scale`, as `Emphasis` counts it."""
    opening = np.sin(np.arange(frames) * 0.9)
    # The mean of sin^4 over that of sin^2 is 3/4.
    return SILENT + np.stack([opening * scale / np.sqrt(0.75), opening], 1)


def gains(emphasis, codes):
    """How many times as far open each is said to be; what else a mouth does stays as heard."""
    found = []
    for code in codes:
        said = emphasis.stressed(code)
        np.testing.assert_allclose(said, SILENT + (code - SILENT) * [emphasis.now, 1.0])
        found.append(emphasis.now)
    return np.array(found)


@pytest.mark.parametrize("width", [0.08, 0.1, 0.12])
def test_speech_becomes_as_wide_as_speech_is(width):
    emphasis = Emphasis(SILENT, components(), 1.3, WIDE)
    found = gains(emphasis, spoken(width))
    assert found[0] == pytest.approx(1.3, abs=0.15)
    assert found[-1] == pytest.approx(WIDE / width, abs=0.03)


def test_it_stays_within_bounds():
    mumbled = gains(Emphasis(SILENT, components(), 1.3, WIDE), spoken(0.05, 1500))
    shouted = gains(Emphasis(SILENT, components(), 1.3, WIDE), spoken(0.5))
    assert mumbled[-1] == MOST
    assert shouted[-1] == LEAST


def test_silence_tells_nothing_and_a_new_voice_is_heard_anew():
    emphasis = Emphasis(SILENT, components(), 1.3, WIDE)
    before = gains(emphasis, spoken(0.08))[-1]
    assert (gains(emphasis, np.repeat(SILENT[None], 500, 0)) == before).all()
    assert gains(emphasis, spoken(0.12, 1500))[-1] == pytest.approx(1.0, abs=0.03)


def test_without_a_width_it_stays_as_it_was_at_first():
    assert set(gains(Emphasis(SILENT, components(), 1.2, 0.0), spoken(0.08))) == {1.2}


@pytest.mark.parametrize("way", [1.0, -1.0])
def test_small_openings_are_held_back_and_large_ones_stressed(way):
    openings = np.array([1e-4, 0.01, 0.03, 0.05, 0.1, 0.3])
    codes = SILENT + np.stack([way * openings, np.full(6, 0.7)], 1)
    # Each heard as the first: what was heard before changes the emphasis.
    said = [Emphasis(SILENT, components(), 1.4, 0.0, 0.05).stressed(code) for code in codes]
    moved = np.array(said) - SILENT
    gain = way * moved[:, 0] / openings
    assert gain[0] == pytest.approx(SLIGHT, abs=1e-3)
    assert gain[3] == pytest.approx((SLIGHT + 1.4) / 2)
    assert gain[-1] == pytest.approx(1.4, abs=0.03)
    # Who is heard to open further does so.
    assert (np.diff(gain) > 0).all()
    np.testing.assert_allclose(moved[:, 1], 0.7)
