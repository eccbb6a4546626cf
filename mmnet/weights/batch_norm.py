"""Measure the statistics of batch norm on images."""

import numpy as np

from mmnet.io.progress import progress
from mmnet.networks.layers import BATCH_STATISTICS, INFERENCE, batch_norm_training
from mmnet.networks.registry import build, input_shape
from mmnet.tf import checkpoint
from mmnet.tf.compat import tf
from mmnet.tf.device import session_config
from mmnet.weights.values import Weights, check_fit


def measure_batch_norm(weights: Weights, images: np.ndarray, batch_size: int = 32) -> Weights:
    """Replace the moving statistics by the means of the batch statistics over these images.

    The moving statistics of a training describe augmented images, and the mean of several networks
    has no statistics of its own (Izmailov et al., "Averaging Weights Leads to Wider Optima and
    Better Generalization", UAI 2018, section 3.2).

    The images are float32 [N,H,W,C], 0..255, in an order in which every batch is representative.
    An incomplete last batch is ignored.
    """
    batch_size = min(batch_size, len(images))
    with tf.Graph().as_default(), tf.Session(config=session_config()) as session:
        batch = tf.placeholder(tf.float32, input_shape(weights.network, batch_size))
        build(weights.network, batch, INFERENCE._replace(batch_norm=batch_norm_training))
        check_fit(checkpoint.restore(session, weights.values, tf.global_variables()), weights)
        pairs = tf.get_collection(BATCH_STATISTICS)
        statistics = {variable.op.name: value for variable, value in pairs}
        starts = range(0, len(images) - batch_size + 1, batch_size)
        results = [
            session.run(statistics, {batch: images[start : start + batch_size]})
            for start in progress(starts, len(starts), "measuring batch norm", "batches")
        ]
    values = dict(weights.values)
    for name in statistics:
        mean = np.mean([result[name] for result in results], axis=0, dtype=np.float64)
        values[name] = mean.astype(values[name].dtype)
    return weights._replace(values=values)
