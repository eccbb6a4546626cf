"""Networks by name: how each network is built, trained and converted.

A new network is one function in a file of this folder and one record in NETWORKS. ``build``
converts images 0..255 to logits; ``alphas_from_logits`` converts logits to alphas.
"""

from functools import partial
from typing import Callable, Dict, List, NamedTuple, Optional

import numpy as np

from mmnet.io.errors import MmnetError
from mmnet.networks.deeplab import deeplab
from mmnet.networks.layers import Mode, Outputs
from mmnet.networks.mmnet import mmnet
from mmnet.networks.modnet import e_aspp, modnet, squeeze_excite
from mmnet.networks.network import Network
from mmnet.networks.tiny import tiny
from mmnet.networks.views import parse_view
from mmnet.tf.compat import tf

PREPROCESS = "preprocess"  # name of the operation that divides by 255

# Weights of the loss terms (training/losses.py).
WITHOUT_HEADS = dict.fromkeys(("alpha", "composition", "gradient", "cross_entropy"), 1.0)
WITH_AUXILIARY = dict(WITHOUT_HEADS, auxiliary=1.0)


class NetworkDefinition(NamedTuple):
    """Everything that the package knows about a network."""

    build: Callable[..., Outputs]  # (images01, network, mode) -> Outputs
    loss_weights: Dict[str, float]  # loss term -> weight, the default of training
    classifier: str  # scope of the convolution with bias that computes the logits
    encoder: Optional[str] = None  # scope that accepts converted MobileNetV2 weights
    # MMNet paper, table 3: width multiplier -> millions of parameters with moving statistics
    paper_parameters: Dict[float, float] = {}


DEEPLAB = NetworkDefinition(
    build=partial(deeplab, output_stride=16),
    loss_weights=WITHOUT_HEADS,
    classifier="DeepLab/logits",
    encoder="DeepLab",
    paper_parameters={0.35: 0.454, 0.5: 0.713, 0.75: 1.327, 1.0: 2.142},
)
MODNET = NetworkDefinition(
    build=partial(modnet, attention=squeeze_excite),
    loss_weights=dict.fromkeys(("semantic", "detail", "matte"), 1.0),
    classifier="MODNet/f_branch/conv_f_1",
    encoder="MODNet",
)
NETWORKS = {
    "mmnet": NetworkDefinition(
        build=mmnet,
        loss_weights=WITH_AUXILIARY,
        classifier="MMNet/final_block/pointwise_conv",
        paper_parameters={0.5: 0.069, 0.75: 0.127, 1.0: 0.199, 1.4: 0.369},
    ),
    "deeplab": DEEPLAB,
    "deeplab_os8": DEEPLAB._replace(build=partial(deeplab, output_stride=8)),
    "modnet": MODNET,
    "modnet_easpp": MODNET._replace(build=partial(modnet, attention=e_aspp)),
    "tiny": NetworkDefinition(
        build=tiny, loss_weights=WITH_AUXILIARY, classifier="Tiny/final_block/pointwise_conv"
    ),
}


def find_definition(network: Network) -> NetworkDefinition:
    """Return the definition of a network. Raise MmnetError if no network has this name."""
    if network.name not in NETWORKS:
        raise MmnetError(f"unknown network {network.name!r}; known: {', '.join(NETWORKS)}")
    return NETWORKS[network.name]


def build(network: Network, images: "tf.Tensor", mode: Mode, preprocess: str = "inside") -> Outputs:
    """Build a network into the default graph. Only this function divides images by 255.

    Args:
        images: float32 [N,H,W,C], RGB first: 0..255, or 0..1 if ``preprocess`` is "outside".
        mode: layers.TRAINING, layers.INFERENCE, or a quantization mode.
        preprocess: "inside" or "outside": where images are divided by 255.
    """
    if network.views:
        return _build_views(network, images, mode, preprocess)
    definition = find_definition(network)
    if preprocess == "inside":
        images = tf.divide(mode.images(images, 255), 255.0, name=PREPROCESS)
    images01 = mode.images(images, 1)
    return definition.build(images01, network, mode)._replace(images01=images01)


def _build_views(network, images, mode, preprocess):
    """Return the mean of the logits of the views of a network. They share the variables."""
    logits = []
    for view in map(parse_view, network.views):
        x = _resize(images, view.shape)
        x = _mirror(x) if view.mirrored else x
        with tf.variable_scope(tf.get_variable_scope(), reuse=tf.AUTO_REUSE):
            one_view = network._replace(shape=view.shape, views=())
            y = build(one_view, x, mode, preprocess).logits
        y = _mirror(y) if view.mirrored else y
        logits.append(_resize(y, network.shape))
    return Outputs(sum(logits[1:], logits[0]) / len(logits), {}, {})


def _resize(x, shape):
    same = x.shape.as_list()[1:3] == list(shape)
    return x if same else tf.image.resize_bilinear(x, shape, align_corners=True)


def _mirror(x):
    """Exchange left and right, with an operation that every converter knows."""
    return tf.gather(x, np.arange(x.shape[2].value, dtype=np.int32)[::-1], axis=2)


def input_shape(network: Network, batch_size: Optional[int] = None) -> List[Optional[int]]:
    """Return the shape [N,H,W,C] of the network's input."""
    return [batch_size, *network.shape, network.channels]


def alphas_from_logits(logits: "tf.Tensor", name: Optional[str] = None) -> "tf.Tensor":
    """Convert logits [N,H,W,2] or [N,H,W,1] to alphas [N,H,W,1], 0..1."""
    if logits.shape[3].value == 1:
        return tf.sigmoid(logits, name=name)
    return tf.identity(tf.nn.softmax(logits)[..., 1:], name=name)
