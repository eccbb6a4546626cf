"""Restore the state in which a training starts."""

import logging
from typing import NamedTuple, Optional, Sequence

import numpy as np

from mmnet.distributed.group import Group, broadcast
from mmnet.io import checkpoint_files
from mmnet.io.errors import MmnetError, format_names
from mmnet.io.tables import format_table
from mmnet.networks.network import Network
from mmnet.networks.quantization import is_range, quantization_ranges
from mmnet.tf import checkpoint
from mmnet.tf.compat import tf
from mmnet.training.graph import COPY, TrainingGraph
from mmnet.training.lineage import Start, describe_parent, read_start
from mmnet.weights.ranges import measure_ranges
from mmnet.weights.values import Weights

log = logging.getLogger(__name__)


class WarmStart(NamedTuple):
    """The checkpoint from which a new training starts, and which of its variables to load."""

    source: str  # prefix, folder or name of weights
    include_scopes: Optional[Sequence[str]] = None  # prefixes of variable names; None: all
    exclude_scopes: Sequence[str] = ()
    ignore_missing_vars: bool = False  # initialize variables that are missing or have other shapes
    reset_optimizer: bool = False  # do not load the optimizer's slots


def restore(
    session: "tf.Session", graph: TrainingGraph, train_dir: str, warm_start: Optional[WarmStart]
) -> Start:
    """Restore the graph.

    1. If ``train_dir`` contains a checkpoint, resume from the latest one with all its variables.
    2. Else load the selected variables of the warm start, whose source is a prefix here. The
       global step continues.
    3. Else start from scratch.
    """
    own = checkpoint_files.list_checkpoints(train_dir)
    if own:
        return _resume(session, graph, own[-1])
    session.run(graph.initializer)
    if warm_start is not None:
        return _load_warm_start(session, graph, warm_start)
    log.info("start from scratch")
    _start_copies(session, graph, loaded=())
    return Start()


def broadcast_state(
    session: "tf.Session", graph: TrainingGraph, start: Start, group: Group
) -> Start:
    """Send the variables and the position of rank 0 to all processes. Return the common start."""
    values, step = broadcast(session, graph.variables, start.step_from_restore, group)
    checkpoint.restore(session, values, graph.variables)
    return start._replace(step_from_restore=step)


def initialize_ranges(
    session: "tf.Session", graph: TrainingGraph, network: Network, images: np.ndarray
) -> None:
    """Measure the ranges of activations on images, unless the checkpoint contained them."""
    values = session.run({variable.op.name: variable for variable in graph.variables})
    if not np.isnan(list(quantization_ranges(values).values())).any():
        return
    measured = measure_ranges(Weights(network, values), images)
    ranges = {name: np.asarray(value) for name, value in measured.items()}
    log.info("ranges of %d activations measured on %d images", len(ranges) // 2, len(images))
    for average, variable in graph.copies.items():
        if variable.op.name in ranges:
            ranges[average.op.name] = ranges[variable.op.name]
    checkpoint.restore(session, ranges, graph.variables)


def _resume(session, graph, prefix):
    report = checkpoint.restore(session, checkpoint.read(prefix), graph.variables)
    if report.missing or report.reshaped:
        raise MmnetError(
            f"{prefix}: was trained with other options ({_differences(report)}). Use the same "
            "options, or another train_dir"
        )
    log.info("resume from %s", prefix)
    return read_start(prefix)


def _load_warm_start(session, graph, warm_start):
    prefix = warm_start.source
    values = checkpoint.read(prefix)
    selected = {name: values[name] for name in values if _is_selected(name, graph, warm_start)}
    report = checkpoint.restore(session, _pad_input_channels(selected, graph), graph.variables)
    skipped = sorted(values.keys() - selected.keys())
    log.info("warm start from %s", prefix)
    for line in _format_report(report, skipped).splitlines():
        log.info("%s", line)
    optional = {"global_step", *graph.slots, *skipped, *(copy.op.name for copy in graph.copies)}
    missing = [name for name in report.missing if name not in optional and not is_range(name)]
    if (missing or report.reshaped) and not warm_start.ignore_missing_vars:
        differences = _differences(report._replace(missing=missing))
        raise MmnetError(
            f"{prefix}: does not fit ({differences}). ignore_missing_vars initializes these "
            "variables",
            "checkpoint_path",
        )
    _start_copies(session, graph, report.loaded)
    return Start(parent=describe_parent(prefix, int(session.run(graph.global_step))))


def _is_selected(name, graph, warm_start):
    """Return whether a warm start loads a variable of its checkpoint."""
    include, exclude = warm_start.include_scopes, tuple(warm_start.exclude_scopes)
    if include is not None and not name.startswith((*include, "global_step")):
        return False
    is_reset = warm_start.reset_optimizer and name in graph.slots
    # A frozen copy starts at the warm start itself.
    return not (is_reset or name.startswith(exclude) or name.endswith(COPY))


def _pad_input_channels(values, graph):
    """Zero-pad the first kernel from 3 to 4 input channels."""
    padded = dict(values)
    for variable in graph.variables:
        name, shape = variable.op.name, variable.shape.as_list()
        stored_shape = list(np.shape(values.get(name, ())))
        if len(shape) == 4 and shape[2] == 4 and stored_shape == [*shape[:2], 3, shape[3]]:
            padded[name] = np.pad(values[name], [(0, 0), (0, 0), (0, 1), (0, 0)], "constant")
    return padded


def _start_copies(session, graph, loaded):
    """Start the moving averages and frozen copies that were not loaded at their variables."""
    copies = {c: variable for c, variable in graph.copies.items() if c.op.name not in loaded}
    values = session.run({copy.op.name: variable for copy, variable in copies.items()})
    checkpoint.restore(session, values, list(copies))


def _format_report(report, skipped):
    reshaped = [f"{name} {stored} instead of {shape}" for name, stored, shape in report.reshaped]
    names_by_kind = {
        "loaded": report.loaded,
        "missing, initialized": report.missing,
        "other shape, initialized": reshaped,
        "skipped by options": skipped,
        "not in this network": report.unused,
    }
    rows = [("variables", "count", "first")]
    for kind, names in names_by_kind.items():
        rows.append((kind, str(len(names)), format_names(names)))
    return format_table(rows, left_columns=3)


def _differences(report):
    """Describe the missing and reshaped variables."""
    parts = []
    if report.reshaped:
        name, stored, shape = report.reshaped[0]
        count = len(report.reshaped)
        parts.append(f"{count} of another shape, first {name}: {stored} instead of {shape}")
    if report.missing:
        parts.append(f"{len(report.missing)} missing, first {report.missing[0]}")
    return "; ".join(parts)
