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
# rembg stretches the range of the first output to 0..1 and truncates it to 8 bits. The first would
# turn weak alphas of a photo without people into a person, the second makes people translucent.
# Therefore the first output is rounded, and its largest value is set to 1, its smallest to 0.
ADAPTED = "rembg_alpha"


def adapt_model(model: Any) -> None:
    """Change a model [1,H,W,3], 0..255, -> alpha [1,H,W,1] to the layout and range of rembg.

    The outputs are ADAPTED and the alpha itself.
    """
    onnx = import_optional("onnx", "writing an .onnx", "export")
    node, graph = onnx.helper.make_node, model.graph
    scale, offset = (255 * np.array(values, np.float32) for values in (STD, MEAN))
    constants = {"std": scale, "mean": offset, "half": 0.5 / 255, "zero": 0, "one": 1}
    for name, values in constants.items():
        array = np.array(values, np.float32)
        graph.initializer.append(onnx.numpy_helper.from_array(array, "rembg_" + name))
    nodes = [
        node("Transpose", ["image"], ["rembg_nhwc"], perm=[0, 2, 3, 1]),
        node("Mul", ["rembg_nhwc", "rembg_std"], ["rembg_scaled"]),
        node("Add", ["rembg_scaled", "rembg_mean"], [INPUT]),
        *graph.node,
        node("Transpose", [OUTPUT], ["alpha"], perm=[0, 3, 1, 2]),
        node("Add", ["alpha", "rembg_half"], ["rembg_sum"]),
        node("Min", ["rembg_sum", "rembg_one"], ["rembg_rounded"]),
        node("ReduceMax", ["alpha"], ["rembg_max"]),
        node("ReduceMin", ["alpha"], ["rembg_min"]),
        node("Equal", ["alpha", "rembg_max"], ["rembg_is_max"]),
        node("Equal", ["alpha", "rembg_min"], ["rembg_is_min"]),
        node("Where", ["rembg_is_max", "rembg_one", "rembg_rounded"], ["rembg_with_one"]),
        node("Where", ["rembg_is_min", "rembg_zero", "rembg_with_one"], [ADAPTED]),
    ]
    del graph.node[:]
    graph.node.extend(nodes)
    image, adapted, alpha = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, channels, *SHAPE])
        for name, channels in (("image", 3), (ADAPTED, 1), ("alpha", 1))
    )
    graph.input[0].CopyFrom(image)
    graph.output[0].CopyFrom(adapted)
    graph.output.append(alpha)


def run_commands(path: str) -> str:
    """Return the shell commands that run the model. rembg reads models below ~/.rembg only."""
    folder = "~/.rembg/models/u2net_custom"
    extras = json.dumps({"model_path": f"{folder}/{os.path.basename(path)}"})
    return (
        f"mkdir -p {folder} && cp {shlex.quote(path)} {folder}\n"
        f"rembg i -m u2net_custom -x {shlex.quote(extras)} photo.jpg cutout.png"
    )
