"""Contact sheets of a talking picture: which frames, how they are shown, what is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lipglance.blink import lids_of
from lipglance.compare import caption
from lipglance.crop import CropConfig, picture_crop
from lipglance.eyelids import Eyelid
from lipglance.geometry import Floats, apply, crop_image, square_matrix
from lipglance.models import LipModel
from lipglance.portrait import Portrait

Image = NDArray[np.uint8]
FloatArray = NDArray[np.float32]

RATE, FPS = 16000, 25
#: Frames of a voice on a sheet; the picture itself stands before them.
SHOWN = 8
TILE = 128
#: How far eyes are closed on the sheet of blinks, and how wide a face is shown there.
CLOSED = (0.0, 0.5, 1.0)
BLINK_TILE = 200
_STRIP = 20


@dataclass(frozen=True)
class Views:
    """Where to look: matrices (2, 3) from picture px to tiles of the whole face and of the mouth.

    inner: mask (TILE, TILE) of the mouth within its lips, a little widened.
    """

    face: Floats
    mouth: Floats
    inner: NDArray[np.bool_]

    @classmethod
    def of(cls, portrait: Portrait) -> Views:
        """The views of a portrait with a face."""
        assert portrait.box is not None
        assert portrait.points is not None
        x0, y0, x1, y1 = portrait.box
        half = 0.66 * max(x1 - x0, y1 - y0)
        face = square_matrix(((x0 + x1) / 2, (y0 + y1) / 2), half, 0.0, TILE)
        mouth = picture_crop(portrait.points, CropConfig(TILE))
        y, x = np.mgrid[0:TILE, 0:TILE]
        # The lips' own crop puts the mouth in its middle: half as wide, a quarter as high.
        inner = np.hypot((x - TILE / 2) / (0.22 * TILE), (y - TILE / 2) / (0.13 * TILE)) < 1
        return cls(face, mouth, inner)


def loudest(sound: FloatArray, seconds: float = 2.0) -> tuple[int, int]:
    """First and last frame, at 25 a second, of the loudest stretch of `seconds`."""
    frames = max(1, round(len(sound) / RATE * FPS))
    step = RATE // FPS
    padded = np.pad(sound, (0, max(0, frames * step - len(sound))))[: frames * step]
    power = np.square(padded.astype(np.float64)).reshape(frames, step).mean(axis=1)
    length = min(frames, round(seconds * FPS))
    sums = np.convolve(power, np.ones(length), "valid")
    first = int(sums.argmax())
    return first, first + length - 1


def chosen(sound: FloatArray, count: int = SHOWN) -> list[int]:
    """Frames spread evenly over the loudest two seconds."""
    first, last = loudest(sound)
    return [round(k) for k in np.linspace(first, last, count)]


@dataclass(frozen=True)
class Spoken:
    """What one voice made of one picture.

    faces, mouths: tiles (TILE, TILE, 3) of the picture itself and of `SHOWN` frames. flicker: mean
    change of the inner mouth from frame to frame, of 255.
    """

    faces: list[Image]
    mouths: list[Image]
    flicker: float


def speak(model: LipModel, portrait: Portrait, views: Views, sound: FloatArray) -> Spoken:
    """Let the portrait say the sound, mono at 16 kHz, and look."""
    session = model.start_face(portrait.picture, portrait.matrix, portrait.points)
    wanted = chosen(sound)
    faces = [crop_image(portrait.picture, views.face, TILE)]
    mouths = [crop_image(portrait.picture, views.mouth, TILE)]
    changes: list[float] = []
    before: FloatArray | None = None
    k = 0
    for part in (session.feed(sound), session.finish()):
        for frame in part:
            mouth = crop_image(frame, views.mouth, TILE)
            now = mouth[views.inner].astype(np.float32)
            if before is not None:
                changes.append(float(np.abs(now - before).mean()))
            before = now
            for _ in range(wanted.count(k)):
                faces.append(crop_image(frame, views.face, TILE))
                mouths.append(mouth)
            k += 1
    return Spoken(faces, mouths, float(np.mean(changes)))


def hush(seconds: float = 1.5) -> FloatArray:
    """A quiet room: noise of -66 dB, in which a mouth should rest."""
    noise = np.random.default_rng(0).normal(0, 5e-4, round(seconds * RATE))
    return noise.astype(np.float32)


def sheet(title: str, rows: Sequence[tuple[str, Spoken]]) -> Image:
    """All voices of one picture, (H, W, 3): under each name the faces, below them the mouths."""
    width = TILE * (SHOWN + 1)
    parts = [caption(title, width, _STRIP + 4)]
    for name, spoken in rows:
        parts += [caption(name, width, _STRIP), np.hstack(spoken.faces), np.hstack(spoken.mouths)]
    made = np.vstack(parts)
    # A line between the picture itself and what was made of it.
    made[_STRIP + 4 :, TILE - 1 : TILE + 1] = 255
    return made


def blink_sheet(rows: Sequence[tuple[str, Portrait]]) -> Image:
    """Eyes of many pictures, open and closed by `CLOSED`, (H, W, 3), each under its title."""
    parts = []
    for title, portrait in rows:
        lids = lids_of(portrait)
        told = title if lids else f"{title}: does not blink"
        tiles = [eyes_closed(portrait, lids, amount) for amount in CLOSED]
        parts.append(np.vstack([caption(told, BLINK_TILE * len(CLOSED), _STRIP), np.hstack(tiles)]))
    if len(parts) % 2:
        parts.append(np.zeros_like(parts[0]))
    half = len(parts) // 2
    return np.hstack([np.vstack(parts[:half]), np.vstack(parts[half:])])


def eyes_closed(portrait: Portrait, lids: tuple[Eyelid, Eyelid] | None, amount: float) -> Image:
    """The upper face, (BLINK_TILE / 2, BLINK_TILE, 3), with the lids closed by `amount`."""
    assert portrait.points is not None
    picture = portrait.picture.copy()
    for lid in lids or ():
        left, top, right, bottom = lid.box
        if amount:
            picture[top:bottom, left:right] = lid.closed(amount)
    corners = portrait.points[[33, 263]]
    half = 0.85 * float(np.linalg.norm(corners[1] - corners[0]))
    angle = float(np.radians(turned(portrait)[0]))
    matrix = square_matrix(corners.mean(axis=0), half, angle, BLINK_TILE)
    quarter = BLINK_TILE // 4
    return crop_image(picture, matrix, BLINK_TILE, smooth=True)[quarter:-quarter]


def turned(portrait: Portrait) -> tuple[float, float]:
    """How the face is turned, degrees: (roll, yaw)."""
    assert portrait.points is not None
    left, right = portrait.points[[33, 263]]
    roll = float(np.degrees(np.arctan2(right[1] - left[1], right[0] - left[0])))
    return roll, portrait.yaw or 0.0


def lip_height(portrait: Portrait) -> float:
    """How far the picture's own mouth is open, as a share of its width."""
    points = apply(portrait.matrix, portrait.points)
    width = np.linalg.norm(points[291] - points[61])
    return float(np.linalg.norm(points[14] - points[13]) / width)


def encoded(picture: Image, quality: int = 66) -> bytes:
    """As JPEG."""
    done, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return data.tobytes()
