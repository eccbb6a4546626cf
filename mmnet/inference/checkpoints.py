"""A checkpoint as a Predictor."""

from mmnet.inference.card import Card
from mmnet.inference.predictor import Predictor
from mmnet.networks.layers import INFERENCE
from mmnet.networks.registry import alphas_from_logits, build, input_shape
from mmnet.tf import checkpoint
from mmnet.tf.compat import tf
from mmnet.tf.device import Device, check_device, session_config
from mmnet.weights.values import Weights, check_fit

SEED = 0  # of untrained weights


class CheckpointPredictor(Predictor):
    """A network in a session of its own; ``load`` gives it other weights as often as one likes."""

    def __init__(self, network, device=Device(), weights=None):
        """Open it with these Weights, or untrained.

        Raises:
            ValueError: a Device that is not there; weights of another network.
        """
        check_device(device)
        graph = tf.Graph()
        with graph.as_default():
            tf.set_random_seed(SEED)
            self._images = tf.placeholder(tf.float32, input_shape(network), name="images")
            self._alphas = alphas_from_logits(build(network, self._images, INFERENCE).logits)
            self._variables = tf.global_variables()
            initializer = tf.global_variables_initializer()
        graph.finalize()
        self._session = tf.Session(graph=graph, config=session_config(device))
        super().__init__(self._run, Card(network))
        self._weights = None
        if weights is None:
            self._session.run(initializer)
        else:
            self.load(weights)

    def load(self, weights):
        """Take the weights of a checkpoint, of this network.

        Returns:
            checkpoint.RestoreReport.

        Raises:
            ValueError: those of another network.
        """
        report = checkpoint.restore(self._session, weights.values, self._variables)
        check_fit(report, weights)
        self._weights = weights
        self.source, self.step, self.sha256 = weights.source, weights.step, weights.sha256
        return report

    @property
    def weights(self):
        """The Weights that it computes with."""
        if self._weights is None:
            variables = {variable.op.name: variable for variable in self._variables}
            self._weights = Weights(self.network, self._session.run(variables))
        return self._weights

    def _run(self, images):
        return self._session.run(self._alphas, {self._images: images})


def open_weights(weights, device=Device()):
    """A CheckpointPredictor with these Weights."""
    return CheckpointPredictor(weights.network, device, weights)
