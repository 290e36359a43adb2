import numpy as np
import pytest

from fake_clips import CROP, HALF, DrawnDetector, add_clip, draw, drawn_shard, places, track
from lipglance import measure
from lipglance.audio import AudioConfig
from lipglance.crop import CropConfig
from lipglance.dlib68 import MOUTH
from lipglance.errors import InputError
from lipglance.evaluation_clip import Clip
from lipglance.geometry import crop_image
from lipglance.metrics import grey, opening
from lipglance.rows import Pasted, Real, Row, Still
from lipglance.shard_writer import ShardWriter
from lipglance.shards import ShardDataset
from lipglance.sync import SyncScore

FRAMES = 20


class Lips(Row):
    """A row that makes given crops."""

    name = "lips"
    crop = None

    def __init__(self, crops):
        self.crops = crops

    def lips(self, clip):
        return self.crops

    def places(self, clip):
        return clip.transforms()


def load(folder):
    """The clips of the shards in `folder`, their files beside them."""
    clips = []
    for sample in ShardDataset(folder):
        path = folder / f"{sample.key}.mkv"
        path.write_bytes(sample.clip_bytes())
        clips.append(Clip(sample, path))
    return clips


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    drawn_shard(folder / "test_seen-00000.tar", clips=1, frames=FRAMES)
    return load(folder)[0]


@pytest.fixture(scope="module")
def measured(clip):
    return measure.measure_clip(clip, [Real(), Pasted(), Still()], DrawnDetector())


def test_real_is_perfect(measured):
    values = dict(measured["real"]["values"])
    assert 0 <= values.pop("cpbd") <= 1
    assert values.pop("identity") == pytest.approx(1, abs=1e-3)
    for name in ("psnr_u8", "lse_d", "lse_c", "in_sync"):
        assert values.pop(name) is None
    assert values == {
        "lmd": 0.0,
        "lmd_w": 0.0,
        "ssim": 1.0,
        "psnr": None,
        "aperture_r": 1.0,
        "articulation": 1.0,
        "silence_leak": None,
        "jitter": 1.0,
    }
    assert measured["real"]["missing_real"] == measured["real"]["missing_generated"] == 0
    assert measured["real"]["coverage"] is None


def test_pasted_loses_only_what_the_crop_costs(measured):
    values = measured["pasted"]["values"]
    assert 0 < values["lmd"] < 0.2
    assert 0.97 < values["ssim"] < 1
    assert values["aperture_r"] > 0.999
    assert values["articulation"] == pytest.approx(1.0, abs=0.02)
    assert measured["pasted"]["coverage"] == 1.0


def test_still_is_told_from_speech(measured, clip):
    values = measured["still"]["values"]
    openings = track(FRAMES)
    # The drawn mouth is a scaled ellipse, so the distance is known: the mean over the points of
    # |sin| times half the change of the opening, in px of the evaluation crop.
    angles = 2 * np.pi * np.concatenate([np.arange(12) / 12, np.arange(8) / 8])
    change = np.abs(openings - openings[0]).mean() * np.abs(np.sin(angles)).mean() / 2
    scale = 64 / (2 * 0.65 * 40)
    assert values["lmd"] == pytest.approx(change * scale, rel=0.06)
    assert values["lmd_w"] == pytest.approx(values["lmd"] / (40 * scale), rel=0.02)
    assert values["articulation"] < 0.02
    assert values["aperture_r"] is None
    assert values["ssim"] < measured["pasted"]["values"]["ssim"] - 0.05
    assert values["psnr"] < measured["pasted"]["values"]["psnr"] - 5


def test_a_track_that_is_known_is_found_again(clip):
    # Lips that open half as far as the real ones.
    centres, openings = places(FRAMES), track(FRAMES)
    crops = np.stack(
        [
            crop_image(draw(5 + o / 2, c), m, CROP.size)
            for o, c, m in zip(openings, centres, clip.transforms(), strict=True)
        ]
    )
    values = measure.measure_clip(clip, [Lips(crops)], DrawnDetector())["lips"]["values"]
    assert values["aperture_r"] > 0.995
    assert values["articulation"] == pytest.approx(0.5, abs=0.03)


def test_frames_without_a_face_are_counted_and_left_out(tmp_path):
    centres, openings = places(FRAMES), track(FRAMES)
    pictures = [draw(o, c) for o, c in zip(openings, centres, strict=True)]
    for k in (3, 11):
        pictures[k][0, 0] = 0
    with ShardWriter(tmp_path / "test_seen-00000.tar") as writer:
        add_clip(writer, "gaps", pictures, centres, HALF)
    (clip,) = load(tmp_path)
    record = measure.measure_clip(clip, [Real()], DrawnDetector())["real"]
    assert (record["missing_real"], record["missing_generated"]) == (2, 0)
    assert record["values"]["lmd"] == 0.0

    class Blind(DrawnDetector):
        """Sees no face where the lips are those of frame 0."""

        def points(self, image, near=None):
            found = super().points(image, near)
            if found is None or abs(opening(found[None, MOUTH])[0] - openings[0]) < 0.6:
                return None
            return found

    record = measure.measure_clip(clip, [Still()], Blind())["still"]
    assert record["missing_generated"] > 0
    assert record["values"]["lmd"] is None
    assert record["values"]["ssim"] is not None
    nobody = type("Nobody", (), {"points": lambda self, image, near=None: None})()
    record = measure.measure_clip(clip, [Still()], nobody)["still"]
    assert record["missing_real"] == FRAMES
    assert set(record["values"].values()) == {None}


def test_silence_is_taken_from_words_and_an_open_mouth_in_it_leaks(tmp_path):
    drawn_shard(
        tmp_path / "val-00000.tar", 1, FRAMES, split="val", words=[[0.0, FRAMES / 25, "sil"]]
    )
    (clip,) = load(tmp_path)
    wide = np.stack([crop_image(draw(18, places(FRAMES)[0]), clip.transforms()[0], CROP.size)])
    rows = [Real(), Lips(np.repeat(wide, FRAMES, 0))]
    records = measure.measure_clip(clip, rows, DrawnDetector())
    assert records["lips"]["values"]["silence_leak"] == 1.0
    assert 0 < records["real"]["values"]["silence_leak"] < 1


def test_the_face_view_takes_nothing_from_later_real_frames(clip):
    rows = [Real(), Pasted(), Still()]
    records = measure.measure_clip(clip, rows, DrawnDetector(), "face")
    real, pasted, still = (records[row.name]["values"] for row in rows)
    assert real["lmd"] == 0.0
    assert real["aperture_r"] == 1.0
    # The real lips moving in the first frame's head, their place apart.
    assert pasted["lmd"] < 0.5
    assert pasted["aperture_r"] > 0.99
    assert pasted["ssim"] is None
    assert records["pasted"]["coverage"] is None
    # The very same picture all the time has no noise to mistake for motion.
    assert still["aperture_r"] is None
    assert still["articulation"] == still["jitter"] == 0.0
    # How sharp it is can be said without a real frame: where the mouth is in the first one.
    centres, half = measure.filmed(clip, DrawnDetector()).place
    size = measure.BLOCK * max(1, round(2 * half / measure.BLOCK))
    place = measure.square_at(centres, size / 2, size)[0]
    face = crop_image(next(iter(rows[2].faces(clip))), place, size)
    assert still["cpbd"] == pytest.approx(measure.cpbd(grey(face)), abs=1e-5)
    short = Lips(rows[1].lips(clip)[:5])
    with pytest.raises(InputError, match="lips made only 5 frames"):
        measure.measure_clip(clip, [short], DrawnDetector(), "face")


def test_a_row_that_fails_leaves_the_others(clip):
    records = measure.measure_clip(
        clip, [Lips(np.zeros((3, 64, 64, 3), np.uint8)), Real()], DrawnDetector()
    )
    assert records["lips"] == {"error": "lips made 3 frames of 20"}
    assert records["real"]["values"]["lmd"] == 0.0


def test_a_clip_shorter_than_its_sample_is_refused(tmp_path):
    centres = places(FRAMES)
    pictures = [draw(10, c) for c in centres]
    with ShardWriter(tmp_path / "val-00000.tar") as writer:
        add_clip(writer, "short", pictures, centres, HALF)
    (clip,) = load(tmp_path)
    longer = clip.sample.entry._replace(frames=FRAMES + 1)
    short = Clip(type(clip.sample)(clip.sample.shard, longer), clip.path)
    with pytest.raises(InputError, match="20 frames decoded, 21 expected"):
        list(short.pictures())


class Expert:
    """Says that everything is in sync, and keeps what it was shown."""

    crop = CropConfig(size=64)
    audio = AudioConfig()

    def __init__(self):
        self.seen = []

    def score(self, crops, samples):
        self.seen.append((crops.shape, samples.shape))
        return SyncScore(offset=len(self.seen), confidence=0.5, distance=0.9, curve=())


def test_the_expert_sees_every_rows_lips_and_hears_the_clip(clip):
    expert = Expert()
    found = measure.measure_clip(clip, [Real(), Still()], DrawnDetector(), "lips", expert)
    assert expert.seen == [((FRAMES, 64, 64, 3), (FRAMES * 640,))] * 2
    assert found["real"]["values"]["lse_d"] == 0.9
    assert found["real"]["values"]["lse_c"] == 0.5
    assert (found["real"]["values"]["in_sync"], found["still"]["values"]["in_sync"]) == (1, 0)
    assert (found["real"]["offset"], found["still"]["offset"]) == (1, 2)
    alone = measure.measure_clip(clip, [Real()], DrawnDetector())
    assert alone["real"]["values"]["in_sync"] is None
    assert alone["real"]["offset"] is None
