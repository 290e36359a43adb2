#!/usr/bin/env python
"""Convert MediaPipe's face detector and face mesh from TFLite to ONNX.

The nets are cut out of the npm package ``@mediapipe/face_mesh`` (Apache-2.0), checked by
SHA-256, rewritten as ONNX and stored with their notice in ``src/lipglance/assets``::

    python scripts/convert_face_nets.py                   # fetches the package with `npm pack`
    python scripts/convert_face_nets.py --asset PATH      # uses an unpacked asset file or the .tgz

Needs ``onnx``, ``numpy`` and ``tflite`` (the FlatBuffers schema); none of them is needed at run
time.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import onnx
from tflite_attention import AttentionConverter
from tflite_to_onnx import same_padding

__all__ = ["ASSETS", "NETS", "convert", "extract", "fetch_package", "read_asset", "same_padding"]

PACKAGE = "@mediapipe/face_mesh@0.4.1657299874"
ASSET_NAME = "face_mesh_solution_packed_assets.data"
ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache" / "mediapipe"
ASSETS = ROOT / "src" / "lipglance" / "assets"


class Net(NamedTuple):
    """Where one net lies in the packed asset, and what its ONNX file is to be called.

    outputs: what each is to be called, what it is called there, and its shape without batch.
    """

    name: str
    start: int
    stop: int
    sha256: str
    outputs: dict[str, tuple[str, Sequence[int]]]


_MESH_SHA256 = "883b7411747bac657c30c462d305d312e9dec6adbf8b85e2f5d8d722fca9455d"
_MESH_BYTES = 2495952

NETS = (
    Net(
        "face_mesh",
        0,
        _MESH_BYTES,
        _MESH_SHA256,
        {
            "points": ("output_mesh_identity", (468, 3)),
            "presence": ("conv_faceflag", (1,)),
            "lips": ("output_lips", (80, 2)),
        },
    ),
    # The same net's second look at the eyes. It is wanted once a photo, the mesh once a frame.
    Net(
        "face_eyes",
        0,
        _MESH_BYTES,
        _MESH_SHA256,
        {"left": ("output_left_eye", (71, 2)), "right": ("output_right_eye", (71, 2))},
    ),
    Net(
        "face_detector",
        3757224,
        3986256,
        "3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633",
        {"boxes": ("regressors", (896, 16)), "scores": ("classificators", (896,))},
    ),
)


def read_asset(path: Path) -> bytes:
    """Return the packed asset's bytes from `path`: the asset itself or the npm ``.tgz``."""
    if path.suffix != ".tgz":
        return path.read_bytes()
    with tarfile.open(path) as archive:
        member = archive.extractfile(f"package/{ASSET_NAME}")
        if member is None:
            raise FileNotFoundError(f"{ASSET_NAME} is not in {path}")
        return member.read()


def fetch_package(cache: Path = CACHE) -> Path:
    """Return the path of the package's ``.tgz`` in `cache`, fetching it with npm if need be.

    Raises OSError where npm is missing and subprocess.SubprocessError where it fails (offline).
    """
    cache.mkdir(parents=True, exist_ok=True)
    found = sorted(cache.glob("mediapipe-face_mesh-*.tgz"))
    if not found:
        subprocess.run(
            ["npm", "pack", PACKAGE], cwd=cache, check=True, capture_output=True, timeout=120
        )
        found = sorted(cache.glob("mediapipe-face_mesh-*.tgz"))
    return found[0]


def extract(asset: bytes, net: Net) -> bytes:
    """Cut `net`'s TFLite file out of `asset`; ValueError if its SHA-256 is not the known one."""
    data = asset[net.start : net.stop]
    digest = hashlib.sha256(data).hexdigest()
    if digest != net.sha256:
        raise ValueError(f"{net.name}: SHA-256 {digest}, expected {net.sha256}")
    return data


def convert(asset: bytes, net: Net) -> onnx.ModelProto:
    """ONNX model of `net`, cut out of `asset`."""
    origin = f"From {PACKAGE} (Apache-2.0), TFLite SHA-256 {net.sha256}"
    return AttentionConverter(extract(asset, net)).convert(net.name, net.outputs, origin)


NOTICE = """\
face_mesh.onnx, face_eyes.onnx and face_detector.onnx are the nets of MediaPipe Face Mesh
(face landmarks, 468 points, lips; edges of the eyes; BlazeFace short-range face detector).
Copyright 2019-2022 The MediaPipe Authors. Licensed under the Apache License, Version 2.0:
https://www.apache.org/licenses/LICENSE-2.0

Changed by this project: converted from TFLite to ONNX by scripts/convert_face_nets.py (layout
NCHW, free batch size, PReLU written as convolutions, outputs renamed and reshaped). The trained
values are unchanged (fp16).

Source: npm package {package}, file {asset}
"""


def notice() -> str:
    """Text of the notice that must lie beside the nets."""
    lines = [NOTICE.format(package=PACKAGE, asset=ASSET_NAME)]
    for net in NETS:
        where = f"TFLite bytes {net.start}..{net.stop}, SHA-256 {net.sha256}"
        lines.append(f"  {net.name}.onnx: {where}\n")
    return "".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--asset", type=Path, help="the packed asset or the npm .tgz")
    parser.add_argument("--out", type=Path, default=ASSETS)
    arguments = parser.parse_args()
    asset = read_asset(arguments.asset or fetch_package())
    arguments.out.mkdir(parents=True, exist_ok=True)
    for net in NETS:
        model = convert(asset, net)
        path = arguments.out / f"{net.name}.onnx"
        onnx.save(model, path)
        print(f"{path}: {path.stat().st_size} bytes, {len(model.graph.node)} nodes")
    (arguments.out / "NOTICE-mediapipe.txt").write_text(notice(), encoding="utf-8")


if __name__ == "__main__":
    main()
