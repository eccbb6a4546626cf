"""Files of an evaluation in an output folder (by default the folder of the checkpoint).

eval/                              TensorBoard events
eval/<dataset>-<split>-<H>x<W>/    <source>.json: scores per image, their means and their origin;
                                   TensorBoard events of further datasets
best/<score>/                      the best checkpoint by that score, and score.json
"""

import itertools
import logging
import os
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import numpy as np

from mmnet.datasets.pairs import Dataset
from mmnet.evaluation.evaluate import Evaluation
from mmnet.evaluation.metrics import METRICS
from mmnet.evaluation.report import published_scores
from mmnet.io import checkpoint_files
from mmnet.io.errors import MmnetError, format_shape
from mmnet.io.files import read_bytes, remove_abandoned, write_bytes, write_json
from mmnet.io.records import read_record
from mmnet.io.resize import resize_bilinear
from mmnet.io.tensorboard import EventWriter, make_panel

log = logging.getLogger(__name__)


class Identity(NamedTuple):
    """Everything that scores depend on. Scores with another identity are computed again."""

    network: dict
    source: Optional[str]  # SHA-256 of the checkpoint's index or of the model file
    use_ema: bool
    logit_scale: float
    as_photos: bool
    second_pass: bool
    refine_edges: bool
    device: Optional[str]
    target_eval_shape: List[int]
    all_metrics: bool
    pictures: str  # hash of the names and sizes of the dataset's files


class EvaluationRecord(NamedTuple):
    """The JSON file of an evaluation."""

    identity: Identity
    scores: Dict[str, Any]  # report.published_scores
    stems: List[str]
    image_scores: Dict[str, List[float]]  # by published name, in the order of stems


class Best(NamedTuple):
    """The score.json of a best checkpoint."""

    score: float
    checkpoint: str
    pictures: str  # the same hash as in Identity


def record_path(
    output: str, dataset: Dataset, target_shape: Sequence[int], source: Optional[str]
) -> str:
    """Return the path of the record of a source on a dataset."""
    folder = f"{dataset.name}-{dataset.split}-{format_shape(target_shape)}"
    name = os.path.basename(os.path.normpath(source)) if source else "untrained"
    return os.path.join(output, "eval", folder, name + ".json")


def read_evaluation(
    output: str, dataset: Dataset, source: Optional[str], identity: Identity
) -> Optional[Evaluation]:
    """Return the evaluation of a source on a dataset from its record in an output folder.

    The result is None if the record is missing, damaged (with a warning) or of another identity.
    """
    path = record_path(output, dataset, identity.target_eval_shape, source)
    if not os.path.exists(path):
        return None
    try:
        record = read_record(path, EvaluationRecord)
        if record.identity != identity:
            return None
        evaluation = _to_evaluation(record, dataset, source)
    except (OSError, MmnetError) as error:
        log.warning("%s: damaged (%s); scoring again", path, error)
        return None
    log.info("%s: scores read from %s", source, path)
    return evaluation


def _to_evaluation(record, dataset, source):
    shapes = {
        "network": tuple(record.identity.network["shape"]),
        "target": tuple(record.identity.target_eval_shape),
    }
    step = record.scores.get("global_step")
    evaluation = Evaluation(dataset, source, step, shapes, scores={})
    for place, metric in itertools.product(shapes, METRICS):
        key = metric, place
        values = record.image_scores.get(evaluation.tag(key))
        if values is not None:
            evaluation.scores[key] = np.array(values)
    lengths = {len(values) for values in evaluation.scores.values()}
    if (
        record.stems != evaluation.stems
        or lengths != {len(dataset)}
        or len(evaluation.scores) != len(record.image_scores)
    ):
        raise MmnetError("other images or scores")
    return evaluation


def merge_evaluations(dataset: Dataset, shards: Sequence[Evaluation]) -> Evaluation:
    """Return the evaluation of a dataset from the evaluations of all its shards."""
    stems = [stem for shard in shards for stem in shard.stems]
    positions = {stem: index for index, stem in enumerate(stems)}
    order = [positions[pair.stem] for pair in dataset.pairs]
    scores = {
        key: np.concatenate([shard.scores[key] for shard in shards])[order]
        for key in shards[0].scores
    }
    return shards[0]._replace(dataset=dataset, scores=scores)


def write_evaluation(
    evaluation: Evaluation,
    output: str,
    identity: Identity,
    *,
    checkpoint_copy: Optional[str] = None,
    shared_events: bool = True,
) -> None:
    """Write events, best checkpoints and, last, the record, so that a record means success.

    Args:
        evaluation: scores and examples.
        output: folder.
        identity: identity of the scores.
        checkpoint_copy: prefix of a copy of the checkpoint, for best/; None: keep no best.
        shared_events: write events to eval/, not to the folder of the dataset.
    """
    shape = identity.target_eval_shape
    path = record_path(output, evaluation.dataset, shape, evaluation.source)
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    remove_abandoned(folder)
    write_scores_as_events(evaluation, os.path.join(output, "eval") if shared_events else folder)
    if checkpoint_copy is not None:
        for (metric, place), values in evaluation.scores.items():
            score = Best(float(np.mean(values)), str(evaluation.source), identity.pictures)
            name = evaluation.tag((metric, place)).replace("/", "_")
            keep_best(
                os.path.join(output, "best", name),
                score,
                checkpoint_copy,
                higher_is_better=METRICS[metric].higher_is_better,
            )
    write_record(path, evaluation, identity)


def write_record(path: str, evaluation: Evaluation, identity: Identity) -> None:
    image_scores = {
        evaluation.tag(key): values.tolist() for key, values in evaluation.scores.items()
    }
    record = {
        "identity": identity._asdict(),
        "scores": published_scores(evaluation),
        "stems": evaluation.stems,
        "image_scores": image_scores,
    }
    write_json(path, record)


def write_scores_as_events(evaluation: Evaluation, folder: str) -> None:
    """Write mean scores, histograms, examples and the network time for TensorBoard."""
    split = evaluation.dataset.split
    scalars = dict(evaluation.means())
    scalars[f"inference_time_ms/{split}"] = evaluation.predict_ms
    images = {}
    for index, (sample, alpha, _) in enumerate(evaluation.examples):
        alpha = resize_bilinear(alpha, sample.truth.shape, align_corners=True)
        images[f"example/{split}/{index}"] = make_panel(sample.image, sample.truth, alpha)
    histograms = {
        f"errors/{evaluation.tag(key)}": values for key, values in evaluation.scores.items()
    }
    writer = EventWriter(folder)
    writer.write(evaluation.global_step, scalars, images, histograms=histograms)
    writer.close()


def keep_best(folder: str, score: Best, copy: str, *, higher_is_better: bool) -> None:
    """Replace the checkpoint in a folder by the one at ``copy`` if its score is better.

    The new files come first, then score.json, then TensorFlow's ``checkpoint`` file. The previous
    checkpoint is deleted last, so the folder is complete whenever the process is killed.
    """
    score_path = os.path.join(folder, "score.json")
    best = read_best(score_path)
    if best is not None and best.pictures != score.pictures:
        log.warning("%s: selected on other images, so it is kept; use another output", folder)
        return
    if best is None or _is_better(score.score, best.score, higher_is_better):
        name = os.path.basename(copy)
        os.makedirs(folder, exist_ok=True)
        remove_abandoned(folder)
        run_file = os.path.join(os.path.dirname(copy), checkpoint_files.RUN_FILE)
        for path in [run_file, *checkpoint_files.files_of(copy)]:
            if os.path.exists(path):
                write_bytes(os.path.join(folder, os.path.basename(path)), read_bytes(path))
        write_json(score_path, score._asdict())
        checkpoint_files.mark_latest(os.path.join(folder, name))
    else:
        name = os.path.basename(best.checkpoint)
    for prefix in checkpoint_files.list_checkpoints(folder):
        if os.path.basename(prefix) != name:  # also the rest of a process that was killed
            checkpoint_files.delete_checkpoint(prefix)


def read_best(path: str) -> Optional[Best]:
    """Read a score.json. Return None if it is missing or, with a warning, if it is damaged."""
    if not os.path.exists(path):
        return None
    try:
        return read_record(path, Best)
    except (OSError, MmnetError) as error:
        log.warning("%s: damaged (%s); selecting the best checkpoint again", path, error)
        return None


def _is_better(score, best_score, higher_is_better):
    return score > best_score if higher_is_better else score < best_score
