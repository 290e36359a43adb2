"""The gallery's pieces: pictures put together and changed, frames chosen, a page made."""

import io
import json
import struct
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from faces import astronaut
from generated import speech_like, write_sound
from lipglance.crop import CropConfig
from lipglance.errors import InputError
from lipglance.models import load_model
from lipglance.portrait import open_portrait
from toy_model import write_toy_model

sys.path.append(str(Path(__file__).parents[1] / "scripts"))

import gallery
import gallery_pictures as pictures
import gallery_sheet as sheets

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(write_toy_model(tmp_path_factory.mktemp("toy")), threads=1)


def side(picture):
    x0, y0, x1, y1 = pictures.marks(picture).face
    return max(x1 - x0, y1 - y0)


def test_the_steps_do_what_the_manifest_says():
    face = pictures.around_face(astronaut(), 2.2)
    assert 0.35 < side(face) / max(face.shape) < 0.55
    assert side(pictures.face_size(face, 60)) == pytest.approx(60, abs=3)
    turned = open_portrait(pictures.roll(face, 30), CropConfig())
    upright = open_portrait(face, CropConfig())
    assert sheets.turned(turned)[0] - sheets.turned(upright)[0] == pytest.approx(30, abs=3)
    assert np.ptp(pictures.grey(face), axis=2).max() == 0
    assert pictures.dark(face, 2).mean() < 0.6 * face.mean()
    assert pictures.sketch(face, 8).mean() > face.mean() + 30
    spectacled = pictures.glasses(face, 0.4)
    changed = (spectacled != face).any(axis=2).mean()
    assert 0.002 < changed < 0.1
    assert side(spectacled) == pytest.approx(side(face), rel=0.1)


@pytest.mark.parametrize("opening", [0.0, 0.4])
def test_a_drawn_face_is_found_and_its_mouth_is_open_as_told(opening):
    portrait = open_portrait(pictures.drawn_face(opening), CropConfig())
    assert sheets.lip_height(portrait) == pytest.approx(opening, abs=0.15)
    assert abs(portrait.yaw) < 8


def qt_resources(contents):
    """A Qt resource file, version 1, of a folder with these files, every second one compressed."""
    names, data, nodes = b"", b"", [struct.pack(">IHII", 0, 2, len(contents), 1)]
    for k, (name, content) in enumerate(contents.items()):
        packed = struct.pack(">I", len(content)) + zlib.compress(content) if k % 2 else content
        nodes.append(struct.pack(">IHHHI", len(names), k % 2, 0, 0, len(data)))
        data += struct.pack(">I", len(packed)) + packed
        names += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
    start = 20
    tree, at = start + len(data), start + len(data) + 14 * len(nodes)
    head = struct.pack(">4siiii", b"qres", 1, tree, start, at)
    return head + data + b"".join(nodes) + names


def test_a_puzzle_is_put_together_without_seams(tmp_path):
    whole = np.zeros((60, 80, 3), np.uint8)
    whole[..., 0] = np.linspace(40, 200, 80)
    whole[..., 1] = np.linspace(200, 40, 60)[:, None]
    held = {}
    pieces = [{"pixmapfile": "image/bg.svg", "width": 100, "height": 100}]
    for k, (x, y) in enumerate([(0, 0), (40, 0), (0, 30), (40, 30)]):
        part = whole[y : y + 30, x : x + 40]
        # The pieces do not quite touch, as those that are cut with a saw.
        alpha = np.full((30, 40, 1), 255, np.uint8)
        alpha[-1] = alpha[:, -1] = 0
        file = io.BytesIO()
        Image.fromarray(np.concatenate([part, alpha], axis=2)).save(file, "webp", lossless=True)
        held[f"p{k}.webp"] = file.getvalue()
        centre = {"x": str((10 + x + 20) / 100), "y": str((20 + y + 15) / 100)}
        pieces.append({"pixmapfile": f"image/p{k}.webp", **centre})
    qml = "Item { // a board\n property var levels : " + json.dumps(pieces)[:-1] + ",\n ] }"
    held["board3_0.qml"] = qml.encode()
    rcc = tmp_path / "paintings.rcc"
    rcc.write_bytes(qt_resources(held))
    assert {name.lstrip("/") for name, _ in pictures.resources(rcc.read_bytes())} == set(held)
    made = pictures.painting(rcc, 3).astype(int)
    assert made.shape == (59, 79, 3)
    assert np.abs(made - whole[:59, :79]).max() <= 8
    with pytest.raises(InputError, match="Qt resource"):
        list(pictures.resources(b"nothing of the kind at all"))


def test_frames_are_chosen_where_it_is_loudest():
    sound = np.zeros(6 * 16000, np.float32)
    sound[3 * 16000 : 5 * 16000] = speech_like(2.0)[0]
    first, last = sheets.loudest(sound)
    assert (first, last) == (pytest.approx(75, abs=2), pytest.approx(124, abs=2))
    frames = sheets.chosen(sound)
    assert len(frames) == sheets.SHOWN
    assert (frames[0], frames[-1]) == (first, last)
    assert sheets.chosen(sound[:8000])[-1] == 11


def test_a_sheet_shows_the_picture_and_a_mouth_that_moves(model):
    portrait = open_portrait(astronaut(), model.crop)
    views = sheets.Views.of(portrait)
    spoken = sheets.speak(model, portrait, views, speech_like(1.0)[0])
    assert len(spoken.faces) == len(spoken.mouths) == sheets.SHOWN + 1
    rest = sheets.speak(model, portrait, views, sheets.hush(0.5))
    assert rest.flicker < 0.2 < spoken.flicker
    made = sheets.sheet("Astronaut", [("loud", spoken), ("quiet", rest)])
    assert made.shape[1] == sheets.TILE * (sheets.SHOWN + 1)
    assert made.shape[0] > 4 * sheets.TILE
    back = cv2.imdecode(np.frombuffer(sheets.encoded(made), np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(back[..., ::-1].astype(int) - made).mean() < 6


def test_the_sheet_of_blinks_shows_eyes_open_and_closed(model):
    portrait = open_portrait(astronaut(), model.crop)
    aside = replace(portrait, yaw=40.0)
    made = sheets.blink_sheet([("Astronaut", portrait), ("Aside", aside)]).astype(int)
    tile, strip = sheets.BLINK_TILE, made.shape[0] - sheets.BLINK_TILE // 2
    assert made.shape == (strip + tile // 2, 2 * 3 * tile, 3)
    tiles = [made[strip:, k * tile : (k + 1) * tile] for k in range(6)]
    assert np.abs(tiles[1] - tiles[0]).max() > 60
    assert np.abs(tiles[2] - tiles[1]).max() > 60
    np.testing.assert_array_equal(tiles[3], tiles[0])
    np.testing.assert_array_equal(tiles[5], tiles[0])


def test_one_command_makes_sheets_and_page_and_says_what_is_missing(tmp_path, capsys):
    docs, materials = tmp_path / "docs", tmp_path / "materials"
    docs.mkdir()
    materials.mkdir()
    write_sound(materials / "voice.wav", speech_like(0.6))
    told = {"source": "Made.", "licence": "Free.", "seen": "It speaks."}
    manifest = {
        "remarks": "Some remarks.",
        "blink": "They close.",
        "pictures": [
            {"name": "drawn", "title": "A drawing", "drawn": 0.2, **told},
            {"name": "lost", "title": "Not there", "file": "lost.jpg", **told},
            {"name": "secret", "title": "Not free", "drawn": 0, "kept": False, **told},
        ],
        "voices": [
            {"name": "voice", "title": "A voice", "file": "voice.wav", **told},
            {"name": "dumb", "title": "None", "say": ["no-such-program", "{}"], **told},
        ],
    }
    (docs / "gallery.json").write_text(json.dumps(manifest))
    toy = str(write_toy_model(tmp_path / "toy"))
    gallery.main(materials, model=toy, docs=docs, only="", look=None)
    assert sorted(p.name for p in (docs / "gallery").iterdir()) == [
        "blink.jpg",
        "drawn.jpg",
        "facts.json",
    ]
    err = capsys.readouterr().err
    assert "skipped: lost: " in err
    assert "skipped: dumb: no-such-program is not installed" in err
    page = (docs / "gallery.md").read_text()
    assert "![A drawing](gallery/drawn.jpg)\n\nIt speaks. *Made. Free.*" in page
    assert "- lost: " in page
    assert "![Eyes that close](gallery/blink.jpg)\n\nThey close." in page
    assert "Not free" not in page
    gallery.main(materials, model=toy, docs=docs, only="secret", look=tmp_path)
    assert (tmp_path / "secret.jpg").exists()
    assert "gallery/drawn.jpg" in (docs / "gallery.md").read_text()
    with pytest.raises(InputError, match="no picture is called nobody"):
        gallery.main(materials, model=toy, docs=docs, only="nobody", look=None)


def test_the_manifest_is_whole():
    manifest = json.loads((DOCS / "gallery.json").read_text(encoding="utf-8"))
    names = [entry["name"] for entry in manifest["pictures"]]
    assert len(set(names)) == len(names)
    assert sum(entry.get("kept", True) for entry in manifest["pictures"]) >= 12
    assert len(manifest["voices"]) >= 4
    for entry in manifest["pictures"]:
        assert entry["source"]
        assert entry["licence"]
        assert len(entry["seen"]) > 30
        assert {step for step, _ in entry.get("make", ())} <= set(pictures.STEPS)
