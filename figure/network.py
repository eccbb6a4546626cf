"""Draws FOLDER/network.png: the blocks of MMNet 1.0 at 256 x 256.

The shapes, branches, dilations and shortcuts are read from the graph itself.

python figure/network.py FOLDER
"""

import os
import re
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.patches import FancyBboxPatch, Rectangle  # noqa: E402

from mmnet.networks.layers import INFERENCE  # noqa: E402
from mmnet.networks.mmnet import mmnet  # noqa: E402
from mmnet.networks.network import Network  # noqa: E402
from mmnet.networks.registry import input_shape  # noqa: E402
from mmnet.tf.compat import tf  # noqa: E402

SIZE = 256
NETWORK = Network(shape=(SIZE, SIZE))
PLAIN, MULTI_BRANCH, DECODE, CLASSIFIER = "#b8c4d0", "#5b8db8", "#e0a458", "#7aa874"
DILATIONS = {1: "#dce9f3", 2: "#a9c9e3", 4: "#6ea3cc", 8: "#2f6ea5"}


def read_graph():
    """Read the blocks and the shortcuts from the graph.

    Returns:
        (blocks, shortcuts). The blocks are in order: name -> (shape [H,W,C], dilations of the
        block's branches). The shortcuts are a list of (from, to).
    """
    with tf.Graph().as_default() as graph:
        images01 = tf.placeholder(tf.float32, input_shape(NETWORK, 1))
        endpoints = mmnet(images01, NETWORK, INFERENCE).endpoints
    dilations = {}
    # One convolution in each branch has this name. Its SpaceToDepth operation gives the dilation.
    for operation in graph.get_operations():
        match = re.match(r"MMNet/(\w+)/branch(\d+)/depthwise_conv_dilation/", operation.name)
        if match:
            block, branch = match.group(1), int(match.group(2))
            dilations.setdefault(block, {}).setdefault(branch, 1)
            if operation.type == "SpaceToDepth":
                dilations[block][branch] = operation.get_attr("block_size")
    blocks = {}
    for name, tensor in endpoints.items():
        branch_dilations = [dilation for _, dilation in sorted(dilations.get(name, {}).items())]
        blocks[name] = (tensor.shape.as_list()[1:], branch_dilations)
    outputs = {tensor.name: name for name, tensor in endpoints.items()}
    shortcuts = [
        (outputs[source.name], operation.name.split("/")[1])
        for operation in graph.get_operations()
        if "/shortcut/" in operation.name
        for source in operation.inputs
        if source.name in outputs
    ]
    return blocks, shortcuts


def colour_of(name, dilations):
    if "aux" in name or "final" in name:
        return CLASSIFIER
    if dilations:
        return MULTI_BRANCH
    return PLAIN if "init" in name or name == "dec_block4" else DECODE


def draw(blocks, shortcuts, path):
    figure, axes = plt.subplots(figsize=(15, 5.2))
    top, middle, x = {}, {}, 0.0
    for name, ((side, _, channels), dilations) in blocks.items():
        if name == "aux_block":
            continue
        width, height = 0.58 + channels / 150, 0.4 + 2.6 * side / SIZE
        axes.add_patch(
            FancyBboxPatch(
                (x, -height / 2),
                width,
                height,
                boxstyle="round,pad=0,rounding_size=0.06",
                facecolor=colour_of(name, dilations),
                edgecolor="#333333",
                linewidth=0.8,
            )
        )
        axes.text(
            x + width / 2,
            1.72,
            "%d x %d\nx %d" % (side, side, channels),
            ha="center",
            va="bottom",
            fontsize=7.5,
        )
        axes.text(
            x + width / 2,
            -1.72,
            name.replace("_block", "\nblock "),
            ha="center",
            va="top",
            fontsize=8,
        )
        for branch, dilation in enumerate(dilations):
            left = x + width / 2 + 0.19 * (branch - len(dilations) / 2)
            axes.add_patch(
                Rectangle(
                    (left, -2.62),
                    0.17,
                    0.24,
                    facecolor=DILATIONS[dilation],
                    edgecolor="#333333",
                    linewidth=0.6,
                )
            )
            axes.text(
                left + 0.085,
                -2.5,
                str(dilation),
                ha="center",
                va="center",
                fontsize=7,
                color="white" if dilation > 2 else "black",
            )
        top[name], middle[name] = height / 2, x + width / 2
        if x:
            axes.annotate(
                "", (x, 0), (x - 0.24, 0), arrowprops={"arrowstyle": "->", "linewidth": 0.9}
            )
        x += width + 0.24
    for index, (source, target) in enumerate(shortcuts):
        y = 2.65 + 0.3 * index
        axes.plot(
            [middle[source], middle[source], middle[target], middle[target]],
            [2.3, y, y, 2.3],
            color="#888888",
            linewidth=1,
        )
        axes.annotate(
            "",
            (middle[target], 2.25),
            (middle[target], 2.45),
            arrowprops={"arrowstyle": "->", "color": "#888888"},
        )
        axes.text(
            (middle[source] + middle[target]) / 2,
            y + 0.04,
            "refined shortcut",
            ha="center",
            fontsize=7.5,
            color="#555555",
        )
    handles = [
        Rectangle((0, 0), 1, 1, facecolor=colour, edgecolor="#333333")
        for colour in (PLAIN, MULTI_BRANCH, DECODE, CLASSIFIER)
    ]
    axes.legend(
        handles,
        [
            "convolution",
            "multi-branch dilated block",
            "x 2, beside a shortcut",
            "classifier, then x 4",
        ],
        loc="upper left",
        ncol=4,
        fontsize=8,
        frameon=False,
    )
    axes.text(-0.12, -2.5, "dilations", ha="right", va="center", fontsize=8)
    axes.set_xlim(-0.9, x), axes.set_ylim(-2.8, 3.75)
    axes.set_title(
        "MMNet 1.0 at %d x %d: output of each block, height x width x channels" % (SIZE, SIZE),
        fontsize=11,
    )
    axes.axis("off")
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    draw(*read_graph(), os.path.join(sys.argv[1], "network.png"))
