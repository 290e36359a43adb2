"""The gallery's pictures: read from packages, put together, changed, drawn."""

from __future__ import annotations

import io
import json
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pictures

from lipglance.errors import InputError
from lipglance.face import Landmarks
from lipglance.media import read_image
from lipglance.portrait import face_finder

Image = NDArray[np.uint8]

ASSETS = Path(str(files("lipglance"))) / "assets"


def open_picture(entry: Mapping[str, Any], materials: Path) -> Image:
    """The picture that `entry` of the manifest describes, (H, W, 3) uint8 RGB.

    entry: one of "asset" (of the package), "file" (below `materials`), "painting" (number of a
    board of GCompris) and "drawn" (a mouth's opening), then "make": [[step, value], ...].
    Raises InputError where the file is not there, FileNotFoundError likewise.
    """
    if "asset" in entry:
        picture = read_image(ASSETS / entry["asset"])
    elif "file" in entry:
        picture = read_image(materials / entry["file"])
    elif "painting" in entry:
        picture = painting(materials / entry["rcc"], entry["painting"])
    else:
        picture = drawn_face(entry["drawn"])
    for step, value in entry.get("make", ()):
        picture = STEPS[step](picture, value)
    return np.ascontiguousarray(picture)


def painting(rcc: Path, board: int) -> Image:
    """Put together a painting that GCompris cuts into pieces for a puzzle."""
    held = {path.rsplit("/", 1)[-1]: data for path, data in resources(rcc.read_bytes())}
    text = held[f"board{board}_0.qml"].decode()
    text = re.sub(r"^\s*//.*$", "", text, flags=re.M)
    # The list of pieces is JSON but for a comma too many.
    array = text[text.index("[") : text.rindex("]") + 1]
    pieces = json.loads(re.sub(r",(\s*[\]}])", r"\1", array))
    width, height = pieces[0]["width"], pieces[0]["height"]
    whole = Pictures.new("RGBA", (width, height))
    for piece in pieces[1:]:
        part = Pictures.open(io.BytesIO(held[piece["pixmapfile"].split("/")[-1]])).convert("RGBA")
        at = (float(piece["x"]) * width, float(piece["y"]) * height)
        whole.alpha_composite(
            part, (max(round(at[0] - part.width / 2), 0), max(round(at[1] - part.height / 2), 0))
        )
    pixels = np.array(whole)
    seen = pixels[..., 3] > 128
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    # Hair lines between pieces are filled from both sides.
    bgr = np.ascontiguousarray(pixels[box][..., 2::-1])
    missing = (pixels[box][..., 3] < 250).astype(np.uint8)
    return np.ascontiguousarray(cv2.inpaint(bgr, missing, 3, cv2.INPAINT_TELEA)[..., ::-1])


def resources(rcc: bytes) -> Iterator[tuple[str, bytes]]:
    """Path and content of each file in a Qt resource file, versions 1 to 3."""
    magic, version, tree, data, names = struct.unpack(">4siiii", rcc[:20])
    if magic != b"qres" or not 1 <= version <= 3:
        raise InputError("not a Qt resource file of version 1 to 3")
    size = 14 if version < 2 else 22

    def walk(index: int, above: str) -> Iterator[tuple[str, bytes]]:
        at = tree + index * size
        offset, flags = struct.unpack(">IH", rcc[at : at + 6])
        begin = names + offset
        length = struct.unpack(">H", rcc[begin : begin + 2])[0]
        name = rcc[begin + 6 : begin + 6 + 2 * length].decode("utf-16-be") if index else ""
        if flags & 2:
            count, first = struct.unpack(">II", rcc[at + 6 : at + 14])
            for k in range(first, first + count):
                yield from walk(k, f"{above}{name}/")
            return
        begin = data + struct.unpack(">I", rcc[at + 10 : at + 14])[0]
        end = begin + 4 + struct.unpack(">I", rcc[begin : begin + 4])[0]
        # A compressed file begins with its length.
        content = zlib.decompress(rcc[begin + 8 : end]) if flags & 1 else rcc[begin + 4 : end]
        yield f"{above}{name}", content

    yield from walk(0, "")


def marks(picture: Image) -> Landmarks:
    """The largest face's landmarks; InputError where there is no face."""
    finder = face_finder()
    found = [finder.landmarks(picture, face) for face in finder.detect(picture)]
    sure = [face for face in found if face.score > 0.5]
    if not sure:
        raise InputError("no face found in a picture that is to be changed")
    return max(sure, key=lambda face: face.face[2] - face.face[0])


def around_face(picture: Image, margin: float) -> Image:
    """Cut a square of `margin` times the face's longer side around it, as far as there is one."""
    x0, y0, x1, y1 = marks(picture).face
    half = margin * max(x1 - x0, y1 - y0) / 2
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    height, width = picture.shape[:2]
    left, right = max(round(x - half), 0), min(round(x + half), width)
    top, bottom = max(round(y - half), 0), min(round(y + half), height)
    return picture[top:bottom, left:right]


def face_size(picture: Image, px: float) -> Image:
    """Scale so that the face's longer side has `px` pixels."""
    x0, y0, x1, y1 = marks(picture).face
    scale = px / max(x1 - x0, y1 - y0)
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=way)


def roll(picture: Image, degrees: float) -> Image:
    """Turn clockwise about the face's middle."""
    x0, y0, x1, y1 = marks(picture).face
    matrix = cv2.getRotationMatrix2D(((x0 + x1) / 2, (y0 + y1) / 2), -degrees, 1.0)
    size = picture.shape[1::-1]
    return cv2.warpAffine(
        picture, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )


def grey(picture: Image, _: object = None) -> Image:
    """Black and white."""
    return np.repeat(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)


def dark(picture: Image, stops: float) -> Image:
    """Under-exposed, with a phone sensor's grain and JPEG's blocks."""
    light = np.square(picture.astype(np.float32) / 255) * 2.0**-stops
    grain = np.random.default_rng(0).normal(0, 0.006, picture.shape)
    shown = np.sqrt(np.clip(light + grain, 0, 1)) * 255
    _, coded = cv2.imencode(
        ".jpg", shown[..., ::-1].astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 60]
    )
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)[..., ::-1]


def sketch(picture: Image, blur: float) -> Image:
    """A pencil drawing: the picture divided by its blurred self."""
    lines = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32) + 1
    drawn = np.clip(lines / cv2.GaussianBlur(lines, (0, 0), blur) * 250, 0, 255)
    return np.repeat(drawn.astype(np.uint8)[..., None], 3, axis=2)


def glasses(picture: Image, share: float) -> Image:
    """Draw round dark-rimmed glasses; `share` of the eyes' distance is a lens' radius."""
    points = marks(picture).points
    eyes = [points[[33, 133]].mean(0), points[[362, 263]].mean(0)]
    apart = float(np.linalg.norm(eyes[1] - eyes[0]))
    shown = picture.copy()
    thick = max(round(apart * 0.035), 1)
    rim, bits = (35, 25, 25), 4

    def at(point: NDArray[np.floating[Any]]) -> tuple[int, int]:
        return tuple(int(v) for v in np.round(point * 2**bits))

    along = (eyes[1] - eyes[0]) / apart
    radius = share * apart
    for eye, ear, sign in ((eyes[0], 127, -1), (eyes[1], 356, 1)):
        cv2.circle(shown, at(eye), round(radius * 2**bits), rim, thick, cv2.LINE_AA, bits)
        start = eye + sign * along * radius
        cv2.line(shown, at(start), at(points[ear]), rim, thick, cv2.LINE_AA, bits)
    bridge = (eyes[0] + along * radius, eyes[1] - along * radius)
    cv2.line(shown, at(bridge[0]), at(bridge[1]), rim, thick, cv2.LINE_AA, bits)
    return shown


def drawn_face(opening: float, size: int = 640) -> Image:
    """A plain face in flat colours, its mouth open by `opening` of its width."""
    large, bits = 2 * size, 4
    page = np.full((large, large, 3), (203, 222, 226), np.uint8)
    skin, shade, lip, ink = (238, 190, 160), (214, 158, 128), (190, 84, 84), (60, 40, 40)
    unit = large / 100

    def oval(x: float, y: float, w: float, h: float, colour: tuple[int, int, int], thick: int = -1,
             start: float = 0, end: float = 360) -> None:  # fmt: skip
        scale = unit * 2**bits
        centre, axes = (round(x * scale), round(y * scale)), (round(w * scale), round(h * scale))
        thick = thick if thick < 0 else round(thick * unit / 10)
        cv2.ellipse(page, centre, axes, 0, start, end, colour, thick, cv2.LINE_AA, bits)

    oval(50, 40, 32, 34, (90, 58, 40))
    oval(50, 96, 13, 30, shade)
    oval(50, 50, 26, 34, skin)
    oval(50, 30, 27, 18, (90, 58, 40), -1, 180, 360)
    for sign in (-1, 1):
        oval(50 + sign * 11, 46, 5.2, 2.8, (250, 250, 250))
        oval(50 + sign * 11, 46, 2.4, 2.6, (70, 100, 130))
        oval(50 + sign * 11, 46, 1.2, 1.2, (20, 20, 20))
        oval(50 + sign * 11, 46, 5.2, 2.8, ink, 6, 180, 360)
        oval(50 + sign * 11, 41, 6.5, 2.4, (90, 58, 40), 12, 190, 350)
        oval(50 + sign * 26, 52, 3, 6, skin)
    oval(50, 59, 4.2, 2.2, shade, 10, 20, 160)
    oval(50, 52, 2.2, 8, shade, 4, 280, 340)
    gap = 9 * opening
    oval(50, 70, 9.5, 3.2 + gap, lip)
    if opening:
        oval(50, 70, 7.8, 1.2 + gap, (70, 22, 26))
        oval(50, 70 - 0.55 * gap, 6.0, 0.8 + 0.35 * gap, (246, 244, 236))
    else:
        oval(50, 67.4, 9.5, 2.6, ink, 4, 20, 160)
    return cv2.resize(page, (size, size), interpolation=cv2.INTER_AREA)


STEPS: dict[str, Callable[..., Image]] = {
    "around": around_face,
    "face": face_size,
    "roll": roll,
    "grey": grey,
    "dark": dark,
    "sketch": sketch,
    "glasses": glasses,
}
