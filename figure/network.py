"""Draw FOLDER/network.png: the blocks of MMNet 1.0 at 256 x 256, read from its graph.

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
CONVOLUTION, MULTI_BRANCH, UPSAMPLING, CLASSIFIER = "#b8c4d0", "#5b8db8", "#e0a458", "#7aa874"
LEGEND = {
    CONVOLUTION: "convolution",
    MULTI_BRANCH: "multi-branch dilated block",
    UPSAMPLING: "x 2, with a shortcut",
    CLASSIFIER: "classifier, then x 4",
}
DILATIONS = {1: "#dce9f3", 2: "#a9c9e3", 4: "#6ea3cc", 8: "#2f6ea5"}
EDGE, LINE = "#333333", "#888888"
GAP = 0.24  # between two blocks


def read_graph():
    """Read blocks and shortcuts from the graph.

    Returns:
        (blocks, shortcuts). blocks: name -> (shape [H,W,C] of the output, dilations of the
        branches), in order. shortcuts: list of (from, to).
    """
    with tf.Graph().as_default() as graph:
        images01 = tf.placeholder(tf.float32, input_shape(NETWORK, 1))
        endpoints = mmnet(images01, NETWORK, INFERENCE).endpoints
    dilations = {}
    # Each branch has one convolution with this name. Its SpaceToDepth operation has the dilation.
    for operation in graph.get_operations():
        match = re.match(r"MMNet/(\w+)/branch(\d+)/depthwise_conv_dilation/", operation.name)
        if match:
            block, branch = match.group(1), int(match.group(2))
            dilations.setdefault(block, {}).setdefault(branch, 1)
            if operation.type == "SpaceToDepth":
                dilations[block][branch] = operation.get_attr("block_size")
    blocks = {}
    for name, tensor in endpoints.items():
        block_dilations = [dilation for _, dilation in sorted(dilations.get(name, {}).items())]
        blocks[name] = (tensor.shape.as_list()[1:], block_dilations)
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
    return CONVOLUTION if "init" in name or name == "dec_block4" else UPSAMPLING


def draw(blocks, shortcuts, path):
    figure, axes = plt.subplots(figsize=(15, 5.2))
    centres, x = {}, 0.0
    for name, (shape, dilations) in blocks.items():
        if name == "aux_block":
            continue
        if x:
            arrow = {"arrowstyle": "->", "linewidth": 0.9}
            axes.annotate("", (x, 0), (x - GAP, 0), arrowprops=arrow)
        width = draw_block(axes, x, name, shape, dilations)
        centres[name] = x + width / 2
        x += width + GAP
    for index, (source, target) in enumerate(shortcuts):
        draw_shortcut(axes, centres[source], centres[target], 2.65 + 0.3 * index)
    handles = [Rectangle((0, 0), 1, 1, facecolor=colour, edgecolor=EDGE) for colour in LEGEND]
    axes.legend(handles, list(LEGEND.values()), loc="upper left", ncol=4, fontsize=8, frameon=False)
    axes.text(-0.12, -2.5, "dilations", ha="right", va="center", fontsize=8)
    axes.set_xlim(-0.9, x)
    axes.set_ylim(-2.8, 3.75)
    title = f"MMNet 1.0 at {SIZE} x {SIZE}: output of each block, height x width x channels"
    axes.set_title(title, fontsize=11)
    axes.axis("off")
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)


def draw_block(axes, x, name, shape, dilations):
    """Draw a block with its shape, its name and its dilations. Return its width."""
    side, _, channels = shape
    width, height = 0.58 + channels / 150, 0.4 + 2.6 * side / SIZE
    style = {"boxstyle": "round,pad=0,rounding_size=0.06", "edgecolor": EDGE, "linewidth": 0.8}
    corner, colour = (x, -height / 2), colour_of(name, dilations)
    axes.add_patch(FancyBboxPatch(corner, width, height, facecolor=colour, **style))
    centre = x + width / 2
    size, label = f"{side} x {side}\nx {channels}", name.replace("_block", "\nblock ")
    axes.text(centre, 1.72, size, ha="center", va="bottom", fontsize=7.5)
    axes.text(centre, -1.72, label, ha="center", va="top", fontsize=8)
    for branch, dilation in enumerate(dilations):
        left = centre + 0.19 * (branch - len(dilations) / 2)
        style = {"facecolor": DILATIONS[dilation], "edgecolor": EDGE, "linewidth": 0.6}
        axes.add_patch(Rectangle((left, -2.62), 0.17, 0.24, **style))
        style = {"fontsize": 7, "color": "white" if dilation > 2 else "black"}
        axes.text(left + 0.085, -2.5, str(dilation), ha="center", va="center", **style)
    return width


def draw_shortcut(axes, source, target, y):
    axes.plot([source, source, target, target], [2.3, y, y, 2.3], color=LINE, linewidth=1)
    arrow = {"arrowstyle": "->", "color": LINE}
    axes.annotate("", (target, 2.25), (target, 2.45), arrowprops=arrow)
    style = {"fontsize": 7.5, "color": "#555555"}
    axes.text((source + target) / 2, y + 0.04, "refined shortcut", ha="center", **style)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    draw(*read_graph(), os.path.join(sys.argv[1], "network.png"))
