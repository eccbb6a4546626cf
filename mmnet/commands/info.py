"""`mmnet info`: show the card of a checkpoint or model file."""

import dataclasses
import glob
import itertools
import os
from typing import Any, Dict, NamedTuple, Optional

from mmnet.commands.flag_types import source
from mmnet.commands.options import SOURCE, JsonOptions, flag
from mmnet.inference.card import card_path, card_to_dict, read_card
from mmnet.inference.open import network_of_checkpoint, open_predictor
from mmnet.inference.sizes import network_size, paper_sizes
from mmnet.io import checkpoint_files
from mmnet.io.errors import MmnetError
from mmnet.io.records import read_record
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


@dataclasses.dataclass(frozen=True)
class Options(JsonOptions):
    """Show the card of a checkpoint or model file.

    It contains the number of parameters and variables, the lineage, the scores, and the sizes of
    the network in its paper.
    """

    path: str = flag(DEFAULT, source, help=SOURCE, positional=True)


class ScoredSource(NamedTuple):
    """The part of a record's identity that ``info`` needs."""

    source: Optional[str] = None  # SHA-256 of the checkpoint's index


class ScoreRecord(NamedTuple):
    """The part of a record of ``mmnet evaluate`` that ``info`` needs."""

    scores: Dict[str, Any]
    identity: ScoredSource = ScoredSource()


def run(options: Options) -> int:
    found = find_source(options.path)
    if found.kind == "untrained":
        raise MmnetError("untrained weights have no card")
    card = checkpoint_card(found) if found.kind == "checkpoint" else model_card(found)
    options.print_record(card)
    return 0


def checkpoint_card(source: Source) -> Dict[str, Any]:
    """Return the card of a checkpoint for JSON."""
    prefix = source.path
    values = checkpoint.read(prefix)
    network = network_of_checkpoint(prefix)
    trainable = count_parameters(values)
    sizes = paper_sizes(network.name)
    # The training recorded a width that is not in the paper.
    known_sizes = itertools.chain(sizes, map(network_size, [network]))
    size = next((size for size in known_sizes if size.trainable_parameters == trainable), None)
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
        "data_bytes": source_bytes(prefix) - os.path.getsize(prefix + ".index"),
        "lineage": read_lineage(prefix),
        "scores": find_scores(prefix),
        # Sizes in the paper (arXiv 1904.03816, table 3); the checkpoints contain Adam's slots.
        "paper_parity": [size._asdict() for size in sizes],
    }
    if source.name:
        entry = find_entry(source.name)
        values = entry._asdict()
        fields = {name: values[name] for name in ENTRY_FIELDS if values[name]}
        views = entry.view_texts()
        card["weights"] = dict(fields, name=source.name, views=views, scores=entry.scores)
    return card


def find_scores(prefix: str) -> Dict[str, Any]:
    """Return the scores that ``mmnet evaluate`` wrote beside a checkpoint: dataset -> scores."""
    folder = glob.escape(os.path.dirname(os.path.abspath(prefix)))
    name = "*" + glob.escape(os.path.basename(prefix)) + ".json"  # evaluate may add the folder
    scores, sha256 = {}, checkpoint_files.index_sha256(prefix)
    for path in sorted(glob.glob(os.path.join(folder, "eval", "*", name))):
        record = read_record(path, ScoreRecord)
        if record.identity.source == sha256:
            scores[os.path.basename(os.path.dirname(path))] = record.scores
    return scores


def model_card(source: Source) -> Dict[str, Any]:
    """Return the card of a model file for JSON. Only a model without a card file is opened."""
    path = source.path
    files: Optional[str] = path
    has_file = os.path.lexists(card_path(path))
    if has_file:
        card = read_card(path)
    else:
        with open_predictor(source) as model:
            card, files = model.card, model.source
    texts = describe_tensors(card.network, card.preprocess, card.output_type)
    fields: Dict[str, Any] = {
        "model": path,
        "input": f"{INPUT} {texts[0]}",
        "output": f"{OUTPUT} {texts[1]}",
        "precision": card.precision,
        "parameters": card.parameters,
        "multiply_adds": card.multiply_adds,
        "operations": card.operations,
        "bytes": source_bytes(files),
        "sha256": card.sha256,
    }
    if has_file:
        fields.update(
            (name, value) for name, value in card_to_dict(card).items() if value is not None
        )
    return fields
