"""The info verb: the card of a checkpoint or a model."""
import glob
import json
import os

from humanfriendly import format_number, format_size
from humanfriendly.tables import format_pretty_table

from mmnet import checkpoint
from mmnet.compat import tf
from mmnet.delivery.complexity import complexity_of
from mmnet.delivery.graphs import INPUT, OUTPUT, described
from mmnet.delivery.models import bytes_of, card_of, is_model, open_model, sha256_of
from mmnet.networks.layers import INFERENCE
from mmnet.networks.mmnet import mmnet
from mmnet.networks.quantization import ranges_of
from mmnet.training import lineage

# Table 3 of the paper: width -> parameters in millions, moving averages included.
PAPER_PARAMETERS = {0.5: 0.069, 0.75: 0.127, 1.0: 0.199, 1.4: 0.369}
TRAINABLE = ("/weights", "/depthwise_weights", "/gamma", "/beta", "/biases")
MOVING = ("/moving_mean", "/moving_variance")
SCALARS = 3  # of a checkpoint of Adam: its two powers and the global step
SIZE = 256  # whose multiply-adds are given


def info(path):
    """The card of a checkpoint (a prefix, or a folder: its latest) or of a model file, as a dict ready for JSON.

    Raises:
        FileNotFoundError, ValueError: nothing there, or nothing that is known.
    """
    return info_of_model(path) if is_model(path) else info_of_checkpoint(path)


def info_of_checkpoint(path):
    prefix = checkpoint.resolve(path)
    values = checkpoint.read(prefix)
    trainable = count(values, TRAINABLE)
    total = trainable + count(values, MOVING)
    averages = sum(name.endswith(checkpoint.AVERAGE) for name in values)
    network = [name for name in values if name.startswith("MMNet/") and name.endswith(TRAINABLE + MOVING)]
    slots = len(values) - len(network) - len(ranges_of(values)) - averages - ("global_step" in values)
    widths = paper_parity()
    row = next((row for row in widths if row["trainable_parameters"] == trainable), None)
    step = values.get("global_step")
    return {
        "checkpoint": prefix, "global_step": checkpoint.step_of(prefix) if step is None else int(step),
        "index_sha256": checkpoint.index_sha256(prefix), "width_multiplier": row and row["width_multiplier"], "trainable_parameters": trainable,
        "parameters": total, "multiply_adds": row and row["multiply_adds"],
        "variables": {"network": len(network), "optimizer": slots, "moving averages of weights": averages,
                      "ranges of 8 bits": len(ranges_of(values))},
        "first_variables": sorted(network)[:3], "data_bytes": sum(
            os.path.getsize(name) for name in checkpoint.files_of(prefix) if not name.endswith(".index")),
        "lineage": lineage.read(prefix), "scores": scores_beside(prefix), "paper_parity": widths}


def count(values, endings):
    return sum(int(value.size) for name, value in values.items() if name.startswith("MMNet/") and name.endswith(endings))


def scores_beside(prefix):
    """What ``mmnet evaluate`` left beside a checkpoint: data set and shape -> scores."""
    found = {}
    pattern = os.path.join(glob.escape(os.path.dirname(os.path.abspath(prefix))), "eval", "*",
                           glob.escape(os.path.basename(prefix)) + ".json")
    for path in sorted(glob.glob(pattern)):
        with open(path) as file:
            record = json.load(file)
        if record["identity"]["checkpoint"] == checkpoint.index_sha256(prefix):
            found[os.path.basename(os.path.dirname(path))] = record["scores"]
    return found


def paper_parity():
    """A dict for each width of the paper: its parameters there and counted, multiply-adds, bytes of a checkpoint."""
    rows, side = [], 32  # multiply-adds grow with the area
    for width, published in PAPER_PARAMETERS.items():
        with tf.Graph().as_default() as graph:
            logits = mmnet(tf.placeholder(tf.float32, [1, side, side, 3]), INFERENCE, width, log_odds=True).logits
            variables = {variable.op.name: variable.shape.num_elements() for variable in tf.global_variables()}
        delivered = tf.graph_util.extract_sub_graph(graph.as_graph_def(), [logits.op.name])
        trainable = sum(number for name, number in variables.items() if name.endswith(TRAINABLE))
        total = sum(variables.values())
        rows.append({"width_multiplier": width, "paper_parameters": published, "trainable_parameters": trainable,
                     "parameters": total, "checkpoint_bytes": 4 * (2 * trainable + total + SCALARS),
                     "multiply_adds": complexity_of(delivered).multiply_adds * (SIZE // side) ** 2})
    return rows


def info_of_model(path):
    model = open_model(path)
    takes, gives = described(model.size, model.preprocess, model.output_type)
    card = {"model": path, "input": "%s %s" % (INPUT, takes), "output": "%s %s" % (OUTPUT, gives),
            "precision": model.precision}
    if model.complexity:
        card.update(model.complexity._asdict())
    card.update(operations=model.operations, bytes=bytes_of(path), sha256=sha256_of(path))
    if os.path.isfile(card_of(path)):
        with open(card_of(path), encoding="utf-8") as file:
            exported = json.load(file)
        if exported.get("sha256") == card["sha256"]:
            card.update(exported, model=path)
    return card


def text(card):
    return "\n".join(text_of_model(card) if "model" in card else text_of_checkpoint(card))


def text_of_model(card):
    yield card["model"]
    for name in ("input", "output", "precision"):
        yield "  %-14s %s" % (name, card[name])
    if card.get("parameters") is not None:
        yield "  %-14s %s" % ("parameters", format_number(card["parameters"]))
        yield "  %-14s %.1f M for a picture" % ("multiply-adds", card["multiply_adds"] / 1e6)
    if card["operations"]:
        yield "  %-14s %d: %s" % ("operations", sum(card["operations"].values()), ", ".join(
            "%d %s" % (number, name) for name, number in card["operations"].items()))
    yield "  %-14s %s (%s)" % ("size", format_number(card["bytes"]) + " bytes", format_size(card["bytes"], binary=True))
    yield "  %-14s %s" % ("SHA-256", card["sha256"])
    if "checkpoint" in card:
        yield "  %-14s %s (TensorFlow %s)" % ("exported from", card["checkpoint"], card["tensorflow"])
        yield "  %-14s largest %.2g, mean %.2g over %d pictures" % (
            "alpha differs", card["largest_difference"], card["mean_difference"], card["pictures"])
    if card.get("calibration"):
        yield "  %-14s %s" % ("calibration", ", ".join("%s %s" % item for item in card["calibration"].items()))


def text_of_checkpoint(card):
    yield card["checkpoint"]
    yield "  %-14s %s" % ("global step", card["global_step"])
    width = card["width_multiplier"]
    yield "  %-14s %s" % ("network", "MMNet of a width that the paper does not have" if width is None else
                          "MMNet %g, %.1f M multiply-adds for a picture of %d" % (
                              width, card["multiply_adds"] / 1e6, SIZE))
    yield "  %-14s %s trainable, %s with the moving statistics" % (
        "parameters", format_number(card["trainable_parameters"]), format_number(card["parameters"]))
    yield "  %-14s %s; first %s" % ("variables", ", ".join("%d %s" % (number, name) for name, number in
                                                           card["variables"].items() if number),
                                    ", ".join(card["first_variables"]))
    yield "  %-14s %s bytes of data, index SHA-256 %s" % ("files", format_number(card["data_bytes"]),
                                                          card["index_sha256"])
    yield from text_of_lineage(card["lineage"])
    for name, scores in card["scores"].items():
        yield "  %-14s %s: %s" % ("scores", name, ", ".join("%s %.6f" % (key, value) for key, value in scores.items()
                                                            if isinstance(value, float)))
    if not card["scores"]:
        yield "  %-14s none beside it (mmnet evaluate writes them)" % "scores"
    yield "against the paper (arXiv 1904.03816, table 3), checkpoints with Adam's slots:"
    yield format_pretty_table(
        [["%g" % row["width_multiplier"], "%.3f M" % row["paper_parameters"], format_number(row["parameters"]),
          format_number(row["trainable_parameters"]), "%.1f M" % (row["multiply_adds"] / 1e6),
          format_number(row["checkpoint_bytes"])] for row in card["paper_parity"]],
        ["width", "paper", "parameters", "trainable", "multiply-adds at %d" % SIZE, "checkpoint bytes"])


def text_of_lineage(record):
    """The run, its parent, its parent's parent."""
    if record is None:
        yield "  %-14s none recorded beside it" % "lineage"
    while record is not None:
        yield "  %-14s step %d, %d from restore, on %s" % (
            "lineage", record["global_step"], record["step_from_restore"], "; ".join(
                "%s/%s (%d pictures)" % (data_set["path"], data_set["split"], data_set["pictures"])
                for data_set in record["data_sets"]))
        parent = record["parent"]
        if parent is None:
            yield "  %-14s from scratch" % ""
            return
        yield "  %-14s from %s, step %d" % ("", parent["path"], parent["global_step"])
        record = parent["lineage"]
