"""Networks written as ONNX whose weights are stored as fp16 and widened once at load."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn


def save_as_half(
    network: nn.Module,
    inputs: tuple[torch.Tensor, ...],
    names: Sequence[str],
    output: str,
    dynamic_shapes: tuple[dict[int, Any], ...],
    path: str | Path,
) -> None:
    """Write a network.

    Args:
        network: brought into evaluation mode.
        inputs: examples.
        names: of the inputs.
        output: name of the output.
        dynamic_shapes: for each input the axes that may vary, as `torch.export` takes them.
        path: file to write.
    """
    program = torch.onnx.export(
        network.eval(),
        inputs,
        dynamo=True,
        input_names=list(names),
        output_names=[output],
        dynamic_shapes=dynamic_shapes,
        verbose=False,
    )
    assert program is not None
    model = program.model_proto
    for node in model.graph.node:
        # Traces of the exporting machine (paths, line numbers) that no reader needs.
        del node.metadata_props[:]
        node.doc_string = ""
    _store_as_half(model)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))


def _store_as_half(model: onnx.ModelProto) -> None:
    graph = model.graph
    casts, kept = [], []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or values.size < 64:
            kept.append(tensor)
            continue
        half = numpy_helper.from_array(values.astype(np.float16), tensor.name + "_fp16")
        kept.append(half)
        casts.append(helper.make_node("Cast", [half.name], [tensor.name], to=TensorProto.FLOAT))
    del graph.initializer[:]
    graph.initializer.extend(kept)
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def as_half(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return a network's state for safetensors: floating-point weights as fp16, counters as is."""
    return {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in network.state_dict().items()
    }
