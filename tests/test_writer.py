"""Written videos: sound and picture together, whole or not at all."""

import errno
import itertools
import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest

from generated import clicks, moving, number_of, numbered, onsets, photo, speech_like, tone
from lipglance.audio import frames_for
from lipglance.audio_files import audio_info, iter_audio, read_audio
from lipglance.errors import InputError
from lipglance.video_files import iter_video, video_info
from lipglance.writer import VideoWriter, check_target
from lipglance.yuv import YuvPicture

SUFFIXES = ["mp4", "webm"]


def cut(sound, size=3000):
    for first in range(0, sound.shape[1], size):
        yield sound[:, first : first + size]


def write(path, pictures, sound=None, rate=48000, **options):
    height, width = pictures[0].shape[:2]
    pieces = None if sound is None else cut(sound)
    with VideoWriter(path, width, height, audio=pieces, audio_rate=rate, **options) as writer:
        for picture in pictures:
            writer.write(picture)
    return path


@pytest.mark.parametrize("rate", [16000, 44100, 48000])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_sound_and_picture_begin_together_and_stay_together(tmp_path, suffix, rate):
    """A flash and a click every 0.6 s, the first at 0: decoded back within 2.5 ms."""
    flashes = [0, 15, 30, 45, 60]
    pictures = [np.full((64, 64, 3), 230 if k in flashes else 20, np.uint8) for k in range(75)]
    path = write(
        tmp_path / f"o.{suffix}", pictures, clicks(3, [f / 25 for f in flashes], rate), rate
    )
    assert onsets(read_audio(path, 48000), 48000) == pytest.approx(
        [f / 25 for f in flashes], abs=0.0025
    )
    seen = list(iter_video(path))
    assert [k for k, picture in enumerate(seen) if picture.mean() > 125] == flashes
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert video.start_time == 0
        assert audio.start_time == 0


def test_the_priming_of_aac_is_in_the_edit_list(tmp_path):
    """Players that obey it start in time; the pictures need none, so others are 21 ms off."""
    path = write(tmp_path / "o.mp4", numbered(10), clicks(0.4, [0.0], 48000))
    data = path.read_bytes()
    assert data.count(b"elst") == 2
    with av.open(str(path)) as container:
        first = next(container.demux(container.streams.audio[0]))
        assert first.pts == -1024
    with av.open(str(path)) as container:
        stamps = [p.pts for p in container.demux(container.streams.video[0]) if p.size]
        assert stamps == sorted(stamps)  # no B-frames
        assert stamps[0] == 0


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("samples", [640, 1000, 16000, 16000 + 300, 16000 - 300, 50000])
def test_frames_for_the_sound_and_none_of_it_lost(tmp_path, suffix, samples):
    frames = frames_for(samples, 16000)
    path = write(tmp_path / f"o.{suffix}", numbered(frames), tone(samples / 16000, 16000), 16000)
    assert len(list(iter_video(path, None))) == frames
    assert len(list(iter_video(path))) == frames
    heard = read_audio(path, 48000).size
    assert heard == pytest.approx(max(samples * 3, frames * 1920), abs=2)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_sound_of_another_length_ends_with_the_pictures(tmp_path, suffix):
    for seconds in (0.3, 5.0):
        path = write(tmp_path / f"{seconds}.{suffix}", numbered(50), tone(seconds, 48000))
        assert read_audio(path, 48000).size == pytest.approx(96000, abs=2)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_in_the_file(tmp_path, suffix):
    sound = np.vstack([tone(1, 48000, 300), tone(1, 48000, 900)])
    path = write(tmp_path / f"o.{suffix}", moving(25), sound)
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert video.codec.name in (("h264",) if suffix == "mp4" else ("vp9", "libvpx-vp9"))
        assert audio.codec.name in (("aac",) if suffix == "mp4" else ("opus", "libopus"))
        assert video.pix_fmt == "yuv420p"
        assert video.average_rate == 25
    assert audio_info(path).channels == 2
    left, right = np.concatenate(list(_stereo(path)), axis=1)
    assert _pitch(left) == pytest.approx(300, abs=5)
    assert _pitch(right) == pytest.approx(900, abs=5)


def _stereo(path):
    return iter_audio(path, 48000, channels=2)


def _pitch(sound):
    spectrum = np.abs(np.fft.rfft(sound[4800:43200]))
    return spectrum.argmax() * 48000 / 38400


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_pictures_survive(tmp_path, suffix):
    pictures = moving(30, 128, 96)
    path = write(tmp_path / f"o.{suffix}", pictures)
    for picture, wanted in zip(iter_video(path), pictures, strict=True):
        error = picture.astype(float) - wanted
        assert 10 * np.log10(255**2 / np.mean(error**2)) > 30
    # Flat colours away from the edges: the right matrix and range.
    inner = np.s_[8:40, 8:56]
    assert np.abs(picture[inner].mean((0, 1)) - (200, 30, 30)).max() < 4
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        assert (frame.colorspace, frame.color_range) == (1, 1)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_odd_sizes_grow_by_one(tmp_path, suffix):
    pictures = [photo(65, 33)] * 3
    path = write(tmp_path / f"o.{suffix}", pictures)
    seen = next(iter_video(path))
    assert seen.shape == (34, 66, 3)
    assert np.abs(seen[:33, :65].astype(int) - pictures[0]).mean() < 8
    assert np.abs(seen[33].astype(int) - seen[32]).mean() < 8


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("fps", [12.5, 24, 29.97, 30, 50])
def test_other_rates(tmp_path, suffix, fps):
    path = write(tmp_path / f"o.{suffix}", numbered(30), tone(30 / fps, 16000), 16000, fps=fps)
    assert [number_of(picture) for picture in iter_video(path, None)] == list(range(30))
    assert video_info(path).fps == pytest.approx(fps, rel=0.001)
    assert read_audio(path).size == pytest.approx(30 / fps * 16000, abs=3)


def test_quality_can_be_chosen(tmp_path):
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (64, 64, 3)).astype(np.uint8) for _ in range(10)]
    sizes = [
        write(tmp_path / f"{crf}.mp4", pictures, crf=crf).stat().st_size for crf in (10, 18, 40)
    ]
    assert sizes[0] > sizes[1] > sizes[2]


class StopHereError(Exception):
    pass


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("error", [StopHereError, KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("written", [0, 1, 30])
def test_an_exception_leaves_nothing_behind(tmp_path, suffix, error, written):
    kept = tmp_path / "kept.txt"
    kept.write_text("kept")
    closed = []

    def sound():
        try:
            for _ in range(1000):
                yield speech_like(0.1, 48000)
        finally:
            closed.append(True)

    def work():
        with VideoWriter(tmp_path / f"o.{suffix}", 96, 64, audio=sound()) as writer:
            for picture in moving(written):
                writer.write(picture)
            raise error

    with pytest.raises(error):
        work()
    assert list(tmp_path.iterdir()) == [kept]
    assert closed


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_error_in_the_sound_leaves_nothing_behind(tmp_path, suffix):
    def sound(good):
        yield from cut(tone(good, 48000))
        raise InputError("the sound breaks")

    def work(good):
        with VideoWriter(tmp_path / f"o.{suffix}", 96, 64, audio=sound(good)) as writer:
            for picture in moving(30):
                writer.write(picture)

    for good in (0, 0.5):
        with pytest.raises(InputError, match="the sound breaks"):
            work(good)
    assert not list(tmp_path.iterdir())


def test_ctrl_c_from_outside_leaves_nothing_behind(tmp_path):
    """The real signal, in a process of its own, in the middle of the work."""
    script = textwrap.dedent("""
        import sys, numpy as np
        from lipglance.writer import VideoWriter
        with VideoWriter(sys.argv[1], 256, 256) as writer:
            for k in range(100000):
                writer.write(np.full((256, 256, 3), k % 256, np.uint8))
                if k == 20:
                    print("at work", flush=True)
    """)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "o.mp4")],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == b"at work\n"
    (part,) = tmp_path.iterdir()
    assert part.match(".o.*.part")
    process.send_signal(2)
    assert process.wait(20) != 0
    process.stdout.close()
    assert not list(tmp_path.iterdir())


def test_the_name_appears_only_when_all_is_written(tmp_path):
    path = tmp_path / "o.mp4"
    with VideoWriter(path, 96, 64) as writer:
        for picture in moving(5):
            writer.write(picture)
            assert not path.exists()
    assert [p.name for p in tmp_path.iterdir()] == ["o.mp4"]


def test_an_existing_file_is_kept_unless_forced(tmp_path):
    path = tmp_path / "o.mp4"
    path.write_text("precious")
    with pytest.raises(InputError, match=r"exists already.*--force"):
        VideoWriter(path, 96, 64)

    def work():
        with VideoWriter(path, 96, 64, force=True) as writer:
            writer.write(photo())
            raise StopHereError

    with pytest.raises(StopHereError):
        work()
    assert path.read_text() == "precious"
    write(path, moving(5), force=True)
    assert len(list(iter_video(path))) == 5


def test_through_a_link_its_target_is_replaced(tmp_path):
    (tmp_path / "there").mkdir()
    target = tmp_path / "there" / "real.mp4"
    target.write_text("old")
    link = tmp_path / "link.mp4"
    link.symlink_to(target)
    write(link, moving(3), force=True)
    assert link.is_symlink()
    assert len(list(iter_video(target))) == 3


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("o.avi", "ends in '.avi'; expected a name ending in .mp4 or .webm"),
        ("o", "ends in 'nothing'; expected a name ending in .mp4 or .webm"),
        ("missing/o.mp4", "does not exist.*make it first"),
        ("folder.mp4", "is a directory"),
        ("file.txt/o.mp4", "does not exist"),
        ("x" * 252 + ".mp4", "cannot be written"),
        ("nul\0.mp4", "is no file name"),
    ],
)
def test_a_target_that_cannot_be_is_told_before_any_work(tmp_path, name, told):
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "file.txt").touch()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=told) as caught:
        VideoWriter(tmp_path / name, 96, 64).__enter__()
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before


def test_suffixes_in_capitals_are_fine(tmp_path):
    assert check_target(tmp_path / "O.MP4") == tmp_path / "O.MP4"
    assert len(list(iter_video(write(tmp_path / "O.MP4", moving(3))))) == 3


def test_a_directory_that_may_not_be_written_to(tmp_path, monkeypatch):
    # For root everything is writable, so the system's answer is put in its mouth.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(InputError, match=r"may not be written to.*choose another"):
        check_target(tmp_path / "o.mp4")


def test_an_unwritable_file_system(tmp_path):
    """/proc lets no one make a file, root included."""
    with pytest.raises(InputError, match=r"cannot be written|may not be written"):
        VideoWriter("/proc/o.mp4", 96, 64).__enter__()


@pytest.fixture
def tiny_disk(tmp_path):
    place = tmp_path / "tiny"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(place)], capture_output=True
    ) if os.geteuid() == 0 else None  # fmt: skip
    if mounted is None or mounted.returncode:
        pytest.skip("needs the right to mount a tmpfs of 256 KB")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_is_told_and_leaves_nothing(tiny_disk, suffix):
    """Whether the disk is full in the middle, at the end or while the index is moved forward."""
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 255, (128, 128, 3)).astype(np.uint8) for _ in range(60)]
    path = tiny_disk / f"o.{suffix}"
    whole = 0
    for frames in range(1, 24):
        try:
            write(path, noise[:frames], tone(frames / 25, 48000), crf=4)
        except InputError:
            assert not list(tiny_disk.iterdir())
        else:
            whole += 1
            assert len(list(iter_video(path))) == frames
            path.unlink()
    assert 0 < whole < 23
    with pytest.raises(InputError, match="the disk is full"):
        write(path, noise, crf=4)
    assert not list(tiny_disk.iterdir())


def test_an_error_while_encoding_comes_out_of_a_later_call(tmp_path, monkeypatch):
    """A disk that fills up while pictures are made; the last picture's error counts, too."""
    alone = threading.active_count()
    full = av.error.FFmpegError(errno.ENOSPC, "No space left on device")

    def fails(self, patch):
        raise full

    monkeypatch.setattr(YuvPicture, "change", fails)
    for pictures in (moving(1), moving(60)):
        with pytest.raises(InputError, match="the disk is full") as caught:
            write(tmp_path / "o.mp4", pictures, tone(3, 48000))
        assert "\n" not in str(caught.value)
        assert not list(tmp_path.iterdir())
    assert threading.active_count() == alone


def test_one_array_for_all_pictures(tmp_path):
    """Pictures that are alike or change in one corner, altered by the caller once written."""
    same, copies = tmp_path / "same.mp4", tmp_path / "copies.mp4"
    for path in (same, copies):
        picture = photo(97, 65).copy()
        with VideoWriter(path, 97, 65) as writer:
            for k in range(40):
                if k % 4:
                    picture[40:, 80:] = 6 * k
                writer.write(picture if path == same else picture.copy())
    assert same.read_bytes() == copies.read_bytes()
    shown = [picture[60, 90].mean() for picture in iter_video(same)]
    assert shown[39] - shown[21] == pytest.approx(6 * 18, abs=8)


def test_no_picture_is_no_video(tmp_path):
    with pytest.raises(InputError, match="no picture"):  # noqa: SIM117
        with VideoWriter(tmp_path / "o.mp4", 96, 64, audio=cut(tone(1, 48000))):
            pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "options",
    [
        {"width": 8}, {"height": 20000}, {"fps": 0.0}, {"fps": float("nan")}, {"crf": 60},
        {"audio": iter([]), "audio_rate": 0},
    ],
    ids=" ".join,
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(tmp_path, options):
    with pytest.raises(InputError, match="expected"):
        VideoWriter(tmp_path / "o.mp4", **({"width": 96, "height": 64} | options))
    assert not list(tmp_path.iterdir())


def test_a_picture_of_another_kind_is_refused(tmp_path):
    for wrong in (photo(94, 64), photo().astype(np.float32), photo()[..., 0]):
        with pytest.raises(InputError, match="expected"):  # noqa: SIM117
            with VideoWriter(tmp_path / "o.mp4", 96, 64) as writer:
                writer.write(wrong)
    assert not list(tmp_path.iterdir())


def test_the_writer_is_open_only_in_its_with_statement(tmp_path):
    with pytest.raises(RuntimeError, match="with statement"):
        VideoWriter(tmp_path / "o.mp4", 96, 64).write(photo())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_long_videos_in_constant_memory(tmp_path, suffix):
    """What the process holds after a minute does not grow with the next."""

    def sound():
        second = speech_like(1, 48000)
        for _ in itertools.count():
            yield second

    pictures = moving(10, 128, 128)
    held = []
    with VideoWriter(tmp_path / f"o.{suffix}", 128, 128, audio=sound()) as writer:
        for k in range(1501):
            writer.write(pictures[k % 10])
            if k in (500, 1500):
                status = Path("/proc/self/status").read_text()
                held.append(int(status.split("VmRSS:")[1].split()[0]))  # KB
    # Pictures kept would be 49 MB, sound kept 8 MB.
    assert held[1] - held[0] < 6_000


def test_h264_at_512_is_faster_than_100_frames_a_second(tmp_path):
    """On an idle machine several times that; the bound leaves room for a busy one."""
    pictures = moving(60, 512, 512)
    start = time.perf_counter()
    write(tmp_path / "o.mp4", pictures)
    assert 60 / (time.perf_counter() - start) > 50


def test_two_writers_of_one_name_do_not_write_into_each_other_s_file(tmp_path):
    path = tmp_path / "o.mp4"
    with VideoWriter(path, 96, 64, force=True) as slow:
        for picture in moving(90)[:80]:  # so many that its file has been begun
            slow.write(picture)
        with VideoWriter(path, 96, 64, force=True) as quick:
            for picture in moving(3):
                quick.write(picture)
        assert sum(1 for _ in iter_video(path)) == 3
        for picture in moving(90)[80:]:
            slow.write(picture)
    assert sum(1 for _ in iter_video(path)) == 90
    assert [p.name for p in tmp_path.iterdir()] == ["o.mp4"]
