"""What the README of version 0.1 showed of checkpoints in Python, for one version more."""

from deprecation import deprecated

from mmnet import __version__
from mmnet.inference import checkpoints
from mmnet.inference.open import open_predictor
from mmnet.weights.registry import UNTRAINED
from mmnet.weights.values import Reading


class CheckpointPredictor(checkpoints.CheckpointPredictor):
    @classmethod
    @deprecated("0.2", "0.3", __version__, "Use mmnet.load(checkpoint).")
    def open(cls, checkpoint_path=None, width_multiplier=1.0, size=256, use_ema=False):
        """A predictor with the weights of a prefix or of a folder's latest checkpoint."""
        wanted = {"width_multiplier": width_multiplier, "shape": (size, size)}
        return open_predictor(checkpoint_path or UNTRAINED, wanted, reading=Reading(use_ema))
