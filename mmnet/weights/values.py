"""A trained network as arrays: read, scale, average and check its weights."""

from typing import Dict, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from mmnet.io import checkpoint_files
from mmnet.io.errors import MmnetError
from mmnet.networks.network import Network
from mmnet.networks.quantization import SCOPE, is_range
from mmnet.networks.registry import find_definition
from mmnet.tf import checkpoint

# Name endings of a network's variables.
TRAINABLE = ("/weights", "/depthwise_weights", "/gamma", "/beta", "/biases")
MOVING = ("/moving_mean", "/moving_variance")


class WeightOptions(NamedTuple):
    """How the weights of a checkpoint are read."""

    use_ema: bool = False  # use the exponential moving averages of the weights
    logit_scale: float = 1.0  # factor of the logits


class Weights(NamedTuple):
    """A trained network as arrays."""

    network: Network
    values: Dict[str, np.ndarray]  # variable name -> value
    source: Optional[str] = None  # checkpoint prefix; None: untrained
    step: Optional[int] = None  # global step
    sha256: Optional[str] = None  # hash of the checkpoint's index, which contains every checksum
    options: WeightOptions = WeightOptions()  # the options of read_weights
    name: Optional[str] = None  # name in the registry


def read_weights(
    prefix: str, network: Network, options: WeightOptions = WeightOptions(), *, finite: bool = True
) -> Weights:
    """Read the weights of a checkpoint. Only a restore checks that they fit the network.

    ``finite``: raise MmnetError if a value is not finite.
    """
    values = checkpoint.read(prefix)
    if finite:
        check_finite(prefix, values)
    if options.use_ema:
        averages = moving_averages(values)
        if not averages:
            raise MmnetError(f"{prefix} contains no moving averages; train with use_ema", "use_ema")
        values.update(averages)
    sha256 = checkpoint_files.index_sha256(prefix)
    weights = Weights(network, values, prefix, global_step(prefix, values), sha256, options)
    return scale_classifier(weights, options.logit_scale)


def scale_classifier(weights: Weights, logit_scale: float) -> Weights:
    """Multiply the logits by ``logit_scale``, which is stored in the classifier's variables."""
    if not 0 < logit_scale < np.inf:
        raise MmnetError(f"{logit_scale}: must be a positive number", "logit_scale")
    if logit_scale == 1:
        return weights
    scope = find_definition(weights.network).classifier
    values = dict(weights.values)
    for name in (f"{scope}/weights", f"{scope}/biases"):
        if name not in values:
            raise MmnetError(f"{weights.source} has no variable {name}", "logit_scale")
        values[name] = values[name] * np.float32(logit_scale)
    return weights._replace(values=values)


def average_weights(checkpoints: Sequence[Weights], *, use_ema: bool = False) -> Weights:
    """Return the mean of several trained networks of the same kind.

    With ``use_ema`` it averages the moving averages of each checkpoint that contains some.
    """
    first = checkpoints[0]
    all_values = [weights.values for weights in checkpoints]
    if use_ema:
        all_values = [dict(values, **moving_averages(values)) for values in all_values]
    means = {}
    for name in filter(is_network_variable, first.values):
        shapes = [list(np.shape(weights.values.get(name, ()))) for weights in checkpoints]
        for other, shape in zip(checkpoints, shapes):
            if shape != shapes[0]:
                raise MmnetError(
                    f"{other.source}: is another network than {first.source}: {name} has the shape "
                    f"{shape}, not {shapes[0]}"
                )
        mean = np.mean([values[name] for values in all_values], axis=0, dtype=np.float64)
        means[name] = mean.astype(first.values[name].dtype)
    steps = [weights.step for weights in checkpoints if weights.step is not None]
    return Weights(first.network, means, first.source, max(steps, default=None))


def moving_averages(values: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
    """Return the exponential moving averages in a checkpoint: variable name -> average."""
    suffix = checkpoint.AVERAGE_SUFFIX
    return {name[: -len(suffix)]: values[name] for name in values if name.endswith(suffix)}


def global_step(prefix: str, values: Dict[str, np.ndarray]) -> Optional[int]:
    """Return the global step of a checkpoint: from its variables, else from its name, else None."""
    if "global_step" not in values:
        return checkpoint_files.step_of(prefix)
    step = np.asarray(values["global_step"])
    if step.size != 1 or not np.issubdtype(step.dtype, np.integer):
        raise MmnetError(
            f"{prefix}: global_step: expected one whole number, not {step.dtype} {list(step.shape)}"
        )
    return int(step.reshape(()))


def check_finite(source: str, values: Dict[str, np.ndarray]) -> None:
    """Raise MmnetError if a variable is not finite. Ranges of quantization may be NaN at first."""
    for name in sorted(values):
        value = np.asarray(values[name])
        if f"/{SCOPE}/" in name or not np.issubdtype(value.dtype, np.floating):
            continue
        count = np.count_nonzero(~np.isfinite(value))
        if count:
            raise MmnetError(
                f"checkpoint {source}: {name}: {count} of {value.size} values are not finite; "
                "mmnet check-batch-norm shows more"
            )


def check_fit(report: checkpoint.RestoreReport, weights: Weights) -> None:
    """Raise MmnetError if a restore of these weights did not fill the whole network."""
    problems, network = [], weights.network
    if report.reshaped:
        name, shape, expected = report.reshaped[0]
        problems.append(
            f"{len(report.reshaped)} variables have another shape ({name} is {shape} in the "
            f"checkpoint and {expected} in the network); set width_multiplier as in its training"
        )
    if report.missing:
        problems.append(f"{len(report.missing)} variables are missing (first: {report.missing[0]})")
    if problems:
        description = f"{network.name} with width_multiplier {network.width_multiplier:g}"
        raise MmnetError(f"{weights.source}: is not {description}: {'; '.join(problems)}")


def is_network_variable(name: str) -> bool:
    """Return whether a variable belongs to a network; optimizer slots and averages do not."""
    return name.endswith(TRAINABLE + MOVING)


def count_parameters(values: Dict[str, np.ndarray], endings: Tuple[str, ...] = TRAINABLE) -> int:
    """Return how many numbers the variables with these name endings contain."""
    return sum(int(value.size) for name, value in values.items() if name.endswith(endings))


def count_variables(values: Dict[str, np.ndarray], copy_suffix: str) -> Dict[str, int]:
    """Count the variables of a checkpoint by purpose. Frozen copies end with ``copy_suffix``."""
    counts = {
        "network": sum(map(is_network_variable, values)),
        "moving averages of weights": len(moving_averages(values)),
        "ranges of 8 bits": sum(map(is_range, values)),
        "frozen copy": sum(name.endswith(copy_suffix) for name in values),
    }
    known = sum(counts.values()) + ("global_step" in values)
    return dict(counts, optimizer=len(values) - known)
