"""Rewriting of a TFLite graph as ONNX, for the few operators of MediaPipe's face nets.

TFLite works in NHWC, ONNX in NCHW: every activation is simply declared NCHW and the weights are
transposed here, so that the only transposes left are those in front of the detector's reshapes.
The batch size is free in the result, which it is not in TFLite.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import tflite
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8

Array = NDArray[Any]


def _names(enum: type) -> dict[int, str]:
    return {value: key for key, value in vars(enum).items() if isinstance(value, int)}


_OPERATORS = _names(tflite.BuiltinOperator)
_ACTIVATIONS = _names(tflite.ActivationFunctionType)
_DTYPES: dict[int, type[np.generic]] = {
    tflite.TensorType.FLOAT32: np.float32,
    tflite.TensorType.FLOAT16: np.float16,
    tflite.TensorType.INT32: np.int32,
}


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TFLite's SAME padding along one axis, as (before, after); the odd pixel goes after."""
    out = -(-size // stride)
    total = max((out - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class Converter:
    """Turns one TFLite graph (batch 1, NHWC) into an ONNX graph (any batch, NCHW)."""

    def __init__(self, data: bytes) -> None:
        self.model = tflite.Model.GetRootAs(data, 0)
        self.graph = self.model.Subgraphs(0)
        self.nodes: list[onnx.NodeProto] = []
        self.initialisers: dict[str, onnx.TensorProto] = {}
        # The output tensor of a DEQUANTIZE stands for its fp16 constant.
        self.alias: dict[int, int] = {}

    def name(self, index: int) -> str:
        return f"t{index}"

    def shape(self, index: int) -> tuple[int, ...]:
        tensor = self.graph.Tensors(index)
        return tuple(int(n) for n in tensor.ShapeAsNumpy()) if tensor.ShapeLength() else ()

    def constant(self, index: int) -> Array:
        """The constant stored in tensor `index`, in its own type and TFLite's layout."""
        index = self.alias.get(index, index)
        tensor = self.graph.Tensors(index)
        raw = self.model.Buffers(tensor.Buffer()).DataAsNumpy()
        if isinstance(raw, int):
            raise ValueError(f"tensor {index} is no constant")
        values: Array = raw.view(_DTYPES[tensor.Type()]).reshape(self.shape(index))
        return values

    def store(self, name: str, values: Array) -> str:
        """Store a constant; fp16 stays fp16 in the file (half the size, nothing lost) behind a
        Cast that onnxruntime folds when it loads the graph."""
        if name not in self.initialisers:
            wide = values.dtype != np.float16
            stored = name if wide else f"{name}_half"
            self.initialisers[name] = numpy_helper.from_array(np.ascontiguousarray(values), stored)
            if not wide:
                self.nodes.append(helper.make_node("Cast", [stored], [name], to=TensorProto.FLOAT))
        return name

    def emit(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))

    def options(self, operator: Any, kind: type) -> Any:
        options = kind()
        table = operator.BuiltinOptions()
        options.Init(table.Bytes, table.Pos)
        return options

    def activate(self, index: int, activation: int) -> str:
        """Name that an operator must write to so that `index` holds the activated value."""
        kind = _ACTIVATIONS[activation]
        if kind == "NONE":
            return self.name(index)
        if kind != "RELU":
            raise NotImplementedError(f"fused activation {kind}")
        return f"{self.name(index)}_raw"

    def finish(self, index: int, written: str) -> None:
        if written != self.name(index):
            self.emit("Relu", [written], self.name(index))

    def pads(self, options: Any, source: int, kernel: tuple[int, int]) -> dict[str, list[int]]:
        strides = (options.StrideH(), options.StrideW())
        pads = [(0, 0), (0, 0)]
        if options.Padding() == tflite.Padding.SAME:
            size = self.shape(source)[1:3]
            pads = [same_padding(*axis) for axis in zip(size, kernel, strides, strict=True)]
        return {
            "kernel_shape": list(kernel),
            "strides": list(strides),
            "pads": [pads[0][0], pads[1][0], pads[0][1], pads[1][1]],
        }

    def convolution(self, operator: Any, inputs: list[int], out: int, depthwise: bool) -> None:
        kind = tflite.DepthwiseConv2DOptions if depthwise else tflite.Conv2DOptions
        options = self.options(operator, kind)
        if options.DilationHFactor() != 1 or options.DilationWFactor() != 1:
            raise NotImplementedError("dilated convolution")
        source, weight, bias = inputs
        # Depthwise weights lie as (1, H, W, C), the others as (O, H, W, I).
        values = self.constant(weight).transpose((3, 0, 1, 2) if depthwise else (0, 3, 1, 2))
        written = self.activate(out, options.FusedActivationFunction())
        kernel = (values.shape[2], values.shape[3])
        self.emit(
            "Conv",
            [
                self.name(source),
                self.store(self.name(weight), values),
                self.store(self.name(bias), self.constant(bias)),
            ],
            written,
            group=values.shape[0] if depthwise else 1,
            **self.pads(options, source, kernel),
        )
        self.finish(out, written)

    def conv_2d(self, operator: Any, inputs: list[int], out: int) -> None:
        self.convolution(operator, inputs, out, depthwise=False)

    def depthwise_conv_2d(self, operator: Any, inputs: list[int], out: int) -> None:
        self.convolution(operator, inputs, out, depthwise=True)

    def max_pool_2d(self, operator: Any, inputs: list[int], out: int) -> None:
        options = self.options(operator, tflite.Pool2DOptions)
        kernel = (options.FilterHeight(), options.FilterWidth())
        written = self.activate(out, options.FusedActivationFunction())
        pads = self.pads(options, inputs[0], kernel)
        self.emit("MaxPool", [self.name(inputs[0])], written, **pads)
        self.finish(out, written)

    def prelu(self, operator: Any, inputs: list[int], out: int) -> None:
        """PReLU as slope * x + (1 - slope) * relu(x), the products as 1x1 depthwise convolutions.

        onnxruntime 1.32 has a slow PRelu (it took 2.2 of the mesh's 2.9 ms) and must leave its
        blocked channel layout for it; convolutions, Relu and Add keep that layout.
        """
        source, slope = inputs
        values = self.constant(slope).reshape(-1, 1, 1, 1).astype(np.float32)
        name, positive = self.name(out), f"{self.name(out)}_positive"
        self.emit("Relu", [self.name(source)], positive)
        for label, read, weights in (
            ("leak", self.name(source), values),
            ("gain", positive, 1 - values),
        ):
            weight = self.store(f"{name}_{label}_weight", weights)
            self.emit("Conv", [read, weight], f"{name}_{label}", group=len(values))
        self.emit("Add", [f"{name}_gain", f"{name}_leak"], name)

    def add(self, operator: Any, inputs: list[int], out: int) -> None:
        options = self.options(operator, tflite.AddOptions)
        written = self.activate(out, options.FusedActivationFunction())
        self.emit("Add", [self.name(i) for i in inputs], written)
        self.finish(out, written)

    def relu(self, operator: Any, inputs: list[int], out: int) -> None:
        self.emit("Relu", [self.name(inputs[0])], self.name(out))

    def pad(self, operator: Any, inputs: list[int], out: int) -> None:
        amounts = self.constant(inputs[1])[[0, 3, 1, 2]].T.reshape(-1).astype(np.int64)
        pads = self.store(f"{self.name(out)}_pads", amounts)
        self.emit("Pad", [self.name(inputs[0]), pads], self.name(out))

    def reshape(self, operator: Any, inputs: list[int], out: int) -> None:
        rows, columns = self.shape(out)[1:]
        # The values must be read in NHWC order; 0 keeps the batch axis.
        shape = self.store(f"{self.name(out)}_shape", np.array([0, rows, columns], np.int64))
        self.emit("Transpose", [self.name(inputs[0])], f"{self.name(out)}_nhwc", perm=[0, 2, 3, 1])
        self.emit("Reshape", [f"{self.name(out)}_nhwc", shape], self.name(out))

    def concatenation(self, operator: Any, inputs: list[int], out: int) -> None:
        axis = self.options(operator, tflite.ConcatenationOptions).Axis()
        if len(self.shape(out)) != 3 or axis not in (1, -2):
            raise NotImplementedError("concatenation other than of rows")
        self.emit("Concat", [self.name(i) for i in inputs], self.name(out), axis=1)

    def convert(
        self, name: str, outputs: dict[str, tuple[str, Sequence[int]]], origin: str
    ) -> onnx.ModelProto:
        """Convert the graph and call it `name`.

        outputs: by its new name, each output's name in the graph and its shape (without batch).
        Raises NotImplementedError for anything that the two known nets do not use.
        """
        for i in range(self.graph.OperatorsLength()):
            operator = self.graph.Operators(i)
            code = self.model.OperatorCodes(operator.OpcodeIndex())
            kind = _OPERATORS[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
            if kind == "CUSTOM":
                kind = code.CustomCode().decode()
            inputs = [int(k) for k in operator.InputsAsNumpy()]
            out = int(operator.OutputsAsNumpy()[0])
            if kind == "DEQUANTIZE":
                self.alias[out] = inputs[0]
                continue
            handler: Callable[[Any, list[int], int], None] | None
            handler = getattr(self, kind.lower(), None)
            if handler is None:
                raise NotImplementedError(f"operator {kind}")
            handler(operator, inputs, out)
        return self.finished_model(name, outputs, origin)

    def prune(self, wanted: set[str]) -> None:
        """Leave out what leads to none of the tensors `wanted`."""
        kept = []
        for node in reversed(self.nodes):
            if wanted & set(node.output):
                kept.append(node)
                wanted |= set(node.input)
        self.nodes = kept[::-1]
        self.initialisers = {k: t for k, t in self.initialisers.items() if t.name in wanted}

    def finished_model(
        self, name: str, outputs: dict[str, tuple[str, Sequence[int]]], origin: str
    ) -> onnx.ModelProto:
        source = int(self.graph.InputsAsNumpy()[0])
        _, height, width, channels = self.shape(source)
        ends = [int(i) for i in self.graph.OutputsAsNumpy()]
        by_name = {self.graph.Tensors(i).Name().decode(): i for i in ends}
        sinks: list[onnx.ValueInfoProto] = []
        for label, (known, shape) in outputs.items():
            flat = self.store(f"{label}_shape", np.array([0, *shape], np.int64))
            self.emit("Reshape", [self.name(by_name[known]), flat], label)
            sinks.append(helper.make_tensor_value_info(label, TensorProto.FLOAT, ["batch", *shape]))
        self.prune(set(outputs))
        for node in self.nodes:
            for k, read in enumerate(node.input):
                if read == self.name(source):
                    node.input[k] = "image"
        image = helper.make_tensor_value_info(
            "image", TensorProto.FLOAT, ["batch", channels, height, width]
        )
        model = helper.make_model(
            helper.make_graph(self.nodes, name, [image], sinks, list(self.initialisers.values())),
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="lipglance/scripts/convert_face_nets.py",
            doc_string=origin,
        )
        onnx.checker.check_model(model, full_check=True)
        return model
