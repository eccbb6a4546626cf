"""What is kept of scores, below an output folder (by default the checkpoint's own).

eval/                              TensorBoard events
eval/<dataset>-<split>-<H>x<W>/   <source>.csv: a line a picture; <source>.json: means, origin;
                                   of a second dataset in one call its TensorBoard events
best/<metric>/                     the best checkpoint for that metric, and score.json
"""

import logging
import os
from typing import List, NamedTuple, Optional

import numpy as np

from mmnet.evaluation.report import HIGHER_IS_BETTER, Result, from_csv, published, tag, to_csv
from mmnet.io import checkpoint_files
from mmnet.io.errors import MmnetError, format_shape
from mmnet.io.files import (
    read_bytes,
    read_text,
    remove_abandoned,
    write_bytes,
    write_json,
    write_text,
)
from mmnet.io.records import read_record
from mmnet.io.tensorboard import close_events, open_events, panel, write_events

log = logging.getLogger(__name__)


def record_path(output, data_set, target_shape, source):
    """Where the record of a source on a dataset lies, without its extension."""
    folder = "%s-%s-%s" % (data_set.name, data_set.split, format_shape(target_shape))
    name = os.path.basename(os.path.normpath(source)) if source else "untrained"
    return os.path.join(output, "eval", folder, name)


class Identity(NamedTuple):
    """Tells scores from those of another source, of other pictures or settings."""

    network: dict
    source: Optional[str]  # SHA-256 of the checkpoint's index or of the model
    use_ema: bool
    logit_scale: float
    as_photos: List[bool]  # whether, without a second look, without refinement
    device: Optional[str]  # another device's scores are not taken for this one's
    target_eval_shape: List[int]
    all_metrics: bool
    pictures: str  # Dataset.fingerprint


class Record(NamedTuple):
    """The JSON beside a CSV of scores."""

    identity: Identity
    scores: dict  # as report.published


class Best(NamedTuple):
    """The score.json of a best checkpoint."""

    score: float
    checkpoint: str
    pictures: str


def read_scores(path, source, identity):
    """The Result that an earlier run wrote, or None: of this very source, pictures and settings.

    A record that is damaged counts as none, with a warning.
    """
    if not os.path.exists(path + ".json"):
        return None
    try:
        record = read_record(path + ".json", Record)
        if record.identity != identity:
            return None
        stems, scores, shapes = from_csv(read_text(path + ".csv"))
        means = record.scores
        if len(stems) != means.get("pictures") or len(scores) != sum("/" in name for name in means):
            raise MmnetError("%s.csv holds other pictures or scores" % path)
    except (OSError, ValueError) as error:
        log.warning("the record %s.json is damaged (%s): scored again", path, error)
        return None
    log.info("%s: scores read from %s.csv", source, path)
    return Result(source, record.scores.get("global_step"), stems, scores, shapes)


def write_records(result, evaluation, data_set, output, identity, copy=None, alone=True):
    """Write all that is kept of an evaluation; the record comes last: it says that all is there.

    Args:
        identity: Identity. copy: prefix of a copy of the checkpoint, for best/; None keeps no best.
        alone: whether this dataset's events are those of ``output`` itself, or of its own folder.
    """
    split = data_set.split
    scalars = {name: value for name, value in published(result, split).items() if "/" in name}
    path = record_path(output, data_set, result.shapes["target"], result.source)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    remove_abandoned(os.path.dirname(path))
    scalars["inference_time_ms/%s" % split] = evaluation.predict_ms
    pictures = {
        "example/%s/%d" % (split, index): panel(example.image, example.truth, example.alpha)
        for index, example in enumerate(evaluation.examples)
    }
    writer = open_events(os.path.join(output, "eval") if alone else os.path.dirname(path))
    errors = {
        "errors/" + tag(key, split, result.shapes): values for key, values in result.scores.items()
    }
    write_events(writer, result.global_step, scalars, pictures, histograms=errors)
    close_events(writer)
    for key, values in result.scores.items() if copy else ():
        score = Best(float(np.mean(values)), result.source, identity.pictures)
        name = tag(key, split, result.shapes).replace("/", "_")
        keep_best(os.path.join(output, "best", name), score, copy, key[0] in HIGHER_IS_BETTER)
    write_text(path + ".csv", to_csv(result))
    record = {"identity": identity._asdict(), "scores": published(result, split)}
    write_json(path + ".json", record)


def keep_best(folder, score, copy, higher_is_better):
    """Make ``folder`` hold the checkpoint at ``copy`` if its score beats the one there.

    The new files come first, then score.json, which decides, then TensorFlow's ``checkpoint`` file,
    and only then the old ones go: killed at any point, the folder holds the checkpoint that
    score.json speaks of.
    """
    score_path = os.path.join(folder, "score.json")
    name = os.path.basename(copy)
    best = read_best(score_path)
    better = True
    if best is not None:
        if best.pictures != score.pictures:
            log.warning(
                "%s was chosen on other pictures and stays as it is (--output FOLDER starts anew)",
                folder,
            )
            return
        gain = score.score - best.score
        better = gain > 0 if higher_is_better else gain < 0
        name = name if better else os.path.basename(best.checkpoint)
    if better:
        os.makedirs(folder, exist_ok=True)
        remove_abandoned(folder)
        run = os.path.join(os.path.dirname(copy), checkpoint_files.RUN_FILE)
        for path in [run] + checkpoint_files.files_of(copy):
            if os.path.exists(path):
                write_bytes(os.path.join(folder, os.path.basename(path)), read_bytes(path))
        write_json(score_path, score._asdict())
        checkpoint_files.mark_latest(os.path.join(folder, name))
    # The one before goes, also where a kill had left it.
    for prefix in checkpoint_files.list_checkpoints(folder):
        if os.path.basename(prefix) != name:
            checkpoint_files.delete(prefix)


def read_best(path):
    """The Best in a score.json; None where there is none, or, with a warning, a damaged one."""
    if not os.path.exists(path):
        return None
    try:
        return read_record(path, Best)
    except (OSError, ValueError) as error:
        log.warning("%s is damaged (%s): the best is chosen anew", path, error)
        return None
