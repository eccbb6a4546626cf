"""The parity verb: a checkpoint and models made of it, on the same pictures."""

import dataclasses
import json
import os
from typing import Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from mmnet.commands.flag_types import one_of, positive_int
from mmnet.commands.options import REQUIRED, CheckpointOptions, DatasetOptions, JsonOptions, flag
from mmnet.datasets.pairs import find_dataset
from mmnet.evaluation.evaluate import PUBLISHED, evaluate
from mmnet.evaluation.report import NAMES, bootstrap_interval
from mmnet.export.export import EXACT, bound_violation
from mmnet.inference.checkpoints import open_weights
from mmnet.inference.open import load_weights, open_predictor
from mmnet.inference.replay import find_results, open_results
from mmnet.io.errors import MmnetError, format_shape
from mmnet.io.files import short_names
from mmnet.io.tables import format_table
from mmnet.weights.source import find_source, is_model_file, source_bytes


@dataclasses.dataclass(frozen=True)
class Options(DatasetOptions, CheckpointOptions, JsonOptions):
    """Compare models with the checkpoint they were made of: alphas, scores, bytes, operations.

    The exit code is 1 where a model differs by more than mmnet export lets pass: float32 by 1e-4,
    float16 (and what an .om gave, which computes in it) by 1e-3 in the mean, dynamic and int8 by
    1e-2 in the mean.
    """

    models: Tuple[str, ...] = flag(
        REQUIRED,
        help=".pb, .tflite, .onnx, SavedModels' folders, and folders that msame or ais_bench wrote",
        nargs="+",
        positional=True,
    )
    output_type: str = flag(
        "probabilities",
        one_of("probabilities", "alpha", "logits"),
        help="what the files in folders of msame or ais_bench hold",
    )
    batch_size: int = flag(8, positive_int, help="pictures in one run of the network")


class Score(NamedTuple):
    """A metric at the network's size, and what the model adds to the checkpoint's."""

    mean: float
    difference: float  # of the means
    interval: Tuple[float, float]  # 95 % of the mean paired difference, bootstrap over the pictures


class Row(NamedTuple):
    """One model, or the checkpoint itself (no precision, differences 0)."""

    model: str
    scores: Dict[str, Score]  # of PUBLISHED
    precision: Optional[str] = None
    largest_difference: float = 0.0  # of alpha, over all pixels of all pictures
    mean_difference: float = 0.0
    bytes: Optional[int] = None
    operations: Optional[int] = None
    problem: Optional[str] = None  # why the model is beyond its bound (export.BOUNDS)


def run(options):
    data_set = find_dataset(options.dataset_path, options.dataset_split_name)
    weights = load_weights(
        options.checkpoint_path, options.network_fields(), options.weight_options()
    )
    models = {path: open_model(options, weights.network, data_set, path) for path in options.models}
    rows = []
    for row in parity(open_weights(weights, EXACT), models, data_set, options.batch_size):
        rows.append(row)
        if options.json:
            print(json.dumps(to_dict(row)), flush=True)
    if not options.json:
        print(parity_text(rows, len(data_set)))
    return 1 if any(row.problem for row in rows) else 0


def open_model(options, network, data_set, path):
    """A model file, or the results in a folder, as a Predictor."""
    if os.path.isdir(path) and not is_model_file(path):
        stems = [pair.stem for pair in data_set.pairs]
        return open_results(find_results([path]), stems, network.shape, options.output_type)
    if not is_model_file(path):
        raise FileNotFoundError("no model %s" % path)
    return open_predictor(path, device=EXACT)


class Watched:
    """A Predictor whose every alphas are shown to a function."""

    def __init__(self, predictor, see):
        self._predictor, self._see = predictor, see
        self.network = predictor.network

    def __call__(self, images):
        alphas = self._predictor(images)
        self._see(alphas)
        return alphas


def parity(predictor, models, data_set, batch_size=8):
    """Yield a Row for the checkpoint, then one for each model.

    Args:
        predictor: a checkpoint's. models: path -> Predictor.

    Raises:
        ValueError: a model of another shape; of evaluate.
    """
    for path, model in models.items():
        if model.network.shape != predictor.network.shape:
            raise MmnetError(
                "%s takes pictures of %s, the checkpoint is compared at %s"
                % (path, format_shape(model.network.shape), format_shape(predictor.network.shape))
            )
    alphas: List[np.ndarray] = []  # the checkpoint's, batch by batch
    reference = scores_of(Watched(predictor, alphas.append), data_set, batch_size)
    yield Row(predictor.source, compared(reference, reference))
    for path, model in models.items():
        # evaluate asks for the pictures in the same order every time.
        batches, differences = iter(alphas), []

        def compare(output, batches=batches, differences=differences):
            difference = np.abs(output - next(batches))
            differences.append((difference.max(), difference.mean(), len(output)))

        scores = scores_of(Watched(model, compare), data_set, batch_size)
        largest, means, counts = zip(*differences)
        # np.max, for Python's max would lose a NaN.
        largest, mean = float(np.max(largest)), float(np.average(means, weights=counts))
        yield Row(
            path,
            compared(scores, reference),
            precision=model.precision,
            largest_difference=largest,
            mean_difference=mean,
            bytes=source_bytes(find_source(path)) if is_model_file(path) else None,
            operations=None if model.operations is None else sum(model.operations.values()),
            problem=bound_violation("float32", model.precision, largest, mean),
        )


def scores_of(predictor, data_set, batch_size):
    """metric -> [pictures], at the network's size."""
    evaluation = evaluate(predictor, data_set, target_shape=None, batch_size=batch_size)
    return {metric: evaluation.scores[metric, "network"] for metric in PUBLISHED}


def compared(scores, reference):
    """metric -> Score."""
    rows = {}
    for metric in PUBLISHED:
        difference = scores[metric] - reference[metric]
        low, high = bootstrap_interval(difference)
        interval = (float(low), float(high))
        rows[metric] = Score(float(scores[metric].mean()), float(difference.mean()), interval)
    return rows


def to_dict(row):
    """Ready for JSON."""
    scores = {metric: dict(score._asdict()) for metric, score in row.scores.items()}
    return dict(row._asdict(), scores=scores)


def parity_text(rows, pictures):
    """A table, and what is wrong below it."""
    header = ["model", "largest", "mean"]
    for metric in PUBLISHED:
        header += [NAMES[metric][1], "its difference (95 % interval)"]
    lines = [header + ["bytes", "operations"]]
    for name, row in zip(short_names([row.model for row in rows]), rows):
        line = [name, "%.2g" % row.largest_difference, "%.2g" % row.mean_difference]
        for score in row.scores.values():
            interval = (score.difference,) + score.interval
            line += ["%.6f" % score.mean, "%+.1e (%+.1e .. %+.1e)" % interval]
        lines.append(
            line + ["" if value is None else str(value) for value in (row.bytes, row.operations)]
        )
    # The checkpoint has no difference from itself.
    lines[1] = [cell if index in (0, 3, 5) else "" for index, cell in enumerate(lines[1])]
    title = "%s, %d pictures; largest and mean: difference of alpha from the checkpoint's"
    problems = ["%s: %s" % (row.model, row.problem) for row in rows if row.problem]
    return "\n".join([title % (rows[0].model, pictures), format_table(lines)] + problems)
