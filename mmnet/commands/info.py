"""The info verb: the card of a checkpoint or a model."""

import dataclasses
import glob
import json
import os

from humanfriendly import format_number, format_size
from humanfriendly.tables import format_pretty_table

from mmnet.commands.flag_types import source
from mmnet.commands.options import SOURCE, JsonOptions, flag
from mmnet.inference.card import card_path, card_to_dict, model_sha256, read_card
from mmnet.inference.complexity import measure_complexity
from mmnet.inference.open import open_predictor
from mmnet.io import checkpoint_files
from mmnet.io.errors import MmnetError
from mmnet.io.files import read_json
from mmnet.networks.inference_graph import INPUT, OUTPUT, describe_tensors
from mmnet.networks.layers import INFERENCE
from mmnet.networks.network import Network, make_network
from mmnet.networks.quantization import quantization_ranges
from mmnet.networks.registry import build, find_definition, input_shape
from mmnet.tf import checkpoint
from mmnet.tf.compat import tf
from mmnet.training.graph import COPY
from mmnet.training.lineage import read_lineage
from mmnet.weights.registry import DEFAULT, read_registry
from mmnet.weights.run_file import network_of_run
from mmnet.weights.source import find_source, source_bytes
from mmnet.weights.values import MOVING, TRAINABLE, is_network_variable, step_in

SCALARS = 3  # of a checkpoint of Adam: its two powers and the global step
ABOUT = ("description", "data", "licence", "weak", "page")  # of weights with a name
SIZE = 256  # whose multiply-adds are given


@dataclasses.dataclass(frozen=True)
class Options(JsonOptions):
    """Show the card of a checkpoint or a model: parameters, names, lineage, scores, the paper's."""

    path: str = flag(DEFAULT, source, help=SOURCE, positional=True)


def run(options):
    card = info(options.path)
    print(json.dumps(card) if options.json else info_text(card))
    return 0


def info(path):
    """The card of a checkpoint (a prefix, or a folder: its latest) or of a model file, for JSON.

    Raises:
        FileNotFoundError, ValueError: nothing there, or nothing that is known.
    """
    source = find_source(path)
    if source.kind == "untrained":
        raise MmnetError("untrained weights have no card")
    if source.kind != "checkpoint":
        return info_of_model(source)
    card = info_of_checkpoint(source.path)
    if source.name:
        entry = read_registry()[source.name]
        about = {name: getattr(entry, name) for name in ABOUT if getattr(entry, name)}
        card["weights"] = dict(about, name=source.name, scores=entry.scores)
    return card


def info_of_checkpoint(prefix):
    values = checkpoint.read(prefix)
    trainable = count(values, TRAINABLE)
    network = [name for name in values if is_network_variable(name)]
    averages = sum(name.endswith(checkpoint.AVERAGE_SUFFIX) for name in values)
    ranges = quantization_ranges(values)
    copies = sum(name.endswith(COPY) for name in values)
    known = len(network) + len(ranges) + averages + copies + ("global_step" in values)
    said = make_network(network_of_run(prefix))
    widths = paper_parity(said.name)
    row = next((row for row in widths if row["trainable_parameters"] == trainable), None)
    if row is None:  # a run of another width says so itself
        own = row_of(said)
        row = own if own["trainable_parameters"] == trainable else None
    data = [path for path in checkpoint_files.files_of(prefix) if not path.endswith(".index")]
    return {
        "checkpoint": prefix,
        "network": said.name,
        "global_step": step_in(prefix, values),
        "index_sha256": checkpoint_files.index_sha256(prefix),
        "width_multiplier": row and row["width_multiplier"],
        "trainable_parameters": trainable,
        "parameters": trainable + count(values, MOVING),
        "multiply_adds": row and row["multiply_adds"],
        "variables": {
            "network": len(network),
            "optimizer": len(values) - known,
            "moving averages of weights": averages,
            "ranges of 8 bits": len(ranges),
            "frozen copy": copies,
        },
        "first_variables": sorted(network)[:3],
        "data_bytes": sum(map(os.path.getsize, data)),
        "lineage": read_lineage(prefix),
        "scores": scores_beside(prefix),
        "paper_parity": widths,
    }


def count(values, endings):
    """How many numbers are in the variables whose names end so."""
    return sum(int(value.size) for name, value in values.items() if name.endswith(endings))


def scores_beside(prefix):
    """What ``mmnet evaluate`` left beside a checkpoint: dataset and shape -> scores."""
    found = {}
    folder = glob.escape(os.path.dirname(os.path.abspath(prefix)))
    name = glob.escape(os.path.basename(prefix)) + ".json"
    for path in sorted(glob.glob(os.path.join(folder, "eval", "*", name))):
        record = read_json(path)
        if record.get("identity", {}).get("source") == checkpoint_files.index_sha256(prefix):
            found[os.path.basename(os.path.dirname(path))] = record["scores"]
    return found


def paper_parity(name):
    """The widths of a network (its name) that the paper counts: row_of each."""
    published = find_definition(Network(name)).paper_parameters
    return [row_of(Network(name, width), published[width]) for width in published]


def row_of(network, published=None):
    """A dict of parameters in the paper and counted, multiply-adds, a checkpoint's bytes."""
    network = network._replace(shape=(SIZE, SIZE))
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, input_shape(network, 1))
        logits = build(network, x, INFERENCE._replace(single_logit=True)).logits
        numbers = {
            variable.op.name: variable.shape.num_elements() for variable in tf.global_variables()
        }
    delivered = tf.graph_util.extract_sub_graph(graph.as_graph_def(), [logits.op.name])
    trainable = sum(number for name, number in numbers.items() if name.endswith(TRAINABLE))
    total = sum(numbers.values())
    return {
        "width_multiplier": network.width_multiplier,
        "paper_parameters": published,
        "trainable_parameters": trainable,
        "parameters": total,
        "checkpoint_bytes": 4 * (2 * trainable + total + SCALARS),
        "multiply_adds": measure_complexity(delivered).multiply_adds,
    }


def info_of_model(source):
    model = open_predictor(source.path)
    takes, gives = describe_tensors(model.network, model.card.preprocess, model.card.output_type)
    card = {
        "model": source.path,
        "input": "%s %s" % (INPUT, takes),
        "output": "%s %s" % (OUTPUT, gives),
        "precision": model.precision,
    }
    if model.complexity:
        card.update(model.complexity._asdict())
    card.update(
        operations=model.operations, bytes=source_bytes(source), sha256=model_sha256(source.path)
    )
    if os.path.isfile(card_path(source.path)):
        exported = card_to_dict(read_card(source.path))
        card.update({name: value for name, value in exported.items() if value is not None})
    return card


def info_text(card):
    """A card for a person to read."""
    return "\n".join(lines_of_model(card) if "model" in card else lines_of_checkpoint(card))


def lines_of_model(card):
    yield card["model"]
    for name in ("input", "output", "precision"):
        yield line(name, card[name])
    if card.get("parameters") is not None:
        yield line("parameters", format_number(card["parameters"]))
        yield line("multiply-adds", "%.1f M for a picture" % (card["multiply_adds"] / 1e6))
    if card["operations"]:
        names = ", ".join("%d %s" % (number, name) for name, number in card["operations"].items())
        yield line("operations", "%d: %s" % (sum(card["operations"].values()), names))
    size = format_size(card["bytes"], binary=True)
    yield line("size", "%s bytes (%s)" % (format_number(card["bytes"]), size))
    yield line("SHA-256", card["sha256"])
    if card.get("checkpoint"):
        origin = (card["checkpoint"], card["tensorflow"])
        yield line("exported from", "%s (TensorFlow %s)" % origin)
        numbers = (card["largest_difference"], card["mean_difference"], card["pictures"])
        yield line("alpha differs", "largest %.2g, mean %.2g over %d pictures" % numbers)
    if card.get("calibration"):
        about = ", ".join("%s %s" % item for item in card["calibration"].items())
        yield line("calibration", about)


def lines_of_checkpoint(card):
    yield card["checkpoint"]
    about = card.get("weights", {})
    for name in ("name",) + ABOUT:
        if about.get(name):
            yield line(name, about[name])
    for data_set, scores in about.get("scores", {}).items():
        yield line(
            "scores", "%s: %s" % (data_set, ", ".join("%s %.4f" % at for at in scores.items()))
        )
    yield line("global step", card["global_step"])
    width = card["width_multiplier"]
    network = "%s of a width that is not known" % card["network"]
    if width is not None:
        network = "%s %g, %.1f M multiply-adds for a picture of %d" % (
            card["network"],
            width,
            card["multiply_adds"] / 1e6,
            SIZE,
        )
    yield line("network", network)
    numbers = [format_number(card[name]) for name in ("trainable_parameters", "parameters")]
    yield line("parameters", "%s trainable, %s with the moving statistics" % tuple(numbers))
    variables = ["%d %s" % (number, name) for name, number in card["variables"].items() if number]
    first = ", ".join(card["first_variables"])
    yield line("variables", "%s; first %s" % (", ".join(variables), first))
    data = format_number(card["data_bytes"])
    yield line("files", "%s bytes of data, index SHA-256 %s" % (data, card["index_sha256"]))
    yield from lines_of_lineage(card["lineage"])
    for name, scores in card["scores"].items():
        means = ["%s %.6f" % item for item in scores.items() if isinstance(item[1], float)]
        yield line("scores", "%s: %s" % (name, ", ".join(means)))
    if not card["scores"]:
        yield line("scores", "none beside it (mmnet evaluate writes them)")
    if not card["paper_parity"]:
        return
    yield "against the paper (arXiv 1904.03816, table 3), checkpoints with Adam's slots:"
    yield format_pretty_table(
        [
            [
                "%g" % row["width_multiplier"],
                "%.3f M" % row["paper_parameters"],
                format_number(row["parameters"]),
                format_number(row["trainable_parameters"]),
                "%.1f M" % (row["multiply_adds"] / 1e6),
                format_number(row["checkpoint_bytes"]),
            ]
            for row in card["paper_parity"]
        ],
        [
            "width",
            "paper",
            "parameters",
            "trainable",
            "multiply-adds at %d" % SIZE,
            "checkpoint bytes",
        ],
    )


def lines_of_lineage(record):
    """The run, its parent, its parent's parent."""
    if record is None:
        yield line("lineage", "none recorded beside it")
    while record is not None:
        data = "; ".join(
            "%s/%s (%d pictures)" % (data_set["path"], data_set["split"], data_set["pictures"])
            for data_set in record["data_sets"]
        )
        steps = (record["global_step"], record["step_from_restore"], data)
        yield line("lineage", "step %d, %d from restore, on %s" % steps)
        parent = record["parent"]
        if parent is None:
            yield line("", "from scratch")
            return
        yield line("", "from %s, step %d" % (parent["path"], parent["global_step"]))
        record = parent["lineage"]


def line(name, value):
    return "  %-14s %s" % (name, value)
