"""Evaluations as text tables and as JSON. No TensorFlow."""

from typing import Any, Dict, Sequence

import numpy as np

from mmnet.evaluation.clips import ClipScores
from mmnet.evaluation.comparison import Comparison, bootstrap_interval
from mmnet.evaluation.evaluate import Evaluation
from mmnet.evaluation.metrics import METRICS
from mmnet.inference.predictor import Predictor
from mmnet.io.errors import format_names, format_shape
from mmnet.io.tables import format_table


def published_scores(evaluation: Evaluation) -> Dict[str, Any]:
    """Return the mean scores by published name, and their source, for JSON."""
    return {
        **evaluation.means(),
        "pictures": len(evaluation.dataset),
        "checkpoint": evaluation.source,
        "global_step": evaluation.global_step,
    }


def format_evaluation(evaluation: Evaluation, worst: int = 5) -> str:
    """Return a table of means with intervals, and the ``worst`` images by MAD at the target."""
    scores, shapes = evaluation.scores, evaluation.shapes
    rows = [
        (METRICS[metric].label, shapes[place], scores[metric, place]) for metric, place in scores
    ]
    title = _source_and_step(evaluation.name or evaluation.source, evaluation.global_step)
    text = _format_scores(f"{title}, {len(evaluation.dataset)} images", rows)
    if worst:
        values, stems = scores["mad", "target"], evaluation.stems
        order = np.argsort(-values, kind="stable")[:worst]
        images = format_names([f"{stems[index]} {values[index]:.4f}" for index in order], worst)
        text += f"\nworst by MAD at {format_shape(shapes['target'])}: {images}"
    return text


def format_comparisons(comparisons: Sequence[Comparison]) -> str:
    """Return a table of comparisons with one reference."""
    name = comparisons[0].reference.source_name
    rows = [(f"compared with {name}", "difference", "95 % interval", "")]
    for evaluation, _, metric, score in comparisons:
        label = METRICS[metric].label
        name = f"{evaluation.source_name}, {evaluation.dataset_name}, {label}"
        low, high = score.interval
        interval = f"{low:+.6f} .. {high:+.6f}"
        rows.append((name, f"{score.difference:+.6f}", interval, score.verdict))
    return format_table(rows)


def published_clip_scores(scores: ClipScores, predictor: Predictor, split: str) -> Dict[str, Any]:
    """Return the mean scores of clips for JSON."""
    return {
        f"MAD/{split}": float(scores.mad.mean()),
        f"dtSSD/{split}": float(scores.dtssd.mean()),
        "clips": len(scores.clips),
        "frames": scores.frames,
        "checkpoint": predictor.source,
        "global_step": predictor.step,
    }


def format_clip_scores(scores: ClipScores, predictor: Predictor) -> str:
    """Return a table of means over the clips, with intervals."""
    shape = predictor.network.shape
    rows = [("MAD (0..1)", shape, scores.mad), ("dtSSD (0 or more)", shape, scores.dtssd)]
    name = _source_and_step(predictor.name or predictor.source, predictor.step)
    return _format_scores(f"{name}, {len(scores.clips)} clips, {scores.frames} frames", rows)


def _format_scores(title, scores):
    """Return a table of the means of (label, shape, values)."""
    rows = [("score", "height x width", "mean", "95 % interval of the mean")]
    for label, shape, values in scores:
        low, high = bootstrap_interval(values)
        interval = f"{low:.6f} .. {high:.6f}"
        rows.append((label, format_shape(shape), f"{np.mean(values):.6f}", interval))
    return f"{title}\n{format_table(rows, left_columns=2)}"


def _source_and_step(name, step):
    name = name or "untrained weights"
    return name if step is None else f"{name}, step {step}"
