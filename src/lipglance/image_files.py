"""Reading a photograph: upright, 8-bit sRGB, whatever the camera or the scanner wrote."""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, ImageFile, UnidentifiedImageError

from lipglance.containers import HEIF_BRANDS, PathLike, existing_file, log
from lipglance.errors import InputError

Picture = NDArray[np.uint8]

# EXIF 2.3, Orientation: what brings the picture upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_EXPECTED = "a picture such as JPEG, PNG, WebP, AVIF, BMP, TIFF or HEIC"


def read_image(path: PathLike) -> Picture:
    """A photograph as (H, W, 3) uint8 RGB, turned and mirrored as its EXIF orientation says.

    Grey, 16-bit, palette, CMYK and transparent (laid on white) pictures are converted, an embedded
    colour profile is carried out, of an animation the first picture is taken, a picture cut short
    is read as far as it goes with a warning. HEIC needs the extra ``lipglance[heic]``.
    Raises InputError where the file is missing or holds no picture.
    """
    path = existing_file(path, _EXPECTED)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return _read(path)
    except Image.DecompressionBombError:
        # Pillow's limit, 179 million: beyond it a file is a mistake or an attack.
        raise InputError(
            f"{path} has too many pixels; expected a picture of at most 100 million; scale it down"
        ) from None
    except UnidentifiedImageError:
        raise InputError(f"{path} is no picture that can be read; expected {_EXPECTED}") from None
    except (
        OSError, SyntaxError, ValueError, TypeError, EOFError, MemoryError, struct.error
    ) as error:  # fmt: skip
        raise InputError(
            f"{path} cannot be read ({str(error).splitlines()[0] if str(error) else 'damaged'}); "
            f"expected {_EXPECTED}; copy it again"
        ) from None


def _read(path: Path) -> Picture:
    _enable_heif(path)
    with Image.open(path) as image:
        _load(image, path)
        turn = _TURNS.get(_orientation(image))
        upright = image if turn is None else image.transpose(turn)
        picture = np.array(_rgb(upright), np.uint8)
    if min(picture.shape[:2]) < 1:
        raise InputError(f"{path} has no pixels; expected {_EXPECTED}")
    return picture


def _orientation(image: Image.Image) -> int:
    """What the EXIF says of how the camera was held; 1, upright, where it says nothing readable."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        # Cameras write tags of every wrong type; none of them is worth a picture.
        return 1


def _load(image: Image.Image, path: Path) -> None:
    """Decode; of a file cut short what there is, with a warning."""
    try:
        image.load()
    except OSError as error:
        if "truncated" not in str(error) and "broken" not in str(error):
            raise
        before = ImageFile.LOAD_TRUNCATED_IMAGES
        ImageFile.LOAD_TRUNCATED_IMAGES = True
        try:
            image.load()
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = before
        log.warning("%s is cut short: the part of the picture that is missing is grey", path)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return _eight_bit(image).convert("RGB")
    transparent = image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info
    if transparent:
        layer = image.convert("RGBA")
        image_rgb = Image.new("RGBA", layer.size, "white")
        image_rgb.alpha_composite(layer)
        rgb = image_rgb.convert("RGB")
        rgb.info["icc_profile"] = image.info.get("icc_profile")
        return _in_srgb(rgb)
    if image.mode not in ("RGB", "CMYK", "L"):
        image = image.convert("RGB")
    return _in_srgb(image).convert("RGB")


def _eight_bit(image: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits or float, its scale guessed from its values, as 8 bits."""
    values = np.nan_to_num(np.asarray(image, np.float64))
    top = float(values.max(initial=0.0))
    full = next((scale for scale in (1.0, 255.0, 65535.0) if top <= scale), top)
    if image.mode != "F":
        full = 65535.0 if top <= 65535.0 else full
    return Image.fromarray((np.clip(values / full, 0, 1) * 255.0 + 0.5).astype(np.uint8))


def _in_srgb(image: Image.Image) -> Image.Image:
    """Carry out an embedded profile (telephones write Display P3); a broken one is ignored."""
    profile = image.info.get("icc_profile")
    if not profile:
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source):
            return image
        converted = ImageCms.profileToProfile(
            image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError):
        return image
    return converted or image


def _enable_heif(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] != b"ftyp" or head[8:12].decode("latin-1") not in HEIF_BRANDS:
        return
    try:
        from pi_heif import register_heif_opener
    except ImportError:
        raise InputError(
            f"{path} is a HEIC picture, which needs one more library; install it with "
            "'pip install lipglance[heic]' or convert the picture to JPEG"
        ) from None
    register_heif_opener()
