"""Rows at places between rows."""

import numpy as np

from lipglance.rows_between import rows_at


def test_between_two_rows_is_their_mean_and_beyond_the_ends_the_ends():
    values = np.array([[0.0, 10.0], [1.0, 20.0], [4.0, 0.0]], np.float32)
    found = rows_at(values, [-3.0, 0.0, 0.5, 1.25, 2.0, 9.0])
    wanted = [[0, 10], [0, 10], [0.5, 15], [1.75, 15], [4, 0], [4, 0]]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_rows_may_have_any_shape():
    values = np.random.default_rng(0).normal(size=(5, 3, 2))
    found = rows_at(values, [1.5])
    assert found.dtype == np.float64
    np.testing.assert_allclose(found[0], values[1:3].mean(0))
