"""Clips are drawn by a fixed rule, strips lie where they should, files are whole."""

import json

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="needs the eval extra: pip install '.[eval]'")

from fake_clips import drawn_shard
from lipglance.errors import InputError
from lipglance.figures import (
    GAP,
    SHOWN,
    Block,
    Drawing,
    Panel,
    Strip,
    draw_panels,
    moments,
    one_each,
    save,
    strips_image,
)
from lipglance.shard_writer import ShardWriter
from lipglance.shards import ShardDataset
from synthetic_shards import draw_clip


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Six clips: four of speaker a, one each of b and c."""
    folder = tmp_path_factory.mktemp("shards")
    transforms = np.tile(np.array([[1, 0, 0], [0, 1, 0]], np.float32), (40, 1, 1))
    with ShardWriter(folder / "val-00000.tar") as writer:
        for k, speaker in enumerate("aaaabc"):
            meta = {"key": f"k{k}", "corpus": "drawn", "speaker": speaker, "split": "val"}
            writer.add(meta, *draw_clip(k), transforms)
    return folder


def test_every_speaker_comes_before_any_comes_twice(shards):
    samples = list(ShardDataset(shards))
    drawn = list(one_each(samples, 0))
    assert {s.speaker for s in drawn[:3]} == {"a", "b", "c"}
    assert {s.key for s in drawn} == {s.key for s in samples}
    assert [s.key for s in one_each(samples, 0)] == [s.key for s in drawn]
    orders = {tuple(s.key for s in one_each(samples, seed)) for seed in range(8)}
    assert len(orders) > 1


def test_speakers_are_chosen_by_name_with_or_without_the_corpus(shards, tmp_path):
    def chosen(*speakers):
        drawing = Drawing((shards,), tmp_path, ("val",), speakers=speakers)
        return {s.speaker for s in drawing.samples()}

    assert chosen() == {"a", "b", "c"}
    assert chosen("b", "drawn/c") == {"b", "c"}
    with pytest.raises(InputError, match="no clips of speaker x; those there are: drawn/a, "):
        chosen("b", "x")


def test_moments_are_middles_of_words_without_silence(tmp_path):
    words = [[0, 0.2, "sil"], [0.2, 0.28, "bin"], [0.3, 0.5, "red"], [0.5, 0.9, "now"]]
    shard = drawn_shard(tmp_path / "test_seen-00000.tar", clips=1, words=words)
    (sample,) = ShardDataset(shard)
    frames, labels, what = moments(sample, 8)
    # The last word's middle, 17.5, is frame 17; frames begin at t / 25.
    assert frames.tolist() == [6, 10, 17]
    assert labels == ["bin", "red", "now"]
    assert "word" in what


def test_moments_without_words_go_from_first_to_last_frame(shards):
    frames, labels, what = moments(ShardDataset(shards)[0], 4)
    assert frames.tolist() == [0, 13, 26, 39]
    assert labels[-1] == "1.56"
    assert what == "time, s"
    assert len(moments(ShardDataset(shards)[0], 400)[0]) == 40


def test_strips_lie_row_by_row_with_white_between():
    shades = np.array([[10, 20, 30], [40, 50, 60]], np.uint8)
    frames = np.broadcast_to(shades[..., None, None, None], (2, 3, 64, 64, 3))
    image = strips_image([Strip("", frames[0]), Strip("", frames[1])])
    step = SHOWN + GAP
    assert image.shape == (2 * step - GAP, 3 * step - GAP, 3)
    middles = image[SHOWN // 2 :: step, SHOWN // 2 :: step, 0]
    np.testing.assert_array_equal(middles, shades)
    assert (image[SHOWN:step] == 255).all()


def panel(columns=3):
    frames = np.random.default_rng(0).integers(0, 255, (columns, 64, 64, 3)).astype(np.uint8)
    block = Block(
        "said", [Strip("real", frames), Strip("generated", frames)], list("abcdef")[:columns]
    )
    return Panel(frames[0], "somebody", [block, block], "word")


def test_figure_has_labels_and_files_are_the_same_again(tmp_path):
    figure = draw_panels([panel(), panel()])
    axes = figure.axes
    assert len(axes) == 6
    assert [t.get_text() for t in axes[1].get_xticklabels()] == ["a", "b", "c"]
    assert [t.get_text() for t in axes[1].get_yticklabels()] == ["real", "generated"]
    assert axes[1].get_xlabel() == "word"
    paths = save(figure, tmp_path / "new", "fig9", {"shown": [1]})
    assert [p.name for p in paths] == ["fig9.png", "fig9.pdf", "fig9.json"]
    assert paths[0].read_bytes().startswith(b"\x89PNG")
    assert paths[1].read_bytes().startswith(b"%PDF")
    assert json.loads(paths[2].read_text())["shown"] == [1]
    assert {p.name for p in (tmp_path / "new").iterdir()} == {p.name for p in paths}
    before = [p.read_bytes() for p in paths]
    save(draw_panels([panel(), panel()]), tmp_path / "new", "fig9", {"shown": [1]})
    assert [p.read_bytes() for p in paths] == before


def test_nothing_written_is_out_of_the_picture():
    figure = draw_panels([panel(), panel(6)])
    figure.canvas.draw()
    width, height = figure.bbox.size
    for axis in figure.axes:
        box = axis.get_tightbbox()
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= width
        assert box.y1 <= height


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write the figure"):
        save(draw_panels([panel()]), tmp_path / "file", "fig9", {})
