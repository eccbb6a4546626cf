"""Open checkpoints as Predictors."""

import os
from typing import Optional

import numpy as np

from mmnet.inference.card import Card
from mmnet.inference.predictor import Predictor
from mmnet.networks.layers import INFERENCE
from mmnet.networks.network import Network
from mmnet.networks.registry import alphas_from_logits, build, input_shape
from mmnet.tf import checkpoint
from mmnet.tf.compat import tf
from mmnet.tf.device import Device, check_device, session_config
from mmnet.weights.values import Weights, check_fit

SEED = 0  # for untrained weights


class CheckpointPredictor(Predictor):
    """A network in its own session. ``load`` replaces its weights."""

    def __init__(
        self, network: Network, device: Device = Device(), weights: Optional[Weights] = None
    ):
        """Build the network and load its weights. None: untrained.

        Raises:
            MmnetError: the device is missing, or the weights belong to another network.
        """
        check_device(device)
        config = session_config(device)
        graph = tf.Graph()
        with graph.as_default():
            tf.set_random_seed(SEED)
            self._images = tf.placeholder(tf.float32, input_shape(network), name="images")
            self._alphas = alphas_from_logits(build(network, self._images, INFERENCE).logits)
            self._variables = tf.global_variables()
            initializer = tf.global_variables_initializer()
        graph.finalize()
        self._session = tf.Session(graph=graph, config=config)
        release = self._session.close
        super().__init__(self._run, Card(network), release=release, process=os.getpid())
        self._weights: Optional[Weights] = None
        if weights is None:
            self._session.run(initializer)
        else:
            self.load(weights)

    def load(self, weights: Weights) -> checkpoint.RestoreReport:
        """Replace the weights. MmnetError: they belong to another network."""
        report = checkpoint.restore(self._session, weights.values, self._variables)
        check_fit(report, weights)
        self._weights = weights
        self.source, self.step, self.sha256 = weights.source, weights.step, weights.sha256
        self.name = weights.name
        return report

    @property
    def weights(self) -> Weights:
        """The loaded weights, or the random ones of an untrained network."""
        if self._weights is None:
            variables = {variable.op.name: variable for variable in self._variables}
            self._weights = Weights(self.network, self._session.run(variables))
        return self._weights

    def _run(self, images: np.ndarray) -> np.ndarray:
        return self._session.run(self._alphas, {self._images: images})


def open_weights(weights: Weights, device: Device = Device()) -> CheckpointPredictor:
    """Return a CheckpointPredictor with these weights."""
    return CheckpointPredictor(weights.network, device, weights)
