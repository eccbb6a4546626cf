"""Adapt an ONNX model to rembg's session u2net_custom."""

import json
import os
import shlex
from typing import Any

import numpy as np

from mmnet.inference.recipes import RECIPES
from mmnet.inference.signature import Signature
from mmnet.io.optional import import_optional
from mmnet.networks.inference_graph import INPUT, OUTPUT

# rembg's u2net_custom takes (RGB in 0..1 - MEAN) / STD in the layout [1,3,*SHAPE].
SIGNATURE = Signature("image", "alpha", **RECIPES["u2net"].fields)
SHAPE, MEAN, STD = SIGNATURE.shape, SIGNATURE.mean, SIGNATURE.std
INPUT_TEXT = f"image float32 [1,3,320,320]: (RGB in 0..1 - {MEAN}) / {STD}"
OUTPUT_TEXT = "alpha float32 [1,1,320,320]: alpha in 0..1"


def adapt_model(model: Any) -> None:
    """Change a model [1,H,W,3], 0..255, -> alpha [1,H,W,1] to the layout and range of rembg."""
    onnx = import_optional("onnx", "writing an .onnx", "export")
    node, graph = onnx.helper.make_node, model.graph
    for name, values in (("std", STD), ("mean", MEAN)):
        levels = 255 * np.array(values, np.float32)
        graph.initializer.append(onnx.numpy_helper.from_array(levels, "rembg_" + name))
    nodes = [
        node("Transpose", ["image"], ["rembg_nhwc"], perm=[0, 2, 3, 1]),
        node("Mul", ["rembg_nhwc", "rembg_std"], ["rembg_scaled"]),
        node("Add", ["rembg_scaled", "rembg_mean"], [INPUT]),
        *graph.node,
        node("Transpose", [OUTPUT], ["alpha"], perm=[0, 3, 1, 2]),
    ]
    del graph.node[:]
    graph.node.extend(nodes)
    for value, name, channels in ((graph.input[0], "image", 3), (graph.output[0], "alpha", 1)):
        shape = [1, channels, *SHAPE]
        value.CopyFrom(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))


def run_commands(path: str) -> str:
    """Return the shell commands that run the model. rembg reads models below ~/.rembg only."""
    folder = "~/.rembg/models/u2net_custom"
    extras = json.dumps({"model_path": f"{folder}/{os.path.basename(path)}"})
    return (
        f"mkdir -p {folder} && cp {shlex.quote(path)} {folder}\n"
        f"rembg i -m u2net_custom -x {shlex.quote(extras)} photo.jpg cutout.png"
    )
