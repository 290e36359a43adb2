"""Side by side: every column is what its model made alone, in step, under its name."""

import json
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
import pytest

from generated import speech_like, write_sound, write_video
from lipglance.cli import main
from lipglance.compare import MAX_SIDE, Column, Comparison, caption, compare
from lipglance.errors import InputError
from lipglance.media import iter_video, read_audio, read_image, video_info
from lipglance.models import load_model
from toy_model import write_toy_model

FACE = Path(str(files("lipglance"))) / "assets" / "sample_face.jpg"


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Two toy models, a face, 0.6 s of speech and a video whose face grows brighter."""
    folder = tmp_path_factory.mktemp("given")
    write_toy_model(folder / "plain")
    write_toy_model(folder / "other", "other", seam=0.2)
    face = read_image(FACE)[:256, 96:352]
    cv2.imwrite(str(folder / "face.png"), face[..., ::-1])
    write_sound(folder / "speech.wav", speech_like(0.6))
    talk = [cv2.convertScaleAbs(face, alpha=0.7 + 0.02 * k) for k in range(15)]
    write_video(folder / "talk.mp4", talk, 25, speech_like(0.6))
    return folder


def pictures(shown):
    """The columns' parts of all frames, without captions."""
    frames = np.stack(list(shown))
    assert frames.shape == (shown.count, shown.height, shown.width, 3)
    widths = [round(c.width * shown._shown / c.height) for c in shown.columns]
    lefts = np.cumsum([0, *(w + 8 for w in widths[:-1])])
    top = shown.height - shown._shown
    return [frames[:, top:, left : left + width] for left, width in zip(lefts, widths, strict=True)]


def test_each_column_is_what_its_model_makes_alone(given):
    face, speech = given / "face.png", given / "speech.wav"
    names = [given / "plain", "still", given / "other"]
    shown = compare(face, speech, names, threads=1)
    assert [column.name for column in shown.columns] == ["toy", "still", "other"]
    assert (shown.count, shown.width % 2, shown.height % 2) == (15, 0, 0)
    plain, still, other = pictures(shown)
    for made, folder in ((plain, "plain"), (other, "other")):
        alone = load_model(given / folder, threads=1).generate(face, speech)
        np.testing.assert_array_equal(made, alone.frames)
    assert (still == read_image(face)).all()
    assert (plain != other).any()
    assert (plain != still).any()


def test_captions_stand_above_their_columns_and_differ(given):
    shown = compare(given / "face.png", given / "speech.wav", [given / "plain", "still"], threads=1)
    strip = next(iter(shown))[: shown.height - shown._shown]
    left, right = strip[:, :256], strip[:, 264:]
    assert left.max() > 150
    assert right.max() > 150
    assert (left[:, : right.shape[1]] != right).any()
    long = caption("a name that is far too long for so narrow a column", 64, 28)
    assert long.shape == (28, 64, 3)
    assert long[:, [0, -1]].max() < 60


def test_real_shows_the_video_s_own_frames_beside_what_is_made(given):
    talk = given / "talk.mp4"
    shown = compare(talk, talk, ["real", given / "plain", "still"], threads=1)
    real, made, still = pictures(shown)
    np.testing.assert_array_equal(real, np.stack(list(iter_video(talk))))
    assert (still == real[0]).all()
    np.testing.assert_array_equal(made[:, 0], still[:, 0])
    alone = compare(given / "face.png", talk, ["real"])
    np.testing.assert_array_equal(pictures(alone)[0], real)
    assert alone.portrait is None


def test_lips_of_all_sizes_come_to_one_height(given):
    talk = given / "talk.mp4"
    shown = compare(talk, talk, ["real", given / "plain", "still"], view="lips", threads=1)
    real, made, still = pictures(shown)
    assert real.shape == made.shape == still.shape == (15, 256, 256, 3)
    # Of one video the real crop and the still one lie nearly alike.
    assert np.abs(real[0].astype(int) - still[0]).mean() < 12
    assert real[-1].mean() > real[0].mean() + 15


def test_a_video_shorter_than_its_sound_holds_its_last_frame(given, tmp_path):
    short = write_video(tmp_path / "short.mp4", [*iter_video(given / "talk.mp4")][:5], 25)
    columns = [Column("five", list(iter_video(short)), 256, 256)]
    shown = Comparison(columns, given / "speech.wav", 15)
    (made,) = pictures(shown)
    assert (made[5:] == made[4]).all()
    assert (made[4] != made[3]).any()


@pytest.mark.parametrize(
    "sizes",
    [
        [(64, 64)],
        [(1920, 1080)] * 6,
        [(101, 67), (1080, 1920), (64, 64), (501, 333)],
        [(300, 6000)] * 2,
        [(4000, 90)] * 3,
    ],
)
def test_any_sizes_make_an_even_picture_within_bounds(sizes):
    columns = [
        Column(f"column {k}", [np.full((height, width, 3), 200, np.uint8)], width, height)
        for k, (width, height) in enumerate(sizes)
    ]
    shown = Comparison(columns, Path("unread.wav"), 2)
    assert shown.width % 2 == shown.height % 2 == 0
    assert shown.width <= MAX_SIDE
    assert shown.height <= MAX_SIDE
    for made, (width, height) in zip(pictures(shown), sizes, strict=True):
        assert (made == 200).all()
        assert made.shape[2] / made.shape[1] == pytest.approx(width / height, rel=0.05, abs=0.1)


def test_the_command_writes_video_and_sound_and_tells_machines(given, tmp_path, capsys):
    out = tmp_path / "c.mp4"
    talk = str(given / "talk.mp4")
    models = f"real,{given / 'plain'}, still"
    assert main(["compare", talk, talk, "-o", str(out), "--models", models, "--json"]) == 0
    told = capsys.readouterr()
    facts = json.loads(told.out)
    assert told.err == ""
    assert facts["models"] == ["real", "toy", "still"]
    info = video_info(out)
    assert (info.width, info.height) == (facts["width"], facts["height"])
    assert len(list(iter_video(out))) == facts["frames"] == 15
    assert read_audio(out).std() > 0.01
    assert main(["compare", talk, talk, "-o", str(out), "--models", models]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["compare", talk, talk, "-o", str(out), "--models", models, "--force", "-q"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("models", "told"),
    [
        ("", "no model is named; expected 1 to 6 of: .*real, still"),
        ("lmgg,,real", "name 2 of 3 is empty"),
        ("glance,lmgg,", "name 3 of 3 is empty.*take a comma away"),
        (",", "no model is named"),
        ("nobody", r"unknown model 'nobody'; known: .*lmgg.* or still"),
        ("real", "'real' shows the frames of the speech's own video"),
        ("lmgg,lmgg", "lmgg is named twice"),
        ("a,b,c,d,e,f,g", "at most 6"),
    ],
)
def test_wrong_models_are_told_in_one_line(given, tmp_path, capsys, models, told):
    face, speech, out = given / "face.png", given / "speech.wav", tmp_path / "c.mp4"
    with pytest.raises(InputError, match=told):
        compare(face, speech, models.split(","))
    assert main(["compare", str(face), str(speech), "-o", str(out), "--models", models]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not out.exists()


def test_a_warning_is_given_once_however_many_models(given, tmp_path, capsys):
    silent = tmp_path / "silent.wav"
    write_sound(silent, np.zeros((1, 8000), np.float32))
    models = f"{given / 'plain'},{given / 'other'}"
    arguments = ["compare", str(given / "face.png"), str(silent), "-o", str(tmp_path / "c.mp4")]
    assert main([*arguments, "--models", models]) == 0
    assert capsys.readouterr().err.count("warning:") == 1


def test_help_says_what_becomes_of_a_video(capsys):
    for command, told in (("generate", "a video, which is dubbed"), ("compare", "first frame")):
        assert main([command, "--help"]) == 0
        assert told in " ".join(capsys.readouterr().out.replace("│", " ").split())
