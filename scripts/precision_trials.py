#!/usr/bin/env python
"""Try a product model's networks in other precisions and engines: time, size, difference to fp32.

    python scripts/precision_trials.py MODEL [--seconds 6] [--calls 300]

MODEL is a folder of kind "glance". Prints two Markdown tables: the variants, and the renderer at
another size. A network's time is the median of many single calls. Code error: root mean square
over the codes' spread, memory carried on, so that it may grow. Picture: the frames at the crop's
size, renderer alone and both networks; "of motion" is the mean difference over the mean difference
of fp32's frames from the first of them. int8 is calibrated on one face and half of the speech, and
everything is measured on others. What an engine cannot run is told in its row.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from lipglance.bench_stages import sample_photo, sample_speech
from lipglance.crop import picture_crop
from lipglance.face import FaceFinder
from lipglance.geometry import Image
from lipglance.glance import GlanceModel
from lipglance.models import load_model
from lipglance.motion import Motion
from lipglance.mouth_warp import CHANNELS
from lipglance.runtime import Arrays, Network, engines, hardware, open_network

PARTS = ("motion", "renderer")
Opener = Callable[[Path, int], Network]
FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Variant:
    """How both networks are written and run."""

    name: str
    folder: Path
    open: Opener


class Watched(Network):
    """A network that keeps what it was given and what it said."""

    def __init__(self, network: Network) -> None:
        super().__init__(network.engine, network.threads, network)
        self.inputs: list[dict[str, FloatArray]] = []
        self.said: list[FloatArray] = []

    def __call__(self, inputs: Arrays) -> FloatArray:
        self.inputs.append({name: np.array(value) for name, value in inputs.items()})
        self.said.append(super().__call__(inputs))
        return self.said[-1]


def widened(path: Path) -> onnx.ModelProto:
    """A network of `onnx_files.save_as_half` with its weights as fp32 again."""
    model = onnx.load(str(path))
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        if node.op_type == "Cast" and node.input[0] in weights:
            half = weights.pop(node.input[0])
            values = numpy_helper.to_array(half).astype(np.float32)
            weights[node.output[0]] = numpy_helper.from_array(values, node.output[0])
        else:
            nodes.append(node)
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(weights.values())
    model.graph.node.extend(nodes)
    return model


def before_features(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes up to the first convolution: powers of sound span more than 256 levels."""
    nodes = list(model.graph.node)
    first = next(k for k, node in enumerate(nodes) if node.op_type == "Conv")
    return [node.name for node in nodes[: first + 1]]


def as_bfloat16(model: onnx.ModelProto) -> onnx.ModelProto:
    """The network computing in bfloat16, with fp32 in and out."""
    graph, low, high = model.graph, TensorProto.BFLOAT16, TensorProto.FLOAT
    # The first in which a convolution may be of this type.
    model.opset_import[0].version = 22
    for k, tensor in enumerate(graph.initializer):
        if tensor.data_type == high:
            values = numpy_helper.to_array(tensor)
            bits = np.ascontiguousarray(values).view(np.uint32) >> 16
            made = helper.make_tensor(
                tensor.name, low, values.shape, bits.astype("<u2").tobytes(), raw=True
            )
            graph.initializer[k].CopyFrom(made)
    ins = {value.name: f"{value.name}_low" for value in graph.input}
    outs = {value.name: f"{value.name}_low" for value in graph.output}
    for node in graph.node:
        node.input[:] = [ins.get(name, outs.get(name, name)) for name in node.input]
        node.output[:] = [outs.get(name, name) for name in node.output]
    nodes = [helper.make_node("Cast", [name], [other], to=low) for name, other in ins.items()]
    nodes += graph.node
    nodes += [helper.make_node("Cast", [other], [name], to=high) for name, other in outs.items()]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    return model


def write_variants(folder: Path, root: Path, inputs: Mapping[str, list[Any]]) -> Iterator[Variant]:
    """Write every variant that can be written below `root`; `inputs` of each part calibrate."""
    from onnxruntime.quantization import QuantType, quantize_dynamic, quantize_static
    from onnxruntime.transformers.float16 import convert_float_to_float16

    def written(name: str, make: Callable[[str, Path], None]) -> Path:
        (root / name).mkdir()
        for part in PARTS:
            make(part, root / name / f"{part}.onnx")
        return root / name

    def ort(path: Path, threads: int) -> Network:
        return open_network(path, threads, "onnxruntime")

    plain = written("fp32", lambda part, to: onnx.save(widened(folder / f"{part}.onnx"), str(to)))
    yield Variant("onnxruntime, fp32", plain, ort)
    yield Variant("onnxruntime, fp32, weights stored as fp16 (shipped)", folder, ort)

    def half(part: str, to: Path) -> None:
        onnx.save(
            convert_float_to_float16(widened(folder / f"{part}.onnx"), keep_io_types=True),
            str(to),
        )

    def brain(part: str, to: Path) -> None:
        onnx.save(as_bfloat16(widened(folder / f"{part}.onnx")), str(to))

    def dynamic(part: str, to: Path) -> None:
        source = plain / f"{part}.onnx"
        quantize_dynamic(
            source,
            to,
            per_channel=True,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=before_features(onnx.load(str(source))),
        )

    def static(part: str, to: Path) -> None:
        quantize_static(plain / f"{part}.onnx", to, _reader(inputs[part]), per_channel=True)

    yield Variant("onnxruntime, fp16", written("fp16", half), ort)
    yield Variant("onnxruntime, bf16", written("bf16", brain), ort)
    yield Variant("onnxruntime, int8 dynamic", written("dynamic", dynamic), ort)
    whole = written("static", static)
    yield Variant("onnxruntime, int8 static", whole, ort)
    if "openvino" in engines():
        for hint in ("f32", "f16", "bf16"):
            yield Variant(f"openvino, {hint}", plain, partial(_open_openvino, hint=hint))
        yield Variant("openvino, int8 static", whole, partial(_open_openvino, hint="f32"))


def _reader(recorded: list[Any]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = iter(recorded)

        def get_next(self) -> Any:
            return next(self._left, None)

    return Reader()


def _open_openvino(path: Path, threads: int, hint: str) -> Network:
    import openvino

    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": hint}
    compiled = openvino.Core().compile_model(path, "CPU", settings)
    request = compiled.create_infer_request()

    def run(inputs: Arrays) -> FloatArray:
        return np.array(request.infer(dict(inputs))[0], np.float32)

    return Network("openvino", threads, run)


def spoken(
    model: GlanceModel, networks: tuple[Network, Network], photo: Image, samples: FloatArray
) -> tuple[Image, Watched, Watched]:
    """Frames (T, S, S, 3) of a photo speaking through other networks, and these, watched."""
    assert isinstance(model.motion, Motion)
    hear, paint = (Watched(network) for network in networks)
    model.motion.hear, model.renderer = hear, paint
    finder = FaceFinder(threads=1)
    points = np.asarray(finder.landmarks(photo, finder.detect(photo)[0]).points, np.float64)
    matrix = picture_crop(points, model.crop)
    size = model.crop.size
    crop = cv2.warpAffine(photo, matrix, (size, size), flags=cv2.INTER_AREA)
    session = model.start(crop, points @ matrix[:, :2].T + matrix[:, 2])
    return np.concatenate([session.feed(samples), session.finish()]), hear, paint


def faces() -> list[Image]:
    """The sample face, and what may pass for others: turned round, in the dark, soft and grey."""
    face = sample_photo(512)
    dark = (face[:, ::-1] * 0.45 + 12).astype(np.uint8)
    grey = np.repeat(cv2.GaussianBlur(face, (0, 0), 2.5).mean(2, keepdims=True), 3, 2)
    return [face, dark, grey.astype(np.uint8)]


def milliseconds(network: Network, recorded: list[Any], calls: int) -> float:
    """Median time of a call, ms."""
    times = []
    for k in range(calls + 10):
        begin = perf_counter()
        network(recorded[k % len(recorded)])
        times.append(perf_counter() - begin)
    return 1000 * median(times[10:])


def trial(
    variant: Variant, model: GlanceModel, plain: list[Any], samples: FloatArray, calls: int
) -> str:
    """One row of the table."""
    networks = [variant.open(variant.folder / f"{part}.onnx", 2) for part in PARTS]
    codes = getattr(model.motion, "codes", 0)
    wrong, spread, picture, square, both, moved = [], [], [], [], [], []
    for photo, (frames, hear, _, opened) in zip(faces()[1:], plain, strict=True):
        shown, heard, _ = spoken(model, (networks[0], networks[1]), photo, samples)
        alone = spoken(model, (opened[0], networks[1]), photo, samples)[0]
        expected = np.stack(hear.said)[:, :codes]
        wrong.append(np.square(np.stack(heard.said)[:, :codes] - expected).mean())
        spread.append(expected.var(0).mean())
        for found, kept in ((alone, picture), (shown, both)):
            kept.append(np.abs(found.astype(float) - frames).mean())
        square.append(np.square(alone.astype(float) - frames).mean())
        moved.append(np.abs(frames.astype(float) - frames[0]).mean())
    recorded = [plain[0][1].inputs, plain[0][2].inputs]
    times = [
        milliseconds(variant.open(variant.folder / f"{part}.onnx", threads), given, calls)
        for part, given in zip(PARTS, recorded, strict=True)
        for threads in (1, 2)
    ]
    size = sum((variant.folder / f"{part}.onnx").stat().st_size for part in PARTS)
    noise = np.mean(square)
    psnr = f"{10 * np.log10(255**2 / noise):.1f}" if noise else "same"
    cells = [variant.name, *(f"{value:.2f}" for value in times), f"{size / 1e6:.1f}"]
    cells += [f"{100 * np.sqrt(np.mean(wrong) / np.mean(spread)):.2f}", f"{np.mean(picture):.3f}"]
    cells += [psnr, f"{100 * np.mean(both) / np.mean(moved):.2f}"]
    return "| " + " | ".join(cells) + " |"


def _reason(error: Exception) -> str:
    told = str(error).strip().splitlines() or [type(error).__name__]
    return told[-1].rpartition(" : ")[2].rpartition("failed:")[2]


def other_sizes(folder: Path, root: Path, calls: int) -> Iterator[str]:
    """Rows for the renderer, a network of convolutions alone, at other sizes of its input."""
    import torch
    from safetensors.torch import load_file

    from lipglance.network_config import RendererConfig
    from lipglance.onnx_files import save_as_half
    from lipglance.renderer_net import RendererNet

    facts = json.loads((folder / "model.json").read_text())["renderer"]
    net = RendererNet(RendererConfig(**facts)).eval()
    weights = load_file(str(folder / "renderer.safetensors"))
    net.load_state_dict({name: value.float() for name, value in weights.items()}, strict=False)
    for size in (facts["size"], 128):
        seen = torch.rand(1, CHANNELS, size, size) * 2 - 1
        path = root / f"renderer-{size}.onnx"
        save_as_half(net, (seen,), ["seen"], "said", ({},), path)
        for engine in engines():
            taken = [
                milliseconds(open_network(path, threads, engine), [{"seen": seen.numpy()}], calls)
                for threads in (1, 2)
            ]
            cells = [f"{size}x{size}, {engine}"]
            cells += [f"{ms:.2f} ({1000 / ms:.0f} fps)" for ms in taken]
            yield "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--calls", type=int, default=300)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    model = load_model(options.model, threads=2, engine="onnxruntime")
    if not isinstance(model, GlanceModel) or not isinstance(model.motion, Motion):
        parser.error(f"{options.model} is a model of kind {model.info.kind!r}; expected 'glance'")
    opened = (model.motion.hear, model.renderer)
    samples = sample_speech(options.seconds, model.audio.sample_rate)
    first, second = np.array_split(samples, 2)
    _, hear, paint = spoken(model, opened, faces()[0], first)
    given = {"motion": hear.inputs[::2], "renderer": paint.inputs[::2]}
    plain = [(*spoken(model, opened, photo, second), opened) for photo in faces()[1:]]
    print(f"{hardware()['cpu']}, {hardware()['cores']} cores; {model.info.name}\n")
    print(
        "| engine, precision | motion ms, 1 thread | 2 | renderer ms, 1 thread | 2 | MB | code "
        "error, % | picture, grey levels | PSNR, dB | both, % of motion |"
    )
    print("| --- |" + " --- |" * 9)
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        for variant in write_variants(options.model, root, given):
            try:
                print(trial(variant, model, plain, second, options.calls), flush=True)
            except Exception as error:
                # Each engine has error classes of its own; the other rows are wanted all the same.
                print(f"| {variant.name} | {_reason(error)} |", flush=True)
        print("\n| renderer | ms, 1 thread | 2 threads |\n| --- | --- | --- |")
        for row in other_sizes(options.model, root, options.calls):
            print(row, flush=True)


if __name__ == "__main__":
    main()
