"""Where a training run begins."""

import logging
from typing import NamedTuple, Optional

import numpy as np
from humanfriendly.tables import format_pretty_table

from mmnet.io import checkpoint_files
from mmnet.io.errors import MmnetError
from mmnet.networks.quantization import is_range
from mmnet.tf import checkpoint
from mmnet.training import lineage
from mmnet.training.graph import COPY
from mmnet.weights.source import find_source

log = logging.getLogger(__name__)


class Start(NamedTuple):
    """Where training begins."""

    step_from_restore: int = 0
    parent: Optional[dict] = None  # lineage.describe_parent of the warm start
    data_sets: tuple = ()  # as the same run's last checkpoint records them


def restore(session, graph, settings):
    """Bring the graph to where training begins, in this order:

    1. train_dir's own latest checkpoint: the same run goes on, slots, averages and position
       included;
    2. --checkpoint_path: a warm start: its variables as far as the scopes let them in; the global
       step goes on;
    3. nothing: from scratch.

    Raises:
        FileNotFoundError, ValueError: no such checkpoint, a damaged one, or one that does not fit.
    """
    own = checkpoint_files.list_checkpoints(settings.train_dir)
    if own:
        return _go_on(session, graph, own[-1])
    session.run(graph.initializer)
    if settings.checkpoint_path is None:
        log.info("from scratch")
        _start_copies(session, graph, {})
        return Start()
    return _warm_start(session, graph, settings)


def _go_on(session, graph, prefix):
    report = checkpoint.restore(session, checkpoint.read(prefix), graph.variables)
    if report.missing or report.reshaped:
        raise MmnetError(
            "%s was trained with other settings (%s): give them again, or another --train_dir"
            % (prefix, "; ".join(_differences(report)))
        )
    record = lineage.read_lineage(prefix) or {}
    log.info("going on from %s", prefix)
    return Start(*(record[name] for name in Start._fields)) if record else Start()


def _warm_start(session, graph, settings):
    prefix = find_source(settings.checkpoint_path).path
    values = checkpoint.read(prefix)
    wanted = {name: values[name] for name in values if _is_wanted(name, graph, settings)}
    report = checkpoint.restore(session, _widened(wanted, graph), graph.variables)
    skipped = sorted(values.keys() - wanted.keys())
    log.info("warm start from %s\n%s", prefix, _table(report, skipped))
    copies = {copy.op.name for copy in _copies(graph)}
    optional = {"global_step", *graph.slots, *filter(is_range, report.missing), *copies}
    must = [name for name in report.missing if name not in optional and name not in skipped]
    if (must or report.reshaped) and not settings.ignore_missing_vars:
        raise MmnetError(
            "%s does not fit (%s): --ignore_missing_vars starts those fresh"
            % (prefix, "; ".join(_differences(report._replace(missing=must))))
        )
    _start_copies(session, graph, report.loaded)
    return Start(parent=lineage.describe_parent(prefix, int(session.run(graph.global_step))))


def _widened(values, graph):
    """Values with first kernels of RGB made fit for a fourth channel, which adds nothing yet."""
    widened = dict(values)
    for variable in graph.variables:
        shape, value = variable.shape.as_list(), values.get(variable.op.name)
        if value is None or len(shape) != 4 or shape[2] != 4:
            continue
        if list(value.shape) == shape[:2] + [3] + shape[3:]:
            more = [(0, 0), (0, 0), (0, 1), (0, 0)]
            widened[variable.op.name] = np.pad(value, more, mode="constant")
    return widened


def _is_wanted(name, graph, settings):
    """Whether a warm start takes a variable of its checkpoint."""
    include = settings.checkpoint_include_scopes
    exclude = settings.checkpoint_exclude_scopes
    included = include is None or name.startswith(tuple(include) + ("global_step",))
    excluded = bool(exclude) and name.startswith(tuple(exclude))
    is_reset = settings.reset_optimizer and name in graph.slots
    # A run's copy is of where it began itself.
    return included and not excluded and not is_reset and not name.endswith(COPY)


def _copies(graph):
    """Moving average or frozen copy -> the variable at whose value it begins."""
    return {
        copy: variable
        for found in (graph.averages, graph.copies)
        for variable, copy in found.items()
    }


def _start_copies(session, graph, loaded):
    """Moving averages and copies that were not loaded begin at their variables."""
    fresh = {
        copy: variable for copy, variable in _copies(graph).items() if copy.op.name not in loaded
    }
    values = session.run({copy.op.name: variable for copy, variable in fresh.items()})
    checkpoint.restore(session, values, list(fresh))


def _table(report, skipped):
    reshaped = ["%s %s there, %s here" % row for row in report.reshaped]
    rows = []
    for kind, names in (
        ("loaded", report.loaded),
        ("missing, left as initialized", report.missing),
        ("reshaped, left as initialized", reshaped),
        ("skipped by the flags", skipped),
        ("not in this network", sorted(set(report.unused))),
    ):
        first = ", ".join(names[:2]) + (", ..." if len(names) > 2 else "")
        rows.append([kind, len(names), first])
    return format_pretty_table(rows, ["variables", "count", "the first"])


def _differences(report):
    if report.reshaped:
        first = (len(report.reshaped),) + report.reshaped[0]
        yield "%d of another shape, first %s %s there, %s here" % first
    if report.missing:
        yield "%d missing, first %s" % (len(report.missing), report.missing[0])
