"""A checkpoint as a ``Predict``: images float32 [N,size,size,3] 0..255 -> alphas float32 [N,size,size] 0..1."""
import numpy as np

from mmnet import backend, checkpoint
from mmnet.compat import tf
from mmnet.networks.layers import INFERENCE
from mmnet.networks.mmnet import mmnet
from mmnet.networks.quantization import ranges_of

SEED = 0  # of untrained weights


class CheckpointPredictor:
    """The network in a session of its own; call it to predict, ``restore`` it as often as there are checkpoints."""

    def __init__(self, width_multiplier=1.0, size=256, use_ema=False, device=None, as_written=False,
                 threads=None):
        """use_ema: take each weight's exponential moving average where the checkpoint has one. device: as
        backend.need_device takes it and raises ValueError for. as_written, threads: as
        backend.session_config."""
        backend.need_device(device)
        self.width_multiplier, self.use_ema = width_multiplier, use_ema
        self.ranges = {}  # of the activations, where the checkpoint was trained for 8 bits
        graph = tf.Graph()
        with graph.as_default():
            tf.set_random_seed(SEED)
            self._images = tf.placeholder(tf.float32, [None, size, size, 3], name="images")
            logits = mmnet(self._images / 255.0, INFERENCE, width_multiplier).logits
            self._alphas = tf.nn.softmax(logits)[..., 1]
            self._variables = tf.global_variables()
            initializer = tf.global_variables_initializer()
        graph.finalize()
        self._session = tf.Session(graph=graph, config=backend.session_config(device, as_written=as_written,
                                                                              threads=threads))
        self._session.run(initializer)

    @classmethod
    def open(cls, checkpoint_path=None, width_multiplier=1.0, size=256, use_ema=False, device=None,
             as_written=False, threads=None):
        """A predictor with the weights of a prefix or of a folder's latest checkpoint; untrained without a path."""
        prefix = checkpoint_path and checkpoint.resolve(checkpoint_path)
        predictor = cls(width_multiplier, size, use_ema, device, as_written, threads)
        if prefix:
            predictor.restore(prefix)
        return predictor

    def restore(self, prefix):
        """Load every variable of the network from a checkpoint.

        Returns:
            (checkpoint.Report, the checkpoint's global step or None)

        Raises:
            FileNotFoundError, ValueError: as checkpoint.read; ValueError also for another network's.
        """
        values = checkpoint.read(prefix)
        if self.use_ema:
            averages = {name[:-len(checkpoint.AVERAGE)]: value for name, value in values.items()
                        if name.endswith(checkpoint.AVERAGE)}
            if not averages:
                raise ValueError("checkpoint %s holds no moving averages: it was not trained with --use_ema" % prefix)
            values.update(averages)
        report = checkpoint.restore(self._session, values, self._variables)
        need_fit(report, prefix, self.width_multiplier)
        self.ranges = ranges_of(values)
        step = values.get("global_step")
        return report, checkpoint.step_of(prefix) if step is None else int(step)

    def values(self):
        """Every variable of the network: name -> array."""
        return self._session.run({variable.op.name: variable for variable in self._variables})

    def __call__(self, images):
        return self._session.run(self._alphas, {self._images: np.asarray(images, np.float32)})


def need_fit(report, prefix, width_multiplier):
    """Raise ValueError where a checkpoint.Report says that the network did not get every variable."""
    parts = []
    if report.reshaped:
        parts.append("%d variables have another shape (%s is %s there and %s here; give the --width_multiplier it was "
                     "trained with)" % ((len(report.reshaped),) + report.reshaped[0]))
    if report.missing:
        parts.append("%d variables are not in it (first: %s)" % (len(report.missing), report.missing[0]))
    if parts:
        raise ValueError("checkpoint %s is not MMNet of width_multiplier %g: %s"
                         % (prefix, width_multiplier, "; ".join(parts)))
