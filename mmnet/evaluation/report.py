"""What a person, a program and a spreadsheet read of an evaluation. No TensorFlow."""

import csv
import io
import re
from typing import Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from mmnet.io.errors import MmnetError, format_shape
from mmnet.io.tables import format_table

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
    """Scores of one trained network on one dataset."""

    source: Optional[str]  # checkpoint prefix or model; None: untrained weights
    global_step: Optional[int]
    stems: List[str]
    scores: Dict[Tuple[str, str], np.ndarray]  # (metric, "network" or "target") -> [pictures]
    shapes: Dict[str, Tuple[int, int]]  # "network" and "target" -> (height, width)


class Scored(NamedTuple):
    """A Result and what it was scored on."""

    data_set: str  # name and split
    result: Result


class Comparison(NamedTuple):
    """A Result against another one, picture by picture."""

    data_set: str
    result: Result
    against: Result
    metric: str  # at the target shape
    difference: float  # of the means, ``result``'s minus that of ``against``
    interval: Tuple[float, float]  # 95 %, of the mean difference
    verdict: str  # "better", "worse", or "" where the interval holds 0: within the noise


def result_of(predictor, evaluation):
    """The Result of an Evaluation, its scores rounded to DIGITS."""
    scores = {key: np.round(values, DIGITS) for key, values in evaluation.scores.items()}
    return Result(predictor.source, predictor.step, evaluation.stems, scores, evaluation.shapes)


def tag(key, split, shapes):
    """The published name of a score.

    That is ``MAD/test`` at the network's size, ``MAD/test/800_600`` at the target shape.
    """
    metric, where = key
    published_name = "%s/%s" % (NAMES[metric][0], split)
    return (
        published_name if where == "network" else "%s/%d_%d" % ((published_name,) + shapes[where])
    )


def published(result, split):
    """Mean scores under their published names (0..1 scale) and what they belong to, for JSON."""
    values = {
        tag(key, split, result.shapes): float(np.mean(scores))
        for key, scores in result.scores.items()
    }
    values.update(
        pictures=len(result.stems), checkpoint=result.source, global_step=result.global_step
    )
    return values


def bootstrap_interval(scores):
    """The middle 95 % of the means of RESAMPLES resamples of the pictures: (low, high)."""
    scores = np.asarray(scores)
    random = np.random.RandomState(SEED)
    means = [scores[random.randint(0, len(scores), len(scores))].mean() for _ in range(RESAMPLES)]
    return tuple(np.percentile(means, [2.5, 97.5]))


def compared(scored):
    """The Comparisons of every Scored with the first of its dataset, of MAD and gradient error."""
    firsts, comparisons = {}, []
    for data_set, result in scored:
        against = firsts.setdefault(data_set, result)
        if against is result or against.stems != result.stems:
            continue
        for metric in ("mad", "gauss_grad"):
            difference = result.scores[metric, "target"] - against.scores[metric, "target"]
            low, high = bootstrap_interval(difference)
            verdict = "better" if high < 0 else "worse" if low > 0 else ""
            mean = float(difference.mean())
            comparisons.append(
                Comparison(data_set, result, against, metric, mean, (low, high), verdict)
            )
    return comparisons


def comparisons_text(comparisons):
    """A line a Comparison."""
    rows = [("against %s" % source_name(comparisons[0].against), "difference", "95 % interval", "")]
    for one in comparisons:
        what = "%s, %s, %s" % (source_name(one.result), one.data_set, NAMES[one.metric][1])
        interval = "%+.6f .. %+.6f" % one.interval
        rows.append((what, "%+.6f" % one.difference, interval, one.verdict or "within the noise"))
    return format_table(rows)


def source_name(result):
    """``run/MMNetModel-6`` of any path that ends so."""
    if result.source is None:
        return "untrained weights"
    return "/".join(result.source.rstrip("/").split("/")[-2:])


def report_text(result, worst=5):
    """A table of means with intervals, and the ``worst`` pictures by MAD at the target shape."""
    rows = [("score", "height x width", "mean", "95 % interval of the mean")]
    for (metric, where), scores in result.scores.items():
        interval = "%.6f .. %.6f" % bootstrap_interval(scores)
        mean = "%.6f" % np.mean(scores)
        rows.append((NAMES[metric][1], format_shape(result.shapes[where]), mean, interval))
    head = "%s, %d pictures" % (_named(result.source, result.global_step), len(result.stems))
    lines = [head, _table(rows)]
    scores = result.scores["mad", "target"]
    order = np.argsort(-scores, kind="stable")[:worst]
    if len(order):
        names = ["%s %.4f" % (result.stems[index], scores[index]) for index in order]
        shape = format_shape(result.shapes["target"])
        lines.append("worst by MAD at %s: %s" % (shape, ", ".join(names)))
    return "\n".join(lines)


def published_clips(scores, predictor, split):
    """clips.ClipScores for JSON."""
    return {
        "MAD/" + split: float(scores.mad.mean()),
        "dtSSD/" + split: float(scores.dtssd.mean()),
        "clips": len(scores.clips),
        "frames": scores.frames,
        "checkpoint": predictor.source,
        "global_step": predictor.step,
    }


def clips_text(scores, predictor):
    """clips.ClipScores for a person to read: means over the clips, with intervals."""
    rows = [("score", "height x width", "mean", "95 % interval of the mean")]
    for name, values in (("MAD (0..1)", scores.mad), ("dtSSD (0 or more)", scores.dtssd)):
        interval = "%.6f .. %.6f" % bootstrap_interval(values)
        shape = format_shape(predictor.network.shape)
        rows.append((name, shape, "%.6f" % values.mean(), interval))
    name = _named(predictor.source, predictor.step)
    head = "%s, %d clips, %d frames" % (name, len(scores.clips), scores.frames)
    return head + "\n" + _table(rows)


def _named(source, step):
    """``run/MMNetModel-6, step 6``: what was scored."""
    name = "untrained weights" if source is None else source
    return name if step is None else "%s, step %d" % (name, step)


def _table(rows):
    """Rows of four strings, the first of them the header; the third column is flush right."""
    widths = tuple(max(map(len, column)) for column in zip(*rows))
    line = "| %%-%ds | %%-%ds | %%%ds | %%-%ds |" % widths
    bar = "-" * (sum(widths) + 13)
    return "\n".join([bar, line % rows[0], bar] + [line % row for row in rows[1:]] + [bar])


def column_of(key, shapes):
    """The CSV column of a score: ``mad_256`` (``mad_288x480``), ``mad_800_600`` at the target."""
    metric, where = key
    height, width = shapes[where]
    if where == "target":
        return "%s_%d_%d" % (metric, height, width)
    return "%s_%s" % (metric, height if height == width else format_shape((height, width)))


def to_csv(result):
    """One line a picture: stem, then the columns of the scores."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    quoting_writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(["stem"] + [column_of(key, result.shapes) for key in result.scores])
    for index, stem in enumerate(result.stems):
        values = ["%.*f" % (DIGITS, scores[index]) for scores in result.scores.values()]
        # Python 3.7 leaves a carriage return, which a file's name may hold, without quotes.
        (quoting_writer if "\r" in stem else writer).writerow([stem] + values)
    return file.getvalue()


COLUMN = re.compile(r"(?P<metric>[a-z_]+?)_(?P<height>\d+)(?P<between>x|_)?(?P<width>\d+)?$")


def from_csv(contents):
    """The (stems, scores, shapes) that to_csv wrote; ValueError for anything else."""
    try:
        header, *rows = csv.reader(io.StringIO(contents))
    except csv.Error as error:
        raise MmnetError("it is not CSV (%s)" % error) from None
    if header[:1] != ["stem"] or any(len(row) != len(header) for row in rows):
        raise MmnetError("its first line names other columns than the lines below have")
    scores, shapes = {}, {}
    for number, name in enumerate(header[1:], 1):
        match = COLUMN.match(name)
        if match is None or match.group("metric") not in NAMES:
            raise MmnetError("no score is named %r" % name)
        where = "target" if match.group("between") == "_" else "network"
        height, width = match.group("height"), match.group("width")
        shapes[where] = int(height), int(width or height)
        scores[match.group("metric"), where] = np.array([row[number] for row in rows], float)
    return [row[0] for row in rows], scores, shapes
