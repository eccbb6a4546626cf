"""The evaluate verb: score a checkpoint, or every checkpoint of a run as it appears, and keep the best.

Below ``output`` (by default the checkpoint's folder):
    eval/                              TensorBoard events
    eval/<data set>-<split>-<H>x<W>/   <checkpoint>.csv: a line a picture; <checkpoint>.json: means and their origin
    best/<metric>/                     the best checkpoint for that metric, and score.json
"""
import json
import logging
import os
import shutil
import tempfile

import numpy as np

from mmnet import checkpoint
from mmnet.config import RUN_FILE
from mmnet.data.pairs import manifest_sha256
from mmnet.delivery.predictor import CheckpointPredictor
from mmnet.events import open_events, strip, write_events
from mmnet.files import is_writable, write_bytes, write_text
from mmnet.scoring.evaluate import evaluate
from mmnet.scoring.report import DIGITS, HIGHER_IS_BETTER, Result, from_csv, metric_of, published, tag, to_csv

log = logging.getLogger(__name__)


def validate(pairs, split, checkpoint_path=None, loop=False, output=None, watch_timeout=None, width_multiplier=1.0,
             size=256, target_eval_shape=(800, 600), batch_size=8, all_metrics=False, use_ema=False, device=None):
    """Yield a report.Result for each checkpoint.

    Args:
        pairs: of data.pairs.load_pairs. split: its name, a part of the published tags.
        checkpoint_path: a prefix or a folder (its latest); None scores untrained weights.
        loop: the path is a folder; score every checkpoint in it, lowest step first, and go on as new ones appear. Those
            whose scores of the same pictures and settings are already written are read, not computed.
        output: folder for what is written; None is the checkpoint's folder.
        watch_timeout: seconds without a new checkpoint after which the loop ends; None is never.
        The rest: as evaluate.evaluate and the network take them.

    Raises:
        FileNotFoundError: no checkpoint. ValueError: a damaged checkpoint, or another network's.
    """
    if loop:
        if not (checkpoint_path and os.path.isdir(checkpoint_path)):
            raise FileNotFoundError("a loop watches a folder of checkpoints, and %s is none" % checkpoint_path)
        prefixes = checkpoint.watch(checkpoint_path, watch_timeout)
        output = output or checkpoint_path
    else:
        prefixes = [checkpoint_path and checkpoint.resolve(checkpoint_path)]
        output = output or (prefixes[0] and os.path.dirname(os.path.abspath(prefixes[0])))
    read_only = output if output and not is_writable(output) else None
    if read_only:
        output = None
    settings = {"width_multiplier": width_multiplier, "size": size, "target_eval_shape": list(target_eval_shape),
                "all_metrics": all_metrics, "use_ema": use_ema, "pictures": manifest_sha256(pairs)}
    if device:  # another device's scores are not taken for this one's
        settings["device"] = device
    predictor = CheckpointPredictor(width_multiplier, size, use_ema, device)
    for prefix in prefixes:
        try:
            identity = dict(settings, checkpoint=checkpoint.index_sha256(prefix) if prefix else None)
            records = output and _records(output, pairs, split, target_eval_shape, prefix)
            result = _recorded(records, prefix, identity) if loop and output else None
            if result is None:
                step = predictor.restore(prefix)[1] if prefix else None
                if read_only:  # said once, after what may be wrong with the checkpoint and before the long part
                    log.warning("%s cannot be written: the scores are printed only (--output FOLDER keeps them)",
                                read_only)
                    read_only = None
                with tempfile.TemporaryDirectory() as folder:
                    # Scoring takes a while, and a trainer deletes its older checkpoints: the best is kept from a copy.
                    copy = _copy(prefix, folder) if prefix and output else None
                    evaluation = evaluate(predictor, pairs, size, target_eval_shape, batch_size, all_metrics)
                    scores = {column: np.round(values, DIGITS) for column, values in evaluation.scores.items()}
                    result = Result(prefix, step, evaluation.stems, scores)
                    if output:
                        _write(result, evaluation, split, output, records, identity, copy)
        except FileNotFoundError:
            if not loop or os.path.exists(prefix + ".index"):
                raise
            log.warning("%s was deleted before it could be scored", prefix)
            continue
        yield result


def _write(result, evaluation, split, output, records, identity, copy):
    """Write all that is kept of an evaluation; the record comes last, because it says that the rest is there."""
    scalars = {column_tag: value for column_tag, value in published(result, split).items() if "/" in column_tag}
    os.makedirs(os.path.dirname(records), exist_ok=True)
    scalars["inference_time_ms/%s" % split] = evaluation.predict_ms
    pictures = {"example/%s/%d" % (split, index): strip(example.image, example.truth, example.alpha)
                for index, example in enumerate(evaluation.examples)}
    writer = open_events(os.path.join(output, "eval"))
    write_events(writer, result.global_step, scalars, pictures)
    writer.close()
    if copy:
        for column, values in result.scores.items():
            score = {"score": float(np.mean(values)), "checkpoint": result.checkpoint, "pictures": identity["pictures"]}
            folder = os.path.join(output, "best", tag(column, split).replace("/", "_"))
            _keep_best(folder, score, copy, metric_of(column)[0] in HIGHER_IS_BETTER)
    write_text(records + ".csv", to_csv(result))
    record = {"identity": identity, "scores": published(result, split)}
    write_text(records + ".json", json.dumps(record, indent=1) + "\n")


def _records(output, pairs, split, target_eval_shape, prefix):
    """Where the record of a checkpoint on these pictures lies, without its extension."""
    data_set = os.path.basename(os.path.abspath(os.path.join(os.path.dirname(pairs[0].image), "..", "..")))
    folder = "%s-%s-%dx%d" % ((data_set, split) + tuple(target_eval_shape))
    return os.path.join(output, "eval", folder, os.path.basename(prefix) if prefix else "untrained")


def _recorded(records, prefix, identity):
    """The Result that an earlier run wrote for the same checkpoint, pictures and settings, or None."""
    try:
        with open(records + ".json") as file:
            record = json.load(file)
        with open(records + ".csv") as file:
            stems, scores = from_csv(file.read())
    except (OSError, ValueError):
        return None
    if record["identity"] != identity:
        return None
    log.info("%s: scores read from %s.csv", prefix, records)
    return Result(prefix, record["scores"]["global_step"], stems, scores)


def _keep_best(folder, score, copy, higher_is_better):
    """Make ``folder`` hold the checkpoint at ``copy`` if its score beats the one there.

    The new files come first, then score.json, which decides, then TensorFlow's ``checkpoint`` file, and only then the
    old ones go: killed at any point, the folder holds the checkpoint that score.json speaks of.
    """
    score_path = os.path.join(folder, "score.json")
    name = os.path.basename(copy)
    better = True
    if os.path.exists(score_path):
        with open(score_path) as file:
            best = json.load(file)
        if best["pictures"] != score["pictures"]:
            log.warning("%s was chosen on other pictures and stays as it is (--output FOLDER starts anew)", folder)
            return
        better = score["score"] > best["score"] if higher_is_better else score["score"] < best["score"]
        name = name if better else os.path.basename(best["checkpoint"])
    if better:
        os.makedirs(folder, exist_ok=True)
        for path in [os.path.join(os.path.dirname(copy), RUN_FILE)] + checkpoint.files_of(copy):
            if os.path.exists(path):
                with open(path, "rb") as file:
                    write_bytes(os.path.join(folder, os.path.basename(path)), file.read())
        write_text(score_path, json.dumps(score, indent=1) + "\n")
        checkpoint.mark_latest(os.path.join(folder, name))
    for prefix in checkpoint.list_checkpoints(folder):  # the one before, also where a kill had left it
        if os.path.basename(prefix) != name:
            checkpoint.delete(prefix)


def _copy(prefix, folder):
    """Copy a checkpoint, and the settings of its run where they are beside it."""
    for path in checkpoint.files_of(prefix):
        shutil.copy(path, folder)
    run = os.path.join(os.path.dirname(prefix), RUN_FILE)
    if os.path.exists(run):
        shutil.copy(run, folder)
    return os.path.join(folder, os.path.basename(prefix))
