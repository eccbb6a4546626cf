"""The freeze verb: a checkpoint as one .pb, which is the format "pb" of export, unfolded."""

import os

from mmnet.export.export import Form
from mmnet.files import need_writable, write_bytes
from mmnet.inference.open import load_weights
from mmnet.networks.frozen import inference_graph
from mmnet.verbs.export import deliver, find_pictures


def run(settings):
    for flag, path in (("--output", settings.output), ("--graph", settings.graph)):
        if path and os.path.isdir(path):
            raise ValueError("%s %s is a folder: give the name of a file" % (flag, path))
        if path:
            need_writable(flag, os.path.dirname(os.path.abspath(path)))
    data_set = find_pictures(settings)
    weights = load_weights(settings.checkpoint_path, settings.wanted(), settings.use_ema)
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
