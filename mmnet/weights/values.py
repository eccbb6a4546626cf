"""A trained network as arrays."""

from typing import Dict, NamedTuple, Optional

import numpy as np

from mmnet import checkpoint, checkpoint_files
from mmnet.network import Network


class Weights(NamedTuple):
    """A trained network as arrays, read once."""

    network: Network
    values: Dict[str, np.ndarray]  # every variable by name
    source: Optional[str] = None  # checkpoint prefix; None: untrained
    step: Optional[int] = None  # global step
    sha256: Optional[str] = None  # of the checkpoint's index, which holds every checksum
    use_ema: bool = False  # the values are the weights' exponential moving averages


def read_weights(prefix, network, use_ema=False, *, finite=True):
    """The Weights of a checkpoint; whether they fit the network shows where a graph takes them.

    Args:
        use_ema: take each weight's exponential moving average where the checkpoint has one.
        finite: refuse weights that are not; selfcheck looks at those, too.

    Raises:
        FileNotFoundError, ValueError: as checkpoint.read; ValueError also without any average, and
            for numbers that are not finite; names the variable.
    """
    values = checkpoint.read(prefix)
    if finite:
        need_finite(prefix, values)
    if use_ema:
        ending = checkpoint.AVERAGE
        averages = {
            name[: -len(ending)]: value for name, value in values.items() if name.endswith(ending)
        }
        if not averages:
            raise ValueError(
                "checkpoint %s holds no moving averages: it was not trained with --use_ema" % prefix
            )
        values.update(averages)
    step = step_in(prefix, values)
    return Weights(network, values, prefix, step, checkpoint_files.index_sha256(prefix), use_ema)


def step_in(prefix, values):
    """The global step of a checkpoint's variables, else that of its name; None without either."""
    if "global_step" not in values:
        return checkpoint_files.step_of(prefix)
    step = np.asarray(values["global_step"])
    if step.size != 1 or not np.issubdtype(step.dtype, np.integer):
        raise ValueError(
            "checkpoint %s: global_step is %s %s, not one whole number"
            % (prefix, step.dtype, list(step.shape))
        )
    return int(step.reshape(()))


def need_finite(prefix, values):
    """Raise ValueError where a variable holds numbers that are not finite.

    The ranges of 8 bits are NaN until they are measured.
    """
    for name in sorted(values):
        value = np.asarray(values[name])
        if "/quantization/" in name or not np.issubdtype(value.dtype, np.floating):
            continue
        bad = np.count_nonzero(~np.isfinite(value))
        if bad:
            raise ValueError(
                "checkpoint %s: %d of the %d numbers of %s are not finite (mmnet selfcheck says "
                "more)" % (prefix, bad, value.size, name)
            )


def need_fit(report, weights):
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
        raise ValueError(
            "checkpoint %s is not %s of width_multiplier %g: %s"
            % (
                weights.source,
                weights.network.name,
                weights.network.width_multiplier,
                "; ".join(parts),
            )
        )
