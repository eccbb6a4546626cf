"""How a GPU lays pictures out in memory, channels last or first: the faster way is measured.

Which one that is depends on the GPU, its cuDNN, the network and the precision. Only the order of
numbers in memory differs; sums are taken in another order, so results differ by rounding.
"""

import logging
import time

import numpy as np

from mmnet.compat import tf
from mmnet.device import LAYOUTS, loss_scaling, training_session_config
from mmnet.networks.build import input_shape
from mmnet.networks.layers import TRAINING
from mmnet.networks.quantization import QUANTIZED_TRAINING
from mmnet.training.graph import build_training_graph

WARM_UP_STEPS, STEPS = 5, 10  # cuDNN chooses its algorithms in the first ones

log = logging.getLogger(__name__)


def faster_layout(network, recipe, batch_size, device):
    """The one of device.LAYOUTS in which a training step takes the Device less time (median).

    Args:
        network: Network. recipe: graph.Recipe. batch_size: pictures of this process.
    """
    if recipe.mode == QUANTIZED_TRAINING:
        recipe = recipe._replace(mode=TRAINING)  # without ranges, which are not measured yet
    with tf.Graph().as_default():
        graph = build_training_graph(network, recipe, batch_size, loss_scaling(device))
        alone = device._replace(rank=0, processes=1, addresses=())
        seconds = {
            layout: step_seconds(graph, network, batch_size, alone._replace(layout=layout))
            for layout in LAYOUTS
        }
    fastest = min(seconds, key=seconds.get)
    told = " and ".join("%.2f ms in %s" % (1e3 * seconds[layout], layout) for layout in LAYOUTS)
    log.info("a step takes %s: %s it is (--layout decides otherwise)", told, fastest)
    return fastest


def step_seconds(graph, network, batch_size, device):
    """The median time of a step of a TrainingGraph, on noise, in a session of its own."""
    random = np.random.RandomState(0)
    shape = input_shape(network, batch_size)
    feed = {
        graph.images: random.uniform(0, 255, shape),
        graph.truths: random.uniform(size=shape[:3]),
        graph.learning_rate: 0.0,
        graph.batch_norm_decay: 0.9,
    }
    if graph.taught is not None:
        feed[graph.taught] = feed[graph.truths]
    taken = []
    with tf.Session(config=training_session_config(device)) as session:
        session.run(graph.initializer)
        for _ in range(WARM_UP_STEPS + STEPS):
            start = time.perf_counter()
            session.run([graph.step, graph.losses], feed)
            taken.append(time.perf_counter() - start)
    return float(np.median(taken[WARM_UP_STEPS:]))
