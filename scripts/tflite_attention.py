"""MediaPipe's three own operators, with which its face mesh looks at the lips a second time.

They are described in MediaPipe's sources (Apache-2.0, ``mediapipe/util/tflite/operations``); here
they become standard ONNX operators. A transform is a tensor (B, 3, 2): a point (x, y, 1) times it
is the point's place in the coarser map, px counted from its edge.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from flatbuffers import flexbuffers
from tflite_to_onnx import Converter

__all__ = ["AttentionConverter"]

# Of a 4x4 matrix in row order: the two columns that turn and scale, and the one that shifts.
_COLUMNS = [0, 1, 3]


class AttentionConverter(Converter):
    """Turns a graph with MediaPipe's own operators into standard ONNX."""

    def _custom(self, operator: Any) -> dict[str, Any]:
        loaded: dict[str, Any] = flexbuffers.Loads(bytes(operator.CustomOptionsAsNumpy()))
        return loaded

    def _const(self, out: int, label: str, values: Any) -> str:
        return self.store(f"{self.name(out)}_{label}", np.asarray(values))

    def mul(self, operator: Any, inputs: list[int], out: int) -> None:
        """A product with a constant; constant matrices as transforms."""
        values = self.constant(inputs[1]).astype(np.float32)
        if values.shape == (1, 4, 4):
            values = values[:, :2, _COLUMNS].transpose(0, 2, 1)
        factor = self._const(out, "factor", values)
        self.emit("Mul", [self.name(inputs[0]), factor], self.name(out))

    def strided_slice(self, operator: Any, inputs: list[int], out: int) -> None:
        """Only ever of everything."""
        if self.shape(inputs[0]) != self.shape(out):
            raise NotImplementedError("slice of a part")
        self.emit("Identity", [self.name(inputs[0])], self.name(out))

    def reshape(self, operator: Any, inputs: list[int], out: int) -> None:
        """Points that are flattened at the very end stay as they are."""
        if len(self.shape(inputs[0])) == 3:
            self.emit("Identity", [self.name(inputs[0])], self.name(out))
        else:
            super().reshape(operator, inputs, out)

    def landmarks2transformmatrix(self, operator: Any, inputs: list[int], out: int) -> None:
        """The box around some points, upright by the line through two of them, enlarged."""
        o, name = self._custom(operator), self.name(out)
        if o["target_rotation_radians"]:
            raise NotImplementedError("a slanted target")
        size = np.array([o["output_width"], o["output_height"]], np.float32)
        zoom = np.array([o["scale_x"], o["scale_y"]], np.float32)
        plane = [self._const(out, f"plane{k}", np.array([k], np.int64)) for k in (0, 2)]
        self.emit("Slice", [self.name(inputs[0]), *plane, plane[1]], f"{name}_flat")
        for key, index in (
            ("left", [o["left_rotation_idx"]]),
            ("right", [o["right_rotation_idx"]]),
            ("some", o["subset_idxs"]),
        ):
            which = self._const(out, f"{key}_index", np.array(index, np.int64))
            self.emit("Gather", [f"{name}_flat", which], f"{name}_{key}", axis=1)
        self.emit("Sub", [f"{name}_right", f"{name}_left"], f"{name}_line")
        self.emit("ReduceL2", [f"{name}_line"], f"{name}_long", axes=[2], keepdims=1)
        self.emit("Div", [f"{name}_line", f"{name}_long"], f"{name}_along")
        quarter = self._const(out, "quarter", np.array([[0, 1], [-1, 0]], np.float32))
        self.emit("MatMul", [f"{name}_along", quarter], f"{name}_across")
        self.emit("Concat", [f"{name}_along", f"{name}_across"], f"{name}_axes", axis=1)
        self.emit("Transpose", [f"{name}_axes"], f"{name}_upright", perm=[0, 2, 1])
        self.emit("MatMul", [f"{name}_some", f"{name}_upright"], f"{name}_turned")
        self.emit("ReduceMin", [f"{name}_turned"], f"{name}_low", axes=[1], keepdims=1)
        self.emit("ReduceMax", [f"{name}_turned"], f"{name}_high", axes=[1], keepdims=1)
        self.emit("Add", [f"{name}_low", f"{name}_high"], f"{name}_twice")
        half = self._const(out, "half", np.float32(0.5))
        self.emit("Mul", [f"{name}_twice", half], f"{name}_middle")
        self.emit("MatMul", [f"{name}_middle", f"{name}_axes"], f"{name}_centre")
        self.emit("Sub", [f"{name}_high", f"{name}_low"], f"{name}_box")
        step = self._const(out, "step", zoom / size)
        self.emit("Mul", [f"{name}_box", step], f"{name}_steps")
        self.emit("Transpose", [f"{name}_steps"], f"{name}_scale", perm=[0, 2, 1])
        self.emit("Mul", [f"{name}_axes", f"{name}_scale"], f"{name}_columns")
        halves = self._const(out, "halves", (size / 2).reshape(1, 2, 1))
        self.emit("Mul", [f"{name}_columns", halves], f"{name}_arms")
        rows = self._const(out, "rows", np.array([1], np.int64))
        self.emit("ReduceSum", [f"{name}_arms", rows], f"{name}_corner", keepdims=1)
        self.emit("Sub", [f"{name}_centre", f"{name}_corner"], f"{name}_shift")
        self.emit("Concat", [f"{name}_columns", f"{name}_shift"], name, axis=1)

    def transformtensorbilinear(self, operator: Any, inputs: list[int], out: int) -> None:
        """Sample a map where a transform says."""
        o, name = self._custom(operator), self.name(out)
        height, width = int(o["output_height"]), int(o["output_width"])
        _, source_height, source_width, _ = self.shape(inputs[0])
        y, x = np.mgrid[0:height, 0:width] + 0.5
        cells = np.stack([x, y, np.ones_like(x)], -1).reshape(1, -1, 3).astype(np.float32)
        self.emit("MatMul", [self._const(out, "cells", cells), self.name(inputs[1])], f"{name}_at")
        # GridSample counts from -1 to 1 over the map's edges.
        share = np.array([2 / source_width, 2 / source_height], np.float32)
        self.emit("Mul", [f"{name}_at", self._const(out, "share", share)], f"{name}_zero")
        self.emit("Sub", [f"{name}_zero", self._const(out, "one", np.float32(1))], f"{name}_list")
        shape = self._const(out, "shape", np.array([0, height, width, 2], np.int64))
        self.emit("Reshape", [f"{name}_list", shape], f"{name}_grid")
        self.emit(
            "GridSample", [self.name(inputs[0]), f"{name}_grid"], name, mode="bilinear",
            padding_mode="zeros", align_corners=0,
        )  # fmt: skip

    def transformlandmarks(self, operator: Any, inputs: list[int], out: int) -> None:
        """Bring points from the small map back."""
        name, matrix = self.name(out), self.name(inputs[1])
        bounds = {k: self._const(out, f"at{k}", np.array([k], np.int64)) for k in (0, 1, 2, 3)}
        self.emit("Slice", [matrix, bounds[0], bounds[2], bounds[1]], f"{name}_turn")
        self.emit("Slice", [matrix, bounds[2], bounds[3], bounds[1]], f"{name}_shift")
        self.emit("MatMul", [self.name(inputs[0]), f"{name}_turn"], f"{name}_turned")
        self.emit("Add", [f"{name}_turned", f"{name}_shift"], name)
