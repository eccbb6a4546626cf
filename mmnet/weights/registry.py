"""Weights by name: what there is, where it lies, and how it comes here. No TensorFlow."""

import difflib
import os
from functools import lru_cache
from typing import Dict, NamedTuple, Optional, Tuple

from mmnet.io.errors import MmnetError
from mmnet.io.files import read_json, sha256_of_file
from mmnet.io.records import to_record
from mmnet.weights.download import download

DEFAULT = "mmnet-persons"  # the weights in the box, which verbs take where no source is named
FAST = "mmnet-fast"  # those in the box for slow devices
VIDEO = "mmnet-video"  # likewise, of clips: its network sees the alpha of the frame before
UNTRAINED = "untrained"  # names random weights, for who wants those
HERE = os.path.dirname(os.path.abspath(__file__))
REGISTRY = os.path.join(HERE, "registry.json")


class File(NamedTuple):
    """One file of an entry."""

    name: str
    bytes: int
    sha256: str


class Entry(NamedTuple):
    """Trained weights that have a name."""

    description: str
    data: str  # what they were trained on
    licence: str
    weak: str  # what they are bad at
    checkpoint: str  # name of its prefix
    files: Tuple[File, ...]
    page: Optional[str] = None  # where they come from
    addresses: Tuple[str, ...] = ()  # folders on the web that hold the files; tried in order
    folder: Optional[str] = None  # of those in the box: below this package
    models: Tuple[str, ...] = ()  # the same network as model files, the fastest first
    scores: Dict[str, Dict[str, float]] = {}  # dataset/split -> MAD, gradient error at 256x256


@lru_cache(maxsize=None)
def read_registry(path=REGISTRY):
    """Every Entry by name."""
    records = read_json(path)
    return {name: to_record(records[name], Entry, "%s: %s" % (path, name)) for name in records}


def is_name(text):
    """Whether a text names weights: an Entry, or UNTRAINED."""
    return text == UNTRAINED or text in read_registry()


def check_name(text):
    """The Entry of a name; ValueError, with the nearest name, where there is none."""
    entries = read_registry()
    if text not in entries:
        raise MmnetError("no weights are named %r%s" % (text, hint(text) or known()))
    return entries[text]


def hint(text):
    """``; did you mean 'mmnet-887000'?`` for a text that is nearly a name, else nothing."""
    near = difflib.get_close_matches(text, [*read_registry(), UNTRAINED], 1)
    return "; did you mean %r?" % near[0] if near else ""


def known():
    return ": there are " + ", ".join(read_registry())


def home():
    """The folder of all that is downloaded: $MMNET_HOME, else mmnet in the user's cache."""
    if os.environ.get("MMNET_HOME"):
        return os.environ["MMNET_HOME"]
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(cache, "mmnet")


def folder_of(name):
    """Where the files of an Entry lie, or will lie."""
    folder = check_name(name).folder
    return os.path.join(HERE, folder) if folder else os.path.join(home(), "weights", name)


def is_downloaded(name):
    """Whether every file of an Entry lies here, of its size."""
    folder = folder_of(name)
    return all(has(os.path.join(folder, file.name), file.bytes) for file in check_name(name).files)


def has(path, size):
    return os.path.isfile(path) and os.path.getsize(path) == size


def get(name):
    """The folder of an Entry's files, downloaded if they are not here.

    Raises:
        ValueError: no such name; a file that is not the registry's. OSError: no way to the
            addresses, or no room in the folder; says what to do.
    """
    entry, folder = check_name(name), folder_of(name)
    for file in entry.files:
        path = os.path.join(folder, file.name)
        if has(path, file.bytes):
            continue
        if entry.folder:
            raise MmnetError("%s is missing or damaged: install mmnet again" % path)
        download(file, entry.addresses, folder)
    return folder


def check(name):
    """Raise ValueError for a file of an Entry whose hash is not the registry's; gets it first."""
    folder = get(name)
    for file in check_name(name).files:
        path = os.path.join(folder, file.name)
        if sha256_of_file(path) != file.sha256:
            raise MmnetError("%s is not what the registry says: delete it" % path)


def prefix_of(name):
    """The checkpoint prefix of an Entry, downloaded if it is not here."""
    return os.path.join(get(name), check_name(name).checkpoint)


def model_paths(name):
    """Paths of an Entry's model files, the fastest first."""
    folder = folder_of(name)
    return [os.path.join(folder, model) for model in check_name(name).models]
