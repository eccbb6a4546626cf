"""Find, read and validate the pairs of a dataset: SPLIT/{image,mask}/STEM.EXT. No TensorFlow."""

import dataclasses
import hashlib
import logging
import os
import unicodedata
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from mmnet.io.errors import MmnetError, format_names, format_shape, summarize_names
from mmnet.io.files import short_names
from mmnet.io.images import list_images, read_image
from mmnet.io.masks import Mask, read_mask
from mmnet.io.tar_shards import Shard

NO_MASK, NO_IMAGE = "images without a mask", "masks without an image"
SAME_STEM = "files with the stem of another file"
UNREADABLE = "unreadable files"
DIFFERENT_SIZES = "pairs of different sizes (height x width, as stored)"

Problems = Dict[str, List[str]]  # problem -> names of the files

log = logging.getLogger(__name__)


class Pair(NamedTuple):
    """The paths of an image and its mask."""

    stem: str
    image: str
    mask: Optional[str]  # None: an image without a mask

    @property
    def files(self) -> List[str]:
        return [path for path in (self.image, self.mask) if path is not None]


@dataclasses.dataclass(frozen=True)
class Dataset:
    """One split of a dataset on disk."""

    path: str  # the folder that contains the split
    split: str  # an empty text: the folder itself contains images without masks
    pairs: List[Pair]  # sorted by stem
    problems: Problems = dataclasses.field(default_factory=dict)  # problems of the file names
    shard: Optional[Shard] = None  # the part of the split that ``pairs`` holds
    label: Optional[str] = None  # name among several datasets; None: the name of the folder

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def name(self) -> str:
        """Return the label or the name of the folder, followed by the shard."""
        name = self.label or os.path.basename(os.path.abspath(self.path))
        return name if self.shard is None else f"{name}-{self.shard}"

    def select_shard(self, shard: Shard) -> "Dataset":
        """Return one shard of the pairs."""
        pairs = [pair for pair in self.pairs if shard.contains(pair.stem)]
        return dataclasses.replace(self, pairs=pairs, shard=shard)

    @property
    def fingerprint(self) -> str:
        """Return a SHA-256 over names and sizes of the files. It opens no file."""
        digest = hashlib.sha256()
        for pair in self.pairs:
            for path in pair.files:
                line = f"{os.path.basename(path)} {os.path.getsize(path)}\n"
                digest.update(line.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


class PairError(MmnetError):
    """A pair cannot be used because of a kind of problem, for example UNREADABLE."""

    def __init__(self, problem: str, message: str):
        super().__init__(message)
        self.problem = problem


def list_splits(folder: str) -> List[str]:
    """Return the names of a dataset's splits, sorted."""
    names = sorted(os.listdir(folder))
    return [name for name in names if os.path.isdir(os.path.join(folder, name, "image"))]


def label_datasets(paths: Sequence[str]) -> List[str]:
    """Return a different name for each folder: x/data, y/data and faces.

    Raises:
        MmnetError: two paths lead to one folder, which would be compared with itself.
    """
    folders: Dict[str, str] = {}
    for path in paths:
        other = folders.setdefault(os.path.realpath(path), path)
        if other is not path:
            raise MmnetError(f"{path}: is the same folder as {other}; give it once")
    return short_names([os.path.abspath(path) for path in paths])


def find_dataset(path: str, split: str, label: Optional[str] = None) -> Dataset:
    """Match images with masks by stem. It opens no file.

    Raises:
        FileNotFoundError: no such dataset, split or folder.
        MmnetError: the split contains no image.
    """
    if not os.path.isdir(path):
        raise FileNotFoundError(f"no dataset folder {path}")
    split_path = os.path.join(path, split)
    if not os.path.isdir(split_path):
        splits = ", ".join(list_splits(path)) or "none (a split holds image/ and mask/)"
        raise FileNotFoundError(f"{path}: no split {split!r}; splits: {splits}")
    problems: Problems = {}
    images = _find_files(os.path.join(split_path, "image"), problems)
    masks = _find_files(os.path.join(split_path, "mask"), problems)
    if not images and not masks:
        raise MmnetError(f"{split_path}: is empty; put images into image/ and masks into mask/")
    stems = match_stems(images, masks, problems)
    pairs = [Pair(stem, images[stem], masks[stem]) for stem in stems]
    return Dataset(path, split, pairs, problems, label=label)


def find_unlabelled_images(folder: str) -> Dataset:
    """Return the images of a folder as a Dataset without masks."""
    problems: Problems = {}
    images = _find_files(folder, problems)
    if not images:
        raise MmnetError(f"{folder}: contains no image")
    pairs = [Pair(stem, images[stem], None) for stem in sorted(images)]
    return Dataset(folder, "", pairs, problems)


def match_stems(images: Dict[str, str], masks: Dict[str, str], problems: Problems) -> List[str]:
    """Return the stems that both dictionaries (stem -> file) contain. Add others to problems.

    A mask whose stem differs only in the Unicode normal form gets the stem of its image.
    """
    unmatched = {unicodedata.normalize("NFC", stem): stem for stem in images.keys() - masks.keys()}
    for mask_stem in masks.keys() - images.keys():
        stem = unmatched.pop(unicodedata.normalize("NFC", mask_stem), None)
        if stem is not None:
            masks[stem] = masks.pop(mask_stem)
    for problem, files, others in ((NO_MASK, images, masks), (NO_IMAGE, masks, images)):
        stems = sorted(files.keys() - others.keys())
        if stems:
            names = [os.path.basename(files[stem]) for stem in stems]
            problems.setdefault(problem, []).extend(names)
    return sorted(images.keys() & masks.keys())


def read_pair(pair: Pair) -> Tuple[np.ndarray, np.ndarray]:
    """Read a pair: (image uint8 [H,W,3], alpha float32 [H,W], 0..1). Without a mask alpha is 0.

    Raises:
        PairError: a file cannot be read, or image and mask have different sizes.
    """
    image, mask = _read_files(pair)
    return image, mask.alpha


def _read_files(pair):
    """Return (image, Mask) of a pair. Errors as in read_pair."""
    try:
        image = read_image(pair.image)
        if pair.mask is None:
            return image, Mask(np.zeros(image.shape[:2], np.float32), None)
        mask = read_mask(pair.mask)
    except (MmnetError, OSError) as error:
        raise PairError(UNREADABLE, str(error)) from None
    if image.shape[:2] != mask.alpha.shape:
        raise PairError(DIFFERENT_SIZES, describe_sizes(pair.image, image, mask.alpha))
    return image, mask


def describe_sizes(path: str, image: np.ndarray, alpha: np.ndarray) -> str:
    """Return ``a.jpg 80x60 with mask 40x30``."""
    sizes = f"{format_shape(image.shape[:2])} with mask {format_shape(alpha.shape)}"
    return f"{os.path.basename(path)} {sizes}"


class DatasetValidator:
    """Collects the problems of a dataset while its pairs are read, from any thread.

    The code that needs the images validates them too, and all problems are reported together.
    """

    def __init__(self, dataset: Dataset):
        self._path = os.path.join(dataset.path, dataset.split)
        self._problems = {problem: list(names) for problem, names in dataset.problems.items()}
        self._suspicious: Dict[str, List[Pair]] = {}

    @property
    def failed(self) -> bool:
        """Return whether there is a problem. Results of the dataset are then not needed."""
        return bool(self._problems)

    @property
    def problems(self) -> Problems:
        """Return the problems found so far."""
        # The order in which threads find problems is random.
        return {problem: sorted(names) for problem, names in sorted(self._problems.items())}

    @property
    def suspicious(self) -> Dict[str, List[Pair]]:
        """Return the pairs with suspicious masks by the problem of the mask."""
        return {problem: sorted(pairs) for problem, pairs in sorted(self._suspicious.items())}

    def read(self, pair: Pair) -> Optional[Tuple[np.ndarray, np.ndarray]]:
        """Return the result of read_pair, or None if the pair cannot be used."""
        try:
            image, mask = _read_files(pair)
        except PairError as error:
            self._problems.setdefault(error.problem, []).append(str(error))
            return None
        if mask.problem is not None:
            self._suspicious.setdefault(mask.problem, []).append(pair)
        return image, mask.alpha

    def finish(self) -> None:
        """Warn of suspicious masks, and raise MmnetError with all problems."""
        for problem, pairs in self.suspicious.items():
            names = [os.path.basename(str(pair.mask)) for pair in pairs]
            log.warning("%s: %s", self._path, summarize_names(problem, names))
        if self._problems:
            parts = [summarize_names(*problem) for problem in self.problems.items()]
            raise MmnetError(f"{self._path}: {'; '.join(parts)}")


def pick_evenly(items: Sequence[Any], number: int) -> List[Any]:
    """Return up to ``number`` items, evenly spread, including the first and the last one."""
    indices = np.unique(np.linspace(0, len(items) - 1, number).astype(int))
    return [items[index] for index in indices]


def index_by_stem(folder: str, stems: Dict[str, str], problems: Problems) -> Dict[str, str]:
    """Return stem -> path for the files of a folder (name -> stem). Only the first one is kept."""
    files: Dict[str, str] = {}
    for name, stem in stems.items():
        if stem in files:
            subject = f"{name} beside {os.path.basename(files[stem])}"
            problems.setdefault(SAME_STEM, []).append(subject)
        files.setdefault(stem, os.path.join(folder, name))
    return files


def _find_files(folder: str, problems: Problems) -> Dict[str, str]:
    """Return stem -> path of the images of a folder, and warn of other files."""
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"no folder {folder}")
    images = list_images(folder)
    visible = [name for name in sorted(os.listdir(folder)) if not name.startswith(".")]
    known = set(images)
    others = [name for name in visible if name not in known]
    if others:
        log.warning("%s: skipped, not images: %s", folder, format_names(others))
    return index_by_stem(folder, {name: os.path.splitext(name)[0] for name in images}, problems)
