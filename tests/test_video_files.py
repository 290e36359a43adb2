"""Videos: constant rate by time stamps, upright, square pixels, whatever is left of the file."""

import logging
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from generated import (
    clicks,
    moving,
    number_of,
    numbered,
    photo,
    speech_like,
    write_grid_clip,
    write_sound,
    write_video,
)
from lipglance.errors import InputError
from lipglance.video_files import is_video, iter_video, video_info


def numbers(path, fps=25.0):
    return [number_of(picture) for picture in iter_video(path, fps)]


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm", "avi", "mpg"])
def test_25_fps_gives_every_picture_once(tmp_path, suffix):
    path = write_video(tmp_path / f"v.{suffix}", numbered(30), 25)
    assert numbers(path) == list(range(30))
    assert numbers(path, None) == list(range(30))


@pytest.mark.parametrize("fps", [Fraction(30000, 1001), 30, 50, 24, 15, 10, Fraction(60000, 1001)])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_other_rates_become_25_by_time_stamps(tmp_path, fps, suffix):
    count = 60
    path = write_video(tmp_path / f"v.{suffix}", numbered(count), fps)
    wanted = round(count / fps * 25)
    got = numbers(path)
    assert len(got) == wanted
    # The picture shown at k/25 s; mkv rounds its stamps to 1 ms.
    for k, number in enumerate(got):
        now = k / 25 * float(fps)
        assert number in {min(count - 1, int(now + slack * float(fps))) for slack in (1e-6, 0.003)}
    assert numbers(path, None) == list(range(count))
    assert len(numbers(path, 12.5)) == round(count / fps * 12.5)


def test_a_varying_rate_follows_the_stamps(tmp_path):
    # A phone that falls from 25 to 10 fps and back, and trembles by a millisecond.
    times, number = [0.0], 1
    while len(times) < 50:
        times.append(times[-1] + (0.1 if 15 <= number < 25 else 0.04))
        number += 1
    trembling = [t + 0.001 * (-1) ** k * (k > 0) for k, t in enumerate(times)]
    path = write_video(tmp_path / "v.mkv", numbered(50), 25, times=trembling)
    got = numbers(path)
    assert len(got) == round((times[-1] + 0.04) * 25)
    for k, number in enumerate(got):
        shown = max(n for n, t in enumerate(times) if t <= k / 25 + 1e-6)
        assert number == shown


def test_one_picture_is_a_video_of_one_frame(tmp_path):
    path = write_video(tmp_path / "v.mp4", numbered(1), 25)
    assert numbers(path) == [0]


# What the file must store so that turning it as stated gives `photo`.
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_rotation_and_mirroring_stated_by_the_file_are_carried_out(tmp_path, rotation, mirrored):
    stored = photo()
    if mirrored:
        stored = stored[:, ::-1]
    stored = np.rot90(stored, -rotation // 90)
    path = write_video(tmp_path / "v.mp4", [stored] * 3, rotation=rotation, mirrored=mirrored)
    (first, *_) = list(iter_video(path))
    assert first.shape == photo().shape
    assert np.abs(first.astype(int) - photo()).mean() < 5
    info = video_info(path)
    assert (info.width, info.height) == (96, 64)


def test_pixels_are_made_square(tmp_path):
    path = write_video(tmp_path / "v.mp4", [photo(96, 64)] * 3, pixel_aspect=Fraction(4, 3))
    assert next(iter_video(path)).shape == (64, 128, 3)
    assert video_info(path).width == 128


@pytest.mark.parametrize("suffix", ["mp4", "webm"])
def test_colours_survive(tmp_path, suffix):
    path = write_video(tmp_path / f"v.{suffix}", [photo()] * 3)
    picture = next(iter_video(path))
    inner = np.s_[8:24, 8:40]
    assert np.abs(picture[inner].mean((0, 1)) - (200, 30, 30)).max() < 6


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm", "mpg"])
def test_video_info(tmp_path, suffix):
    rate = 48000
    path = write_video(tmp_path / f"v.{suffix}", moving(50), 25, speech_like(2.6, rate), rate)
    info = video_info(path)
    assert (info.width, info.height, info.fps, info.has_audio) == (96, 64, 25.0, True)
    if suffix != "mpg":  # its header holds no duration
        assert info.duration == pytest.approx(2.0, abs=0.01)
        assert info.frames == 50
    assert not video_info(write_video(tmp_path / "mute.mp4", moving(5))).has_audio


@pytest.mark.parametrize("suffix", ["mpg", "mkv", "mp4"])
def test_a_grid_clip(tmp_path, suffix):
    path = write_grid_clip(tmp_path / f"bbaf2n.{suffix}", seconds=1.0)
    pictures = list(iter_video(path))
    assert len(pictures) == 25
    assert pictures[0].shape == (288, 360, 3)


def test_is_video(tmp_path):
    assert is_video(write_video(tmp_path / "v.mp4", moving(3)))
    assert not is_video(write_sound(tmp_path / "a.wav", speech_like(0.5)))
    for name in ("p.jpg", "p.png", "p.gif", "p.webp", "p.bmp", "p.tif", "p.avif"):
        pictures = [Image.fromarray(picture) for picture in moving(3)]
        more = {"save_all": True, "append_images": pictures[1:]} if name[2] in "gw" else {}
        pictures[0].save(tmp_path / name, **more)
        assert not is_video(tmp_path / name), name
    assert not is_video(Path(__file__).parent / "data" / "photo.heic")
    (tmp_path / "t.txt").write_text("no video\n" * 100)
    assert not is_video(tmp_path / "t.txt")
    with pytest.raises(InputError):
        is_video(tmp_path / "missing.mp4")


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm", "avi"])
def test_of_a_truncated_video_what_there_is(tmp_path, caplog, suffix):
    options = {"movflags": "faststart"} if suffix == "mp4" else None
    sound = clicks(4, [1.0], 48000) + speech_like(4, 48000)
    whole = write_video(tmp_path / f"v.{suffix}", moving(100), 25, sound, 48000, options=options)
    data = whole.read_bytes()
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(data[: len(data) * 6 // 10])
    with caplog.at_level(logging.WARNING, "lipglance"):
        pictures = list(iter_video(cut))
    assert 40 < len(pictures) < 75
    assert any("cut short" in r.message or "breaks off" in r.message for r in caplog.records)
    for k, picture in list(enumerate(iter_video(whole)))[:40]:
        assert np.abs(picture.astype(int) - pictures[k]).mean() < 1
    cut.write_bytes(data[:200])
    with pytest.raises(InputError):
        list(iter_video(cut))


def test_an_mp4_without_its_index_is_no_video(tmp_path):
    data = write_video(tmp_path / "v.mp4", moving(50)).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="damaged or cut short"):
        iter_video(tmp_path / "cut.mp4")


def test_damage_in_the_middle_is_skipped(tmp_path, caplog):
    path = write_video(tmp_path / "v.mkv", moving(100))
    data = bytearray(path.read_bytes())
    for place in np.random.default_rng(0).integers(len(data) // 4, len(data) * 3 // 4, 30):
        data[place] ^= 255
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING, "lipglance"):
        assert len(list(iter_video(path))) > 25
    assert caplog.records


def test_a_rate_that_is_none_is_refused(tmp_path):
    path = write_video(tmp_path / "v.mp4", moving(3))
    for fps in (0, -25, float("nan"), float("inf")):
        with pytest.raises(InputError, match="pictures a second"):
            iter_video(path, fps)


def test_stopping_early_closes_the_file(tmp_path):
    path = write_video(tmp_path / "v.mp4", moving(50))
    pictures = iter_video(path)
    next(pictures)
    pictures.close()
    held = [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert path not in held


def test_videos_put_one_after_another_are_played_in_a_row(tmp_path, caplog):
    part = write_video(tmp_path / "v.ts", numbered(25), 25)
    path = tmp_path / "both.ts"
    path.write_bytes(part.read_bytes() * 2)
    assert numbers(path, None) == 2 * list(range(25))
    assert numbers(path) == 2 * list(range(25))
    warnings = [r.message for r in caplog.records if "begins its time stamps anew" in r.message]
    assert len(warnings) == 2  # one for each time that it was read


def test_a_pause_between_pictures_stored_in_another_order_loses_none(tmp_path):
    # mp4 states lengths in the order of the file: the pause's lands on another picture.
    times = [k / 25 + (0.9 if k > 14 else 0.0) + (0.5 if k > 30 else 0.0) for k in range(45)]
    path = write_video(
        tmp_path / "v.mp4", numbered(45), 25, times=times, settings={"bf": "3", "b-adapt": "0"}
    )
    assert numbers(path, None) == list(range(45))
    shown = numbers(path)
    assert sorted(set(shown)) == list(range(45))
    assert shown.count(14) == pytest.approx(0.94 * 25, abs=1)
