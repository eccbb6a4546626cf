"""What a dataset holds: sizes, how much of it is person, masks that look wrong. No TensorFlow."""

from typing import Dict, List, NamedTuple

import cv2
import numpy as np

from mmnet.datasets.duplicates import Signature, compute_signature, find_matches
from mmnet.datasets.pairs import Dataset, DatasetValidator
from mmnet.io.parallel import parallel_map
from mmnet.io.progress import progress

SOFT = (0.02, 0.98)  # between them a pixel is neither person nor background
CORNER = 0.1  # of the sides: the part of a picture at its upper corners
MIDDLE = 0.25  # of the sides, from each: what is left is the middle
FLAT, INVERTED = "masks of one value only", "masks that look inverted"


class Facts(NamedTuple):
    """What a pair shows."""

    stem: str
    height: int
    width: int
    person: float  # mean alpha
    soft: float  # share of the pixels that are neither person nor background
    flat: bool  # the mask is of one value
    inverted: bool  # the upper corners are person, the middle is not
    signature: Signature


class Survey(NamedTuple):
    """What a dataset holds."""

    data_set: Dataset
    facts: List[Facts]  # of each pair that can be read, in order
    problems: Dict[str, List[str]]  # what is wrong -> names of files

    @property
    def name(self):
        return "%s/%s" % (self.data_set.name, self.data_set.split)


class Shared(NamedTuple):
    """One photo in two places."""

    first: str  # dataset/split/stem
    second: str
    correlation: float
    mirrored: bool
    within: bool  # the same dataset and split


def survey(data_set):
    """The Survey of a Dataset: every pair is read once, with all processors."""
    check = DatasetValidator(data_set)

    def facts(pair):
        pictures = check.read(pair)
        return None if pictures is None else facts_of(pair.stem, *pictures)

    results = parallel_map(facts, data_set.pairs)
    found = progress(results, len(data_set.pairs), "checking %s" % data_set.name)
    found = [one for one in found if one is not None]
    problems = check.problems
    for problem, names in (
        (FLAT, [one.stem for one in found if one.flat]),
        (INVERTED, [one.stem for one in found if one.inverted]),
    ):
        if names:
            problems[problem] = names
    return Survey(data_set, found, problems)


def facts_of(stem, image, alpha):
    """The Facts of a pair: image uint8 [H,W,3], alpha float32 [H,W]."""
    height, width = alpha.shape
    person = float(alpha.mean())
    soft = cv2.countNonZero(cv2.inRange(alpha, *SOFT)) / alpha.size
    rows, columns = max(1, int(CORNER * height)), max(1, int(CORNER * width))
    corners = (alpha[:rows, :columns].mean() + alpha[:rows, -columns:].mean()) / 2
    rows, columns = int(MIDDLE * height), int(MIDDLE * width)
    middle = alpha[rows : height - rows, columns : width - columns].mean()
    flat = float(alpha.min()) == float(alpha.max())
    inverted = not flat and corners > 0.9 and middle < 0.3
    return Facts(stem, height, width, person, soft, flat, bool(inverted), compute_signature(image))


def find_shared(surveys):
    """Every photo that lies in two places, as Shared: those between datasets first."""
    places = [(one.name, facts.stem) for one in surveys for facts in one.facts]
    matches = find_matches([facts.signature for one in surveys for facts in one.facts])
    found = [
        Shared(
            "/".join(places[match.first]),
            "/".join(places[match.second]),
            match.correlation,
            match.mirrored,
            places[match.first][0] == places[match.second][0],
        )
        for match in matches
    ]
    return sorted(found, key=lambda shared: (shared.within, -shared.correlation))


def summary_of(one):
    """The numbers of a Survey by name; shares 0..1, sizes in pixels, None without a pair."""
    record = {"data_set": one.data_set.path, "split": one.data_set.split, "pairs": len(one.facts)}
    if one.facts:
        heights, widths = (
            [getattr(each, side) for each in one.facts] for side in ("height", "width")
        )
        person = np.percentile([each.person for each in one.facts], [10, 50, 90])
        record.update(
            height=[int(min(heights)), int(np.median(heights)), int(max(heights))],
            width=[int(min(widths)), int(np.median(widths)), int(max(widths))],
            person=[round(float(value), 4) for value in person],
            soft=round(float(np.median([each.soft for each in one.facts])), 5),
            binary=round(float(np.mean([each.soft == 0 for each in one.facts])), 4),
        )
    record["problems"] = one.problems
    return record
