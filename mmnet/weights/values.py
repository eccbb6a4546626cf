"""A trained network as arrays."""

from typing import Dict, NamedTuple, Optional

import numpy as np

from mmnet.io import checkpoint_files
from mmnet.io.errors import MmnetError
from mmnet.networks.network import Network
from mmnet.networks.registry import find_definition
from mmnet.tf import checkpoint

# Ends of the names of a network's variables: what is trained, and batch norm's statistics.
TRAINABLE = ("/weights", "/depthwise_weights", "/gamma", "/beta", "/biases")
MOVING = ("/moving_mean", "/moving_variance")


class WeightOptions(NamedTuple):
    """How the weights of a checkpoint are taken."""

    use_ema: bool = False  # their exponential moving averages
    logit_scale: float = 1.0  # factor of the logits


class Weights(NamedTuple):
    """A trained network as arrays, read once."""

    network: Network
    values: Dict[str, np.ndarray]  # every variable by name
    source: Optional[str] = None  # checkpoint prefix; None: untrained
    step: Optional[int] = None  # global step
    sha256: Optional[str] = None  # of the checkpoint's index, which holds every checksum
    options: WeightOptions = WeightOptions()  # how the values were read


def read_weights(prefix, network, weight_options=WeightOptions(), *, finite=True):
    """The Weights of a checkpoint; whether they fit the network shows where a graph takes them.

    Args:
        reading: Reading. With use_ema, each weight's average where the checkpoint has one.
        finite: refuse weights that are not; selfcheck looks at those, too.

    Raises:
        FileNotFoundError, ValueError: as checkpoint.read; ValueError also without any average, and
            for numbers that are not finite; names the variable.
    """
    values = checkpoint.read(prefix)
    if finite:
        check_finite(prefix, values)
    if reading.use_ema:
        ending = checkpoint.AVERAGE_SUFFIX
        averages = {
            name[: -len(ending)]: value for name, value in values.items() if name.endswith(ending)
        }
        if not averages:
            raise MmnetError(
                "checkpoint %s holds no moving averages: it was not trained with --use_ema" % prefix
            )
        values.update(averages)
    step = step_in(prefix, values)
    sha256 = checkpoint_files.index_sha256(prefix)
    weights = Weights(network, values, prefix, step, sha256, reading)
    return scale_classifier(weights, reading.logit_scale)


def scale_classifier(weights, logit_scale):
    """Return Weights whose logits are ``logit_scale`` times as large. Inference does not slow down.

    The weights and biases of the classifier are multiplied. (The temperature of Guo et al., "On
    Calibration of Modern Neural Networks", ICML 2017, is 1 / logit_scale.)

    Raises:
        ValueError: a network whose classifier is not known here, or a checkpoint without it.
    """
    if logit_scale == 1:
        return weights
    scope = find_definition(weights.network).classifier
    names = ["%s/%s" % (scope, end) for end in ("weights", "biases")]
    if not all(name in weights.values for name in names):
        raise MmnetError(
            f"{weights.source or weights.network.name}: has no known classifier", "logit_scale"
        )
    values = dict(weights.values)
    for name in names:
        values[name] = values[name] * np.float32(logit_scale)
    return weights._replace(values=values)


def average(several):
    """The Weights whose network's variables are the means of several Weights' of one network.

    Raises:
        ValueError: other variables, or variables of another shape, in one of them.
    """
    first = several[0]
    names = [name for name in first.values if is_network_variable(name)]
    for other in several[1:]:
        for name in names:
            if np.shape(other.values.get(name)) != np.shape(first.values[name]):
                raise MmnetError(
                    "%s and %s are different networks: %s is %s there, %s here"
                    % (
                        first.source,
                        other.source,
                        name,
                        list(np.shape(first.values[name])),
                        list(np.shape(other.values.get(name))),
                    )
                )
    values = {
        name: np.mean([one.values[name] for one in several], axis=0, dtype=np.float64)
        for name in names
    }
    values = {name: value.astype(first.values[name].dtype) for name, value in values.items()}
    steps = [one.step for one in several if one.step is not None]
    return Weights(first.network, values, step=max(steps) if steps else None)


def step_in(prefix, values):
    """The global step of a checkpoint's variables, else that of its name; None without either."""
    if "global_step" not in values:
        return checkpoint_files.step_of(prefix)
    step = np.asarray(values["global_step"])
    if step.size != 1 or not np.issubdtype(step.dtype, np.integer):
        raise MmnetError(
            "checkpoint %s: global_step is %s %s, not one whole number"
            % (prefix, step.dtype, list(step.shape))
        )
    return int(step.reshape(()))


def check_finite(prefix, values):
    """Raise ValueError where a variable holds numbers that are not finite.

    The ranges of 8 bits are NaN until they are measured.
    """
    for name in sorted(values):
        value = np.asarray(values[name])
        if "/quantization/" in name or not np.issubdtype(value.dtype, np.floating):
            continue
        bad = np.count_nonzero(~np.isfinite(value))
        if bad:
            raise MmnetError(
                "checkpoint %s: %d of the %d numbers of %s are not finite (mmnet selfcheck says "
                "more)" % (prefix, bad, value.size, name)
            )


def check_fit(report, weights):
    """Raise ValueError where a restore's Report says that a network did not get every variable."""
    parts = []
    if report.reshaped:
        parts.append(
            "%d variables have another shape (%s is %s there and %s here; give the "
            "--width_multiplier it was trained with)"
            % ((len(report.reshaped),) + report.reshaped[0])
        )
    if report.missing:
        parts.append(
            "%d variables are not in it (first: %s)" % (len(report.missing), report.missing[0])
        )
    if parts:
        raise MmnetError(
            "checkpoint %s is not %s of width_multiplier %g: %s"
            % (
                weights.source,
                weights.network.name,
                weights.network.width_multiplier,
                "; ".join(parts),
            )
        )


def is_network_variable(name):
    """Whether a variable of a checkpoint belongs to its network, slots and averages aside."""
    return name.endswith(TRAINABLE + MOVING)
