"""The ONNX nets against the TFLite files that they were made from, run by LiteRT."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import onnxruntime
import pytest
from scipy.ndimage import map_coordinates
from skimage import data

from lipglance.face_points import REFINED_LIPS

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "scripts"))
if TYPE_CHECKING:
    import convert_face_nets as convert
else:
    pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("tflite", reason="tflite (the FlatBuffers schema) is not installed")
    convert = pytest.importorskip("convert_face_nets")

Array = np.ndarray[Any, np.dtype[np.float32]]
INPUTS = {
    "face_mesh": (192, 0.0, 1.0),
    "face_eyes": (192, 0.0, 1.0),
    "face_detector": (128, -1.0, 1.0),
}
# Measured at most 2e-4 px of the net's 192 or 128 px, and 6e-5 of a raw score.
BOUNDS = {"points": 2e-3, "presence": 1e-4, "looks": 5e-3, "boxes": 1e-3, "scores": 5e-4}


@pytest.fixture(scope="module")
def asset() -> bytes:
    """The npm package's packed asset: from LIPGLANCE_MEDIAPIPE_DIR, .cache/mediapipe or npm."""
    given = os.environ.get("LIPGLANCE_MEDIAPIPE_DIR")
    if given:
        places = [*Path(given).rglob(convert.ASSET_NAME), *Path(given).glob("*.tgz")]
        if not places:
            pytest.skip(f"neither {convert.ASSET_NAME} nor a .tgz in {given}")
        return convert.read_asset(places[0])
    if not list(convert.CACHE.glob("*.tgz")) and not shutil.which("npm"):
        pytest.skip("no npm to fetch MediaPipe's nets with (LIPGLANCE_MEDIAPIPE_DIR)")
    try:
        return convert.read_asset(convert.fetch_package())
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"npm could not fetch MediaPipe's nets: {error}")


@pytest.fixture(params=convert.NETS, ids=lambda net: net.name)
def net(request: pytest.FixtureRequest) -> convert.Net:
    found: convert.Net = request.param
    return found


def inputs(name: str) -> Array:
    """Random noise and the astronaut, whole and face only: (6, 3, side, side)."""
    side, low, high = INPUTS[name]
    rng = np.random.default_rng(0)
    noise = rng.uniform(low, high, (3, 3, side, side))
    astronaut = data.astronaut()
    pictures = [astronaut, astronaut[50:200, 150:300], astronaut[:, ::-1][60:180, 225:345]]
    real = np.stack(
        [cv2.resize(np.ascontiguousarray(p), (side, side)).transpose(2, 0, 1) for p in pictures]
    )
    return np.concatenate([noise, low + (high - low) * real / 255]).astype(np.float32)


def shipped(name: str) -> onnxruntime.InferenceSession:
    path = convert.ASSETS / f"{name}.onnx"
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def part(data: bytes, sources: list[int], sinks: list[int]) -> tuple[Any, Any]:
    """Run LiteRT on the part of a TFLite graph between some tensors and others.

    MediaPipe's own operators are unknown to LiteRT; all before and behind them is not.
    """
    litert = pytest.importorskip("ai_edge_litert.interpreter", reason="no ai-edge-litert")
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    import flatbuffers

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    graph = model.subgraphs[0]
    needed, kept = set(sinks), []
    for operator in reversed(graph.operators):
        made = {int(k) for k in operator.outputs}
        if made & needed and not made & set(sources):
            kept.append(operator)
            needed |= {int(k) for k in operator.inputs}
    graph.operators, graph.inputs, graph.outputs = kept[::-1], sources, sinks
    model.signatureDefs = None
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    interpreter = litert.Interpreter(model_content=bytes(builder.Output()), num_threads=1)
    interpreter.allocate_tensors()

    def run(image: Array) -> list[Array]:
        interpreter.set_tensor(sources[0], np.ascontiguousarray(image.transpose(0, 2, 3, 1)))
        interpreter.invoke()
        return [interpreter.get_tensor(index) for index in sinks]

    return run, model


def test_onnx_and_litert_agree_on_the_detector(asset: bytes) -> None:
    litert = pytest.importorskip("ai_edge_litert.interpreter", reason="no ai-edge-litert")
    net = next(net for net in convert.NETS if net.name == "face_detector")
    interpreter = litert.Interpreter(model_content=convert.extract(asset, net), num_threads=1)
    interpreter.allocate_tensors()
    session = shipped(net.name)
    names = [output.name for output in session.get_outputs()]
    for image in inputs(net.name):
        batch = image[None]
        source = interpreter.get_input_details()[0]["index"]
        interpreter.set_tensor(source, np.ascontiguousarray(batch.transpose(0, 2, 3, 1)))
        interpreter.invoke()
        truth = {
            int(np.prod(output["shape"])): interpreter.get_tensor(output["index"])
            for output in interpreter.get_output_details()
        }
        for name, found in zip(names, session.run(names, {"image": batch}), strict=True):
            expected = truth[found.size].reshape(found.shape)
            assert np.abs(found - expected).max() < BOUNDS[name]


# Tensors of the mesh's TFLite graph: its picture; features, mesh, presence.
PICTURE, FEATURES, MESH, PRESENCE = 0, 35, 186, 710
# What it looks at a second time: the net that does, its output, its number among such looks, the
# tensors of its own features and of what is made of them, in a map of 16 px, and its corners.
LOOKS = {
    "lips": ("face_mesh", 0, 199, 684, (61, 291)),
    "left": ("face_eyes", 1, 200, 687, (33, 133)),
    "right": ("face_eyes", 2, 201, 693, (362, 263)),
}


def looked_at(asset: bytes) -> list[tuple[int, ...]]:
    """The mesh's points that each of its second looks is taken of."""
    import tflite
    from flatbuffers import flexbuffers

    net = next(net for net in convert.NETS if net.name == "face_mesh")
    graph = tflite.Model.GetRootAs(convert.extract(asset, net), 0).Subgraphs(0)
    operators = [graph.Operators(k) for k in range(graph.OperatorsLength())]
    options = [o.CustomOptionsAsNumpy() for o in operators]
    told = [flexbuffers.Loads(bytes(o)) for o in options if not isinstance(o, int) and len(o) > 100]
    return [tuple(values["subset_idxs"]) for values in told]


def test_onnx_and_litert_agree_on_the_mesh(asset: bytes) -> None:
    net = next(net for net in convert.NETS if net.name == "face_mesh")
    first, _ = part(convert.extract(asset, net), [PICTURE], [MESH, PRESENCE])
    for image in inputs(net.name):
        found = shipped(net.name).run(["points", "presence"], {"image": image[None]})
        mesh, presence = first(image[None])
        assert np.abs(found[0][0] - mesh.reshape(468, 3)).max() < BOUNDS["points"]
        assert np.abs(found[1].ravel() - presence.ravel()).max() < BOUNDS["presence"]


@pytest.mark.parametrize("look", LOOKS)
def test_onnx_and_litert_agree_on_a_second_look(asset: bytes, look: str) -> None:
    name, number, close_features, end, corners = LOOKS[look]
    net = next(net for net in convert.NETS if net.name == name)
    data = convert.extract(asset, net)
    first, _ = part(data, [PICTURE], [FEATURES, MESH])
    second, _ = part(data, [close_features], [end])
    some = looked_at(asset)[number]
    for image in inputs(net.name):
        (found,) = shipped(net.name).run([look], {"image": image[None]})
        features, mesh = first(image[None])
        points = mesh.reshape(468, 3)[:, :2].astype(np.float64) * (48 / 192)
        place, corner = look_box(points[list(some)], points[list(corners)])
        y, x = np.mgrid[0:16, 0:16] + 0.5
        at = np.stack([x, y], -1) @ place + corner - 0.5
        places = [at[..., 1], at[..., 0]]
        close = np.stack(
            [map_coordinates(layer, places, order=1) for layer in np.moveaxis(features[0], 2, 0)]
        )
        (seen,) = second(close[None])
        # The second look counts in quarters of its map's px, as the picture is four times the map.
        expected = seen.reshape(-1, 2) @ place + corner * (192 / 48)
        assert np.abs(found[0] - expected).max() < BOUNDS["looks"]


def look_box(
    some: np.ndarray[Any, np.dtype[np.float64]], corners: np.ndarray[Any, np.dtype[np.float64]]
) -> tuple[Any, Any]:
    """Where a second look is taken: rows of a matrix from its 16 px to the map, and its corner.

    some: the points that it is taken of. corners: (2, 2), of them the leftmost and the rightmost.
    Both in the map's px, counted from its edge.
    """
    angle = np.arctan2(*(corners[1] - corners[0])[::-1])
    c, s = np.cos(angle), np.sin(angle)
    axes = np.array([[c, s], [-s, c]])
    turned = some @ axes.T
    low, high = turned.min(0), turned.max(0)
    place = axes * ((high - low) * 1.5 / 16)[:, None]
    return place, (low + high) / 2 @ axes - 8 * place.sum(0)


def test_the_second_looks_points_are_the_ones_they_are_taken_of(asset: bytes) -> None:
    lips, left, right = looked_at(asset)
    assert lips == REFINED_LIPS
    assert len(left) == len(right) == 71
    # Lower edge from the outer corner to the inner one, then the upper edge's first point.
    assert (left[0], left[8], left[9]) == (33, 133, 246)
    assert (right[0], right[8], right[9]) == (263, 362, 466)


def test_the_script_makes_the_shipped_files(asset: bytes, net: convert.Net) -> None:
    made = convert.convert(asset, net)
    session = onnxruntime.InferenceSession(
        made.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    batch = inputs(net.name)
    for a, b in zip(
        session.run(None, {"image": batch}),
        shipped(net.name).run(None, {"image": batch}),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_a_batch_is_its_pictures_one_by_one(net: convert.Net) -> None:
    session, batch = shipped(net.name), inputs(net.name)
    together = session.run(None, {"image": batch})
    for k in range(len(batch)):
        for whole, alone in zip(
            together, session.run(None, {"image": batch[k : k + 1]}), strict=True
        ):
            np.testing.assert_allclose(whole[k], alone[0], atol=1e-3)


def test_a_changed_asset_is_refused(net: convert.Net) -> None:
    with pytest.raises(ValueError, match="SHA-256"):
        convert.extract(bytes(net.stop), net)


def test_same_padding_is_tflite_s() -> None:
    assert convert.same_padding(192, 3, 2) == (0, 1)
    assert convert.same_padding(96, 3, 1) == (1, 1)
    assert convert.same_padding(128, 5, 2) == (1, 2)
    assert convert.same_padding(6, 2, 2) == (0, 0)


def test_the_notice_lies_beside_the_nets() -> None:
    text = (convert.ASSETS / "NOTICE-mediapipe.txt").read_text(encoding="utf-8")
    assert text == convert.notice()
    assert "Apache License, Version 2.0" in text
