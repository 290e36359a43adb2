import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from math import inf, nan
from pathlib import Path

import numpy as np
import pytest
import typer
import webdataset
from typer.testing import CliRunner

from lipglance import cutting
from lipglance import prepare as preparing
from lipglance.cli_prepare import prepare_command
from lipglance.errors import InputError
from lipglance.geometry import apply, crop_image, invert
from lipglance.media import iter_video
from lipglance.prepare import prepare
from lipglance.shards import ShardDataset
from talking import loudness, write_talking

ROOT = Path(__file__).parent.parent
ALIGN = "0 5000 sil\n5000 20000 bin\n20000 30000 sil\n"


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*"))}


@pytest.fixture(scope="module")
def grid(tmp_path_factory) -> Path:
    """GRID as published: two speakers, s33 among them, and clips of every kind of trouble."""
    root = tmp_path_factory.mktemp("grid")
    for seed, (speaker, name) in enumerate([("s1", "bbaf2n"), ("s1", "lwbz1a"), ("s33", "pgwe4p")]):
        write_talking(root / speaker / "video" / "mpg_6000" / f"{name}.mpg", seed=seed)
        (root / speaker / "align").mkdir(exist_ok=True)
        (root / speaker / "align" / f"{name}.align").write_text(ALIGN)
    return root


@pytest.fixture(scope="module")
def shards(grid, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("out") / "shards"
    prepare("grid", grid, out, workers=2)
    return out


@pytest.fixture(scope="module")
def troubled(tmp_path_factory) -> Path:
    """A folder of one good clip and one of every kind of trouble."""
    root = tmp_path_factory.mktemp("troubled")
    good = write_talking(root / "ann" / "good.mp4")
    late = write_talking(root / "ann" / "late_face.mp4", faceless=range(3))
    (root / "val" / "ann").mkdir(parents=True)
    shutil.copy(late, root / "val" / "ann")
    write_talking(root / "bad" / "faceless.mp4", faceless=range(4, 20))
    write_talking(root / "bad" / "mute.mp4", sound=False)
    write_talking(root / "bad" / "silent.mp4", loud=0.0)
    write_talking(root / "bad" / "short.mp4", seconds=0.4)
    write_talking(root / "bad" / "sound_stops.mp4", sound_seconds=0.5)
    (root / "bad" / "cut.mp4").write_bytes(good.read_bytes()[:4000])
    (root / "bad" / "text.mp4").write_text("this is no video")
    (root / "bad" / "empty.mp4").write_bytes(b"")
    return root


def test_grid_becomes_shards(shards, grid):
    train, unseen = ShardDataset(shards, "train"), ShardDataset(shards, "test_unseen")
    assert [s.key for s in train] == ["grid-s1-bbaf2n", "grid-s1-lwbz1a"]
    assert [s.key for s in unseen] == ["grid-s33-pgwe4p"]
    for sample in (*train, *unseen):
        assert sample.frames == 30
        assert sample.crops().shape == (30, 64, 64, 3)
        assert sample.audio().shape == (30 * 640,)
        assert not np.isnan(sample.landmarks()).any()
        assert sample.meta["words"][1] == [0.2, 0.8, "bin"]
        assert sample.meta["words"][2] == [0.8, 1.2, "sil"]
        assert sample.meta["source_size"] == [224, 224]
        assert sample.meta["missing"] == []


def test_crops_show_the_mouth_that_speaks(shards):
    for seed, sample in enumerate(ShardDataset(shards, "train")):
        points = sample.landmarks()
        centre = points[:, [61, 291, 0, 17]].mean(axis=(0, 1))
        assert np.abs(centre - 31.5).max() < 6
        width = np.linalg.norm(points[:, 61] - points[:, 291], axis=1).mean()
        assert 20 < width < 50
        gap = points[:, 14, 1] - points[:, 13, 1]
        assert np.corrcoef(gap, loudness(30, seed=seed))[0, 1] > 0.9
        # The gap is drawn dark: the picture moves with the landmarks, not only they.
        dark = (sample.crops()[:, 20:50, 20:44].max(axis=-1) < 90).mean(axis=(1, 2))
        assert np.corrcoef(dark, loudness(30, seed=seed))[0, 1] > 0.8


def test_sound_is_that_of_the_frames(shards):
    sample = ShardDataset(shards, "train")[0]
    level = np.abs(sample.audio()).reshape(30, 640).max(axis=1)
    wanted = loudness(30)
    best = max(range(-3, 4), key=lambda k: np.corrcoef(np.roll(level, k)[4:-4], wanted[4:-4])[0, 1])
    assert best == 0


def test_transforms_lead_back_to_the_source(shards, grid):
    sample = ShardDataset(shards, "test_unseen")[0]
    for t, picture in enumerate(iter_video(grid / sample.meta["source"])):
        again = crop_image(picture, sample.transforms()[t], 64)
        assert np.abs(again.astype(int) - sample.crops()[t]).mean() < 3


def test_only_evaluation_splits_carry_the_clip(shards, grid):
    assert all(s.clip_bytes() is None for s in ShardDataset(shards, "train"))
    (sample,) = ShardDataset(shards, "test_unseen")
    assert sample.clip_bytes() == (grid / sample.meta["source"]).read_bytes()
    assert sample.meta["clip_suffix"] == ".mpg"


def test_result_does_not_depend_on_the_workers(shards, grid, tmp_path):
    prepare("grid", grid, tmp_path / "one", workers=1)
    assert files(tmp_path / "one") == files(shards)


def test_webdataset_opens_one_split_alone(shards):
    urls = sorted(str(p) for p in shards.glob("train-*.tar"))
    samples = list(webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8"))
    assert [s["json"]["split"] for s in samples] == ["train", "train"]
    assert samples[0]["jpg"].shape == (30 * 64, 64, 3)
    assert samples[0]["landmarks.npy"].shape == (30, 468, 2)


def test_bad_clips_are_listed_never_fatal(troubled, tmp_path):
    summary = prepare("folder", troubled, tmp_path / "out", workers=2)
    kept = {s.key: s for s in ShardDataset(tmp_path / "out")}
    assert set(kept) == {"ann-good", "ann-late_face", "val-ann-late_face"}
    # To learn from, the end without a face is cut off; to evaluate, it is told.
    learnt, judged = kept["ann-late_face"], kept["val-ann-late_face"]
    assert (learnt.frames, learnt.meta["start"], learnt.meta["missing"]) == (27, 0.12, [])
    assert (judged.frames, judged.meta["start"], judged.meta["missing"]) == (30, 0.0, [0, 1, 2])
    assert np.isnan(judged.landmarks()).any(axis=(1, 2)).sum() == 3
    assert np.array_equal(learnt.audio(), judged.audio()[3 * 640 :])
    assert np.array_equal(learnt.crops(), judged.crops()[3:])
    assert judged.clip_bytes() is not None
    reasons = {Path(d["source"]).stem: d["reason"] for d in summary["dropped"]}
    assert reasons == {
        "faceless": "no face",
        "mute": "no sound",
        "silent": "silent",
        "short": "too short",
        "sound_stops": "sound ends early",
        "cut": "unreadable",
        "text": "unreadable",
        "empty": "unreadable",
    }
    assert all("\n" not in d["detail"] for d in summary["dropped"])
    train, val = summary["splits"]
    assert (train["clips"], train["kept"], train["dropped"], train["faceless"]) == (10, 2, 8, 0)
    assert train["seconds"] == 2.28
    assert (val["clips"], val["kept"], val["faceless"], val["seconds"]) == (1, 1, 3, 1.2)
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == summary


def test_lrw_becomes_shards(tmp_path):
    root = tmp_path / "lipread_mp4"
    for seed, split in enumerate(("train", "val", "test")):
        video = write_talking(root / "ABOUT" / split / "ABOUT_00001.mp4", seconds=1.16, seed=seed)
        video.with_suffix(".txt").write_text("Channel: BBC NEWS\nDuration: 0.40 seconds\n")
    prepare("lrw", tmp_path, tmp_path / "out", workers=2)
    samples = list(ShardDataset(tmp_path / "out"))
    assert [s.entry.split for s in samples] == ["test", "train", "val"]
    for sample in samples:
        assert (sample.frames, sample.speaker, sample.entry.corpus) == (29, "unknown", "lrw")
        assert sample.meta["words"] == [[0.38, 0.78, "ABOUT"]]
        assert (sample.clip_bytes() is None) == (sample.entry.split == "train")


def test_ldc_becomes_shards(tmp_path):
    video = tmp_path / "data" / "video"
    write_talking(video / "F01" / "F01_CID_A.mov", seconds=2.4)
    write_talking(video / "M01" / "M01_CID_A.mov", seed=1)
    prepare("ldc", tmp_path, tmp_path / "out", held_out=["M01"], max_seconds=1.2, workers=2)
    seen, unseen = (ShardDataset(tmp_path / "out", speakers=[s]) for s in ("F01", "M01"))
    assert [s.frames for s in seen] == [30, 30]
    assert "test_unseen" not in {s.entry.split for s in seen}
    assert [(s.frames, s.entry.split) for s in unseen] == [(30, "test_unseen")]
    assert unseen[0].meta["clip_suffix"] == ".mov"


def test_damaged_pictures_count_as_faceless(tmp_path):
    write_talking(tmp_path / "in" / "train" / "a.mp4", pale=range(5))
    write_talking(tmp_path / "in" / "val" / "a.mp4", pale=range(5))
    prepare("folder", tmp_path / "in", tmp_path / "out", workers=1)
    learnt, judged = ShardDataset(tmp_path / "out", ["train", "val"])
    assert (learnt.frames, learnt.meta["missing"]) == (25, [])
    assert (judged.frames, judged.meta["missing"]) == (30, [0, 1, 2, 3, 4])


def test_long_videos_become_parts(tmp_path):
    write_talking(tmp_path / "in" / "val" / "ann" / "long.mkv", seconds=5, seed=1)
    (tmp_path / "in" / "val" / "ann" / "long.align").write_text("0 50000 sil\n50000 100000 bin\n")
    prepare("folder", tmp_path / "in", tmp_path / "out", max_seconds=2, workers=1)
    parts = list(ShardDataset(tmp_path / "out"))
    assert [(s.key[-6:], s.frames, s.meta["start"]) for s in parts] == [
        ("-p0000", 42, 0.0),
        ("-p0001", 42, 1.68),
        ("-p0002", 41, 3.36),
    ]
    assert [s.meta["words"] for s in parts] == [
        [[0.0, 1.68, "sil"]],
        [[0.0, 0.32, "sil"], [0.32, 1.68, "bin"]],
        [[0.0, 0.64, "bin"]],
    ]
    assert all(s.clip_bytes() is None for s in parts)
    prepare("folder", tmp_path / "in", tmp_path / "whole", workers=1)
    (whole,) = ShardDataset(tmp_path / "whole")
    joined = np.concatenate([s.audio() for s in parts])
    assert np.array_equal(joined, whole.audio())
    frames = [apply(invert(s.transforms()), s.landmarks()) for s in parts]
    full = apply(invert(whole.transforms()), whole.landmarks())
    assert np.abs(np.concatenate(frames) - full).max() < 0.1


def test_part_of_a_file_by_the_table(tmp_path):
    write_talking(tmp_path / "in" / "a.mp4", seconds=3)
    table = tmp_path / "t.csv"
    table.write_text("path,split,start,end\na.mp4,val,1,2\na.mp4,val,2,\n")
    prepare("folder", tmp_path / "in", tmp_path / "out", table=table, workers=1)
    one, two = ShardDataset(tmp_path / "out")
    assert (one.meta["start"], one.frames) == (1.0, 25)
    assert (two.meta["start"], two.frames) == (2.0, 25)
    gap = one.landmarks()[:, 14, 1] - one.landmarks()[:, 13, 1]
    assert np.corrcoef(gap, loudness(75)[25:50])[0, 1] > 0.9
    assert one.clip_bytes() is None


def test_other_rates_come_out_at_25(tmp_path):
    write_talking(tmp_path / "in" / "a.mp4", seconds=1.5, fps=30)
    prepare("folder", tmp_path / "in", tmp_path / "out", workers=1)
    (sample,) = ShardDataset(tmp_path / "out")
    assert sample.frames in (37, 38)
    assert sample.meta["source_fps"] == 30
    gap = sample.landmarks()[:, 14, 1] - sample.landmarks()[:, 13, 1]
    wanted = np.interp(np.arange(sample.frames) / 25, np.arange(45) / 30, loudness(45, 30))
    assert np.corrcoef(gap, wanted)[0, 1] > 0.9


def test_size_and_region(tmp_path, grid):
    options = {"limit": 1, "splits": ["train"], "workers": 1}
    lips = prepare("grid", grid, tmp_path / "a", size=128, **options)
    prepare("grid", grid, tmp_path / "b", region="face", **options)
    prepare("grid", grid, tmp_path / "c", half_side=1.5, **options)
    assert lips["settings"]["crop"]["size"] == 128
    big, low, wide = (ShardDataset(tmp_path / name)[0] for name in "abc")
    assert big.crops().shape == (30, 128, 128, 3)
    middle = [s.landmarks()[0, [0, 17]].mean(0) / s.entry.size for s in (big, low, wide)]
    assert np.abs(middle[0] - 0.5).max() < 0.1
    assert middle[0][1] - middle[1][1] > 0.05
    assert 0.7 < low.landmarks()[0, 152, 1] / 64 < 1  # the chin
    widths = [
        np.linalg.norm(s.landmarks()[0, 61] - s.landmarks()[0, 291]) / s.entry.size
        for s in (big, low, wide)
    ]
    assert widths[0] == pytest.approx(widths[1] / 0.75, rel=0.02)
    assert widths[0] == pytest.approx(2 * widths[2], rel=0.02)


@pytest.fixture
def small_lots(monkeypatch):
    monkeypatch.setattr(preparing, "CLIPS_PER_SHARD", 1)


@pytest.mark.usefixtures("small_lots")
def test_resumes_where_it_was(tmp_path, grid):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    prepare("grid", grid, whole, workers=1)
    prepare("grid", grid, broken, workers=1, splits=["train"])
    (broken / "train-00001.json").unlink()  # as after a kill between the tar and its report
    (broken / ".train-00001.tar.part").write_bytes(b"half")
    (broken / ".spool-old").mkdir()
    kept = broken / "train-00000.tar"
    stamp = kept.stat().st_mtime_ns
    prepare("grid", grid, broken, workers=1)
    assert kept.stat().st_mtime_ns == stamp
    assert files(broken) == files(whole)


def run_command(*arguments: object) -> subprocess.Popen[bytes]:
    code = "import sys, typer; from lipglance.cli_prepare import prepare_command as p; typer.run(p)"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": "src"}, cwd=ROOT)


def test_two_jobs_do_not_share_a_folder(grid, tmp_path):
    code = "import sys; from pathlib import Path; from lipglance import prepare as p\n"
    code += "with p._locked(Path(sys.argv[1])): print('locked', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen(command, env=environment, **pipes) as other:
        assert other.stdout.readline() == b"locked\n"
        with pytest.raises(InputError, match="another `lipglance prepare`"):
            prepare("grid", grid, tmp_path, workers=1)
        other.kill()
        other.wait()
    prepare("grid", grid, tmp_path, workers=1)
    assert not (tmp_path / ".lock").exists()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_killed_and_called_again(tmp_path, grid, shards, how):
    out = tmp_path / "out"
    job = run_command("grid", grid, "-o", out, "--workers", 2)
    deadline = time.monotonic() + 120
    while not list(out.glob(".*.part")) and job.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    job.send_signal(how)
    assert job.wait(120) != 0
    assert not (out / "summary.json").exists()
    if how is signal.SIGINT:
        assert [p for p in out.iterdir() if p.name.startswith(".")] == []
    prepare("grid", grid, out, workers=2)
    assert files(out) == files(shards)


def test_a_crashing_decoder_costs_one_clip(monkeypatch, grid, tmp_path):
    # Python runs sitecustomize at the start of every worker.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT / "src")]))
    (tmp_path / "sitecustomize.py").write_text(CRASH)
    summary = prepare("grid", grid, tmp_path / "out", workers=2)
    assert {s.key for s in ShardDataset(tmp_path / "out")} == {"grid-s1-bbaf2n", "grid-s33-pgwe4p"}
    assert summary["reasons"] == {"crash": 1}
    assert summary["dropped"][0]["source"].endswith("lwbz1a.mpg")


CRASH = """
import os, sys
if "spawn_main" in " ".join(sys.orig_argv):
    import av
    opened = av.open
    def crash(path, *arguments, **options):
        if "lwbz1a" in str(path):
            os._exit(11)
        return opened(path, *arguments, **options)
    av.open = crash
"""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 96}, "crop size 64, now 96"),
        ({"region": "face"}, "crop half_side 0.75, now 1.0"),
        ({"max_seconds": 5}, "max_seconds 10.0, now 5"),
        ({"limit": 1}, "other clips"),
        ({"held_out": ["s1"]}, "other clips|more clips"),
    ],
)
def test_another_configuration_in_the_same_folder(shards, grid, options, message):
    before = files(shards)
    with pytest.raises(InputError, match=message) as caught:
        prepare("grid", grid, shards, **options)
    assert "use another folder" in str(caught.value)
    assert files(shards) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 60}, "multiple of 8"),
        ({"region": "nose"}, "lips or face"),
        *(({"max_seconds": s}, "expected 0.64 or more") for s in (0.1, nan, inf, 1e308)),
        ({"half_side": 0}, "expected 0.3 to 10"),
        ({"workers": 0}, "expected 1 or more"),
        ({"limit": 0}, "expected 1 or more"),
        ({"splits": ["dev"]}, "found test_unseen, train"),
    ],
)
def test_options_that_make_no_sense(tmp_path, grid, options, message):
    with pytest.raises(InputError, match=message):
        prepare("grid", grid, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_unwritable_folder(grid):
    with pytest.raises(InputError, match="cannot write the shards"):
        prepare("grid", grid, Path("/dev/full/shards"), workers=1)


def test_full_disk_ends_the_job(monkeypatch, tmp_path, grid):
    def full(self: object, shard: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(preparing.ShardWriter, "append", full)
    with pytest.raises(InputError, match="No space left"):
        prepare("grid", grid, tmp_path / "out", workers=1)
    assert list((tmp_path / "out").iterdir()) == []


def test_full_disk_of_a_worker_ends_the_job(monkeypatch, tmp_path, grid):
    # Workers may write no file larger than this, as on a disk that is nearly full.
    limit = "import resource, sys\nif 'spawn_main' in ' '.join(sys.orig_argv):\n"
    limit += "    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
    (tmp_path / "sitecustomize.py").write_text(limit)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT / "src")]))
    with pytest.raises(InputError, match="File too large"):
        prepare("grid", grid, tmp_path / "out", workers=1)
    assert list((tmp_path / "out").iterdir()) == []


def test_command(tmp_path, grid, troubled):
    app = typer.Typer()
    app.command()(prepare_command)
    run = CliRunner()
    arguments = ["grid", str(grid), "-o", str(tmp_path / "a"), "--workers", "1"]
    shown = run.invoke(app, [*arguments, "--splits", "train,test_unseen"])
    assert shown.exit_code == 0, shown.output
    assert "test_unseen" in shown.stdout
    assert "\r" not in shown.stdout + shown.stderr  # no bar in a pipe
    machine = run.invoke(app, [*arguments, "--json"])
    assert json.loads(machine.stdout)["samples"] == 3
    assert run.invoke(app, [*arguments, "--quiet"]).output == ""
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    (nothing / "text.mp4").write_bytes((troubled / "bad" / "text.mp4").read_bytes())
    failed = run.invoke(app, ["folder", str(nothing), "-o", str(tmp_path / "b"), "-q"])
    assert isinstance(failed.exception, InputError)
    assert "none of its clips could be used" in str(failed.exception)


def test_warnings_are_kept_with_the_clip(tmp_path, capfd):
    write_talking(tmp_path / "in" / "loud.mov", loud=1.5)
    summary = prepare("folder", tmp_path / "in", tmp_path / "out", workers=1)
    assert len(summary["warnings"]) == 1
    assert summary["warnings"][0].startswith("loud.mov: ")
    assert "clipped" in summary["warnings"][0]
    assert "clipped" not in capfd.readouterr().err


def test_unreadable_word_times_cost_the_words_only(tmp_path):
    write_talking(tmp_path / "in" / "a.mp4")
    (tmp_path / "in" / "a.align").write_text("rubbish")
    summary = prepare("folder", tmp_path / "in", tmp_path / "out", workers=1)
    assert "words" not in ShardDataset(tmp_path / "out")[0].meta
    assert "word times" in summary["warnings"][0]


def test_memory_bound_of_one_jpeg():
    config = cutting.CutConfig(crop=cutting.CropConfig(size=1024), max_seconds=10)
    assert config.max_frames * 1024 < 65_536


SHARED = Path(os.environ.get("LIPGLANCE_SHARED", ROOT.parent / "shared"))


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="no reference clips (LIPGLANCE_SHARED)")
def test_reference_clips(tmp_path):
    data = SHARED / "data"
    summary = prepare(
        "folder", data, tmp_path, table=data / "clips.csv", limit=6, splits=["val"], workers=2
    )
    assert summary["samples"] == 6
    assert {line["corpus"] for line in summary["splits"]} == {"grid", "lrc-ar"}
    assert summary["reasons"] == {}
