"""A sound said by another speaker's first frame: who is chosen, and what is measured of it."""

import numpy as np
import pytest

from fake_clips import (
    CROP,
    HALF,
    DrawnDetector,
    add_clip,
    draw,
    drawn_groups,
    drawn_shard,
    places,
    track,
)
from lipglance.audio import AudioConfig
from lipglance.crop import CropConfig
from lipglance.cross_identity import APPLYING, CrossClip, measure_cross, other_identity
from lipglance.errors import InputError
from lipglance.evaluation_clip import stored_clip
from lipglance.geometry import crop_image
from lipglance.rows import Real, Row, Still
from lipglance.shard_writer import ShardWriter
from lipglance.shards import ShardDataset
from lipglance.sync import SyncScore

FRAMES = 20


def chosen(pool, corpus, split, speaker, **options):
    own = [
        s for s in pool if (s.entry.corpus, s.entry.split, s.speaker) == (corpus, split, speaker)
    ]
    return [other_identity(sample, pool, **options).entry for sample in own]


def test_another_speaker_of_the_same_corpus_and_split_is_chosen_and_always_the_same(tmp_path):
    pool = drawn_groups(
        tmp_path,
        ("A", "test_seen", "x", 12),
        ("A", "test_seen", "y", 1),
        ("A", "test_seen", "z", 6),
        ("A", "val", "w", 1),
        ("B", "test_seen", "v", 1),
    )
    found = chosen(pool, "A", "test_seen", "x")
    assert {(e.corpus, e.split) for e in found} == {("A", "test_seen")}
    # Speakers are drawn before clips: one clip of y weighs as much as six of z.
    assert {e.speaker for e in found} == {"y", "z"}
    assert sum(e.speaker == "y" for e in found) >= 3
    assert found == chosen(pool[::-1], "A", "test_seen", "x")[::-1]
    assert found != chosen(pool, "A", "test_seen", "x", seed=1)


def test_where_a_speaker_is_alone_others_come_from_farther_away(tmp_path):
    pool = drawn_groups(
        tmp_path / "one",
        ("A", "test_seen", "x", 2),
        ("A", "test_unseen", "y", 2),
        ("B", "test_seen", "z", 2),
    )
    assert {e.speaker for e in chosen(pool, "A", "test_seen", "x")} == {"y"}
    assert {e.speaker for e in chosen(pool, "B", "test_seen", "z")} == {"x"}
    pool = drawn_groups(tmp_path / "two", ("A", "test_seen", "x", 2), ("A", "val", "x", 2))
    with pytest.raises(InputError, match="x is the only speaker"):
        other_identity(pool[0], pool)


class Wide(Row):
    """Lips of a face that open as `openings` say."""

    name = "wide"
    crop = None

    def __init__(self, openings):
        self.openings = openings

    def lips(self, clip):
        picture, matrix = next(clip.pictures()), clip.transforms()[0]
        assert picture.shape == (128, 160, 3)
        centre = places(1)[0]
        return np.stack([crop_image(draw(o, centre), matrix, CROP.size) for o in self.openings])


@pytest.fixture
def pair(tmp_path):
    """A face of 16 frames and a sound of FRAMES, of two speakers."""
    drawn_shard(tmp_path / "val-00000.tar", 2, 16, split="val", speaker="b")
    words = [[0.0, FRAMES / 25, "sil"]]
    drawn_shard(tmp_path / "val-00001.tar", 1, FRAMES, split="val", words=words)
    face, _, sound = ShardDataset(tmp_path)
    return stored_clip(face, tmp_path / "face"), stored_clip(sound, tmp_path / "sound")


def test_the_face_stands_still_and_the_sound_is_the_others(pair):
    face, sound = pair
    clip = CrossClip(face.sample, face.path, sound)
    pictures = list(clip.pictures())
    assert len(pictures) == clip.frames == FRAMES
    assert all(np.array_equal(p, next(face.pictures())) for p in pictures)
    other = CropConfig(size=96)
    for crop in (None, other):
        moved = clip.transforms(crop)
        assert moved.shape == (FRAMES, 2, 3)
        np.testing.assert_array_equal(moved, face.transforms(crop)[:1].repeat(FRAMES, 0))
    np.testing.assert_array_equal(clip.identity(), face.identity())
    assert len(clip.audio(16_000)) == FRAMES * 640
    assert clip.words == sound.words != face.words
    # The mouth that moves is the one that was heard.
    np.testing.assert_array_equal(clip.landmarks(), sound.landmarks())
    np.testing.assert_array_equal(clip.face_points(), face.face_points())


class Expert:
    """Says that everything is three frames late."""

    crop = CropConfig(size=64)
    audio = AudioConfig()

    def score(self, crops, samples):
        assert len(crops) == FRAMES
        assert len(samples) == FRAMES * 640
        return SyncScore(offset=3, confidence=0.5, distance=0.9, curve=())


def test_only_what_needs_no_film_is_measured(pair):
    face, sound = pair
    said = track(FRAMES)
    rows = [Real(), Still(), Wide(4 + said / 2)]
    found = measure_cross(face, sound, rows, DrawnDetector(), expert=Expert())
    for record in found.values():
        assert {k for k, v in record["values"].items() if v is not None} <= set(APPLYING)
        assert record["offset"] == 3
        assert record["missing_generated"] == 0
        assert len(record["opening"]) == FRAMES
    real, still, wide = (found[row.name]["values"] for row in rows)
    # When it opens is what the sound's own mouth tells, how far is each face's own affair.
    assert wide["aperture_r"] > 0.99
    assert 0.3 < wide["jitter"] < 0.7
    assert still["aperture_r"] is None
    assert real["aperture_r"] == real["jitter"] == 1
    # Half as far as this mouth opens, but from the closed mouth of the other face.
    closed = np.percentile(track(16), 5)
    leak = np.mean((4 + said / 2) - closed > 0.08 * 40)
    assert wide["silence_leak"] == pytest.approx(leak, abs=0.1)
    assert wide["lse_d"] == real["lse_d"] == 0.9


def test_sharpness_and_identity_of_the_real_row_are_the_faces(pair):
    face, sound = pair
    from lipglance.measure import measure_clip

    own = measure_clip(face, [Real()], DrawnDetector())["real"]["values"]
    found = measure_cross(face, sound, [Real()], DrawnDetector())["real"]["values"]
    assert (found["cpbd"], found["identity"]) == (own["cpbd"], own["identity"])


def test_a_face_that_cannot_be_found_is_told(tmp_path, pair):
    _, sound = pair
    pictures = [draw(10, c) for c in places(16)]
    pictures[0][0, 0] = 0
    with ShardWriter(tmp_path / "blind.tar") as writer:
        add_clip(writer, "blind", pictures, places(16), HALF)
    (blind,) = ShardDataset(tmp_path / "blind.tar")
    with pytest.raises(InputError, match="identity blind: dlib finds no face in its first frame"):
        measure_cross(stored_clip(blind, tmp_path / "b"), sound, [Still()], DrawnDetector())
