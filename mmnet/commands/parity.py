"""`mmnet parity`: compare model files with their checkpoint on the same images."""

import dataclasses
import json
import os
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from mmnet.commands.flag_types import one_of, positive_int, source
from mmnet.commands.options import (
    REQUIRED,
    SOURCE,
    DatasetOptions,
    JsonOptions,
    SourceOptions,
    flag,
)
from mmnet.datasets.pairs import Dataset, find_dataset
from mmnet.evaluation.comparison import PairedScore, measure_difference
from mmnet.evaluation.evaluate import evaluate
from mmnet.evaluation.metrics import MAIN_METRICS, METRICS
from mmnet.export.comparison import EXACT, bound_violation
from mmnet.inference.card import FIELD_VALUES
from mmnet.inference.checkpoints import open_weights
from mmnet.inference.foreign import has_signature
from mmnet.inference.open import load_weights, open_predictor
from mmnet.inference.predictor import Predictor
from mmnet.inference.replay import find_results, open_results
from mmnet.io.errors import MmnetError, format_shape
from mmnet.io.files import short_names
from mmnet.io.tables import format_table
from mmnet.networks.network import Network
from mmnet.weights.registry import DEFAULT
from mmnet.weights.source import find_source, is_ensemble, is_model_file, source_bytes


@dataclasses.dataclass(frozen=True)
class Options(DatasetOptions, SourceOptions, JsonOptions):
    """Compare model files with their checkpoint: alphas, scores, size and operations.

    A model of another project is compared with another model of it as --checkpoint_path.

    The exit code is 1 if a model differs by more than mmnet export allows: 1e-4 at any pixel for
    float32; on average 1e-3 for float16 (also for the results of an .om model) and 1e-2 for
    dynamic and int8.
    """

    models: Tuple[str, ...] = flag(
        REQUIRED, nargs="+", positional=True, help="model files, and folders of msame or ais_bench"
    )
    checkpoint_path: str = flag(DEFAULT, source, help=SOURCE, alias="model", group="model")
    output_type: str = flag(
        "probabilities",
        one_of(*FIELD_VALUES["output_type"]),
        help="content of the result files of msame or ais_bench",
    )
    batch_size: int = flag(8, positive_int, help="images per network run")


class ParityRow(NamedTuple):
    """A model, or the checkpoint (first row, no precision). The fields are the keys of the JSON."""

    model: Optional[str]
    scores: Dict[str, PairedScore]
    largest_difference: float  # alpha of the model minus the checkpoint's
    mean_difference: float
    precision: Optional[str] = None
    bytes: Optional[int] = None
    operations: Optional[int] = None
    problem: Optional[str] = None  # why the difference is too large


def run(options: Options) -> int:
    dataset = find_dataset(options.dataset_path, options.dataset_split_name)
    reference = open_reference(options)
    network, output_type = reference.network, options.output_type
    models = {path: open_model(path, dataset, network, output_type) for path in options.models}
    rows = []
    for row in compare_models(reference, models, dataset, options.batch_size):
        rows.append(row)
        if options.json:
            scores = {metric: score._asdict() for metric, score in row.scores.items()}
            print(json.dumps({**row._asdict(), "scores": scores}), flush=True)
    problems = [row for row in rows if row.problem]
    if not options.json:
        name = reference.name or reference.source
        print(f"{name}, {len(dataset)} images")
        print(format_rows([rows[0]._replace(model=name), *rows[1:]]))
        for row in problems:
            print(f"{row.model}: {row.problem}")
    return 1 if problems else 0


def open_reference(options: Options) -> Predictor:
    """Open the checkpoint or model with which the models are compared."""
    found = find_source(options.checkpoint_path)
    fields, weight_options = options.network_fields(), options.weight_options()
    if found.kind in ("checkpoint", "untrained"):  # not the model file of weights by name
        return open_weights(load_weights(found, fields, weight_options), EXACT)
    return open_predictor(found, fields, weight_options=weight_options, device=EXACT)


def open_model(path: str, dataset: Dataset, network: Network, output_type: str) -> Predictor:
    """Open a model file, or a folder with results of msame or ais_bench."""
    is_foreign = is_model_file(path) and has_signature(path)
    if is_model_file(path) or is_ensemble(path):
        shape = {"shape": network.shape} if is_foreign or is_ensemble(path) else None
        model = open_predictor(path, shape, device=EXACT)
    elif os.path.isdir(path):
        stems = [pair.stem for pair in dataset.pairs]
        model = open_results(find_results([path]), stems, network.shape, output_type)
    else:
        raise FileNotFoundError(f"no model {path}")
    if model.network.shape != network.shape:
        raise MmnetError(
            f"{path}: takes images of {format_shape(model.network.shape)}, but the checkpoint is "
            f"compared at {format_shape(network.shape)}; change --size or --shape"
        )
    return model


def compare_models(
    checkpoint: Predictor, models: Dict[str, Predictor], dataset: Dataset, batch_size: int
) -> Iterator[ParityRow]:
    """Yield the row of the checkpoint, then the row of each model."""
    reference = evaluate(checkpoint, dataset, None, batch_size=batch_size, keep_alphas=True)
    yield ParityRow(checkpoint.source, *measure_difference(reference, reference))
    for path, model in models.items():
        evaluation = evaluate(model, dataset, None, batch_size=batch_size, keep_alphas=True)
        scores, largest, mean = measure_difference(evaluation, reference)
        operations = model.card.operations
        yield ParityRow(
            path,
            scores,
            largest,
            mean,
            precision=model.precision,
            bytes=source_bytes(model.source) if is_model_file(path) else None,
            operations=None if operations is None else sum(operations.values()),
            problem=bound_violation(model.precision, largest=largest, mean=mean),
        )


def format_rows(rows: Sequence[ParityRow]) -> str:
    """Return the table. Differences are of the model from the checkpoint."""
    header = ["model", "largest difference", "mean difference"]
    for metric in MAIN_METRICS:
        header += [METRICS[metric].label, "difference (95 % interval)"]
    table: List[List[str]] = [header + ["bytes", "operations"]]
    names = short_names([row.model or "untrained weights" for row in rows])
    for name, row in zip(names, rows):
        is_checkpoint = row.precision is None
        cells = [name]
        for value in (row.largest_difference, row.mean_difference):
            cells.append("" if is_checkpoint else f"{value:.2g}")
        for mean, difference, (low, high) in row.scores.values():
            interval = f"{difference:+.1e} ({low:+.1e} .. {high:+.1e})"
            cells += [f"{mean:.6f}", "" if is_checkpoint else interval]
        for number in (row.bytes, row.operations):
            cells.append("" if number is None else str(number))
        table.append(cells)
    return format_table(table)
