"""The parity verb: a checkpoint and models made of it, on the same pictures."""
from typing import Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from mmnet.delivery.export import beyond
from mmnet.delivery.models import bytes_of, is_model
from mmnet.files import short_names
from mmnet.scoring.evaluate import evaluate
from mmnet.scoring.replay import check_outputs, find_results, replay
from mmnet.scoring.report import NAMES, aligned, bootstrap_interval

METRICS = ("mad", "gauss_grad")
REPLAY_PRECISION = "float16"  # an .om computes in it


class Replay:
    """The folder that msame or ais_bench wrote, where a Model would be; good for one pass over its pictures."""
    precision, operations = REPLAY_PRECISION, None

    def __init__(self, folder, stems, size, output_type):
        """
        Raises:
            FileNotFoundError: no results there. ValueError: missing, extra or damaged ones.
        """
        self.size = size
        self._predict = replay(check_outputs(find_results([folder]), stems, size, output_type), size, output_type)

    def __call__(self, images):
        return self._predict(images)


class Score(NamedTuple):
    """A metric at the network's size, and what the model adds to the checkpoint's."""
    mean: float
    difference: float  # of the means
    interval: Tuple[float, float]  # 95 % of the mean paired difference, by bootstrap over the pictures


class Row(NamedTuple):
    """One model, or the checkpoint itself (no precision, differences 0)."""
    model: str
    precision: Optional[str]
    largest_difference: float  # of alpha, over all pixels of all pictures
    mean_difference: float
    scores: Dict[str, Score]  # METRICS
    bytes: Optional[int]
    operations: Optional[int]
    problem: Optional[str]  # why the model is beyond its bound (export.BOUNDS)


def parity(predictor, prefix, pairs, models, size=256, batch_size=8):
    """Yield a Row for the checkpoint, then one for each model.

    Args:
        predictor: a CheckpointPredictor with the weights of ``prefix``. models: path -> models.Model or Replay, all of
        ``size``.
        pairs: list of data.pairs.Pair.

    Raises:
        ValueError: a model of another size; of evaluate.
    """
    for path, model in models.items():
        if model.size != size:
            raise ValueError("%s takes pictures of %d, the checkpoint is compared at --size %d"
                             % (path, model.size, size))
    alphas: List[np.ndarray] = []  # of the checkpoint, a batch each

    def keep(images):
        alphas.append(predictor(images))
        return alphas[-1]
    reference = scores_of(keep, pairs, size, batch_size)
    yield Row(prefix, None, 0.0, 0.0, compared(reference, reference), None, None, None)
    for path, model in models.items():
        batches, differences = iter(alphas), []  # evaluate asks for the pictures in the same order every time

        def compare(images):
            output = model(images)
            difference = np.abs(output - next(batches))
            differences.append((difference.max(), difference.mean(), len(images)))
            return output
        scores = scores_of(compare, pairs, size, batch_size)
        largest, means, counts = zip(*differences)
        # np.max, for Python's max would lose a NaN
        largest, mean = float(np.max(largest)), float(np.average(means, weights=counts))
        operations = None if model.operations is None else sum(model.operations.values())
        yield Row(path, model.precision, largest, mean, compared(scores, reference),
                  bytes_of(path) if is_model(path) else None, operations,
                  beyond(model.precision, largest, mean))


def scores_of(predict, pairs, size, batch_size):
    """metric -> [pictures], at the network's size."""
    scores = evaluate(predict, pairs, size, (size, size), batch_size).scores
    return {metric: scores["%s_%d" % (metric, size)] for metric in METRICS}


def compared(scores, reference):
    rows = {}
    for metric in METRICS:
        difference = scores[metric] - reference[metric]
        low, high = bootstrap_interval(difference)
        rows[metric] = Score(float(scores[metric].mean()), float(difference.mean()), (float(low), float(high)))
    return rows


def to_dict(row):
    """Ready for JSON."""
    return dict(row._asdict(), scores={metric: score._asdict() for metric, score in row.scores.items()})


def text(rows, pictures):
    """A table, and what is wrong below it."""
    header = ["model", "largest", "mean"]
    for metric in METRICS:
        header += [NAMES[metric][1], "+ (95 % interval)"]
    lines = [header + ["bytes", "operations"]]
    for name, row in zip(short_names([row.model for row in rows]), rows):
        line = [name, "%.2g" % row.largest_difference, "%.2g" % row.mean_difference]
        for score in row.scores.values():
            line += ["%.6f" % score.mean, "%+.1e (%+.1e .. %+.1e)" % ((score.difference,) + score.interval)]
        lines.append(line + ["" if value is None else str(value) for value in (row.bytes, row.operations)])
    lines[1] = [cell if index in (0, 3, 5) else "" for index, cell in enumerate(lines[1])]  # the checkpoint's own
    said = ["%s, %d pictures; largest and mean: difference of alpha from the checkpoint's" % (rows[0].model, pictures)]
    return "\n".join(said + [aligned(lines)] + ["%s: %s" % (row.model, row.problem) for row in rows if row.problem])
