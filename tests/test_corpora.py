import logging
from pathlib import Path

import pytest

from lipglance.clip_source import hashed_split, read_words
from lipglance.corpora import list_clips
from lipglance.errors import InputError

ALIGN = "0 23750 sil\n23750 29500 bin\n29500 34000 blue\n34000 74500 sil\n"


def touch(root: Path, *names: str, text: str = "x") -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ("video", "align"),
    [
        ("s3/bbaf2n.mpg", "s3/align/bbaf2n.align"),
        ("s3/video/mpg_6000/bbaf2n.mpg", "align/s3/bbaf2n.align"),
        ("s3/video_normal/bbaf2n.mkv", "alignments/s3/bbaf2n.align"),
        ("s3.mpg_6000.part1/s3/video/mpg_6000/bbaf2n.mpg", "s3/align/bbaf2n.align"),
        ("video/s3/id2_6000_bbaf2n.mpg", "s3_align/bbaf2n.align"),
    ],
)
def test_grid_in_its_usual_layouts(tmp_path, video, align):
    touch(tmp_path, video)
    touch(tmp_path, align, "align/s4/bbaf2n.align", text=ALIGN)
    (clip,) = list_clips("grid", tmp_path, held_out=[])
    assert (clip.key, clip.speaker, clip.utterance) == ("grid-s3-bbaf2n", "s3", "bbaf2n")
    assert clip.source == video
    assert clip.alignment == tmp_path / align
    words = read_words(clip)
    assert words[1] == (0.95, 1.18, "bin")
    assert words[-1] == (1.36, 2.98, "sil")


def test_grid_splits(tmp_path, caplog):
    sentences = [f"bb{a}{b}{n}n" for a in "abiw" for b in "fghj" for n in range(10)]
    for speaker in ("s1", "s2", "s33"):
        touch(tmp_path, *(f"{speaker}/{name}.mpg" for name in sentences))
    clips = list_clips("grid", tmp_path)
    assert {c.speaker for c in clips if c.split == "test_unseen"} == {"s33"}
    assert sum(c.split == "test_unseen" for c in clips) == len(sentences)
    seen = [c for c in clips if c.speaker != "s33"]
    for sentence in sentences:  # the same sentence never in two splits of the seen speakers
        assert len({c.split for c in seen if c.utterance == sentence}) == 1
    shares = {s: sum(c.split == s for c in seen) / len(seen) for s in ("train", "val", "test_seen")}
    assert 0.8 < shares["train"] < 0.97
    assert 0 < shares["val"] < 0.12
    assert 0 < shares["test_seen"] < 0.12
    with caplog.at_level(logging.WARNING):
        assert {c.split for c in list_clips("grid", tmp_path, held_out=["s40"])} == set(shares)
    assert "s40" in caplog.text


def test_split_by_hash_is_fixed_for_ever():
    # Written down once: a change would mix training and test clips of existing shards.
    names = ["bbaf2n", "bbaf3s", "lwbz1a", "pgwe4p", "sria9s", "swwp2s"]
    assert [hashed_split(n) for n in names] == ["train"] * len(names)
    others = [f"x{i}" for i in range(60)]
    assert [n for n in others if hashed_split(n) == "val"] == ["x33", "x36", "x42", "x51", "x54"]
    assert [n for n in others if hashed_split(n) == "test_seen"] == ["x9", "x15", "x32", "x38"]
    assert hashed_split("BBAF2N") == hashed_split("bbaf2n")


def test_grid_takes_the_best_of_several_qualities(tmp_path):
    touch(tmp_path, "s1/video/mpg_vcd/bbaf2n.mpg", text="x" * 10)
    touch(tmp_path, "s1/video/mpg_6000/bbaf2n.mpg", text="x" * 50)
    touch(tmp_path, "s1/video/a_small/bbaf2n.mpg", text="x" * 20)
    (clip,) = list_clips("grid", tmp_path, held_out=[])
    assert clip.source == "s1/video/mpg_6000/bbaf2n.mpg"


def test_grid_leaves_out_what_is_in_no_speaker_folder(tmp_path, caplog):
    touch(tmp_path, "s1/a.mpg", "docs/demo.mpg", "s1/._a.mpg", "s1/notes.txt")
    with caplog.at_level(logging.WARNING):
        assert [c.source for c in list_clips("grid", tmp_path, held_out=[])] == ["s1/a.mpg"]
    assert "docs/demo.mpg" in caplog.text


LRW_TXT = """Disk reference: 6201051001411213210
Channel: BBC NEWS
Program start: 2014-11-04 22:00 +0000
Clip start: 361.84 seconds
Duration: 0.47 seconds
"""


def test_lrw(tmp_path):
    for split in ("train", "val", "test"):
        touch(tmp_path, f"lipread_mp4/ABOUT/{split}/ABOUT_00001.mp4")
        touch(tmp_path, f"lipread_mp4/ABOUT/{split}/ABOUT_00001.txt", text=LRW_TXT)
    clips = list_clips("lrw", tmp_path)
    assert [c.split for c in clips] == ["test", "train", "val"]
    assert [c.key for c in clips] == [f"lrw-{s}-ABOUT_00001" for s in ("test", "train", "val")]
    assert {c.speaker for c in clips} == {"unknown"}
    ((start, end, word),) = read_words(clips[0])
    assert word == "ABOUT"
    assert end - start == pytest.approx(0.47)
    assert (start + end) / 2 == pytest.approx(0.58)


@pytest.mark.parametrize(
    ("name", "speaker"),
    [
        ("data/video/F02/F02_CID_A.mov", "F02"),
        ("data/video/M01_hVd_list1.mov", "M01"),
        ("disc1/f3/sentences.mpg", "F03"),
        ("Talker M-11/NU6 list 2.mov", "M11"),
        ("jane/words.mov", "jane"),
    ],
)
def test_ldc_speakers(tmp_path, name, speaker):
    touch(tmp_path, name)
    (clip,) = list_clips("ldc", tmp_path, held_out=[])
    assert clip.speaker == speaker
    assert "." not in clip.key
    assert "/" not in clip.key


def test_ldc_leaves_speakers_out(tmp_path):
    touch(tmp_path, *(f"video/{s}/{s}_list{i}.mov" for s in ("F01", "F02", "M01") for i in "123"))
    clips = list_clips("ldc", tmp_path)
    assert {c.speaker for c in clips if c.split == "test_unseen"} == {"F02", "M01"}
    only = list_clips("ldc", tmp_path, held_out=["F01"])
    assert {c.speaker for c in only if c.split == "test_unseen"} == {"F01"}
    # The same list of two seen speakers is in the same split, however they are written.
    assert len({c.split for c in only if c.utterance.endswith("list2") and c.speaker != "F01"}) == 1


@pytest.mark.parametrize("names", [("f-3", "M-04"), ("F3", "m4"), ("f_03", "M04")])
def test_an_item_of_ldc_is_in_one_split_however_speakers_are_written(tmp_path, names):
    touch(tmp_path, *(f"{name}_item{i}.mov" for name in names for i in range(40)))
    splits = {}
    for clip in list_clips("ldc", tmp_path, held_out=[]):
        splits.setdefault(clip.utterance.rpartition("_")[2], set()).add(clip.split)
    assert len(splits) == 40
    assert all(len(found) == 1 for found in splits.values())
    assert len(set.union(*splits.values())) > 1


def test_folder_without_a_table(tmp_path):
    touch(tmp_path, "anna/hello.mp4", "train/bob/a.b.webm", "val/bob/c.mov", "top.avi", "x/y.wav")
    clips = {c.source: c for c in list_clips("folder", tmp_path)}
    assert {s: (c.speaker, c.split, c.key) for s, c in clips.items()} == {
        "anna/hello.mp4": ("anna", "train", "anna-hello"),
        "train/bob/a.b.webm": ("bob", "train", "train-bob-a_b"),
        "val/bob/c.mov": ("bob", "val", "val-bob-c"),
        "top.avi": ("unknown", "train", "top"),
    }
    held = {c.source: c.split for c in list_clips("folder", tmp_path, held_out=["anna"])}
    assert held["anna/hello.mp4"] == "test_unseen"


def test_folder_with_a_table(tmp_path):
    touch(tmp_path, "a/one.mp4", "a/two.mp4", "a/unlisted.mp4")
    table = tmp_path / "clips.csv"
    table.write_text(
        "\ufeffpath,dataset,speaker,utterance,split,start,end\n"
        'a/one.mp4,My Set,anna,"hello, you",test_seen,,\n'
        "a/two.mp4,,,,,1.5,3\na/two.mp4,,,,,3,4.5\n",
        encoding="utf-8",
    )
    one, two, three = list_clips("folder", tmp_path, table)
    assert (one.corpus, one.speaker, one.utterance, one.split) == (
        "my_set", "anna", "hello, you", "test_seen",
    )  # fmt: skip
    assert (two.corpus, two.speaker, two.split, two.start, two.end) == (
        "folder", "a", "train", 1.5, 3.0,
    )  # fmt: skip
    assert three.start == 3.0
    assert two.key != three.key


@pytest.mark.parametrize(
    "place", ["anna/hi.align", "anna/align/hi.align", "align/anna/hi.align", "align/hi.align"]
)
def test_folder_finds_word_times(tmp_path, place):
    touch(tmp_path, "anna/hi.mp4")
    touch(tmp_path, place, text=ALIGN)
    (clip,) = list_clips("folder", tmp_path)
    assert clip.alignment == tmp_path / place


def test_word_times_without_a_speaker_are_not_given_to_two(tmp_path):
    touch(tmp_path, "anna/hi.mp4", "bob/hi.mp4", "bob/only.mp4")
    touch(tmp_path, "align/hi.align", "align/only.align", text=ALIGN)
    found = {c.source: c.alignment for c in list_clips("folder", tmp_path)}
    assert found["anna/hi.mp4"] is None
    assert found["bob/hi.mp4"] is None
    assert found["bob/only.mp4"] == tmp_path / "align/only.align"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("file,split\na,b\n", "column 'path'"),
        ("path\n/etc/passwd\n", "row 2"),
        ("path\na/one.mp4\n../out.mp4\n", "row 3"),
        ("path,start\na/one.mp4,soon\n", "expected seconds"),
        ("path\na/one.mp4\na/one.mp4\n", "listed twice"),
        ("path\n", "no clips"),
    ],
)
def test_bad_tables_are_one_line(tmp_path, table, message):
    touch(tmp_path, "a/one.mp4")
    touch(tmp_path, "t.csv", text=table)
    with pytest.raises(InputError, match=message) as caught:
        list_clips("folder", tmp_path, tmp_path / "t.csv")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["0 x sil\n", "0 100\n", "\udcff"])
def test_bad_word_times_are_one_line(tmp_path, text):
    touch(tmp_path, "a/hi.mp4")
    (tmp_path / "a/hi.align").write_bytes(text.encode("utf-8", "surrogateescape"))
    (clip,) = list_clips("folder", tmp_path)
    with pytest.raises(InputError, match="not readable as word times"):
        read_words(clip)


def test_a_txt_that_is_not_of_lrw(tmp_path):
    touch(tmp_path, "ABOUT/val/ABOUT_00001.mp4", "ABOUT/val/ABOUT_00001.txt")
    (clip,) = list_clips("lrw", tmp_path)
    with pytest.raises(InputError, match="Duration"):
        read_words(clip)


def test_links_are_followed_once(tmp_path):
    touch(tmp_path, "real/s1/a.mpg")
    root = tmp_path / "root"
    root.mkdir()
    (root / "grid").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "loop").symlink_to(root)
    assert [c.source for c in list_clips("grid", root, held_out=[])] == ["grid/s1/a.mpg"]


def test_wrong_requests(tmp_path):
    touch(tmp_path, "s1/a.mpg")
    with pytest.raises(InputError, match="unknown corpus 'voxceleb'; expected one of grid"):
        list_clips("voxceleb", tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        list_clips("grid", tmp_path / "nowhere")
    with pytest.raises(InputError, match="goes with the corpus 'folder'"):
        list_clips("grid", tmp_path, tmp_path / "t.csv")
    with pytest.raises(InputError, match="no clips in the layout of 'lrw'"):
        list_clips("lrw", tmp_path)
    with pytest.raises(InputError, match="its own splits"):
        list_clips("lrw", tmp_path, held_out=["s1"])
