"""`mmnet info`: show the card of a checkpoint or model file."""

import dataclasses
import glob
import json
import os
from typing import Any, Dict, List, Optional, Tuple

from humanfriendly import format_number

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
from mmnet.weights.registry import DEFAULT, find_entry
from mmnet.weights.source import Source, find_source, source_bytes
from mmnet.weights.values import (
    MOVING,
    count_parameters,
    count_variables,
    global_step,
    is_network_variable,
)

ENTRY_FIELDS = ("description", "data", "licence", "weak", "page")  # for weights by name
PAPER_TITLE = "sizes in the paper (arXiv 1904.03816, table 3), checkpoints with the slots of Adam:"


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
    card = checkpoint_card(found) if found.kind == "checkpoint" else model_card(found)
    print(json.dumps(card) if options.json else format_card(card))
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
        entry = find_entry(source.name)._asdict()
        fields = {name: entry[name] for name in ENTRY_FIELDS if entry[name]}
        card["weights"] = dict(fields, name=source.name, scores=entry["scores"])
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
        texts = describe_tensors(model.network, model.card.preprocess, model.card.output_type)
        card: Dict[str, Any] = {
            "model": path,
            "input": f"{INPUT} {texts[0]}",
            "output": f"{OUTPUT} {texts[1]}",
            "precision": model.precision,
        }
        if model.card.parameters is not None and model.card.multiply_adds is not None:
            card.update(parameters=model.card.parameters, multiply_adds=model.card.multiply_adds)
        card.update(operations=model.card.operations, bytes=source_bytes(path), sha256=model.sha256)
    if os.path.isfile(card_path(path)):
        record = card_to_dict(read_card(path, model.sha256))
        card.update({name: value for name, value in record.items() if value is not None})
    return card


def format_card(card: Dict[str, Any]) -> str:
    """Return a card as text: its path, one row per known field, and the table of the paper."""
    (_, path), *fields = card.items()
    rows: List[Tuple[str, str]] = []
    for name, value in fields:
        if name == "lineage":
            rows += lineage_rows(value)
        elif name in ("weights", "scores"):
            rows += [(key, format_value(item)) for key, item in value.items() if item]
        elif name != "paper_parity" and value is not None:
            rows.append((name, format_value(value)))
    lines = [path] + [f"  {name:20} {text}" for name, text in rows]
    if card.get("paper_parity"):
        lines += [PAPER_TITLE, format_paper_sizes(card["paper_parity"])]
    return "\n".join(lines)


def format_value(value: Any) -> str:
    """Return a value of a card as text, for example ``190,652`` or ``Conv2D 57, Softmax 1``."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {format_value(item)}" for name, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(format_value, value))
    if isinstance(value, float):
        return f"{value:.6g}"
    is_count = isinstance(value, int) and not isinstance(value, bool)
    return format_number(value) if is_count else str(value)


def lineage_rows(record: Optional[Dict[str, Any]]) -> List[Tuple[str, str]]:
    """Return the rows about a run, its parent, and so on."""
    if record is None:
        return [("lineage", "no record")]
    datasets = "; ".join(
        f"{dataset['path']}/{dataset['split']} ({dataset['pictures']} images)"
        for dataset in record["data_sets"]
    )
    steps = f"step {record['global_step']}, {record['step_from_restore']} from restore"
    rows = [("lineage", f"{steps}, on {datasets}")]
    parent = record["parent"]
    if parent is None:
        return rows + [("", "from scratch")]
    rows.append(("", f"from {parent['path']}, step {parent['global_step']}"))
    return rows + (lineage_rows(parent["lineage"]) if parent["lineage"] else [])


def format_paper_sizes(sizes: List[Dict[str, Any]]) -> str:
    """Return the table of the network's sizes at the width multipliers of its paper."""
    multiply_adds = f"multiply-adds at {SIZE}"
    rows = [["width", "paper", "parameters", "trainable", multiply_adds, "checkpoint bytes"]]
    for size in sizes:
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
