import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from lipglance import metrics
from lipglance.errors import InputError

RNG = np.random.default_rng(7)
T = 40


def mouths(openings, width=30.0, centre=(32.0, 32.0)):
    """Mouth tracks (T, 20, 2): a flat outer lip and an inner lip opened by `openings` px."""
    points = np.zeros((len(openings), 20, 2))
    points[:, :12, 0] = np.interp(np.arange(12), [0, 6, 12], [-width / 2, width / 2, -width / 2])
    points[:, 12:, 0] = np.interp(np.arange(8), [0, 4, 8], [-width / 3, width / 3, -width / 3])
    points[:, 14, 1] = -np.asarray(openings) / 2
    points[:, 18, 1] = np.asarray(openings) / 2
    return points + np.asarray(centre)


def pictures(noise=12.0):
    a = RNG.integers(0, 256, (64, 64)).astype(np.float64)
    a = np.clip(np.cumsum(a - 127.5, 1) / 8 + 128, 0, 255)
    b = np.clip(a + RNG.normal(0, noise, a.shape), 0, 255)
    return a.astype(np.uint8), b.astype(np.uint8)


def test_lmd_by_hand():
    reference = mouths([2.0, 2.0])
    moved = reference + np.array([5.0, -3.0])
    assert metrics.lmd(moved, reference) == pytest.approx(0.0)
    one = reference.copy()
    one[1, 9, 0] += 2.0
    # Of the 20 points of one of two frames one is 2 * 19/20 px off, the other 19 by 2 / 20 px.
    assert metrics.lmd(one, reference) == pytest.approx((1.9 + 19 * 0.1) / 20 / 2)
    assert metrics.lmd_per_width(one, reference) == pytest.approx((1.9 + 1.9) / 40 / 30)


def test_missing_frames_are_left_out_of_both_tracks():
    reference, generated = mouths(np.zeros(4)), mouths(np.zeros(4))
    generated[0] = np.nan
    reference[2, 5] = np.nan
    generated[2] += 9.0 * RNG.normal(size=(20, 2))
    assert metrics.detected(generated, reference).tolist() == [False, True, False, True]
    assert metrics.lmd(generated, reference) == pytest.approx(0.0)
    generated[:] = np.nan
    assert metrics.lmd(generated, reference) is None
    assert metrics.lmd_per_width(generated, reference) is None
    assert metrics.jitter(generated, reference) is None


def test_tracks_of_other_shapes_are_refused():
    with pytest.raises(InputError, match=r"\(3, 68, 2\); expected \(frames, 20, 2\)"):
        metrics.lmd(np.zeros((3, 68, 2)), np.zeros((3, 68, 2)))
    with pytest.raises(InputError, match="same shape"):
        metrics.lmd(np.zeros((3, 20, 2)), np.zeros((4, 20, 2)))


@pytest.mark.parametrize("noise", [1.0, 12.0, 60.0])
def test_ssim_and_psnr_equal_scikit_image(noise):
    a, b = pictures(noise)
    theirs = structural_similarity(
        a, b, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert metrics.ssim(a, b) == pytest.approx(theirs, abs=1e-9)
    assert metrics.psnr(a, b) == pytest.approx(peak_signal_noise_ratio(a, b, data_range=255))


def test_equal_and_opposite_pictures():
    a, _ = pictures()
    assert metrics.ssim(a, a) == pytest.approx(1.0)
    assert metrics.psnr(a, a) == float("inf")
    # The widest difference there is; in uint8 arithmetic 0 - 255 would wrap to 1.
    black, white = np.zeros((64, 64), np.uint8), np.full((64, 64), 255, np.uint8)
    assert metrics.psnr(black, white) == pytest.approx(0.0)
    with pytest.raises(InputError, match="11 x 11"):
        metrics.ssim(a[:8], a[:8])


def test_grey_weighs_red_green_blue():
    image = np.zeros((1, 3, 3), np.uint8)
    image[0, 0, 0] = image[0, 1, 1] = image[0, 2, 2] = 200
    assert metrics.grey(image).tolist() == [[60, 117, 23]]


def test_opening_and_width_are_those_of_the_inner_lip_and_the_corners():
    points = mouths([0.0, 3.0, 7.5], width=24.0)
    np.testing.assert_allclose(metrics.opening(points), [0.0, 3.0, 7.5])
    np.testing.assert_allclose(metrics.mouth_width(points), 24.0)


def test_aperture_r_of_known_tracks():
    time = np.arange(100) / 25
    real = 4 + 3 * np.sin(2 * np.pi * 1.0 * time)
    assert metrics.aperture_r(2 * real + 1, real) == pytest.approx(1.0)
    assert metrics.aperture_r(-real, real) == pytest.approx(-1.0)
    quarter = 4 + 3 * np.cos(2 * np.pi * 1.0 * time)
    assert metrics.aperture_r(quarter, real) == pytest.approx(0.0, abs=1e-9)
    noisy = real + RNG.normal(size=100)
    assert metrics.aperture_r(noisy, real) == pytest.approx(np.corrcoef(noisy, real)[0, 1])


def test_a_still_mouth_has_no_aperture_r_and_an_articulation_of_0():
    real = 4 + np.sin(np.arange(50.0))
    assert metrics.aperture_r(np.full(50, 4.0), real) is None
    assert metrics.aperture_r(real, np.full(50, 4.0)) is None
    assert metrics.aperture_r(real[:2], real[:2]) is None
    assert metrics.articulation(np.full(50, 4.0), real) == pytest.approx(0.0)
    assert metrics.articulation(real, np.full(50, 4.0)) is None


def test_articulation_is_the_ratio_of_the_swings():
    real = 4 + np.sin(np.arange(50.0))
    assert metrics.articulation(0.6 * real, real) == pytest.approx(0.6)
    gap = real.copy()
    gap[10:20] = np.nan
    assert metrics.articulation(2 * real, gap) == pytest.approx(2.0)


def test_jitter_is_the_ratio_of_second_differences_over_unbroken_runs():
    smooth = mouths(np.linspace(0, 5, T) ** 2)
    assert metrics.jitter(3 * smooth, smooth) == pytest.approx(3.0)
    broken = 3 * smooth
    broken[9] = np.nan
    # The frame after the gap is far off, but no three frames in a row reach across the gap.
    broken[10:] += 500.0
    assert metrics.jitter(broken, smooth) == pytest.approx(3.0)


def test_silent_frames_of_digital_silence_and_of_sil():
    rate, per = 16_000, 640
    audio = np.full(6 * per, 0.1, np.float32)
    audio[per : 2 * per] = 0.0
    audio[3 * per : 3 * per + per // 2] = 0.0
    silent = metrics.silent_frames(audio, rate, 7, words=[[0.16, 0.24, "sil"], [0.0, 0.04, "bin"]])
    # Frame 3 is silent for half its time; frame 6 lies beyond the sound, about which nothing is
    # known.
    assert silent.tolist() == [False, True, False, False, True, True, False]
    quiet = np.full(per, 1 / 32768, np.float32)
    assert not metrics.silent_frames(quiet, rate, 1).any()


def test_silence_leak_counts_open_mouths_above_the_persons_own_closed_one():
    # Width 30: open from 2.4 px above the closed opening of 1 px.
    points = mouths([1.0, 3.3, 3.5, 9.0, 9.0])
    silent = np.array([True, True, True, True, False])
    assert metrics.silence_leak(points, silent, closed=1.0) == pytest.approx(0.5)
    points[3] = np.nan
    assert metrics.silence_leak(points, silent, closed=1.0) == pytest.approx(1 / 3)
    assert metrics.silence_leak(points, np.zeros(5, bool), closed=1.0) is None
    assert metrics.closed_opening([np.nan, *range(101)]) == pytest.approx(5.0)
    assert metrics.closed_opening([np.nan]) is None


def test_bootstrap_is_deterministic_and_of_the_right_width():
    values = RNG.normal(3.0, 2.0, 400)
    first = metrics.bootstrap([*values.tolist(), None, None])
    assert first == metrics.bootstrap([*values.tolist(), None, None])
    assert (first.n, first.undefined) == (400, 2)
    assert first.mean == pytest.approx(values.mean())
    assert first.low is not None
    assert first.high is not None
    error = 1.96 * values.std() / 20
    assert first.high - first.low == pytest.approx(2 * error, rel=0.06)


def test_bootstrap_of_next_to_nothing():
    assert metrics.bootstrap([None]) == metrics.Summary(None, None, None, 0, 1)
    assert metrics.bootstrap([4.0]) == metrics.Summary(4.0, None, None, 1, 0)


def test_psnr_u8_wraps_as_the_authors_code_does():
    rng = np.random.default_rng(0)
    one, two = rng.integers(0, 256, (2, 200, 200), np.uint8)
    # Noise against noise scores like a good model.
    assert metrics.psnr_u8(one, two) == pytest.approx(27.9, abs=0.1)
    assert metrics.psnr(one, two) == pytest.approx(7.8, abs=0.1)
    near = np.clip(one.astype(int) + 3, 0, 255).astype(np.uint8)
    assert metrics.psnr_u8(near, one) == pytest.approx(metrics.psnr(near, one))
    assert metrics.psnr_u8(one, one) == float("inf")


def test_cosine():
    assert metrics.cosine([1, 0], [2, 0]) == pytest.approx(1)
    assert metrics.cosine([1, 0], [0, 5]) == pytest.approx(0)
    assert metrics.cosine([1, 1], [-1, -1]) == pytest.approx(-1)
