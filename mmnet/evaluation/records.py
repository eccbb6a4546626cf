"""Files of an evaluation in an output folder (by default the folder of the checkpoint).

eval/                              TensorBoard events
eval/<dataset>-<split>-<H>x<W>/    <source>.json: scores per image, their means and their origin;
                                   <source>.csv: one row of scores per image;
                                   TensorBoard events of further datasets
best/<score>/                      the best checkpoint by that score, and score.json
"""

import csv
import io
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
from mmnet.io.errors import MAX_NAMES, MmnetError, format_names, format_shape
from mmnet.io.files import remove_abandoned, write_bytes, write_json
from mmnet.io.records import read_record
from mmnet.io.resize import resize_bilinear
from mmnet.io.tar_shards import Shard, shard_index
from mmnet.io.tensorboard import EventWriter, check_tensorboard, make_panel

DAMAGED = "%s: damaged (%s); ignored"

log = logging.getLogger(__name__)


class Identity(NamedTuple):
    """Everything that scores depend on. Scores with another identity are computed again."""

    network: dict
    source: Optional[str]  # SHA-256 of the checkpoint's index or of the model file
    use_ema: bool
    logit_scale: float
    as_photos: bool
    second_pass: bool
    clean_alpha: bool
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
    pictures: str  # the hash in Identity


def record_path(
    output: str,
    dataset: Dataset,
    target_shape: Sequence[int],
    source: Optional[str],
    name: Optional[str] = None,
) -> str:
    """Return the path of the record of a source on a dataset.

    ``name`` is the name of the record among several sources with one file name.
    """
    folder = f"{dataset.name}-{dataset.split}-{format_shape(target_shape)}"
    name = name or (os.path.basename(os.path.normpath(source)) if source else "untrained")
    names = folder.replace(os.sep, "-"), name.replace(os.sep, "-") + ".json"
    return os.path.join(output, "eval", *names)


def read_evaluation(
    output: str,
    dataset: Dataset,
    source: Optional[str],
    identity: Identity,
    name: Optional[str] = None,
) -> Optional[Evaluation]:
    """Return the evaluation of a source on a dataset from its record in an output folder.

    The result is None if the record is missing, damaged (with a warning) or of another identity.
    """
    path = record_path(output, dataset, identity.target_eval_shape, source, name)
    record = _read_record(path, EvaluationRecord)
    if record is None or record.identity != identity:
        return None
    network_shape, target_shape = identity.network["shape"], identity.target_eval_shape
    shapes = {"network": tuple(network_shape), "target": tuple(target_shape)}
    step = record.scores.get("global_step")
    evaluation = Evaluation(dataset, source, step, shapes, scores={})
    keys = {evaluation.tag(key): key for key in itertools.product(METRICS, shapes)}
    lengths = {len(values) for values in record.image_scores.values()}
    is_complete = record.stems == evaluation.stems and lengths == {len(dataset)}
    if not is_complete or not keys.keys() >= record.image_scores.keys():
        log.warning(DAMAGED, path, "other images or scores")
        return None
    log.info("%s: scores read from %s", source, path)
    scores = {keys[tag]: np.array(values) for tag, values in record.image_scores.items()}
    return evaluation._replace(scores=scores)


def merge_shards(
    output: str,
    dataset: Dataset,
    source: Optional[str],
    identity: Identity,
    *,
    count: int,
    name: Optional[str] = None,
) -> Evaluation:
    """Merge the records of all shards of a dataset. Write and return the evaluation."""
    shards, missing = [], []
    for index in sorted({shard_index(pair.stem, count) for pair in dataset.pairs}):
        part = dataset.select_shard(Shard(index, count))
        part_identity = identity._replace(pictures=part.fingerprint)
        evaluation = read_evaluation(output, part, source, part_identity, name)
        if evaluation is not None:
            shards.append(evaluation)
        else:
            missing.append(f"{index}/{count}")
        if len(missing) > MAX_NAMES:
            break
    if missing:
        names = format_names(missing, MAX_NAMES)
        raise MmnetError(
            f"{output}: no scores of these weights, images and options for {names}", "shard"
        )
    stems = [stem for shard in shards for stem in shard.stems]
    positions = {stem: index for index, stem in enumerate(stems)}
    order = [positions[pair.stem] for pair in dataset.pairs]
    scores = {
        key: np.concatenate([shard.scores[key] for shard in shards])[order]
        for key in shards[0].scores
    }
    merged = shards[0]._replace(dataset=dataset, scores=scores)
    path = record_path(output, dataset, identity.target_eval_shape, source, name)
    write_record(path, merged, identity)
    return merged


def write_evaluation(
    evaluation: Evaluation,
    output: str,
    identity: Identity,
    *,
    name: Optional[str] = None,
    checkpoint_copy: Optional[str] = None,
    shared_events: bool = True,
) -> None:
    """Write events, best checkpoints and, last, the record, so that a record means success.

    Args:
        name: name of the record, as in ``record_path``.
        checkpoint_copy: prefix of a copy of the checkpoint, for best/; None: keep no best.
        shared_events: write events to eval/, not to the folder of the dataset.
    """
    dataset, source = evaluation.dataset, evaluation.source
    path = record_path(output, dataset, identity.target_eval_shape, source, name)
    folder = os.path.dirname(path)
    write_scores_as_events(evaluation, os.path.join(output, "eval") if shared_events else folder)
    if checkpoint_copy is not None:
        keep_all_best(evaluation, os.path.join(output, "best"), identity, checkpoint_copy)
    write_record(path, evaluation, identity)


def write_record(path: str, evaluation: Evaluation, identity: Identity) -> None:
    """Write the scores per image as CSV, and the record as JSON."""
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    remove_abandoned(folder)
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["image", *map(evaluation.tag, evaluation.scores)])
    rows.writerows(zip(evaluation.stems, *(v.tolist() for v in evaluation.scores.values())))
    csv_path = path[: -len(".json")] + ".csv"
    write_bytes(csv_path, text.getvalue().encode("utf-8", "backslashreplace"))
    record = {
        "identity": identity._asdict(),
        "scores": published_scores(evaluation),
        "stems": evaluation.stems,
        "image_scores": {
            evaluation.tag(key): values.tolist() for key, values in evaluation.scores.items()
        },
    }
    write_json(path, record)


def write_scores_as_events(evaluation: Evaluation, folder: str) -> None:
    """Write mean scores, histograms, examples and the network time, if TensorBoard is installed."""
    try:
        check_tensorboard()
    except MmnetError as error:
        log.warning("skipped: %s", error)
        return
    split = evaluation.dataset.split
    scalars = {**evaluation.means(), f"inference_time_ms/{split}": evaluation.predict_ms}
    images = {}
    for index, (sample, alpha, _) in enumerate(evaluation.examples):
        image, alpha = (
            resize_bilinear(array, sample.truth.shape, align_corners=True)
            for array in (sample.image, alpha)
        )
        images[f"example/{split}/{index}"] = make_panel(image, sample.truth, alpha)
    scores = evaluation.scores
    histograms = {f"errors/{evaluation.tag(key)}": values for key, values in scores.items()}
    writer = EventWriter(folder)
    writer.write(evaluation.global_step, scalars, images, histograms=histograms)
    writer.close()


def keep_all_best(evaluation: Evaluation, folder: str, identity: Identity, copy: str) -> None:
    """Keep the best checkpoint by each score in a subfolder. A warning names foreign subfolders."""
    unchanged: Dict[str, List[str]] = {}
    for key, values in evaluation.scores.items():
        name = evaluation.tag(key).replace("/", "_")
        score = Best(float(np.mean(values)), str(evaluation.source), identity.pictures)
        higher_is_better = METRICS[key[0]].higher_is_better
        path = os.path.join(folder, name)
        problem = keep_best(path, score, copy, higher_is_better=higher_is_better)
        if problem:
            unchanged.setdefault(problem, []).append(name)
    for problem, names in unchanged.items():
        text = format_names(names, MAX_NAMES)
        log.warning("%s: %s: %s, so kept; use another output", folder, text, problem)


def keep_best(folder: str, score: Best, copy: str, *, higher_is_better: bool) -> Optional[str]:
    """Replace the checkpoint in a folder by the one at ``copy`` if its score is better.

    The new files come first, then score.json, then TensorFlow's ``checkpoint`` file. The previous
    checkpoint is deleted last, so the folder is complete whenever the process is killed. The result
    is the reason why the folder must not be changed, or None.
    """
    score_path = os.path.join(folder, "score.json")
    best = read_best(score_path)
    sign = 1 if higher_is_better else -1
    if best is not None and best.pictures != score.pictures:
        return "selected on other images"
    prefixes = checkpoint_files.list_checkpoints(folder) if os.path.isdir(folder) else []
    foreign = {os.path.basename(prefix) for prefix in prefixes} - {os.path.basename(copy)}
    if foreign and not os.path.lexists(score_path):
        return "not written by evaluate"
    if best is None or sign * score.score > sign * best.score:
        name = os.path.basename(copy)
        os.makedirs(folder, exist_ok=True)
        remove_abandoned(folder)
        new_prefix = checkpoint_files.copy_checkpoint(copy, folder)
        write_json(score_path, score._asdict())
        checkpoint_files.mark_latest(new_prefix)
    else:
        name = os.path.basename(best.checkpoint)
    for prefix in checkpoint_files.list_checkpoints(folder):
        if os.path.basename(prefix) != name:  # also the rest of a process that was killed
            checkpoint_files.delete_checkpoint(prefix)
    return None


def read_best(path: str) -> Optional[Best]:
    """Read a score.json. Return None if it is missing or, with a warning, if it is damaged."""
    return _read_record(path, Best)


def _read_record(path, record_type):
    try:
        return read_record(path, record_type)
    except FileNotFoundError:
        return None
    except (OSError, MmnetError) as error:
        log.warning(DAMAGED, path, error)
        return None
