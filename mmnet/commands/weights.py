"""The weights verb: what has a name, and getting it; means; weights of others."""

import dataclasses
import json
import os
from typing import Optional, Tuple

import numpy as np
from humanfriendly import format_size

from mmnet.commands.flag_types import dataset_folder, one_of, positive_float
from mmnet.commands.options import REQUIRED, JsonOptions, flag
from mmnet.datasets.pairs import find_dataset, pick_evenly
from mmnet.export.representative import read_images
from mmnet.inference.open import load_weights
from mmnet.io.errors import MmnetError
from mmnet.io.files import check_writable
from mmnet.networks.layers import INFERENCE
from mmnet.networks.network import make_network
from mmnet.networks.registry import build, input_shape
from mmnet.tf.checkpoint import AVERAGE_SUFFIX
from mmnet.tf.compat import tf
from mmnet.weights import registry
from mmnet.weights.batch_norm import measure_batch_norm
from mmnet.weights.convert import read_foreign
from mmnet.weights.registry import check_name
from mmnet.weights.source import find_source
from mmnet.weights.values import WeightOptions, Weights, average, check_finite
from mmnet.weights.write import write_weights

PICTURES = 320  # of each dataset that batch norm is measured on


@dataclasses.dataclass(frozen=True)
class Options(JsonOptions):
    """Weights by name: list them, get some; means of checkpoints; weights of others converted.

    Every verb takes a name where it takes a checkpoint, and gets it then. They lie in $MMNET_HOME,
    by default mmnet in the user's cache. The mean of a run and of the run that it began with often
    scores better than either (Wortsman et al., "Model soups", ICML 2022). Converted are
    MODNet as its authors publish it (.ckpt) or as .onnx, and MobileNetV2's weights for ImageNet
    (TensorFlow's checkpoint of slim, Keras' .h5), which go into the encoder of deeplab or modnet.
    """

    action: str = flag(
        REQUIRED,
        one_of("list", "get", "average", "convert"),
        help="list; get NAME ...; average CHECKPOINT CHECKPOINT ... --output PREFIX; convert FILE "
        "--network NAME --output PREFIX",
        positional=True,
    )
    names: Tuple[str, ...] = flag(
        (),
        help="names to get, checkpoints to average, or the file to convert",
        nargs="*",
        positional=True,
    )
    network: Optional[str] = flag(
        None, help="convert: the network that the weights are for, modnet, deeplab, ..."
    )
    width_multiplier: Optional[float] = flag(
        None, positive_float, help="convert: channel multiplier of that network (default: 1.0)"
    )
    use_ema: bool = flag(
        False, help="average: take the moving averages of those checkpoints that have some"
    )
    dataset_path: Optional[Tuple[str, ...]] = flag(
        None,
        dataset_folder,
        help="average: measure batch norm's statistics anew on pictures of these datasets (train), as "
        "they are; of one checkpoint alone, too",
        nargs="+",
    )
    output: Optional[str] = flag(None, help="average, convert: prefix of the checkpoint to write")

    def check(self):
        least, most = {"list": (0, 0), "get": (1, None), "average": (2, None), "convert": (1, 1)}[
            self.action
        ]
        if self.dataset_path:
            least = 1
            if self.action != "average":
                raise MmnetError("--dataset_path goes with average")
        if len(self.names) < least or (most is not None and len(self.names) > most):
            raise MmnetError(
                "mmnet weights list, get NAME ..., average CHECKPOINT CHECKPOINT ... --output "
                "PREFIX, or convert FILE --network NAME --output PREFIX"
            )
        if (self.action in ("average", "convert")) != (self.output is not None):
            raise MmnetError(
                "--output goes with average and convert, which need it: a checkpoint's prefix"
            )
        if (self.action == "convert") != (self.network is not None):
            raise MmnetError("--network goes with convert, which needs it: modnet, deeplab, ...")
        for name in self.names:
            if self.action == "get":
                check_name(name)
            elif self.action == "average" and find_source(name).kind != "checkpoint":
                raise MmnetError("%s is no checkpoint" % name)


def run(options):
    if options.action == "average":
        check_writable(os.path.dirname(os.path.abspath(options.output)))
        several = [weights_of(source, options.use_ema) for source in options.names]
        mean = average(several)
        if options.dataset_path:
            mean = mean._replace(source=options.names[0])  # for what may be wrong with them
            mean = measure_batch_norm(mean, pictures_of(options, mean.network))
        write_weights(options.output, mean)
        print(json.dumps({"path": options.output}) if options.json else options.output)
        return 0
    if options.action == "convert":
        check_writable(os.path.dirname(os.path.abspath(options.output)))
        weights, missing = converted(options)
        write_weights(options.output, weights)
        record = {"path": options.output, "variables": len(weights.values), "missing": missing}
        print(json.dumps(record) if options.json else converted_text(record))
        return 0
    if options.action == "get":
        for name in options.names:
            registry.check(name)
            where = registry.prefix_of(name)
            print(json.dumps({"name": name, "path": where}) if options.json else where)
        return 0
    for name, entry in registry.read_registry().items():
        if options.json:
            record = dict(entry._asdict(), files=[file._asdict() for file in entry.files])
            print(json.dumps(dict(record, name=name, here=registry.is_downloaded(name))))
        else:
            print(entry_text(name, entry))
    return 0


def weights_of(source, use_ema):
    """The Weights of a checkpoint, or its moving averages if asked for and if it has any."""
    weights = load_weights(source)
    if use_ema and any(name.endswith(AVERAGE_SUFFIX) for name in weights.values):
        return load_weights(source, weight_options=WeightOptions(use_ema))
    return weights


def pictures_of(options, network):
    """float32 [N,H,W,C] 0..255 of the options' datasets, of each in turn."""
    each = [
        read_images(pick_evenly(find_dataset(path, "train").pairs, PICTURES), network)
        for path in options.dataset_path
    ]
    shortest = min(map(len, each))
    return np.stack([images[:shortest] for images in each], axis=1).reshape(-1, *each[0].shape[1:])


def converted(options):
    """(the Weights in a foreign file, names of the network's variables that it does not hold).

    Raises:
        ValueError: it holds none of them, or some of another shape.
    """
    (source,) = options.names
    given = {"name": options.network, "width_multiplier": options.width_multiplier}
    network = make_network({name: value for name, value in given.items() if value is not None})
    values = read_foreign(source, network)
    with tf.Graph().as_default():
        build(network, tf.placeholder(tf.float32, input_shape(network, 1)), INFERENCE)
        shapes = {one.op.name: one.shape.as_list() for one in tf.global_variables()}
    known = {name: values[name] for name in values if name in shapes}
    if not known:
        raise MmnetError("%s holds no weights of %s" % (source, network.name))
    for name, value in known.items():
        if list(value.shape) != shapes[name]:
            raise MmnetError(
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
    check_finite(source, known)
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
    where = "here" if registry.is_downloaded(name) else "to be downloaded when it is first used"
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
