"""`mmnet info`: show the card of a checkpoint or model file."""

import dataclasses
import glob
import json
import os
from typing import Any, Dict, Iterator, Optional

from humanfriendly import format_number, format_size

from mmnet.commands.flag_types import source
from mmnet.commands.options import SOURCE, JsonOptions, flag
from mmnet.inference.card import card_path, card_to_dict, read_card
from mmnet.inference.open import network_of_checkpoint, open_predictor
from mmnet.inference.sizes import SIZE, network_size, paper_sizes
from mmnet.io import checkpoint_files
from mmnet.io.errors import MmnetError
from mmnet.io.files import read_json
from mmnet.io.tables import format_table
from mmnet.networks.inference_graph import INPUT, OUTPUT, describe_tensors
from mmnet.tf import checkpoint
from mmnet.training.graph import COPY
from mmnet.training.lineage import read_lineage
from mmnet.weights.registry import DEFAULT, read_registry
from mmnet.weights.source import Source, find_source, source_bytes
from mmnet.weights.values import (
    MOVING,
    count_parameters,
    count_variables,
    global_step,
    is_network_variable,
)

ENTRY_FIELDS = ("description", "data", "licence", "weak", "page")  # shown for weights by name


@dataclasses.dataclass(frozen=True)
class Options(JsonOptions):
    """Show the card of a checkpoint or model file.

    It contains the number of parameters and variables, the lineage, the scores, and the sizes of
    the network in its paper.
    """

    path: str = flag(DEFAULT, source, help=SOURCE, positional=True)


def run(options: Options) -> int:
    found = find_source(options.path)
    if found.kind == "untrained":
        raise MmnetError("untrained weights have no card")
    if found.kind == "checkpoint":
        card, lines = checkpoint_card(found), format_checkpoint
    else:
        card, lines = model_card(found), format_model
    print(json.dumps(card) if options.json else "\n".join(lines(card)))
    return 0


def checkpoint_card(source: Source) -> Dict[str, Any]:
    """Return the card of a checkpoint for JSON."""
    prefix = source.path
    values = checkpoint.read(prefix)
    network = network_of_checkpoint(prefix)
    trainable = count_parameters(values)
    sizes = paper_sizes(network.name)
    size = next((size for size in sizes if size.trainable_parameters == trainable), None)
    if size is None:  # a width that is not in the paper: the training recorded it
        recorded_size = network_size(network)
        size = recorded_size if recorded_size.trainable_parameters == trainable else None
    data = [path for path in checkpoint_files.files_of(prefix) if not path.endswith(".index")]
    card = {
        "checkpoint": prefix,
        "network": network.name,
        "global_step": global_step(prefix, values),
        "index_sha256": checkpoint_files.index_sha256(prefix),
        "width_multiplier": size and size.width_multiplier,
        "trainable_parameters": trainable,
        "parameters": trainable + count_parameters(values, MOVING),
        "multiply_adds": size and size.multiply_adds,
        "variables": count_variables(values, COPY),
        "first_variables": sorted(filter(is_network_variable, values))[:3],
        "data_bytes": sum(map(os.path.getsize, data)),
        "lineage": read_lineage(prefix),
        "scores": find_scores(prefix),
        "paper_parity": [size._asdict() for size in sizes],
    }
    if source.name:
        entry = read_registry()[source.name]
        fields = {name: getattr(entry, name) for name in ENTRY_FIELDS if getattr(entry, name)}
        card["weights"] = dict(fields, name=source.name, scores=entry.scores)
    return card


def find_scores(prefix: str) -> Dict[str, Any]:
    """Return the scores that ``mmnet evaluate`` wrote beside a checkpoint: dataset -> scores."""
    folder = glob.escape(os.path.dirname(os.path.abspath(prefix)))
    name = glob.escape(os.path.basename(prefix)) + ".json"
    scores = {}
    for path in sorted(glob.glob(os.path.join(folder, "eval", "*", name))):
        record = read_json(path)
        if record.get("identity", {}).get("source") == checkpoint_files.index_sha256(prefix):
            scores[os.path.basename(os.path.dirname(path))] = record["scores"]
    return scores


def model_card(source: Source) -> Dict[str, Any]:
    """Return the card of a model file for JSON. The JSON file beside the model has priority."""
    path = source.path
    with open_predictor(source) as model:
        card_fields = model.card.preprocess, model.card.output_type
        input_text, output_text = describe_tensors(model.network, *card_fields)
        card: Dict[str, Any] = {
            "model": path,
            "input": f"{INPUT} {input_text}",
            "output": f"{OUTPUT} {output_text}",
            "precision": model.precision,
        }
        if model.card.parameters is not None and model.card.multiply_adds is not None:
            card.update(parameters=model.card.parameters, multiply_adds=model.card.multiply_adds)
        card.update(operations=model.card.operations, bytes=source_bytes(path), sha256=model.sha256)
    if os.path.isfile(card_path(path)):
        record = card_to_dict(read_card(path, model.sha256))
        card.update({name: value for name, value in record.items() if value is not None})
    return card


def format_model(card: Dict[str, Any]) -> Iterator[str]:
    """Yield the lines of a model's card."""
    yield card["model"]
    for name in ("input", "output", "precision"):
        yield format_line(name, card[name])
    if card.get("parameters") is not None:
        yield format_line("parameters", format_number(card["parameters"]))
        yield format_line("multiply-adds", f"{card['multiply_adds'] / 1e6:.1f} M per image")
    if card["operations"]:
        names = ", ".join(f"{count} {name}" for name, count in card["operations"].items())
        yield format_line("operations", f"{sum(card['operations'].values())}: {names}")
    size = format_size(card["bytes"], binary=True)
    yield format_line("size", f"{format_number(card['bytes'])} bytes ({size})")
    yield format_line("SHA-256", card["sha256"])
    if card.get("checkpoint"):
        origin = f"{card['checkpoint']} by TensorFlow {card['tensorflow']}"
        yield format_line("exported from", origin)
        largest, mean = card["largest_difference"], card["mean_difference"]
        difference = f"largest {largest:.2g}, mean {mean:.2g} over {card['pictures']} images"
        yield format_line("alpha differs", difference)
    if card.get("calibration"):
        items = (f"{name} {value}" for name, value in card["calibration"].items())
        yield format_line("calibration", ", ".join(items))


def format_checkpoint(card: Dict[str, Any]) -> Iterator[str]:
    """Yield the lines of a checkpoint's card."""
    yield card["checkpoint"]
    yield from format_weights_entry(card.get("weights", {}))
    yield format_line("global step", card["global_step"])
    network = f"{card['network']} with unknown width multiplier"
    if card["width_multiplier"] is not None:
        multiply_adds = f"{card['multiply_adds'] / 1e6:.1f} M multiply-adds at {SIZE}x{SIZE}"
        network = f"{card['network']} {card['width_multiplier']:g}, {multiply_adds}"
    yield format_line("network", network)
    trainable, total = map(format_number, (card["trainable_parameters"], card["parameters"]))
    yield format_line("parameters", f"{trainable} trainable, {total} with the moving statistics")
    counts = [f"{count} {name}" for name, count in card["variables"].items() if count]
    first = ", ".join(card["first_variables"])
    yield format_line("variables", f"{', '.join(counts)}; first: {first}")
    data = format_number(card["data_bytes"])
    yield format_line("files", f"{data} bytes of data, SHA-256 of the index {card['index_sha256']}")
    yield from format_lineage(card["lineage"])
    for name, scores in card["scores"].items():
        means = [f"{key} {value:.6f}" for key, value in scores.items() if isinstance(value, float)]
        yield format_line("scores", f"{name}: {', '.join(means)}")
    if not card["scores"]:
        yield format_line("scores", "none; mmnet evaluate writes them")
    if card["paper_parity"]:
        yield "sizes in the paper (arXiv 1904.03816, table 3), checkpoints with the slots of Adam:"
        yield format_paper_sizes(card)


def format_weights_entry(entry: Dict[str, Any]) -> Iterator[str]:
    """Yield the lines about weights by name."""
    for name in ("name",) + ENTRY_FIELDS:
        if entry.get(name):
            yield format_line(name, entry[name])
    for dataset, scores in entry.get("scores", {}).items():
        values = ", ".join(f"{metric} {value:.4f}" for metric, value in scores.items())
        yield format_line("scores", f"{dataset}: {values}")


def format_paper_sizes(card: Dict[str, Any]) -> str:
    """Return the table of the network's sizes at the width multipliers of its paper."""
    header = ["width", "paper", "parameters", "trainable", f"multiply-adds at {SIZE}"]
    rows = [header + ["checkpoint bytes"]]
    for size in card["paper_parity"]:
        rows.append(
            [
                f"{size['width_multiplier']:g}",
                f"{size['paper_parameters']:.3f} M",
                format_number(size["parameters"]),
                format_number(size["trainable_parameters"]),
                f"{size['multiply_adds'] / 1e6:.1f} M",
                format_number(size["checkpoint_bytes"]),
            ]
        )
    return format_table(rows)


def format_lineage(record: Optional[Dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of a run, its parent, and so on."""
    if record is None:
        yield format_line("lineage", "no record")
    while record is not None:
        datasets = "; ".join(
            f"{dataset['path']}/{dataset['split']} ({dataset['pictures']} images)"
            for dataset in record["data_sets"]
        )
        steps = f"step {record['global_step']}, {record['step_from_restore']} from restore"
        yield format_line("lineage", f"{steps}, on {datasets}")
        parent = record["parent"]
        if parent is None:
            yield format_line("", "from scratch")
            return
        yield format_line("", f"from {parent['path']}, step {parent['global_step']}")
        record = parent["lineage"]


def format_line(name: str, value: Any) -> str:
    return f"  {name:14} {value}"
