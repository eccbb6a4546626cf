"""What a check of datasets found, as one page of HTML with thumbnails. No TensorFlow."""

import os

import cv2
import numpy as np

from mmnet.datasets.pairs import pick_evenly, read_pair
from mmnet.datatools.statistics import FLAT, INVERTED, summary_of
from mmnet.io.errors import summarize_names
from mmnet.io.pages import image_uri, render_page

SAMPLES = 24  # pictures of each dataset
SUSPECTS = 24  # pictures of each kind of mask that looks wrong
SHARED = 100  # photos that lie in two places
SIDE = 160  # pixels of a thumbnail's longer side
TINT = np.array([0, 177, 64], np.float32)  # where the background is


def sheet_of(surveys, shared):
    """The page of Surveys and of the photos Shared between them or within."""
    pairs = {
        "%s/%s" % (one.name, pair.stem): pair for one in surveys for pair in one.data_set.pairs
    }
    found = []
    for one in surveys:
        readable = {facts.stem for facts in one.facts}
        own = [pair for pair in one.data_set.pairs if pair.stem in readable]
        groups = [("Some of them", pick_evenly(own, min(SAMPLES, len(own))) if own else [])]
        for problem in (FLAT, INVERTED):
            stems = set(one.problems.get(problem, ()))
            suspects = [pair for pair in own if pair.stem in stems]
            if suspects:
                groups.append((summarize_names(problem, sorted(stems)), suspects[:SUSPECTS]))
        record = summary_of(one)
        others = [
            "%s: %s" % (problem, ", ".join(names))
            for problem, names in record["problems"].items()
            if problem not in (FLAT, INVERTED)
        ]
        shorten = [(title, [thumbnail(pair) for pair in chosen]) for title, chosen in groups]
        found.append({"name": one.name, "facts": record, "groups": shorten, "problems": others})
    doubles = [
        {"one": one, "panels": [thumbnail(pairs[one.first]), thumbnail(pairs[one.second])]}
        for one in shared[:SHARED]
    ]
    template = os.path.join(os.path.dirname(os.path.abspath(__file__)), "report.html")
    return render_page(template, found=found, doubles=doubles, hidden=len(shared) - len(doubles))


def thumbnail(pair):
    """A pair as the page shows it: the background behind the person tinted."""
    image, alpha = read_pair(pair)
    scale = SIDE / max(alpha.shape)
    size = tuple(max(1, round(side * scale)) for side in alpha.shape[::-1])
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    alpha = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)[..., None]
    shorten = alpha * image + (1 - alpha) * (0.35 * image + 0.65 * TINT)
    data = image_uri(np.rint(shorten).astype(np.uint8), 80)
    return {"stem": pair.stem, "data": data}
