"""The dataset layout ``<root>/<split>/{image,mask}/<stem>.<ext>``: find, read and check pairs.

No TensorFlow.
"""

import dataclasses
import hashlib
import logging
import os
import threading
from dataclasses import dataclass, field
from typing import Dict, List, NamedTuple, Optional

import numpy as np

from mmnet.io.errors import MmnetError
from mmnet.io.images import EXTENSIONS, load_mask, read_image
from mmnet.io.tar_shards import Shard

NAMES_SHOWN = 3  # of the files behind each problem

log = logging.getLogger(__name__)


class Pair(NamedTuple):
    stem: str
    image: str  # path
    mask: Optional[str]  # path; None: nobody has drawn one

    @property
    def files(self):
        return [path for path in (self.image, self.mask) if path is not None]


@dataclass(frozen=True)
class Dataset:
    """A split of a dataset on disk."""

    path: str  # the folder above the split
    split: str  # "" where the pictures lie in that folder itself, without masks
    pairs: List[Pair]  # sorted by stem
    problems: Dict[str, List[str]] = field(default_factory=dict)  # seen without opening a file:
    # what is wrong -> names of files

    shard: Optional[Shard] = None  # which part of the split this is

    def __len__(self):
        return len(self.pairs)

    @property
    def name(self):
        """The dataset's folder without its path, and the part of it."""
        name = os.path.basename(os.path.abspath(self.path))
        return name if self.shard is None else "%s-%s" % (name, self.shard)

    def part(self, shard):
        """The pairs of one Shard, as a Dataset."""
        pairs = [pair for pair in self.pairs if shard.holds(pair.stem)]
        return dataclasses.replace(self, pairs=pairs, shard=shard)

    @property
    def sha256(self):
        """Tells one set of pictures from another, unread: a hash over file names and sizes."""
        digest = hashlib.sha256()
        for pair in self.pairs:
            for path in pair.files:
                line = "%s %d\n" % (os.path.basename(path), os.path.getsize(path))
                digest.update(line.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


def splits_in(folder):
    """Names of a dataset's splits, sorted."""
    return [
        name
        for name in sorted(os.listdir(folder))
        if os.path.isdir(os.path.join(folder, name, "image"))
    ]


def find_dataset(path, split):
    """Match images with masks by stem, opening no file.

    Raises:
        FileNotFoundError: no such dataset, split or folder. ValueError: no picture at all.
    """
    if not os.path.isdir(path):
        raise FileNotFoundError("no dataset folder %s" % path)
    split_path = os.path.join(path, split)
    if not os.path.isdir(split_path):
        splits = splits_in(path)
        raise FileNotFoundError(
            "no split %r in %s: it has %s"
            % (split, path, ", ".join(splits) or "no folder with image/ and mask/ in it")
        )
    problems = {}
    images = _files_by_stem(os.path.join(split_path, "image"), problems)
    masks = _files_by_stem(os.path.join(split_path, "mask"), problems)
    if not images and not masks:
        raise MmnetError(
            "%s is empty: put pictures (jpg, jpeg, png) into image/ and mask/" % split_path
        )
    for problem, stems, files in (
        ("images without a mask", images.keys() - masks.keys(), images),
        ("masks without an image", masks.keys() - images.keys(), masks),
    ):
        if stems:
            problems[problem] = [os.path.basename(files[stem]) for stem in sorted(stems)]
    stems = sorted(images.keys() & masks.keys())
    pairs = [Pair(stem, images[stem], masks[stem]) for stem in stems]
    return Dataset(path, split, pairs, problems)


def find_pictures(folder):
    """The pictures of a folder as a Dataset without masks.

    Raises:
        FileNotFoundError: no such folder. ValueError: no picture in it.
    """
    if not os.path.isdir(folder):
        raise FileNotFoundError("no folder of pictures %s" % folder)
    problems = {}
    images = _files_by_stem(folder, problems)
    if not images:
        raise MmnetError("no pictures (jpg, jpeg, png) in %s" % folder)
    pairs = [Pair(stem, images[stem], None) for stem in sorted(images)]
    return Dataset(folder, "", pairs, problems)


class PairError(ValueError):
    """A pair that cannot be used; ``problem`` says of what kind it is."""

    def __init__(self, problem, message):
        super().__init__(message)
        self.problem = problem


def read_pair(pair):
    """Read a pair: (image uint8 [H,W,3], alpha float32 [H,W] 0..1; all 0 without a mask).

    Raises:
        PairError: a file cannot be read, or the two are of different sizes.
    """
    try:
        image = read_image(pair.image)
        if pair.mask is None:
            return image, np.zeros(image.shape[:2], np.float32)
        alpha = load_mask(pair.mask)
    except (ValueError, OSError) as error:
        raise PairError("unreadable files", str(error)) from None
    if image.shape[:2] != alpha.shape:
        raise PairError(
            "pairs of different sizes (height x width, as stored)",
            "%s %dx%d with mask %dx%d"
            % ((os.path.basename(pair.image),) + image.shape[:2] + alpha.shape),
        )
    return image, alpha


class Check:
    """What is wrong with a dataset, gathered while its pairs are read, from any thread.

    So the work that needs the pictures checks them too, and still everything is said at once.
    """

    def __init__(self, data_set):
        self._where = os.path.join(data_set.path, data_set.split)
        self._problems = {problem: list(names) for problem, names in data_set.problems.items()}
        self._flat = []
        self._lock = threading.Lock()

    @property
    def failed(self):
        """Whether something is wrong: the results will not be asked for."""
        return bool(self._problems)

    @property
    def problems(self):
        """What is wrong so far -> names of files."""
        return {problem: sorted(names) for problem, names in self._problems.items()}

    def read(self, pair):
        """read_pair, or None where the pair cannot be used."""
        try:
            image, alpha = read_pair(pair)
        except PairError as error:
            with self._lock:
                self._problems.setdefault(error.problem, []).append(str(error))
            return None
        if pair.mask is not None and alpha.min() == alpha.max():
            with self._lock:
                self._flat.append(os.path.basename(pair.mask))
        return image, alpha

    def finish(self):
        """Warn of masks of one value only; raise ValueError with all that is wrong."""
        if self._flat:
            masks = count("of one value only", sorted(self._flat))
            log.warning("%s: masks %s", self._where, masks)
            self._flat = []
        if self._problems:
            parts = [count(problem, sorted(names)) for problem, names in self._problems.items()]
            raise MmnetError("%s: %s" % (self._where, "; ".join(parts)))


def evenly(items, wanted):
    """As many as ``wanted`` of the items, evenly spread, the first and the last included."""
    chosen = np.unique(np.linspace(0, len(items) - 1, wanted).astype(int))
    return [items[index] for index in chosen]


def list_pictures(folder, extensions=EXTENSIONS):
    """Names of the picture files in ``folder``, sorted; hidden files are passed over."""
    return [
        name
        for name in sorted(os.listdir(folder))
        if name.lower().endswith(extensions) and not name.startswith(".")
    ]


def count(problem, names):
    """``4 masks without an image (a.png, b.png, c.png, ...)``: the number and the first names."""
    return "%d %s (%s)" % (len(names), problem, _first(names))


def _files_by_stem(folder, problems):
    if not os.path.isdir(folder):
        raise FileNotFoundError("no folder %s: a split holds image/ and mask/" % folder)
    pictures = list_pictures(folder)
    others = [
        name
        for name in sorted(os.listdir(folder))
        if not name.startswith(".") and name not in pictures
    ]
    if others:
        log.warning("%s: not jpg, jpeg or png, passed over: %s", folder, _first(others))
    files = {}
    for name in pictures:
        stem = os.path.splitext(name)[0]
        if stem in files:
            problems.setdefault("files of a stem that another file has", []).append(name)
        files[stem] = os.path.join(folder, name)
    return files


def _first(names):
    return ", ".join(names[:NAMES_SHOWN]) + (", ..." if len(names) > NAMES_SHOWN else "")
