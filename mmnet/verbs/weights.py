"""The weights verb: what has a name, and getting it; means; weights of others."""

import json
import os

import numpy as np
from humanfriendly import format_size

from mmnet.checkpoint import AVERAGE
from mmnet.compat import tf
from mmnet.data.pairs import evenly, find_data_set
from mmnet.export.calibration import read_pictures
from mmnet.files import need_writable
from mmnet.inference.open import load_weights
from mmnet.network import decide
from mmnet.networks.batch_norm import measured
from mmnet.networks.build import build, input_shape
from mmnet.networks.layers import INFERENCE
from mmnet.weights import registry
from mmnet.weights.convert import read_foreign
from mmnet.weights.values import Reading, Weights, average, need_finite
from mmnet.weights.write import write_weights

PICTURES = 320  # of each data set that batch norm is measured on


def run(settings):
    if settings.action == "average":
        need_writable("--output", os.path.dirname(os.path.abspath(settings.output)))
        several = [weights_of(source, settings.use_ema) for source in settings.names]
        mean = average(several)
        if settings.dataset_path:
            mean = mean._replace(source=settings.names[0])  # for what may be wrong with them
            mean = measured(mean, pictures_of(settings, mean.network))
        write_weights(settings.output, mean)
        print(json.dumps({"path": settings.output}) if settings.json else settings.output)
        return 0
    if settings.action == "convert":
        need_writable("--output", os.path.dirname(os.path.abspath(settings.output)))
        weights, missing = converted(settings)
        write_weights(settings.output, weights)
        record = {"path": settings.output, "variables": len(weights.values), "missing": missing}
        print(json.dumps(record) if settings.json else converted_text(record))
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


def pictures_of(settings, network):
    """float32 [N,H,W,C] 0..255 of the settings' data sets, of each in turn."""
    each = [
        read_pictures(evenly(find_data_set(path, "train").pairs, PICTURES), network)
        for path in settings.dataset_path
    ]
    shortest = min(map(len, each))
    return np.stack([images[:shortest] for images in each], axis=1).reshape(-1, *each[0].shape[1:])


def converted(settings):
    """(the Weights in a foreign file, names of the network's variables that it does not hold).

    Raises:
        ValueError: it holds none of them, or some of another shape.
    """
    (source,) = settings.names
    given = {"name": settings.network, "width_multiplier": settings.width_multiplier}
    network = decide({name: value for name, value in given.items() if value is not None})
    values = read_foreign(source, network)
    with tf.Graph().as_default():
        build(network, tf.placeholder(tf.float32, input_shape(network, 1)), INFERENCE)
        shapes = {one.op.name: one.shape.as_list() for one in tf.global_variables()}
    known = {name: values[name] for name in values if name in shapes}
    if not known:
        raise ValueError("%s holds no weights of %s" % (source, network.name))
    for name, value in known.items():
        if list(value.shape) != shapes[name]:
            raise ValueError(
                "%s is not %s of width_multiplier %g: %s is %s there and %s here"
                % (
                    source,
                    network.name,
                    network.width_multiplier,
                    name,
                    list(value.shape),
                    shapes[name],
                )
            )
    need_finite(source, known)
    return Weights(network, known, source), sorted(shapes.keys() - known.keys())


def converted_text(record):
    """What was converted, for a person to read."""
    lines = [record["path"], "  %d variables" % record["variables"]]
    if record["missing"]:
        lines.append(
            "  %d of the network are not in it, first %s: train --checkpoint_path %s "
            "--ignore_missing_vars starts those fresh"
            % (len(record["missing"]), record["missing"][0], record["path"])
        )
    return "\n".join(lines)


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
