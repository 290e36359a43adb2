"""Clips heard in other ways: what rows hear, what they are compared with, who is behind."""

import numpy as np
import pytest

from fake_clips import (
    CROP,
    DrawnDetector,
    draw,
    drawn_groups,
    drawn_shard,
    places,
    track,
)
from lipglance.crop import CropConfig
from lipglance.cross_identity import measure_cross
from lipglance.errors import InputError
from lipglance.evaluation_clip import stored_clip
from lipglance.geometry import crop_image
from lipglance.measure import measure_clip
from lipglance.reference import filmed
from lipglance.rows import Pasted, Real, Row, Still
from lipglance.shards import ShardDataset
from lipglance.voiced_clips import VOICES, FastClip, babblers_of, check_voice, voiced

FRAMES = 40
WORDS = [[0.0, 0.4, "sil"], [0.4, 1.2, "bin"], [1.2, 1.6, "sil"]]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    drawn_shard(folder / "val-00000.tar", clips=5, frames=FRAMES, split="val", words=WORDS)
    samples = list(ShardDataset(folder))
    return [stored_clip(sample, folder / sample.key) for sample in samples]


@pytest.mark.parametrize("voice", ["white", "babble", "telephone"])
def test_rows_hear_the_change_and_judges_the_clip(clips, voice):
    clip = clips[0]
    changed = voiced(clip, voice, [other.sample for other in clips[1:]])
    heard = changed.audio(16_000)
    assert heard.shape == clip.audio(16_000).shape
    assert not np.allclose(heard, clip.audio(16_000), atol=1e-3)
    np.testing.assert_array_equal(changed.spoken(16_000), clip.audio(16_000))
    again = voiced(clip, voice, [other.sample for other in clips[1:]])
    np.testing.assert_array_equal(heard, again.audio(16_000))
    assert len(changed.audio(8000)) == FRAMES * 8000 // 25
    # Noise does not make the pauses less silent.
    np.testing.assert_array_equal(changed.silent(), clip.silent())
    assert clip.silent().sum() == 20
    other = voiced(clips[1], "white").audio(16_000) - clips[1].audio(16_000)
    assert voice != "white" or not np.allclose(heard - clip.audio(16_000), other)


def test_the_clean_clip_is_the_clip(clips):
    assert voiced(clips[0], "clean") is clips[0]
    np.testing.assert_array_equal(clips[0].spoken(16_000), clips[0].audio(16_000))


def test_a_fast_clip_is_at_1_3_times_the_time(clips):
    clip = clips[0]
    fast = voiced(clip, "fast")
    assert isinstance(fast, FastClip)
    assert fast.frames == 31  # the last at 39 of 0 to 39
    assert fast.nearest.tolist()[:5] == [0, 1, 3, 4, 5]
    assert fast.nearest[[10, 20, 30]].tolist() == [13, 26, 39]
    pictures, whole = list(fast.pictures()), list(clip.pictures())
    assert len(pictures) == fast.frames
    for t, at in enumerate(fast.nearest):
        np.testing.assert_array_equal(pictures[t], whole[at])
    for crop in (None, CropConfig(size=96)):
        np.testing.assert_array_equal(fast.transforms(crop), clip.transforms(crop)[fast.nearest])
    np.testing.assert_array_equal(fast.identity(), clip.identity())
    assert fast.crops().shape == (31, 64, 64, 3)
    assert fast.landmarks().shape == (31, 468, 2)
    assert len(fast.audio(16_000)) == round(FRAMES / 1.3 * 640)
    assert fast.words[1] == (pytest.approx(0.4 / 1.3), pytest.approx(1.2 / 1.3), "bin")
    # 0.4 s are 10 frames, of which 7 lie wholly before the word said 1.3 times as fast;
    # the last frame reaches beyond the last of the words.
    assert np.flatnonzero(~fast.silent()).tolist() == [*range(7, 24), 30]


def test_between_frames_a_track_is_linear_and_what_is_missing_is_missing(clips):
    fast = voiced(clips[0], "fast")
    line = np.stack([np.arange(FRAMES) * 2.0, np.full(FRAMES, 5.0)], 1)
    np.testing.assert_allclose(fast.between(line)[:, 0], 2.6 * np.arange(31))
    np.testing.assert_allclose(fast.between(line)[:, 1], 5)
    line[14] = np.nan  # beside the times 13 (exact) and 14.3; 13 needs nothing of it
    missing = np.flatnonzero(np.isnan(fast.between(line)[:, 0]))
    assert missing.tolist() == [11]


def test_the_truth_of_a_fast_clip_is_the_real_mouth_between_frames(clips):
    clip = clips[0]
    fast = voiced(clip, "fast")
    whole, truth = filmed(clip, DrawnDetector()), filmed(fast, DrawnDetector())
    np.testing.assert_allclose(truth.mouth, fast.between(whole.mouth))
    np.testing.assert_array_equal(truth.shown, whole.shown[fast.nearest])
    np.testing.assert_array_equal(truth.place[0], whole.place[0][fast.nearest])
    assert truth.closed == whole.closed


class Hasty(Row):
    """Opens as the drawn mouth does, at the times that it is given."""

    crop = None

    def __init__(self, name, times):
        self.name, self.times = name, times

    def lips(self, clip):
        openings = np.interp(self.times, np.arange(FRAMES), track(FRAMES))
        return np.stack(
            [
                crop_image(draw(o, places(FRAMES)[n]), matrix, CROP.size)
                for o, n, matrix in zip(openings, clip.nearest, clip.transforms(), strict=True)
            ]
        )


def test_lips_as_fast_as_the_sound_are_right_and_slow_ones_are_wrong(clips):
    fast = voiced(clips[0], "fast")
    rows = [Hasty("right", 1.3 * np.arange(31)), Hasty("slow", np.arange(31)), Real(), Pasted()]
    found = measure_clip(fast, rows, DrawnDetector())
    r = {name: record["values"]["aperture_r"] for name, record in found.items()}
    assert r["right"] > 0.98
    assert r["slow"] < 0.6
    assert 0.9 < r["real"] < r["right"]
    assert len(found["right"]["opening"]) == 31


def test_another_face_says_a_fast_sound(clips):
    fast = voiced(clips[0], "fast")
    found = measure_cross(clips[1], fast, [Real(), Still()], DrawnDetector())
    assert len(found["still"]["opening"]) == len(found["real"]["opening"]) == fast.frames
    assert found["real"]["values"]["aperture_r"] > 0.9


def test_behind_a_clip_are_other_speakers_the_nearest_first(tmp_path):
    samples = drawn_groups(
        tmp_path,
        ("A", "val", "a", 6),
        ("A", "val", "b", 3),
        ("A", "val", "c", 1),
        ("A", "test_seen", "d", 3),
        ("B", "val", "e", 2),
        ("B", "val", "f", 2),
        ("B", "val", "g", 2),
    )
    first = next(s for s in samples if s.speaker == "a")
    chosen = babblers_of(first, samples)
    assert len({s.speaker for s in chosen}) == 4
    assert {s.speaker for s in chosen[:2]} == {"b", "c"}
    assert {s.entry.corpus for s in chosen[2:]} == {"B"}
    assert chosen == babblers_of(first, samples[::-1])
    alone = [s for s in samples if s.speaker == "a"]
    own = babblers_of(first, alone)
    assert len(own) == 4
    assert first not in own
    with pytest.raises(InputError, match=r"2 other clips in val; babble needs 4.*--data"):
        babblers_of(first, alone[:3])


def test_voices_by_name():
    assert check_voice("white") == {"voice": "white"}
    with pytest.raises(InputError, match="voice 'shrill'; expected one of clean, white"):
        check_voice("shrill")
    assert VOICES[0] == "clean"
