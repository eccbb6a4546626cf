"""A public dataset made into ours: SPLIT/{image,mask}, and a manifest. No TensorFlow.

The pictures stream: of each, one is in memory at a time, a processor. What is done is not done
again: a conversion that was interrupted goes on.
"""

import contextlib
import errno
import json
import os
import random
import shutil
from typing import Dict, List, NamedTuple, Optional

import cv2
import numpy as np

from mmnet.datasets.duplicates import compute_signature, find_matches, group_matches
from mmnet.datatools.layouts import IMAGE_FOLDERS, TEST, TRAIN, image_of, mask_of
from mmnet.io.errors import MmnetError
from mmnet.io.files import (
    atomic_write,
    lock_folder,
    read_text,
    sha256_of_file,
    write_bytes,
    write_text,
)
from mmnet.io.images import encode_jpeg, encode_png
from mmnet.io.parallel import parallel_map
from mmnet.io.progress import progress

MANIFEST = "manifest.jsonl"  # a line on the whole, then one for each pair
ASPECT = 0.01  # share by which a mask's height / width may differ from its image's, for rounding
RESIZED = "masks of another size, resized"
NAMES_SHOWN = 3


class Plan(NamedTuple):
    """What is to be made of a source; the first line of a manifest."""

    layout: str
    source: str  # absolute path
    licence: str
    copies: bool = False  # in place of hard links
    split_ratio: Optional[float] = None  # share of the pictures that are for testing
    seed: int = 0
    options: Dict = {}  # of layouts.Options, what was given


class Converted(NamedTuple):
    """What became of it."""

    pairs: Dict[str, int]  # split -> how many are there now
    before: int  # of those, how many an earlier call had made
    problems: Dict[str, List[str]]  # what is wrong -> names of files
    linked: int  # files that are hard links


class Made(NamedTuple):
    """An Item as it lies in the target; a manifest's line."""

    split: str
    stem: str
    image: str  # name of the file
    mask: str
    source_image: str  # path
    source_mask: str
    image_sha256: str
    mask_sha256: str


def convert(found, target, plan):
    """Write the Items of a layouts.Source below ``target``; gives Converted.

    Raises:
        ValueError: the target holds something else. OSError: no room; the next call goes on.
    """
    need_own(target)
    os.makedirs(target, exist_ok=True)
    with lock_folder(target):
        made = begun(target, plan)
        before = len(made)
        problems = {problem: list(names) for problem, names in found.problems.items()}
        items = with_stems(assigned(found.items, plan))
        missing = [item for item in items if (item.split, item.stem) not in made]
        for folder in {item.split for item in missing}:
            for kind in ("image", "mask"):
                os.makedirs(os.path.join(target, folder, kind), exist_ok=True)
        linked = 0
        with open(os.path.join(target, MANIFEST), "a", encoding="utf-8") as manifest:
            results = parallel_map(lambda item: make(item, target, plan), missing)
            for one, links, problem, name in progress(results, len(missing), "converting"):
                if problem:
                    problems.setdefault(problem, []).append(name)
                if one is not None:
                    manifest.write(json.dumps(one._asdict()) + "\n")
                    manifest.flush()
                    made[one.split, one.stem] = one
                    linked += links
    counts = {}
    for split, _ in made:
        counts[split] = counts.get(split, 0) + 1
    return Converted(counts, before, problems, linked)


def need_own(target):
    """Raise ValueError for a folder that holds something, and no manifest."""
    if not os.path.isdir(target) or os.path.exists(os.path.join(target, MANIFEST)):
        return
    others = [name for name in sorted(os.listdir(target)) if not name.startswith(".")]
    if others:
        raise MmnetError(
            "%s holds something else (%s): give a new folder"
            % (target, ", ".join(others[:NAMES_SHOWN]))
        )


def begun(target, plan):
    """(split, stem) -> Made of an earlier call with the same Plan, whose files are there.

    Raises:
        ValueError: the target holds something else.
    """
    path = os.path.join(target, MANIFEST)
    header = json.dumps(plan._asdict())
    if not os.path.exists(path):
        write_text(path, header + "\n")
        return {}
    lines = read_text(path).split("\n")
    if lines[0] != header:
        raise MmnetError(
            "%s was made of something else, or otherwise (%s): give a new folder" % (target, path)
        )
    if lines[-1]:  # the line that was being written
        write_text(path, "\n".join(lines[:-1] + [""]))
    made = [Made(**json.loads(line)) for line in lines[1:-1]]
    return {
        (one.split, one.stem): one
        for one in made
        if all(map(os.path.isfile, files_of(target, one)))
    }


def files_of(target, made):
    folder = os.path.join(target, made.split)
    return [os.path.join(folder, "image", made.image), os.path.join(folder, "mask", made.mask)]


def assigned(items, plan):
    """Items with a split each: their own, or by the Plan's ratio, near-duplicates on one side."""
    if plan.split_ratio is None:
        return [item._replace(split=item.split or TRAIN) for item in items]
    sides = split_sides(items, plan.split_ratio, plan.seed)
    return [item._replace(split=side) for item, side in zip(items, sides)]


def split_sides(items, ratio, seed):
    """TRAIN or TEST for each Item: the same for the same Items, near-duplicates on one side."""

    def signature(item):
        try:
            return compute_signature(image_of(item))
        except (ValueError, OSError):  # the conversion says so
            return compute_signature(np.zeros((1, 1, 3), np.uint8))

    signatures = parallel_map(signature, items)
    signatures = list(progress(signatures, len(items), "looking for near-duplicates"))
    groups = group_matches(len(items), find_matches(signatures))
    groups.sort(key=lambda group: items[group[0]].stem)
    random.Random(seed).shuffle(groups)
    sides, wanted = [TRAIN] * len(items), round(ratio * len(items))
    for group in groups:
        if len(group) <= wanted:
            wanted -= len(group)
            for index in group:
                sides[index] = TEST
    return sides


def with_stems(items):
    """Items whose stems differ within a split: the second one of a name gets its folder's, too."""
    taken, result = set(), []
    for item in items:
        stem, folder = item.stem, os.path.dirname(item.image)
        while (item.split, stem) in taken:
            folder, name = os.path.split(folder)
            if name not in IMAGE_FOLDERS:
                stem = "%s_%s" % (name or "again", stem)
        taken.add((item.split, stem))
        result.append(item._replace(stem=stem))
    return result


def make(item, target, plan):
    """(Made or None, files that are links, problem or None, whose) of one Item, written."""
    name = os.path.basename(item.image)
    try:
        image = image_of(item)
        alpha = mask_of(item, image.shape[:2])
    except (ValueError, FileNotFoundError) as error:
        return None, 0, "unreadable files", str(error)
    problem = None
    if alpha.shape != image.shape[:2]:
        sizes = "%s %dx%d with mask %dx%d" % ((name,) + image.shape[:2] + alpha.shape)
        aspects = [height / width for height, width in (image.shape[:2], alpha.shape)]
        if abs(aspects[0] / aspects[1] - 1) > ASPECT:
            return None, 0, "pairs of different shapes (height x width)", sizes
        smaller = alpha.shape[0] > image.shape[0]
        way = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        alpha = cv2.resize(alpha, image.shape[1::-1], interpolation=way).clip(0, 1)
        problem, name = RESIZED, sizes
    folder = os.path.join(target, item.split)
    keeps_mask = problem is None and item.mask_of is None
    image_path = os.path.join(
        folder, "image", item.stem + (ending(item.image) if item.image_of is None else ".jpg")
    )
    mask_path = os.path.join(
        folder, "mask", item.stem + (ending(item.mask) if keeps_mask else ".png")
    )
    links = 0
    if item.image_of is None:
        links += put(item.image, image_path, plan.copies)
    else:
        write_bytes(image_path, encode_jpeg(image))
    if keeps_mask:
        links += put(item.mask, mask_path, plan.copies)
    else:
        write_bytes(mask_path, encode_png(np.rint(alpha * 255).astype(np.uint8)))
    made = Made(
        split=item.split,
        stem=item.stem,
        image=os.path.basename(image_path),
        mask=os.path.basename(mask_path),
        source_image=item.image,
        source_mask=item.mask,
        image_sha256=sha256_of_file(image_path),
        mask_sha256=sha256_of_file(mask_path),
    )
    return made, links, problem, name


def ending(path):
    return os.path.splitext(path)[1]


def put(source, path, copies):
    """Hard-link or copy a file; whether it is a link now. What lies at ``path`` is replaced."""
    if not copies:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        try:
            os.link(os.path.realpath(source), path)
            return 1
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
    with atomic_write(path) as temporary:  # another file system, or one without links
        shutil.copyfile(source, temporary)
    return 0
