"""What is varied in pictures to paint: light and colour, alike for all of one person's."""

import numpy as np
import pytest

pytest.importorskip("torch")

from lipglance.config import DataConfig
from lipglance.geometry import LUMA
from lipglance.renderer_batches import tinted

PLAIN = DataConfig(colour=0.0)


def grey_pictures(count=2):
    light = np.random.default_rng(0).integers(60, 100, (count, 8, 8, 1))
    return np.broadcast_to(light, (count, 8, 8, 3)).astype(np.uint8)


def test_pictures_are_left_alone_where_nothing_is_asked():
    pictures = grey_pictures()
    assert (tinted(pictures, PLAIN, np.random.default_rng(0)) == pictures).all()


def test_a_cast_changes_colours_and_not_how_bright_they_are():
    pictures, largest = grey_pictures(), 0.5
    seen = []
    for seed in range(50):
        cast = tinted(pictures, DataConfig(colour=0.0, cast=largest), np.random.default_rng(seed))
        ratios = np.log(cast[..., [0, 2]].astype(float) / cast[..., [1]])
        # One light for both pictures and all pixels, but for what rounding leaves.
        assert ratios.std(axis=(0, 1, 2)).max() < 0.02
        assert np.abs(cast @ LUMA - pictures @ LUMA).max() < 1
        seen.append(ratios.mean(axis=(0, 1, 2)))
    assert np.abs(seen).max() < largest + 0.02
    assert np.std(seen, axis=0).min() > 0.4 * largest


def test_colour_changes_contrast_and_light_of_all_pictures_alike():
    pictures = np.repeat(grey_pictures(1), 2, axis=0)
    varied = tinted(pictures, DataConfig(colour=0.2), np.random.default_rng(1))
    assert (varied[0] == varied[1]).all()
    assert np.abs(varied.astype(int) - pictures).max() > 3
