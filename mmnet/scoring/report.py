"""What a person, a program and a spreadsheet read of an evaluation. No TensorFlow."""
import csv
import io
from typing import Dict, List, NamedTuple, Optional

import numpy as np

DIGITS = 10  # decimals of a picture's score, in the CSV and so everywhere
RESAMPLES = 1000  # of the bootstrap
SEED = 0

NAMES = {  # metric -> (published tag, what to call it and its unit)
    "mad": ("MAD", "MAD (0..1)"),
    "gauss_grad": ("GAUSS_GRAD", "gradient error (0..1)"),
    "sad": ("SAD", "SAD (sum / 1000)"),
    "mse": ("MSE", "MSE (0..1)"),
    "grad": ("GRAD", "Grad (sum / 1000)"),
    "conn": ("CONN", "Conn (sum / 1000)"),
    "miou": ("MIOU", "mIoU (0..1, higher is better)"),
}
HIGHER_IS_BETTER = ("miou",)


class Result(NamedTuple):
    checkpoint: Optional[str]  # prefix; None are untrained weights
    global_step: Optional[int]
    stems: List[str]
    scores: Dict[str, np.ndarray]  # column -> [pictures]; columns are evaluate.score()'s


def metric_of(column):
    """``gauss_grad_800_600`` -> (``gauss_grad``, ``800_600``); ``mad_256`` -> (``mad``, ``256``)."""
    for metric in sorted(NAMES, key=len, reverse=True):
        if column.startswith(metric + "_"):
            return metric, column[len(metric) + 1:]
    raise ValueError("no score is named %r" % column)


def tag(column, split):
    """The published name of a column: ``MAD/test`` at the network's size, ``MAD/test/800_600`` at the target shape."""
    metric, shape = metric_of(column)
    return "/".join([NAMES[metric][0], split] + ([shape] if "_" in shape else []))


def published(result, split):
    """Mean scores under their published names (0..1 scale), and what they belong to: ready for JSON."""
    values = {tag(column, split): float(np.mean(scores)) for column, scores in result.scores.items()}
    values.update(pictures=len(result.stems), checkpoint=result.checkpoint, global_step=result.global_step)
    return values


def bootstrap_interval(scores):
    """The middle 95 % of the means of RESAMPLES resamples of the pictures (percentile bootstrap): (low, high)."""
    scores = np.asarray(scores)
    random = np.random.RandomState(SEED)
    means = [scores[random.randint(0, len(scores), len(scores))].mean() for _ in range(RESAMPLES)]
    return tuple(np.percentile(means, [2.5, 97.5]))


def text(result, worst=5):
    """A table of means with intervals, and the ``worst`` pictures by MAD at the target shape."""
    rows = [("score", "height x width", "mean", "95 % interval of the mean")]
    for column, scores in result.scores.items():
        metric, shape = metric_of(column)
        shape = shape if "_" in shape else "%s_%s" % (shape, shape)
        rows.append((NAMES[metric][1], shape.replace("_", "x"), "%.6f" % np.mean(scores),
                     "%.6f .. %.6f" % bootstrap_interval(scores)))
    name = "untrained weights" if result.checkpoint is None else result.checkpoint
    step = "" if result.global_step is None else ", step %d" % result.global_step
    lines = ["%s%s, %d pictures" % (name, step, len(result.stems)), _table(rows)]
    column = [column for column in result.scores if metric_of(column)[0] == "mad"][-1]
    order = np.argsort(-result.scores[column], kind="stable")[:worst]
    if len(order):
        lines.append("worst by MAD at %s: %s" % (metric_of(column)[1].replace("_", "x"), ", ".join(
            "%s %.4f" % (result.stems[index], result.scores[column][index]) for index in order)))
    return "\n".join(lines)


def _table(rows):
    """Draw rows of four strings, the first of them the header, as a table; the third column is flush right."""
    widths = tuple(max(map(len, column)) for column in zip(*rows))
    line = "| %%-%ds | %%-%ds | %%%ds | %%-%ds |" % widths
    bar = "-" * (sum(widths) + 13)
    return "\n".join([bar, line % rows[0], bar] + [line % row for row in rows[1:]] + [bar])


def aligned(rows):
    """Rows of strings in columns, the first flush left, the others flush right."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join("  ".join(cell.rjust(width) if index else cell.ljust(width)
                               for index, (cell, width) in enumerate(zip(row, widths))).rstrip() for row in rows)


def to_csv(result):
    """One line a picture: stem, then the columns of the scores."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["stem"] + list(result.scores))
    for index, stem in enumerate(result.stems):
        writer.writerow([stem] + ["%.*f" % (DIGITS, scores[index]) for scores in result.scores.values()])
    return file.getvalue()


def from_csv(contents):
    """The stems and scores that to_csv wrote."""
    header, *rows = csv.reader(io.StringIO(contents))
    columns = list(zip(*rows))
    return list(columns[0]), {name: np.array(values, float) for name, values in zip(header[1:], columns[1:])}
