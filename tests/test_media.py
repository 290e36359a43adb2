"""What all readers have in common: bad input is told in one line that names the file."""

import csv
import os
from pathlib import Path

import pytest
from PIL import Image

import lipglance
from generated import moving, photo, speech_like, write_sound, write_video
from lipglance import media
from lipglance.errors import InputError

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("LIPGLANCE_SHARED", ROOT.parent / "shared"))

READERS = {
    "image": media.read_image,
    "speech": media.read_audio,
    "video": lambda path: list(media.iter_video(path)),
}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    made = {name: tmp_path / name for name in ("missing.wav", "folder", "empty.mp4", "notes.txt")}
    made["folder"].mkdir()
    made["empty.mp4"].touch()
    made["notes.txt"].write_text("Lips that say it.\n" * 200)
    made["noise.mp4"] = tmp_path / "noise.mp4"
    made["noise.mp4"].write_bytes(bytes(range(256)) * 40)
    made["socket"] = tmp_path / "socket"
    os.mkfifo(made["socket"])
    return made


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("missing.wav", "does not exist"),
        ("folder", "is a directory"),
        ("empty.mp4", "is empty"),
        ("socket", "is not an ordinary file"),
        ("notes.txt", "expected"),
        ("noise.mp4", "expected"),
    ],
)
def test_what_is_no_media_file_is_told_in_one_line(files, reader, name, told):
    with pytest.raises(InputError) as caught:
        READERS[reader](files[name])
    message = str(caught.value)
    assert told in message
    assert str(files[name]) in message
    assert "expected" in message
    assert "\n" not in message


def test_a_file_of_the_wrong_kind_is_told_by_its_kind(tmp_path):
    Image.fromarray(photo()).save(tmp_path / "face.jpg")
    Image.fromarray(photo()).save(tmp_path / "face.png")
    mute = write_video(tmp_path / "mute.mp4", moving(5))
    sound = write_sound(tmp_path / "speech.wav", speech_like(0.5))
    for name in ("face.jpg", "face.png"):
        with pytest.raises(InputError, match="holds no sound; expected a sound or video file"):
            media.read_audio(tmp_path / name)
        with pytest.raises(InputError, match="holds no moving pictures"):
            media.iter_video(tmp_path / name)
    with pytest.raises(InputError, match="holds a video without sound"):
        media.read_audio(mute)
    with pytest.raises(InputError, match="holds no moving pictures"):
        media.video_info(sound)
    with pytest.raises(InputError, match="no picture that can be read"):
        media.read_image(sound)
    with pytest.raises(InputError, match="no picture that can be read"):
        media.read_image(mute)


def test_a_name_that_looks_like_an_address_is_only_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("concat:a|b.wav").write_bytes(write_sound(Path("a.wav"), speech_like(0.5)).read_bytes())
    assert media.read_audio("concat:a|b.wav").size == 8000
    for address in ("http://localhost/a.wav", "data:audio/wav;base64,UklGRg==", "a\0b.wav"):
        with pytest.raises(InputError):
            media.read_audio(address)


def test_a_playlist_opens_no_other_file(tmp_path):
    write_sound(tmp_path / "a.wav", speech_like(0.5))
    (tmp_path / "list.m3u8").write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.5,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"
    )
    with pytest.raises(InputError):
        media.read_audio(tmp_path / "list.m3u8")


def test_the_samples_that_ship():
    assets = Path(lipglance.__file__).parent / "assets"
    assert media.read_image(assets / "sample_face.jpg").shape == (512, 512, 3)
    speech = media.read_audio(assets / "sample_speech.flac")
    assert speech.size == 132 * 640
    assert 0.2 < abs(speech).max() < 1
    assert "public domain" in (assets / "SOURCES.md").read_text()


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="no reference clips (LIPGLANCE_SHARED)")
def test_the_reference_clips_are_read_whole():
    with (SHARED / "data" / "clips.csv").open(newline="") as file:
        names = [row["path"] for row in csv.DictReader(file) if row["split"] == "train"]
    for name in names[::150]:
        path = SHARED / "data" / name
        info = media.video_info(path)
        pictures = list(media.iter_video(path))
        assert len(pictures) == round(info.duration * 25), name
        assert pictures[0].shape == (info.height, info.width, 3)
        # As stated with the clips: the sound is up to 0.09 s shorter than the pictures.
        assert -0.1 < media.read_audio(path).size / 16000 - info.duration < 0.02, name


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_told(tmp_path):
    path = write_sound(tmp_path / "a.wav", speech_like(0.5))
    path.chmod(0)
    with pytest.raises(InputError, match="permissions"):
        media.read_audio(path)
