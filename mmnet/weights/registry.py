"""Weights by name: the entries of registry.json and the folders of their files. No TensorFlow."""

import difflib
import os
from functools import lru_cache
from typing import Dict, NamedTuple, Optional, Tuple

from mmnet.io.errors import MmnetError
from mmnet.io.files import read_json, sha256_of_file
from mmnet.io.lazy import lazy_import
from mmnet.io.records import to_record

downloads = lazy_import("mmnet.weights.download")

DEFAULT = "mmnet-persons"  # bundled; used if no source is given
FAST = "mmnet-fast"  # bundled; for slow devices
UNTRAINED = "untrained"  # random weights
REMOVED = {"mmnet-video": DEFAULT}  # name in 0.2 -> its replacement; delete this in 0.4
HERE = os.path.dirname(os.path.abspath(__file__))
REGISTRY = os.path.join(HERE, "registry.json")


class RegisteredFile(NamedTuple):
    """A file of the registry. None: the registry does not know the value."""

    name: str
    bytes: Optional[int] = None
    sha256: Optional[str] = None

    def is_complete(self, folder: str) -> bool:
        """Return whether the file exists in a folder with its registered size."""
        path = os.path.join(folder, self.name)
        return os.path.isfile(path) and self.bytes in (None, os.path.getsize(path))


class ViewModels(NamedTuple):
    """Model files with several views of a photo."""

    views: Tuple[str, ...]  # as in networks/views.py
    models: Tuple[str, ...]  # the fastest first


class Entry(NamedTuple):
    """Trained weights with a name."""

    description: str
    data: str  # training data
    licence: str
    weak: str  # images on which the network is weak
    checkpoint: str  # name of the checkpoint, or of the model file of another project
    files: Tuple[RegisteredFile, ...]
    page: Optional[str] = None  # web page of the authors
    addresses: Tuple[str, ...] = ()  # web folders with the files, tried in this order
    like: Optional[str] = None  # recipe of a model of another project: inference/recipes.py
    folder: Optional[str] = None  # folder in this package, for bundled weights
    models: Tuple[str, ...] = ()  # model files of the same network, the fastest first
    views: Dict[str, ViewModels] = {}  # number of views -> model files; one view: ``models``
    scores: Dict[str, Dict[str, float]] = {}  # dataset/split -> MAD and gradient error at 256x256

    def view_texts(self) -> Dict[str, str]:
        """Return the number of views -> the views, for example ``256 320f``."""
        return {count: " ".join(models.views) for count, models in self.views.items()}

    def models_with_views(self, count: int) -> Tuple[str, ...]:
        """Return the model files with this number of views."""
        several = self.views.get(str(count))
        return several.models if several else self.models if count == 1 else ()


@lru_cache(maxsize=None)
def read_registry(path: str = REGISTRY) -> Dict[str, Entry]:
    """Return all entries by name."""
    records = read_json(path)
    return {name: to_record(records[name], Entry, f"{path}: {name}") for name in records}


def is_name(text: str) -> bool:
    """Return whether a text names weights: an entry of the registry, or UNTRAINED."""
    return text == UNTRAINED or text in read_registry()


def find_entry(name: str) -> Entry:
    """Return the entry with this name. MmnetError: there is none."""
    entries = read_registry()
    if name not in entries:
        hint = similar_name(name) or f"; weights: {', '.join(entries)}"
        raise MmnetError(f"no weights with the name {name!r}{hint}")
    return entries[name]


def similar_name(text: str) -> str:
    """Return ``; did you mean 'mmnet-887000'?`` for a similar name, or an empty text."""
    if text in REMOVED:
        return f"; it was removed in 0.3, use {REMOVED[text]!r}"
    similar = difflib.get_close_matches(text, [*read_registry(), UNTRAINED], 1)
    return f"; did you mean {similar[0]!r}?" if similar else ""


def cache_folder() -> str:
    """Return the folder of downloads: $MMNET_HOME, or mmnet in the user's cache."""
    if os.environ.get("MMNET_HOME"):
        return os.environ["MMNET_HOME"]
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(cache, "mmnet")


def weights_folder(name: str) -> str:
    """Return the folder of an entry's files. The files may not exist yet."""
    folder = find_entry(name).folder
    return os.path.join(HERE, folder) if folder else os.path.join(cache_folder(), "weights", name)


def is_downloaded(name: str) -> bool:
    """Return whether all files of an entry exist with their registered sizes."""
    folder = weights_folder(name)
    return all(file.is_complete(folder) for file in find_entry(name).files)


def fetch(name: str, *, trust: Optional[bool] = None) -> str:
    """Download the missing files of an entry and return their folder. Errors: as ``download``.

    trust: keep files without a registered hash. None: do not download such files.
    """
    entry, folder = find_entry(name), weights_folder(name)
    for file in entry.files:
        if file.is_complete(folder):
            continue
        if entry.folder:
            path = os.path.join(folder, file.name)
            raise MmnetError(f"{path}: is missing or damaged; install mmnet again")
        if file.sha256 is None and trust is None:
            raise MmnetError(f"{name}: is not here; first run mmnet weights get {name}")
        downloads.download(file, entry.addresses, folder, trust=bool(trust))
    return folder


def verify(name: str, *, trust: bool = False) -> None:
    """Fetch an entry and compare each registered hash. MmnetError: a file differs."""
    folder = fetch(name, trust=trust)
    for file in find_entry(name).files:
        path = os.path.join(folder, file.name)
        if file.sha256 not in (None, sha256_of_file(path)):
            raise MmnetError(f"{path}: its SHA-256 is not {file.sha256}; delete the file")
