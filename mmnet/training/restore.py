"""Restore the state in which a training starts."""

import logging
from typing import Optional

import numpy as np

from mmnet.distributed.group import Broadcast, broadcast
from mmnet.io import checkpoint_files
from mmnet.io.errors import MmnetError, format_names
from mmnet.io.tables import format_table
from mmnet.networks.network import Network
from mmnet.networks.quantization import is_range, quantization_ranges
from mmnet.tf import checkpoint
from mmnet.tf.compat import tf
from mmnet.training.config import WarmStart
from mmnet.training.graph import COPY, TrainingGraph
from mmnet.training.lineage import Start, describe_parent, read_start
from mmnet.weights.ranges import measure_ranges
from mmnet.weights.values import Weights

log = logging.getLogger(__name__)


def restore(
    session: "tf.Session", graph: TrainingGraph, train_dir: str, warm_start: Optional[WarmStart]
) -> Start:
    """Restore the graph.

    1. If ``train_dir`` contains a checkpoint, resume from the latest one with all its variables.
    2. Else load the selected variables of the warm start. The global step continues.
    3. Else start from scratch.

    Args:
        session: a session of the graph.
        graph: the graph.
        train_dir: folder of the training.
        warm_start: its ``source`` is the prefix of a checkpoint.

    Raises:
        FileNotFoundError: no such checkpoint.
        MmnetError: a checkpoint is damaged or does not fit.
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
    session: "tf.Session", graph: TrainingGraph, start: Start, operations: Broadcast
) -> Start:
    """Send the variables and the position of rank 0 to all processes. Return the common start."""
    values, step = broadcast(session, operations, graph.variables, start.step_from_restore)
    checkpoint.restore(session, values, graph.variables)
    return start._replace(step_from_restore=step)


def initialize_ranges(
    session: "tf.Session", graph: TrainingGraph, network: Network, images: np.ndarray
) -> None:
    """Measure the ranges of activations, unless the checkpoint contained them.

    Args:
        session: a session of the graph.
        graph: a graph for 8 bits.
        network: the network of the graph.
        images: float32 [N,H,W,C], 0..255.
    """
    values = session.run({variable.op.name: variable for variable in graph.variables})
    if not np.isnan(list(quantization_ranges(values).values())).any():
        return
    measured = measure_ranges(Weights(network, values), images)
    ranges = {name: np.asarray(value) for name, value in measured.items()}
    checkpoint.restore(session, ranges, graph.variables)
    averages = {
        average.op.name: ranges[variable.op.name]
        for variable, average in graph.averages.items()
        if variable.op.name in ranges
    }
    checkpoint.restore(session, averages, graph.variables)
    log.info("ranges of %d activations measured on %d images", len(ranges) // 2, len(images))


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
    log.info("warm start from %s\n%s", prefix, _format_report(report, skipped))
    optional = {"global_step", *graph.slots, *skipped, *(copy.op.name for copy in _copies(graph))}
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


def _pad_input_channels(values, graph):
    """Zero-pad the first kernel from 3 to 4 input channels."""
    padded = dict(values)
    for variable in graph.variables:
        shape, value = variable.shape.as_list(), values.get(variable.op.name)
        if value is None or len(shape) != 4 or shape[2] != 4:
            continue
        if list(value.shape) == shape[:2] + [3] + shape[3:]:
            padding = [(0, 0), (0, 0), (0, 1), (0, 0)]
            padded[variable.op.name] = np.pad(value, padding, mode="constant")
    return padded


def _is_selected(name, graph, warm_start):
    """Return whether a warm start loads a variable of its checkpoint."""
    include = warm_start.include_scopes
    if include is not None and not name.startswith((*include, "global_step")):
        return False
    if name.startswith(tuple(warm_start.exclude_scopes)):
        return False
    if warm_start.reset_optimizer and name in graph.slots:
        return False
    return not name.endswith(COPY)  # a frozen copy starts at the warm start itself


def _copies(graph):
    """Return moving average or frozen copy -> the variable at whose value it starts."""
    pairs = [*graph.averages.items(), *graph.copies.items()]
    return {copy: variable for variable, copy in pairs}


def _start_copies(session, graph, loaded):
    """Start the moving averages and copies that were not loaded at their variables."""
    copies = {c: v for c, v in _copies(graph).items() if c.op.name not in loaded}
    values = session.run({copy.op.name: variable for copy, variable in copies.items()})
    checkpoint.restore(session, values, list(copies))


def _format_report(report, skipped):
    reshaped = [f"{name} {stored} instead of {shape}" for name, stored, shape in report.reshaped]
    rows = [("variables", "count", "first")]
    for kind, names in (
        ("loaded", report.loaded),
        ("missing, initialized", report.missing),
        ("other shape, initialized", reshaped),
        ("skipped by options", skipped),
        ("not in this network", sorted(set(report.unused))),
    ):
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
