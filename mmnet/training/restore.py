"""Where a training run begins."""
import logging
from typing import NamedTuple, Optional

from humanfriendly.tables import format_pretty_table

from mmnet import checkpoint
from mmnet.networks.quantization import is_range
from mmnet.training import lineage

log = logging.getLogger(__name__)


class Start(NamedTuple):
    """Where training begins."""
    step_from_restore: int = 0
    parent: Optional[dict] = None  # lineage.describe_parent of the warm start
    data_sets: tuple = ()  # of the record of the same run's checkpoint


def restore(session, graph, settings):
    """Bring the graph to where training begins, in this order:

    1. train_dir's own latest checkpoint: the same run goes on, slots, averages and position included;
    2. --checkpoint_path: a warm start: its variables as far as the scopes let them in, the global step goes on;
    3. nothing: scratch.

    Raises:
        FileNotFoundError, ValueError: no such checkpoint, a damaged one, or one that does not fit.
    """
    own = checkpoint.list_checkpoints(settings.train_dir)
    if own:
        report = checkpoint.restore(session, checkpoint.read(own[-1]), graph.variables)
        if report.missing or report.reshaped:
            raise ValueError("%s was trained with other settings (%s): give them again, or another --train_dir" % (
                own[-1], "; ".join(_differences(report))))
        record = lineage.read(own[-1]) or {}
        log.info("going on from %s", own[-1])
        return Start(*(record[name] for name in Start._fields)) if record else Start()
    if settings.checkpoint_path is None:
        log.info("from scratch")
        _start_averages(session, graph, {})
        return Start()
    prefix = checkpoint.resolve(settings.checkpoint_path)
    values = checkpoint.read(prefix)
    include, exclude = settings.checkpoint_include_scopes, settings.checkpoint_exclude_scopes
    wanted = {name: value for name, value in values.items()
              if (include is None or name.startswith(tuple(include) + ("global_step",)))
              and not (exclude and name.startswith(tuple(exclude)))
              and not (settings.reset_optimizer and name in graph.slots)}
    report = checkpoint.restore(session, wanted, graph.variables)
    skipped = sorted(values.keys() - wanted.keys())
    log.info("warm start from %s\n%s", prefix, _table(report, skipped))
    optional = {"global_step", *graph.slots, *filter(is_range, report.missing),
                *(average.op.name for average in graph.averages.values())}
    must = [name for name in report.missing if name not in optional and name not in skipped]
    if (must or report.reshaped) and not settings.ignore_missing_vars:
        raise ValueError("%s does not fit (%s): --ignore_missing_vars starts those fresh" % (
            prefix, "; ".join(_differences(report._replace(missing=must)))))
    _start_averages(session, graph, report.loaded)
    return Start(parent=lineage.describe_parent(prefix, int(session.run(graph.global_step))))


def _start_averages(session, graph, loaded):
    """Moving averages that were not loaded begin at their weights."""
    fresh = {average.op.name: variable for variable, average in graph.averages.items() if average.op.name not in loaded}
    checkpoint.restore(session, session.run(fresh), [graph.averages[variable] for variable in fresh.values()])


def _table(report, skipped):
    rows = []
    for kind, names in (("loaded", report.loaded), ("missing, left as initialized", report.missing),
                        ("reshaped, left as initialized", ["%s %s there, %s here" % row for row in report.reshaped]),
                        ("skipped by the flags", skipped), ("not in this network", sorted(set(report.unused)))):
        rows.append([kind, len(names), ", ".join(names[:2]) + (", ..." if len(names) > 2 else "")])
    return format_pretty_table(rows, ["variables", "count", "the first"])


def _differences(report):
    if report.reshaped:
        yield "%d of another shape, first %s %s there, %s here" % ((len(report.reshaped),) + report.reshaped[0])
    if report.missing:
        yield "%d missing, first %s" % (len(report.missing), report.missing[0])
