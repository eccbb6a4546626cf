"""Evaluations as text tables and as JSON. No TensorFlow."""

from typing import Any, Dict, Optional, Sequence

import numpy as np

from mmnet.evaluation.clips import ClipScores
from mmnet.evaluation.comparison import Comparison
from mmnet.evaluation.evaluate import Evaluation
from mmnet.evaluation.metrics import METRICS
from mmnet.evaluation.statistics import bootstrap_interval
from mmnet.inference.predictor import Predictor
from mmnet.io.errors import format_shape
from mmnet.io.tables import format_table

SCORE_HEADER = ("score", "height x width", "mean", "95 % interval of the mean")


def published_scores(evaluation: Evaluation) -> Dict[str, Any]:
    """Return the mean scores by published name, and their source, for JSON."""
    values: Dict[str, Any] = dict(evaluation.means())
    values["pictures"] = len(evaluation.dataset)
    values["checkpoint"] = evaluation.source
    values["global_step"] = evaluation.global_step
    return values


def format_evaluation(evaluation: Evaluation, worst: int = 5) -> str:
    """Return a table of means with intervals, and the ``worst`` images by MAD at the target."""
    rows = [SCORE_HEADER]
    for (metric, place), values in evaluation.scores.items():
        shape = evaluation.shapes[place]
        rows.append(_score_row(METRICS[metric].label, shape, values))
    name = _source_and_step(evaluation.source, evaluation.global_step)
    lines = [f"{name}, {len(evaluation.dataset)} images", format_table(rows, left_columns=2)]
    if worst:
        values, stems = evaluation.scores["mad", "target"], evaluation.stems
        order = np.argsort(-values, kind="stable")[:worst]
        images = ", ".join(f"{stems[index]} {values[index]:.4f}" for index in order)
        target = format_shape(evaluation.shapes["target"])
        lines.append(f"worst by MAD at {target}: {images}")
    return "\n".join(lines)


def format_comparisons(comparisons: Sequence[Comparison]) -> str:
    """Return a table of comparisons with one reference."""
    name = source_name(comparisons[0].reference.source)
    rows = [(f"compared with {name}", "difference", "95 % interval", "")]
    for comparison in comparisons:
        evaluation, (mean, (low, high)) = comparison.evaluation, comparison.difference
        score = METRICS[comparison.metric].label
        rows.append(
            (
                f"{source_name(evaluation.source)}, {dataset_name(evaluation)}, {score}",
                f"{mean:+.6f}",
                f"{low:+.6f} .. {high:+.6f}",
                comparison.difference.verdict,
            )
        )
    return format_table(rows)


def source_name(source: Optional[str]) -> str:
    """Return ``run/MMNetModel-6`` for a path that ends so."""
    if source is None:
        return "untrained weights"
    return "/".join(source.rstrip("/").split("/")[-2:])


def dataset_name(evaluation: Evaluation) -> str:
    """Return ``faces/test`` for the split ``test`` of the dataset folder ``faces``."""
    return f"{evaluation.dataset.name}/{evaluation.dataset.split}"


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
    rows = [
        SCORE_HEADER,
        _score_row("MAD (0..1)", shape, scores.mad),
        _score_row("dtSSD (0 or more)", shape, scores.dtssd),
    ]
    name = _source_and_step(predictor.source, predictor.step)
    title = f"{name}, {len(scores.clips)} clips, {scores.frames} frames"
    return f"{title}\n{format_table(rows, left_columns=2)}"


def _score_row(label, shape, values):
    low, high = bootstrap_interval(values)
    return label, format_shape(shape), f"{np.mean(values):.6f}", f"{low:.6f} .. {high:.6f}"


def _source_and_step(source, step):
    name = "untrained weights" if source is None else source
    return name if step is None else f"{name}, step {step}"
