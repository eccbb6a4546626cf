"""The freeze verb: a checkpoint as one .pb, which is the format "pb" of export, unfolded."""

import dataclasses
import os
from typing import Optional

from mmnet.commands.export import deliver, find_pictures
from mmnet.commands.flag_types import one_of
from mmnet.commands.options import (
    REQUIRED,
    CheckpointOptions,
    JsonOptions,
    OptionalDatasetOptions,
    PreprocessOptions,
    flag,
)
from mmnet.export.export import ExportSpec
from mmnet.export.formats import CAN_REPLACE
from mmnet.inference.card import card_path
from mmnet.inference.open import load_weights
from mmnet.io.errors import MmnetError
from mmnet.io.files import check_replaceable, write_bytes
from mmnet.networks.inference_graph import inference_graph
from mmnet.weights.source import find_source, source_files


@dataclasses.dataclass(frozen=True)
class Options(CheckpointOptions, PreprocessOptions, OptionalDatasetOptions, JsonOptions):
    """Write a checkpoint as one frozen graph (.pb): weights inside, input input_x, output output.

    The graph is run beside the checkpoint and handed over, with its card (.json), only where the
    alphas agree to 1e-5 (1e-4 with batch norm folded, whose weights are rounded again); else
    nothing is written and the exit code is 1. TensorFlow 1.15 loads it, whichever TensorFlow wrote
    it.
    """

    output: str = flag(REQUIRED, help="the .pb to write")
    graph: Optional[str] = flag(
        None, help="also write the graph with its variables, without weights, to this .pb"
    )
    fold_batch_norm: bool = flag(False, help="multiply batch norm into the convolutions")
    output_type: str = flag(
        "probabilities",
        one_of("probabilities", "alpha", "logits"),
        help="what the output holds: probabilities (channel 1 is alpha), alpha, or logits",
    )


def run(options):
    inputs = source_files(find_source(options.checkpoint_path).path)
    check_replaceable(options.output, CAN_REPLACE["pb"], inputs=inputs)
    check_replaceable(card_path(options.output), CAN_REPLACE["card"], inputs=inputs)
    if options.graph:
        check_replaceable(options.graph, CAN_REPLACE["pb"], inputs=inputs, parameter="graph")
        if os.path.realpath(options.graph) == os.path.realpath(options.output):
            raise MmnetError("--graph and --output are the same file: %s" % options.graph)
    data_set = find_pictures(options)
    weights = load_weights(
        options.checkpoint_path, options.network_fields(), options.weight_options()
    )
    form = ExportSpec(
        "pb",
        options.output,
        preprocess=options.preprocess,
        output_type=options.output_type,
        fold=options.fold_batch_norm,
    )
    code = deliver(weights, [form], data_set, as_json=options.json)
    if options.graph and code == 0:
        graph_def = inference_graph(
            weights.network, preprocess=options.preprocess, output_type=options.output_type
        )
        write_bytes(options.graph, graph_def.SerializeToString())
    return code
