"""Statistics of datasets: sizes, person and soft pixels, suspicious masks. No TensorFlow."""

from typing import Any, Dict, List, NamedTuple, Sequence

import cv2
import numpy as np

from mmnet.datasets.duplicates import find_matches, grey_thumbnail
from mmnet.datasets.pairs import Dataset, DatasetValidator, Problems
from mmnet.io.masks import FLAT, GUESSED, MAX_BACKGROUND, MIN_PERSON, PARTIAL
from mmnet.io.parallel import parallel_map
from mmnet.io.progress import progress

CORNER_SIZE = 0.1  # sides of the upper corners, as a fraction of the image
MIDDLE_MARGIN = 0.25  # on each side of the middle, as a fraction of the image
MIN_INVERTED_CORNERS, MAX_INVERTED_MIDDLE = 0.9, 0.3  # mean alphas of an inverted mask
INVERTED = "masks that look inverted"
# These masks may be correct. Every other problem makes a file unusable.
SUSPICIOUS = (FLAT, PARTIAL, GUESSED, INVERTED)
PERSON_PERCENTILES = [10, 50, 90]


class PairStatistics(NamedTuple):
    """Statistics of one pair."""

    stem: str
    height: int
    width: int
    person: float  # mean alpha
    soft: float  # fraction of the pixels that are neither person nor background
    is_inverted: bool  # whether the upper corners are person, and the middle is not
    thumbnail: np.ndarray  # for the comparison with other photos


class DatasetStatistics(NamedTuple):
    """Statistics of one split of a dataset."""

    dataset: Dataset
    pairs: List[PairStatistics]  # readable pairs, in order
    problems: Problems

    @property
    def name(self) -> str:
        return f"{self.dataset.name}/{self.dataset.split}"

    @property
    def has_unusable_files(self) -> bool:
        return bool(set(self.problems) - set(SUSPICIOUS))


class SharedPhoto(NamedTuple):
    """One photo in two places."""

    first: str  # dataset/split/stem
    second: str
    correlation: float
    mirrored: bool
    within: bool  # both places are in the same split


def compute_statistics(dataset: Dataset) -> DatasetStatistics:
    """Read every pair of a dataset once and return the statistics."""
    validator = DatasetValidator(dataset)

    def measure(pair):
        sample = validator.read(pair)
        return None if sample is None else measure_pair(pair.stem, *sample)

    title = f"checking {dataset.name}"
    results = progress(parallel_map(measure, dataset.pairs), len(dataset), title)
    pairs = [pair for pair in results if pair is not None]
    problems = validator.problems
    for problem, suspicious in validator.suspicious.items():
        problems[problem] = [pair.stem for pair in suspicious]
    inverted = [pair.stem for pair in pairs if pair.is_inverted]
    if inverted:
        problems[INVERTED] = inverted
    return DatasetStatistics(dataset, pairs, problems)


def measure_pair(stem: str, image: np.ndarray, alpha: np.ndarray) -> PairStatistics:
    """Return the statistics of an image uint8 [H,W,3] and its alpha float32 [H,W]."""
    height, width = alpha.shape
    rows, columns = max(1, int(CORNER_SIZE * height)), max(1, int(CORNER_SIZE * width))
    corners = (alpha[:rows, :columns].mean() + alpha[:rows, -columns:].mean()) / 2
    rows, columns = int(MIDDLE_MARGIN * height), int(MIDDLE_MARGIN * width)
    middle = alpha[rows : height - rows, columns : width - columns].mean()
    return PairStatistics(
        stem=stem,
        height=height,
        width=width,
        person=float(alpha.mean()),
        soft=cv2.countNonZero(cv2.inRange(alpha, MAX_BACKGROUND, MIN_PERSON)) / alpha.size,
        is_inverted=bool(corners > MIN_INVERTED_CORNERS and middle < MAX_INVERTED_MIDDLE),
        thumbnail=grey_thumbnail(image),
    )


def find_shared_photos(statistics: Sequence[DatasetStatistics]) -> List[SharedPhoto]:
    """Find photos that are in two places. Those in two splits or datasets come first."""
    places = [(split.name, pair.stem) for split in statistics for pair in split.pairs]
    photos = []
    for match in find_matches([pair.thumbnail for split in statistics for pair in split.pairs]):
        first, second = places[match.first], places[match.second]
        within = first[0] == second[0]
        names = "/".join(first), "/".join(second)
        photos.append(SharedPhoto(*names, match.correlation, match.mirrored, within))
    return sorted(photos, key=lambda photo: (photo.within, -photo.correlation))


def summarize_statistics(statistics: DatasetStatistics) -> Dict[str, Any]:
    """Return the numbers by name: fractions 0..1, sizes in pixels. Empty splits have fewer."""
    dataset, pairs = statistics.dataset, statistics.pairs
    record = {"data_set": dataset.path, "split": dataset.split, "pairs": len(pairs)}
    if pairs:
        heights, widths = [pair.height for pair in pairs], [pair.width for pair in pairs]
        person = np.percentile([pair.person for pair in pairs], PERSON_PERCENTILES)
        record.update(
            height=[min(heights), int(np.median(heights)), max(heights)],
            width=[min(widths), int(np.median(widths)), max(widths)],
            person=[round(float(value), 4) for value in person],
            soft=round(float(np.median([pair.soft for pair in pairs])), 5),
            binary=round(float(np.mean([pair.soft == 0 for pair in pairs])), 4),
        )
    record["problems"] = statistics.problems
    return record
