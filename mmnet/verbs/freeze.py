"""The freeze verb: a checkpoint as one .pb, which is the format "pb" of export, unfolded."""

import os

from mmnet.export.export import Form
from mmnet.export.formats import IS_OURS
from mmnet.files import need_replaceable, write_bytes
from mmnet.inference.card import card_path
from mmnet.inference.open import load_weights
from mmnet.networks.frozen import inference_graph
from mmnet.verbs.export import deliver, find_pictures
from mmnet.weights.find import files_of, find_source


def run(settings):
    inputs = files_of(find_source(settings.checkpoint_path))
    need_replaceable("--output", settings.output, IS_OURS["pb"], inputs)
    need_replaceable("--output", card_path(settings.output), IS_OURS["card"], inputs)
    if settings.graph:
        need_replaceable("--graph", settings.graph, IS_OURS["pb"], inputs)
        if os.path.realpath(settings.graph) == os.path.realpath(settings.output):
            raise ValueError("--graph and --output are the same file: %s" % settings.graph)
    data_set = find_pictures(settings)
    weights = load_weights(settings.checkpoint_path, settings.wanted(), settings.reading())
    form = Form(
        "pb",
        settings.output,
        preprocess=settings.preprocess,
        output_type=settings.output_type,
        fold=settings.fold_batch_norm,
    )
    code = deliver(weights, [form], data_set, as_json=settings.json)
    if settings.graph and code == 0:
        graph_def = inference_graph(
            weights.network, preprocess=settings.preprocess, output_type=settings.output_type
        )
        write_bytes(settings.graph, graph_def.SerializeToString())
    return code
