"""Batch norm's statistics, measured anew on pictures as they are."""

import numpy as np

from mmnet.io.progress import progress
from mmnet.networks.layers import BATCH_STATISTICS, INFERENCE, batch_norm_training
from mmnet.networks.registry import build, input_shape
from mmnet.tf import checkpoint
from mmnet.tf.compat import tf
from mmnet.tf.device import session_config
from mmnet.weights.values import check_fit


def measured(weights, images, batch=32):
    """The Weights with the means of batch norm's statistics over batches of pictures.

    What training leaves as moving statistics belongs to pictures as training changed them, and the
    mean of several networks has none of its own (Izmailov et al., "Averaging Weights Leads to Wider
    Optima and Better Generalization", UAI 2018, section 3.2).

    Args:
        images: [N,H,W,C] 0..255 at the network's shape, in an order in which every batch shows what
            pictures there are. What is left of a last batch that is not full is not looked at.

    Raises:
        ValueError: weights of another network than they say.
    """
    batch = min(batch, len(images))
    with tf.Graph().as_default(), tf.Session(config=session_config()) as session:
        given = tf.placeholder(tf.float32, input_shape(weights.network, batch))
        build(weights.network, given, INFERENCE._replace(batch_norm=batch_norm_training))
        check_fit(checkpoint.restore(session, weights.values, tf.global_variables()), weights)
        statistics = {
            moving.op.name: found for moving, found in tf.get_collection(BATCH_STATISTICS)
        }
        starts = range(0, len(images) - batch + 1, batch)
        found = [
            session.run(statistics, {given: images[start : start + batch]})
            for start in progress(starts, len(starts), "measuring batch norm", "batches")
        ]
    means = {
        name: np.mean([one[name] for one in found], axis=0, dtype=np.float64) for name in statistics
    }
    means = {name: value.astype(weights.values[name].dtype) for name, value in means.items()}
    return weights._replace(values=dict(weights.values, **means))
