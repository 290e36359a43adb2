"""Lip crops on made-up motion of one real mesh, and how steady they are on real clips."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from faces import FINDER, astronaut, astronaut_landmarks, moved, similarity
from lipglance.cli import main
from lipglance.crop import CropConfig, apply, crop_image, invert, picture_crop, video_crops
from lipglance.errors import InputError
from lipglance.face_points import CHIN, INNER_LIP_BOTTOM, JAW, MOUTH_20, NOSE_BASE, STABLE
from lipglance.geometry import Floats

SHARED = Path(os.environ.get("LIPGLANCE_SHARED", Path(__file__).parents[2] / "shared"))
CONFIG = CropConfig()
LOWER = (17, 84, 314, 181, 405, 14, 87, 317)


def base() -> Floats:
    return astronaut_landmarks().points.astype(np.float64)


def talking(points: Floats, count: int) -> Floats:
    """`count` copies whose lower lip and jaw go down and up like speech."""
    clip = np.repeat(points[None], count, axis=0)
    opening = 7 * np.abs(np.sin(np.arange(count) / 2.5))
    clip[:, LOWER, 1] += opening[:, None]
    clip[:, JAW[7:14], 1] += opening[:, None]
    return clip


def travel(count: int) -> Floats:
    t = np.arange(count)
    return np.stack(
        [similarity(1 + 0.004 * k, 6 * np.sin(k / 15), (200 + k, 200 + 0.5 * k)) for k in t]
    )


def noisy(clip: Floats, pixels: float = 0.3) -> Floats:
    return clip + np.random.default_rng(0).normal(0, pixels, clip.shape)


def second_difference(values: Floats) -> float:
    return float(np.abs(np.diff(values, 2, axis=0)).mean())


def test_picture_crop_is_upright_and_centred() -> None:
    for degrees in (-30, 0, 25):
        points = apply(similarity(1.7, degrees, (400, 300)), base())
        inside = apply(picture_crop(points, CONFIG), points)
        mouth = inside[list(MOUTH_20)]
        np.testing.assert_allclose(mouth.mean(axis=0), [31.5, 31.5], atol=1e-6)
        assert np.ptp(mouth, axis=0).max() == pytest.approx(64 / 1.5, abs=1e-6)
        eyes = inside[[362, 263]].mean(axis=0) - inside[[33, 133]].mean(axis=0)
        assert eyes[1] == pytest.approx(0, abs=1e-6)
        assert eyes[0] > 0


def test_picture_crop_is_video_crops_of_one_frame() -> None:
    for config in (CONFIG, CropConfig.face()):
        one = picture_crop(base(), config)
        np.testing.assert_allclose(one, video_crops(base()[None], config)[0], atol=1e-9)
        np.testing.assert_allclose(invert(one)[:, :2] @ one[:, :2], np.eye(2), atol=1e-12)


def test_the_paper_s_square_lies_inside() -> None:
    inside = apply(picture_crop(base(), CONFIG), base())[list(MOUTH_20)]
    half = 0.65 * np.ptp(inside, axis=0).max()
    centre = inside.mean(axis=0)
    assert (centre - half > 0).all()
    assert (centre + half < 63).all()


def test_an_opening_mouth_does_not_move_its_crop() -> None:
    clip = talking(base(), 60)
    crops = video_crops(clip, CONFIG)
    np.testing.assert_allclose(crops, np.repeat(crops[:1], 60, axis=0), atol=1e-9)
    inside = apply(crops, clip)
    assert np.ptp(inside[:, INNER_LIP_BOTTOM, 1]) > 5, "but the lip moves within the crop"


def test_the_crop_follows_the_head_exactly_where_it_moves_smoothly() -> None:
    path = travel(80)
    crops = video_crops(apply(path, base()), CONFIG)
    inside = apply(crops, apply(path, base()))
    assert np.abs(inside - inside[40])[:, list(MOUTH_20)].max() < 0.4
    assert np.abs(inside - inside[40])[5:-5, list(MOUTH_20)].max() < 0.15


def test_the_crop_is_steadier_than_a_box_in_each_frame() -> None:
    clip = noisy(apply(travel(80), talking(base(), 80)))
    frame_by_frame = np.array([picture_crop(p, CONFIG) for p in clip])
    middle = np.full((80, 1, 2), 31.5)
    ours, boxes = (
        second_difference(apply(invert(m), middle)[:, 0])
        for m in (video_crops(clip, CONFIG), frame_by_frame)
    )
    assert ours < boxes / 10


def test_smoothing_can_be_turned_off_and_does_something() -> None:
    clip = noisy(apply(travel(60), base()))
    rough = video_crops(clip, CropConfig(smooth=0))
    smooth = video_crops(clip, CONFIG)
    assert second_difference(smooth[:, :, 2]) < second_difference(rough[:, :, 2]) / 4


def test_frames_without_a_face_are_filled_in() -> None:
    clip = apply(travel(50), base())
    whole = video_crops(clip, CONFIG)
    holed = clip.copy()
    holed[[0, 1, 20, 21, 22, 49]] = np.nan
    found = video_crops(holed, CONFIG)
    assert np.isfinite(found).all()
    inside = apply(found, clip)[:, list(MOUTH_20)] - apply(whole, clip)[:, list(MOUTH_20)]
    assert np.abs(inside[10:40]).max() < 0.5, "between frames with a face"
    assert np.abs(inside).max() < 5, "held at the ends"


def test_one_wild_frame_does_not_shake_the_crop() -> None:
    clip = noisy(np.repeat(base()[None], 60, axis=0), 0.2)
    calm = video_crops(clip, CONFIG)
    wild = clip.copy()
    wild[30] = apply(similarity(1.6, 40, (400, 100)), base())
    shaken = apply(video_crops(wild, CONFIG), clip) - apply(calm, clip)
    assert np.abs(shaken[:, list(MOUTH_20)]).max() < 1


def test_a_long_clip_follows_a_head_that_changes_its_shape() -> None:
    """A nod brings the mouth nearer to the eyes, which no similarity of the eyes can follow."""
    clip = np.repeat(base()[None], 600, axis=0)
    lower = np.setdiff1d(np.arange(468), STABLE)
    clip[:, lower, 1] -= np.linspace(0, 12, 600)[:, None]
    inside = apply(video_crops(clip, CONFIG), clip)[:, list(MOUTH_20)]
    off = np.abs(inside.mean(axis=1) - 31.5)
    assert off[60:-60].max() < 1
    assert off.max() < 2.5


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 101, 102])
def test_clips_of_any_length(count: int) -> None:
    crops = video_crops(noisy(np.repeat(base()[None], count, axis=0)), CONFIG)
    assert crops.shape == (count, 2, 3)
    inside = apply(crops, np.repeat(base()[None], count, axis=0))[:, list(MOUTH_20)]
    assert np.abs(inside.mean(axis=1) - 31.5).max() < 1.5


def test_the_face_region_holds_lower_nose_and_chin() -> None:
    config = CropConfig.face(96)
    assert (config.size, config.region) == (96, "face")
    clip = talking(base(), 40)
    inside = apply(video_crops(clip, config), clip)
    assert inside[:, NOSE_BASE, 1].min() > 4
    assert inside[:, CHIN, 1].max() < 95
    assert inside[:, CHIN, 1].max() > 70


def test_the_cut_shows_the_same_mouth_wherever_the_head_is() -> None:
    """Pictures, not only points: the crop of the moved picture is the crop of the portrait."""
    still = crop_image(astronaut(), picture_crop(base(), CONFIG), 64).astype(float)
    for matrix in (similarity(2.0, 20, (400, 400)), similarity(6.0, -30, (800, 800))):
        side = 1600 if matrix[0, 0] > 3 else 800
        crop = crop_image(
            moved(matrix, side, side), picture_crop(apply(matrix, base()), CONFIG), 64
        )
        assert np.abs(crop - still).mean() < 6


@pytest.mark.parametrize(
    "options",
    [{"size": 8}, {"half_side": 0.0}, {"smooth": -1.0}, {"region": "ear"}],
    ids=["size", "half_side", "smooth", "region"],
)
def test_wrong_configs_are_refused(options: dict[str, float | str]) -> None:
    with pytest.raises(InputError):
        CropConfig(**options)  # type: ignore[arg-type]


def test_wrong_points_are_refused() -> None:
    with pytest.raises(InputError, match="shape"):
        picture_crop(np.zeros((68, 2)), CONFIG)
    with pytest.raises(InputError, match="shape"):
        video_crops(np.zeros((468, 2)), CONFIG)
    with pytest.raises(InputError, match="no face"):
        picture_crop(np.full((468, 2), np.nan), CONFIG)
    with pytest.raises(InputError, match="no face"):
        video_crops(np.full((5, 468, 2), np.nan), CONFIG)
    with pytest.raises(InputError, match="one place"):
        picture_crop(np.zeros((468, 2)), CONFIG)


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="no reference clips (LIPGLANCE_SHARED)")
@pytest.mark.parametrize("dataset", ["GRID", "LRC-AR"])
def test_real_clips(dataset: str) -> None:
    with (SHARED / "data" / "clips.csv").open(newline="") as file:
        rows = [r for r in csv.DictReader(file) if (r["dataset"], r["split"]) == (dataset, "train")]
    reader = cv2.VideoCapture(str(SHARED / "data" / rows[100]["path"]))
    frames = []
    while (read := reader.read())[0]:
        frames.append(np.ascontiguousarray(read[1][..., ::-1]))
    meshes = list(FINDER.track(frames))
    assert all(meshes)
    points = np.array([m.points for m in meshes if m], np.float64)
    crops = video_crops(points, CONFIG)
    inside = apply(crops, points)
    mouth = inside[:, list(MOUTH_20)]
    assert mouth.min() > 0, "the whole mouth is in every crop"
    assert mouth.max() < 63
    assert np.abs(np.median(mouth.mean(axis=1), axis=0) - 31.5).max() < 1
    boxes = np.array([picture_crop(p, CONFIG) for p in points])
    middle = np.full((len(points), 1, 2), 31.5)
    ours, each = (second_difference(apply(invert(m), middle)[:, 0]) for m in (crops, boxes))
    assert ours < each / 3


def test_the_command_does_not_overwrite_what_it_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"precious")
    assert main(["crop", str(clip), "-o", str(clip), "--force"]) == 2
    assert "both read and written" in capsys.readouterr().err
    assert clip.read_bytes() == b"precious"
