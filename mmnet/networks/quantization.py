"""Simulate 8-bit arithmetic in a graph, as full-integer TensorFlow Lite models compute.

Weights: symmetric, one scale per channel. Activations: 256 levels between the variables
``quantization/lowest`` and ``quantization/highest`` in the scope of the layer or concatenation
(Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", CVPR 2018). weights/ranges.py measures these ranges on images.
"""

from typing import Dict

import numpy as np

from mmnet.networks.layers import INFERENCE
from mmnet.tf.compat import tf

LEVELS = 256  # 8 bits
SCOPE, LOWEST, HIGHEST = "quantization", "lowest", "highest"
MIN_SCALE = 1e-12  # avoids a division by 0 for a channel that contains only zeros


def quantize_weights(weights: "tf.Tensor", axis: int) -> "tf.Tensor":
    """Round weights to -127..127 times one scale per channel. Gradients pass unchanged.

    Batch norm multiplies each channel and its scale by the same number. Rounding before batch norm
    therefore equals rounding after batch norm is folded into the weights. ``axis`` is the axis of
    the output channels: 3, or 2 for depthwise weights [h,w,C,1].
    """
    shape = weights.shape.as_list()
    flat = tf.reshape(weights, [-1, shape[axis]])  # the axis after ``axis`` has length 1
    limits = tf.reduce_max(tf.abs(flat), axis=0)
    limits = tf.maximum(tf.stop_gradient(limits), MIN_SCALE)
    flat = tf.quantization.fake_quant_with_min_max_vars_per_channel(
        flat, -limits, limits, narrow_range=True
    )
    return tf.reshape(flat, shape)


def quantize_output(x: "tf.Tensor") -> "tf.Tensor":
    """Round activations to LEVELS levels between the two range variables of the current scope.

    The variables are NaN until they are measured. Training moves them, too.
    """
    not_measured = tf.constant_initializer(np.nan)
    with tf.variable_scope(SCOPE):
        lowest = tf.get_variable(LOWEST, [], initializer=not_measured)
        highest = tf.get_variable(HIGHEST, [], initializer=not_measured)
        return tf.quantization.fake_quant_with_min_max_vars(x, lowest, highest)


def quantize_images(images: "tf.Tensor", highest: float) -> "tf.Tensor":
    """Round images to LEVELS levels between 0 and their highest possible value."""
    return tf.quantization.fake_quant_with_min_max_args(images, 0, highest)


# Training keeps the moving statistics of batch norm, because they are folded into the exported
# model. For inference the converter rounds the weights, with the same rule.
QUANTIZED_TRAINING = INFERENCE._replace(
    weights=quantize_weights, output=quantize_output, single_logit=True
)
QUANTIZED_INFERENCE = INFERENCE._replace(
    output=quantize_output, images=quantize_images, single_logit=True
)


def range_name(scope: str, end: str) -> str:
    """Return the name of a range variable of an output. ``end`` is LOWEST or HIGHEST."""
    return f"{scope}/{SCOPE}/{end}"


def is_range(name: str) -> bool:
    """Return whether a variable is a range of an activation."""
    return name.endswith((f"/{SCOPE}/{LOWEST}", f"/{SCOPE}/{HIGHEST}"))


def quantization_ranges(values: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
    """Return the ranges among a checkpoint's variables. Empty: not trained for 8 bits."""
    return {name: value for name, value in values.items() if is_range(name)}
