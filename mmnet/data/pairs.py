"""The data set layout ``<root>/<split>/{image,mask}/<stem>.<ext>``: find the pairs, check every file. No TensorFlow."""
import hashlib
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from mmnet.data.images import EXTENSIONS, load_mask, read_image
from mmnet.progress import progress

NAMES_SHOWN = 3  # of the files behind each problem

log = logging.getLogger(__name__)


class Pair(NamedTuple):
    stem: str
    image: str  # path
    mask: str  # path


def load_pairs(dataset_path, split):
    """Find the pairs of a split and decode every file once, so that whatever is wrong is known before the work starts.

    Returns:
        list of Pair, sorted by stem. Masks of one value only are a warning in the log.

    Raises:
        FileNotFoundError: no such data set, split or folder.
        ValueError: no picture; or missing masks, stray masks, unreadable files, sizes that differ, two files of one
            stem: all of them in one message, with counts and the first names.
    """
    pairs, problems = find_pairs(dataset_path, split)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for kind, name in progress(pool.map(_check, pairs), len(pairs), "checking the data set"):
            if kind:
                problems.setdefault(kind, []).append(name)
    where = os.path.join(dataset_path, split)
    flat = problems.pop("of one value only", None)
    if flat:
        log.warning("%s: masks %s", where, count("of one value only", flat))
    if problems:
        raise ValueError("%s: %s" % (where, "; ".join(count(*problem) for problem in problems.items())))
    return pairs


def find_pairs(dataset_path, split):
    """Match images with masks by stem, opening no file.

    Returns:
        (list of Pair sorted by stem, dict of problem -> names of files)

    Raises:
        FileNotFoundError: no such data set, split or folder. ValueError: no picture at all.
    """
    if not os.path.isdir(dataset_path):
        raise FileNotFoundError("no data set folder %s" % dataset_path)
    split_path = os.path.join(dataset_path, split)
    if not os.path.isdir(split_path):
        splits = [name for name in sorted(os.listdir(dataset_path))
                  if os.path.isdir(os.path.join(dataset_path, name, "image"))]
        raise FileNotFoundError("no split %r in %s: it has %s" % (split, dataset_path, ", ".join(splits) or
                                                                 "no folder with image/ and mask/ in it"))
    problems = {}
    images = _files_by_stem(os.path.join(split_path, "image"), problems)
    masks = _files_by_stem(os.path.join(split_path, "mask"), problems)
    if not images and not masks:
        raise ValueError("%s is empty: put pictures (jpg, jpeg, png) into image/ and mask/" % split_path)
    for kind, stems, files in (("images without a mask", images.keys() - masks.keys(), images),
                               ("masks without an image", masks.keys() - images.keys(), masks)):
        if stems:
            problems[kind] = [os.path.basename(files[stem]) for stem in sorted(stems)]
    return [Pair(stem, images[stem], masks[stem]) for stem in sorted(images.keys() & masks.keys())], problems


def read_pair(pair):
    """Read a pair: (image uint8 [H,W,3], alpha float32 [H,W] 0..1)."""
    image, alpha = read_image(pair.image), load_mask(pair.mask)
    if image.shape[:2] != alpha.shape:
        raise ValueError("%s is %d x %d pixels (height x width, as stored), its mask %d x %d"
                         % ((pair.image,) + image.shape[:2] + alpha.shape))
    return image, alpha


def evenly(items, wanted):
    """As many as ``wanted`` of the items (a list, or samples), the first and the last included, evenly spread."""
    return [items[index] for index in np.unique(np.linspace(0, len(items) - 1, wanted).astype(int))]


def manifest_sha256(pairs):
    """Tells one set of pictures from another without reading them: a hash over file names and sizes."""
    digest = hashlib.sha256()
    for pair in pairs:
        for path in (pair.image, pair.mask):
            digest.update(("%s %d\n" % (os.path.basename(path), os.path.getsize(path))).encode())
    return digest.hexdigest()


def list_pictures(folder):
    """Names of the picture files in ``folder``, sorted; hidden files are passed over."""
    return [name for name in sorted(os.listdir(folder))
            if name.lower().endswith(EXTENSIONS) and not name.startswith(".")]


def count(kind, names):
    """``4 masks without an image (a.png, b.png, c.png, ...)``: how many there are of a problem, and the first names."""
    return "%d %s (%s)" % (len(names), kind, _names(names))


def _files_by_stem(folder, problems):
    if not os.path.isdir(folder):
        raise FileNotFoundError("no folder %s: a split holds image/ and mask/" % folder)
    pictures = list_pictures(folder)
    ignored = [name for name in sorted(os.listdir(folder)) if not name.startswith(".") and name not in pictures]
    if ignored:
        log.warning("%s: not jpg, jpeg or png, passed over: %s", folder, _names(ignored))
    files = {}
    for name in pictures:
        stem = os.path.splitext(name)[0]
        if stem in files:
            problems.setdefault("files of a stem that another file has", []).append(name)
        files[stem] = os.path.join(folder, name)
    return files


def _check(pair):
    """(problem or None, the file's name and what is wrong)."""
    try:
        image = read_image(pair.image)
        alpha = load_mask(pair.mask)
    except (ValueError, OSError) as error:
        return "unreadable files", str(error)
    if image.shape[:2] != alpha.shape:
        return "pairs of different sizes (height x width, as stored)", "%s %dx%d with mask %dx%d" % (
            (os.path.basename(pair.image),) + image.shape[:2] + alpha.shape)
    if alpha.min() == alpha.max():
        return "of one value only", os.path.basename(pair.mask)
    return None, pair.stem


def _names(names):
    return ", ".join(names[:NAMES_SHOWN]) + (", ..." if len(names) > NAMES_SHOWN else "")
