"""`mmnet freeze`: write a checkpoint as a frozen graph (.pb)."""

import dataclasses
import os
from typing import Optional

from mmnet.commands.export import ModelOptions, export_and_print, output_type_flag
from mmnet.commands.options import REQUIRED, flag
from mmnet.export.export import ExportSpec, check_target
from mmnet.export.formats import CAN_REPLACE
from mmnet.io import checkpoint_files
from mmnet.io.errors import MmnetError
from mmnet.io.files import check_replaceable, write_bytes
from mmnet.networks.inference_graph import inference_graph


@dataclasses.dataclass(frozen=True)
class Options(ModelOptions):
    """Write a checkpoint as a frozen graph (.pb) with the input input_x and the output output.

    The graph contains the weights. TensorFlow 1.15 and 2.x can load it. It is run and compared with
    the checkpoint: alphas must agree to 1e-5, or to 1e-4 if batch norm is folded, which rounds the
    weights once more. If they differ more, nothing is written and the exit code is 1.
    """

    output: str = flag(REQUIRED, help="path of the .pb; its card is written to OUTPUT.json")
    graph: Optional[str] = flag(
        None, help="also write the graph with variables and without weights to this .pb"
    )
    fold_batch_norm: bool = flag(False, help="fold batch norm into the weights of convolutions")
    output_type: str = output_type_flag("probabilities")

    def check(self) -> None:
        super().check()
        if self.graph and os.path.realpath(self.graph) == os.path.realpath(self.output):
            raise MmnetError(f"--graph and --output are the same file: {self.graph}")


def run(options: Options) -> int:
    weights = options.load_weights()
    spec = ExportSpec(
        format="pb",
        path=options.output,
        preprocess=options.preprocess,
        output_type=options.output_type,
        fold=options.fold_batch_norm,
    )
    inputs = checkpoint_files.files_of(weights.source) if weights.source else []
    check_target(spec, inputs)
    if options.graph:
        check_replaceable(options.graph, CAN_REPLACE["pb"], inputs=inputs, parameter="graph")

    exit_code = export_and_print(options, weights, [spec])
    if exit_code == 0 and options.graph:
        graph_def = inference_graph(
            weights.network, preprocess=options.preprocess, output_type=options.output_type
        )
        write_bytes(options.graph, graph_def.SerializeToString(deterministic=True))
    return exit_code
