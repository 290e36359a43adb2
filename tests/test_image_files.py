"""Photographs: every orientation, every kind of pixel."""

import io
import logging
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from generated import photo
from lipglance.errors import InputError
from lipglance.image_files import read_image

# What a camera stores so that a reader who obeys the tag sees `photo` (EXIF 2.3, tag 0x0112).
STORED = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, 1),
    7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
    8: lambda p: np.rot90(p, -1),
}


def difference(one, other):
    return np.abs(one.astype(float) - other.astype(float)).mean()


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", STORED)
def test_exif_orientation_is_obeyed(tmp_path, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"face.{suffix}"
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](photo())))
    stored.save(path, exif=exif, **({"quality": 95} if suffix in ("jpg", "webp") else {}))
    picture = read_image(path)
    assert picture.shape == photo().shape
    assert picture.dtype == np.uint8
    assert difference(picture, photo()) < 4


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "tif", "gif", "avif"])
def test_formats(tmp_path, suffix):
    path = tmp_path / f"face.{suffix}"
    Image.fromarray(photo()).save(path)
    picture = read_image(str(path))
    assert picture.shape == photo().shape
    assert difference(picture, photo()) < (0.01 if suffix in ("png", "bmp", "tif") else 8)
    assert picture.flags["C_CONTIGUOUS"]
    assert picture.flags["WRITEABLE"]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_grey_is_scaled_not_cut(tmp_path, suffix):
    ramp = np.linspace(0, 65535, 64).astype(np.uint16)[None].repeat(16, 0)
    Image.fromarray(ramp).save(tmp_path / f"grey.{suffix}")
    picture = read_image(tmp_path / f"grey.{suffix}")
    assert picture.shape == (16, 64, 3)
    assert np.abs(picture[0, :, 1] - ramp[0] / 257).max() <= 1


def test_sixteen_bit_colour(tmp_path):
    deep = photo().astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / "deep.png"), deep[..., ::-1])
    assert difference(read_image(tmp_path / "deep.png"), photo()) < 1


@pytest.mark.parametrize("mode", ["L", "1", "P", "I", "F"])
def test_grey_and_palette(tmp_path, mode):
    grey = Image.fromarray(photo()).convert("L")
    image = grey.convert(mode)
    path = tmp_path / ("face.tif" if mode in "IF" else "face.png")
    if mode == "I":
        image = Image.fromarray(np.asarray(grey).astype(np.int32) * 257)
    image.save(path)
    picture = read_image(path)
    assert picture.shape == photo().shape
    if mode != "1":
        assert difference(picture[..., 0], np.asarray(grey)) < 1.5
    assert (picture[..., 0] == picture[..., 2]).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_lies_on_white(tmp_path, mode):
    alpha = np.zeros((64, 96), np.uint8)
    alpha[:, 48:] = 255
    image = Image.fromarray(photo()).convert("RGBA")
    image.putalpha(Image.fromarray(alpha))
    if mode == "P":
        image = Image.fromarray(photo()).convert("P")
        image.info["transparency"] = image.getpixel((5, 5))
        image.save(tmp_path / "clear.png", transparency=image.getpixel((5, 5)))
    else:
        image.convert(mode).save(tmp_path / "clear.png")
    picture = read_image(tmp_path / "clear.png")
    assert (picture[5, 5] == 255).all()
    if mode == "RGBA":
        assert (picture[:, 48:] == photo()[:, 48:]).all()


def test_cmyk(tmp_path):
    Image.fromarray(photo()).convert("CMYK").save(tmp_path / "print.jpg", quality=95)
    picture = read_image(tmp_path / "print.jpg")
    assert difference(picture, photo()) < 6


def test_an_embedded_colour_profile_is_carried_out(tmp_path):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(photo()).save(tmp_path / "srgb.png", icc_profile=srgb)
    assert (read_image(tmp_path / "srgb.png") == photo()).all()
    # The same profile with the tags of the red and the blue primary exchanged, under another name.
    other = srgb.replace(b"rXYZ", b"tmp!").replace(b"bXYZ", b"rXYZ").replace(b"tmp!", b"bXYZ")
    other = other.replace("sRGB".encode("utf-16-be"), "BGR!".encode("utf-16-be"))
    Image.fromarray(photo()).save(tmp_path / "swapped.png", icc_profile=other)
    assert difference(read_image(tmp_path / "swapped.png"), photo()[..., ::-1]) < 2
    # An unusable profile is ignored, the picture is not.
    Image.fromarray(photo()).save(tmp_path / "junk.png", icc_profile=b"no profile")
    assert (read_image(tmp_path / "junk.png") == photo()).all()


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_of_an_animation_the_first_picture(tmp_path, suffix):
    pictures = [Image.fromarray(np.full((32, 40, 3), v, np.uint8)) for v in (200, 100, 0)]
    path = tmp_path / f"moving.{suffix}"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=100)
    assert abs(int(read_image(path).mean()) - 200) < 3


def test_twelve_megapixels(tmp_path):
    big = np.tile(photo(100, 75), (40, 40, 1))
    Image.fromarray(big).save(tmp_path / "phone.jpg", quality=80)
    picture = read_image(tmp_path / "phone.jpg")
    assert picture.shape == (3000, 4000, 3)


def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path):
    # The header of a PNG of 60000 x 60000 pixels, without the pixels.
    small = io.BytesIO()
    Image.fromarray(photo()).save(small, "png")
    data = bytearray(small.getvalue())
    data[16:24] = (60000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    (tmp_path / "bomb.png").write_bytes(data)
    with pytest.raises(InputError, match="too many pixels"):
        read_image(tmp_path / "bomb.png")


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_picture_cut_short_is_read_with_a_warning(tmp_path, caplog, suffix):
    noisy = np.random.default_rng(0).integers(0, 255, (200, 200, 3)).astype(np.uint8)
    whole = tmp_path / f"whole.{suffix}"
    Image.fromarray(noisy).save(whole)
    data = whole.read_bytes()
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(data[: len(data) * 3 // 4])
    with caplog.at_level(logging.WARNING, "lipglance"):
        picture = read_image(cut)
    assert difference(picture[:100], read_image(whole)[:100]) < 1
    assert [r.message for r in caplog.records if "cut short" in r.message]
    cut.write_bytes(data[:30])
    with pytest.raises(InputError):
        read_image(cut)


def test_heic():
    pytest.importorskip("pi_heif", reason="needs the extra lipglance[heic]")
    picture = read_image(Path(__file__).parent / "data" / "photo.heic")
    assert picture.shape == photo().shape
    assert difference(picture, photo()) < 6


def test_heic_without_its_library_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    path = tmp_path / "face.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200))
    with pytest.raises(InputError, match=r"lipglance\[heic\]"):
        read_image(path)


@pytest.mark.parametrize("tag", [0x0100, 0x011A])
def test_exif_of_wrong_types_does_not_keep_a_picture_from_being_read(tmp_path, tag):
    # A tag (width, resolution) whose value is a text, beside the orientation.
    entries = [(tag, 2, 4, b"abc\0"), (0x0112, 3, 1, b"\x06\0\0\0")]
    exif = b"II*\0\x08\0\0\0" + len(entries).to_bytes(2, "little")
    for number, kind, count, value in sorted(entries):
        exif += number.to_bytes(2, "little") + kind.to_bytes(2, "little")
        exif += count.to_bytes(4, "little") + value
    wanted = photo(64, 48)
    path = tmp_path / "p.jpg"
    stored = Image.fromarray(np.ascontiguousarray(STORED[6](wanted)))
    stored.save(path, quality=98, exif=b"Exif\0\0" + exif + b"\0\0\0\0")
    assert difference(read_image(path), wanted) < 6
