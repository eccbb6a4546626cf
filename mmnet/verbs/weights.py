"""The weights verb: what has a name, and getting it."""

import json
import os

from humanfriendly import format_size

from mmnet.checkpoint import AVERAGE
from mmnet.files import need_writable
from mmnet.inference.open import load_weights
from mmnet.weights import registry
from mmnet.weights.values import Reading, average, write_weights


def run(settings):
    if settings.action == "average":
        need_writable("--output", os.path.dirname(os.path.abspath(settings.output)))
        several = [weights_of(source, settings.use_ema) for source in settings.names]
        write_weights(settings.output, average(several))
        print(json.dumps({"path": settings.output}) if settings.json else settings.output)
        return 0
    if settings.action == "get":
        for name in settings.names:
            registry.check(name)
            where = registry.prefix_of(name)
            print(json.dumps({"name": name, "path": where}) if settings.json else where)
        return 0
    for name, entry in registry.read_registry().items():
        if settings.json:
            record = dict(entry._asdict(), files=[file._asdict() for file in entry.files])
            print(json.dumps(dict(record, name=name, here=registry.is_here(name))))
        else:
            print(entry_text(name, entry))
    return 0


def weights_of(source, use_ema):
    """The Weights of a checkpoint, or its moving averages if asked for and if it has any."""
    weights = load_weights(source)
    if use_ema and any(name.endswith(AVERAGE) for name in weights.values):
        return load_weights(source, reading=Reading(use_ema))
    return weights


def entry_text(name, entry):
    """What is known of an Entry, for a person to read."""
    size = format_size(sum(file.bytes for file in entry.files), binary=True)
    where = "here" if registry.is_here(name) else "to be downloaded when it is first used"
    lines = ["%s (%s, %s)" % (name, size, where), "  " + entry.description]
    lines.append("  %-10s %s" % ("data", entry.data))
    lines.append("  %-10s %s" % ("bad at", entry.weak))
    lines.append("  %-10s %s" % ("licence", entry.licence))
    if entry.page:
        lines.append("  %-10s %s" % ("from", entry.page))
    for data_set, scores in entry.scores.items():
        values = ", ".join("%s %.4f" % score for score in scores.items())
        lines.append("  %-10s %s: %s" % ("scores", data_set, values))
    return "\n".join(lines)
