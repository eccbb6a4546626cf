"""Networks by name, from pictures in 0..255 to logits and alphas."""

import difflib
from functools import partial

from mmnet.compat import tf
from mmnet.networks.deeplab import deeplab
from mmnet.networks.mmnet import mmnet
from mmnet.networks.modnet import e_aspp, modnet, squeeze_excite

PREPROCESS = "preprocess"  # the operation that divides by 255

# name -> function (images01, network, mode) -> layers.Outputs
NETWORKS = {
    "mmnet": mmnet,
    "deeplab": partial(deeplab, output_stride=16),
    "deeplab_os8": partial(deeplab, output_stride=8),
    "modnet": partial(modnet, attention=squeeze_excite),
    "modnet_easpp": partial(modnet, attention=e_aspp),
}


def build(network, images, mode, preprocess="inside"):
    """Build a network into the default graph. Only here pictures are divided by 255 in a graph.

    Args:
        images: float32 [N,H,W,C], RGB in 0..255; with ``preprocess`` "outside", in 0..1.
        mode: layers.Mode.

    Returns:
        layers.Outputs.

    Raises:
        ValueError: no network of that name, or images of another shape.
    """
    if network.name not in NETWORKS:
        near = difflib.get_close_matches(network.name, NETWORKS, 1)
        hint = "; did you mean %r?" % near[0] if near else ""
        raise ValueError(
            "no network is named %r: there is %s%s" % (network.name, ", ".join(NETWORKS), hint)
        )
    inside = preprocess == "inside"
    images01 = mode.picture(images, 255 if inside else 1)
    if inside:
        images01 = mode.picture(tf.divide(images01, 255.0, name=PREPROCESS), 1)
    return NETWORKS[network.name](images01, network, mode)._replace(images01=images01)


def input_shape(network, batch=None):
    """[N,H,W,C] of the pictures that a network takes."""
    return [batch] + list(network.shape) + [network.channels]


def alpha_of(logits, name=None):
    """Alphas [N,H,W,1] in 0..1 of logits [N,H,W,2] or [N,H,W,1]."""
    if logits.shape[3].value == 1:
        return tf.sigmoid(logits, name=name)
    return tf.identity(tf.nn.softmax(logits)[..., 1:], name=name)
