"""The weights verb: what has a name, and getting it."""

import json
import os

from humanfriendly import format_size

from mmnet.weights import registry


def run(settings):
    if settings.action == "get":
        for name in settings.names:
            registry.get(name)
            registry.check(name)
            where = os.path.join(registry.folder_of(name), registry.need_name(name).checkpoint)
            print(json.dumps({"name": name, "path": where}) if settings.json else where)
        return 0
    for name, entry in registry.read_registry().items():
        if settings.json:
            record = dict(entry._asdict(), files=[file._asdict() for file in entry.files])
            print(json.dumps(dict(record, name=name, here=registry.is_here(name))))
        else:
            print(entry_text(name, entry))
    return 0


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
