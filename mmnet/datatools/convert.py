"""Convert a public dataset to SPLIT/{image,mask} with a manifest. No TensorFlow.

Each thread holds one image in memory. An interrupted conversion resumes: the manifest lists the
pairs that exist already.
"""

import contextlib
import errno
import json
import os
import random
import shutil
from collections import Counter
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np

from mmnet.datasets.duplicates import find_matches, grey_thumbnail, group_matches
from mmnet.datasets.pairs import UNREADABLE, Problems, describe_sizes
from mmnet.datatools.layouts import IMAGE_FOLDERS, TEST, TRAIN, Item
from mmnet.io import files
from mmnet.io.errors import MmnetError, format_names
from mmnet.io.images import encode_jpeg, encode_png
from mmnet.io.parallel import parallel_map
from mmnet.io.progress import progress
from mmnet.io.records import to_record

MANIFEST = "manifest.jsonl"  # one line for the plan, then one line per pair
ASPECT_TOLERANCE = 0.01  # relative difference of the aspect ratios of image and mask, for rounding
RESIZED = "masks of another size, resized"
DAMAGED_LINES = "damaged lines of the manifest"
DIFFERENT_SHAPES = "pairs of different shapes (height x width)"


class ConversionPlan(NamedTuple):
    """How a source is converted. This is the first line of a manifest."""

    layout: str
    source: str  # absolute path
    licence: str
    copies: bool = False  # copy files instead of creating hard links
    split_ratio: Optional[float] = None  # fraction of the images in the test split
    seed: int = 0
    options: Dict[str, Any] = {}  # LayoutOptions that the user gave


class ManifestEntry(NamedTuple):
    """The fields of a pair's line in a manifest that a later call reads."""

    split: str
    stem: str
    image: str  # file names
    mask: str


class ConversionResult(NamedTuple):
    """The conversion of one item."""

    record: Optional[Dict[str, str]] = None  # line of the manifest; None: the item is unusable
    links: int = 0  # files that are hard links
    problem: Optional[str] = None
    subject: str = ""  # the file with the problem


class ConversionSummary(NamedTuple):
    """The conversion of a dataset."""

    pairs: Dict[str, int]  # split -> number of pairs
    existing: int  # pairs that an earlier call had converted
    problems: Problems
    links: int  # files that are hard links


def convert_dataset(
    items: Sequence[Item], target: str, plan: ConversionPlan, problems: Problems
) -> ConversionSummary:
    """Write items and problems of layouts.find_items to the folder ``target``.

    The target is new, or belongs to an interrupted conversion with the same plan. After an error,
    for example a full disk, the next call resumes.

    Raises:
        MmnetError: the target contains other files.
    """
    os.makedirs(target, exist_ok=True)
    names = [name for name in sorted(os.listdir(target)) if not name.startswith(".")]
    if names and MANIFEST not in names:
        message = f"{target}: contains other files ({format_names(names)}); use a new folder"
        raise MmnetError(message)
    problems = {problem: list(names) for problem, names in problems.items()}
    links = 0
    with files.lock_folder(target):
        pairs = resume_manifest(target, plan, problems)
        existing = len(pairs)
        if plan.split_ratio is None:
            splits = [item.split or TRAIN for item in items]
        else:
            splits = draw_splits(items, plan.split_ratio, plan.seed)
        items = [item._replace(split=split) for item, split in zip(items, splits)]
        items = [item for item in make_stems_unique(items) if (item.split, item.stem) not in pairs]
        for split in set(splits):
            for name in (split, os.path.join(split, "image"), os.path.join(split, "mask")):
                make_own_folder(target, name)
        path = os.path.join(target, MANIFEST)
        with open(path, "a", encoding="utf-8", opener=files.open_own) as manifest:
            results = parallel_map(lambda item: convert_item(item, target, plan), items)
            for result in progress(results, len(items), "converting"):
                if result.problem:
                    problems.setdefault(result.problem, []).append(result.subject)
                if result.record is not None:
                    manifest.write(json.dumps(result.record) + "\n")
                    manifest.flush()
                    pairs[result.record["split"], result.record["stem"]] = result.record
                    links += result.links
    return ConversionSummary(Counter(split for split, _ in pairs), existing, problems, links)


def make_own_folder(target: str, name: str) -> None:
    """Create a folder below the target. Raise MmnetError if it is a link to another place."""
    path = os.path.join(target, name)
    os.makedirs(path, exist_ok=True)
    if os.path.realpath(path) != os.path.join(os.path.realpath(target), name):
        raise MmnetError(f"{path}: a link to another folder, so nothing is written there")
    files.remove_abandoned(path)


def resume_manifest(
    target: str, plan: ConversionPlan, problems: Problems
) -> Dict[Tuple[str, str], Dict[str, Any]]:
    """Read the manifest of an interrupted conversion, or start a new one.

    Damaged lines are removed, and become problems. Their pairs are converted again.

    Returns:
        (split, stem) -> line of the manifest, for the pairs whose files exist.
    """
    path = os.path.join(target, MANIFEST)
    header = json.dumps(plan._asdict())
    if not os.path.lexists(path):
        files.write_text(path, header + "\n")
        return {}
    first, *lines = files.read_lines(path)
    if first != header:
        raise MmnetError(
            f"{target}: was converted from another source or with other options; use a new folder"
        )
    pairs, valid_lines = {}, [header]
    for number, line in enumerate(lines[:-1], 2):  # a killed process leaves a part of the last line
        where = f"{path} line {number}"
        try:
            record = json.loads(line)
            entry = to_record(record, ManifestEntry, "pair")
            for name in (entry.split, entry.image, entry.mask):
                files.check_name(name)
        except (ValueError, RecursionError) as error:
            problems.setdefault(DAMAGED_LINES, []).append(f"{where}: {error}")
            continue
        valid_lines.append(line)
        folder = os.path.join(target, entry.split)
        paths = os.path.join(folder, "image", entry.image), os.path.join(folder, "mask", entry.mask)
        if all(map(os.path.isfile, paths)):
            pairs[entry.split, entry.stem] = record
    if lines != valid_lines[1:] + [""]:
        files.write_bytes(path, os.fsencode("\n".join(valid_lines + [""])))  # maybe no UTF-8
    return pairs


def draw_splits(items: Sequence[Item], ratio: float, seed: int) -> List[str]:
    """Return TRAIN or TEST per item. Near-duplicates stay in one split."""

    def read_thumbnail(item):
        try:
            return grey_thumbnail(item.read_image())
        except (MmnetError, OSError):  # convert_item reports the file
            return grey_thumbnail(np.zeros((1, 1, 3), np.uint8))

    results = parallel_map(read_thumbnail, items)
    thumbnails = progress(results, len(items), "looking for near-duplicates")
    groups = group_matches(len(items), find_matches(list(thumbnails)))
    groups.sort(key=lambda group: items[group[0]].stem)
    random.Random(seed).shuffle(groups)
    splits, missing = [TRAIN] * len(items), round(ratio * len(items))
    for group in groups:
        if len(group) <= missing:
            missing -= len(group)
            for index in group:
                splits[index] = TEST
    return splits


def make_stems_unique(items: Sequence[Item]) -> List[Item]:
    """Return items whose stems differ within a split. A repeated stem gets its folder's name."""
    known, result = set(), []
    for item in items:
        stem, folder = item.stem, os.path.dirname(item.image)
        while (item.split, stem) in known:
            folder, name = os.path.split(folder)
            if name not in IMAGE_FOLDERS:
                stem = f"{name or 'again'}_{stem}"
        known.add((item.split, stem))
        result.append(item._replace(stem=stem))
    return result


def convert_item(item: Item, target: str, plan: ConversionPlan) -> ConversionResult:
    """Write the image and the mask of one item, unless they cannot be used."""
    try:
        image = item.read_image()
        alpha = item.read_mask(image.shape[:2])
    except (MmnetError, OSError) as error:
        return ConversionResult(problem=UNREADABLE, subject=str(error))
    problem, subject = None, ""
    if alpha.shape != image.shape[:2]:
        problem, subject = RESIZED, describe_sizes(item.image, image, alpha)
        aspects = image.shape[0] / image.shape[1], alpha.shape[0] / alpha.shape[1]
        if abs(aspects[0] / aspects[1] - 1) > ASPECT_TOLERANCE:
            return ConversionResult(problem=DIFFERENT_SHAPES, subject=subject)
        is_larger = alpha.shape[0] > image.shape[0]
        interpolation = cv2.INTER_AREA if is_larger else cv2.INTER_LINEAR
        alpha = cv2.resize(alpha, image.shape[1::-1], interpolation=interpolation).clip(0, 1)

    image_path, mask_path = (
        os.path.join(target, str(item.split), kind, item.stem) for kind in ("image", "mask")
    )
    links = 0
    if item.image_reader is None:
        image_path += os.path.splitext(item.image)[1]
        links += link_or_copy(item.image, image_path, copies=plan.copies)
    else:
        image_path += ".jpg"
        files.write_bytes(image_path, encode_jpeg(image))
    if item.mask_reader is None and problem is None:
        mask_path += os.path.splitext(item.mask)[1]
        links += link_or_copy(item.mask, mask_path, copies=plan.copies)
    else:
        mask_path += ".png"
        files.write_bytes(mask_path, encode_png(np.rint(alpha * 255).astype(np.uint8)))
    record = {
        "split": str(item.split),
        "stem": item.stem,
        "image": os.path.basename(image_path),
        "mask": os.path.basename(mask_path),
        "source_image": item.image,
        "source_mask": item.mask,
        "image_sha256": files.sha256_of_file(image_path),
        "mask_sha256": files.sha256_of_file(mask_path),
    }
    return ConversionResult(record, links, problem, subject)


def link_or_copy(source: str, path: str, *, copies: bool) -> bool:
    """Replace ``path`` by a hard link to a file, or by a copy. Return whether it is a link."""
    if not copies:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        try:
            os.link(os.path.realpath(source), path)
            return True
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
    with files.atomic_write(path) as temporary:  # another file system, or one without hard links
        shutil.copyfile(source, temporary)
    return False
