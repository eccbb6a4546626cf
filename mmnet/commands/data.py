"""`mmnet data`: convert, check or split datasets."""

import dataclasses
import json
import logging
import os
from typing import Optional, Sequence, Tuple

import numpy as np

from mmnet.commands.flag_types import existing_folder, fraction, one_of, seed_number
from mmnet.commands.options import REQUIRED, JsonOptions, flag
from mmnet.commands.removed import REMOVED_ACTIONS, REMOVED_LAYOUTS
from mmnet.datasets.pairs import find_dataset, label_datasets, list_splits
from mmnet.datatools import statistics
from mmnet.datatools.convert import RESIZED, ConversionPlan, convert_dataset
from mmnet.datatools.layouts import LAYOUTS, LayoutOptions, find_items
from mmnet.datatools.report import render_report
from mmnet.datatools.statistics import DatasetStatistics, SharedPhoto, summarize_statistics
from mmnet.io.errors import MAX_NAMES, MmnetError, format_shape, summarize_names, summarize_problems
from mmnet.io.files import check_replaceable, check_writable, write_text
from mmnet.io.pages import is_own_page
from mmnet.io.tables import format_table
from mmnet.io.terminal import escape_controls

MAX_SHARED_LINES = 10  # photos in two places that the text lists

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Options(JsonOptions):
    """Convert, check or split datasets.

    convert --layout LAYOUT SOURCE TARGET writes TARGET/SPLIT/{image,mask} and a manifest with the
    hashes and a note on the licence. Files become hard links if possible; the source is never
    changed. An interrupted conversion resumes. A dataset without splits becomes train. With
    --split_ratio, near-duplicates stay in one split.

    check ROOT ... reads every pair. It reports sizes, fractions of person and soft pixels,
    suspicious masks, unreadable files, and photos in two places. The exit code is 1 if files are
    unusable, or if a photo is in two splits or datasets.

    split SOURCE TARGET splits a dataset in mmnet's layout into train and test.
    """

    action: str = flag(
        REQUIRED,
        one_of("convert", "check", "split", removed=REMOVED_ACTIONS),
        help="convert --layout LAYOUT SOURCE TARGET; check ROOT ...; split SOURCE TARGET",
        positional=True,
    )
    paths: Tuple[str, ...] = flag(
        REQUIRED, help="SOURCE TARGET, or the datasets to check", nargs="+", positional=True
    )
    layout: Optional[str] = flag(
        None,
        one_of(*LAYOUTS, removed=REMOVED_LAYOUTS),
        help="convert: layout of SOURCE",
        alias="from",
    )
    images: Optional[str] = flag(None, help="convert pairs, eg1800, rgba: image folder in SOURCE")
    masks: Optional[str] = flag(None, help="convert pairs, eg1800: mask folder in SOURCE")
    backgrounds_path: Optional[str] = flag(
        None, existing_folder, help="convert rgba: folder of background images for the cutouts"
    )
    split_ratio: Optional[float] = flag(
        None, fraction, help="convert, split: fraction of the images in test (split: 0.1)"
    )
    seed: int = flag(0, seed_number, help="convert, split: random seed of splits and backgrounds")
    copies: bool = flag(False, help="convert, split: copy files instead of creating hard links")
    report: Optional[str] = flag(None, help="check: HTML page to write, with thumbnails")

    def check(self) -> None:
        super().check()
        if self.action != "check" and len(self.paths) != 2:
            raise MmnetError(f"mmnet data {self.action}: needs SOURCE TARGET")
        if (self.action == "convert") != (self.layout is not None):
            raise MmnetError("--layout: is required by mmnet data convert, and only used there")
        if self.report is not None and self.action != "check":
            raise MmnetError("--report: is only used by mmnet data check")


def run(options: Options) -> int:
    return run_check(options) if options.action == "check" else run_convert(options)


def run_convert(options: Options) -> int:
    source, target = options.paths
    check_writable(target, "target")
    if os.path.realpath(source) == os.path.realpath(target):
        raise MmnetError(f"{target}: is both source and target; use a new folder")
    layout, split_ratio = options.layout or "dapm", options.split_ratio  # dapm: mmnet's own layout
    if options.action == "split" and split_ratio is None:
        split_ratio = 0.1
    layout_options = LayoutOptions(
        options.images, options.masks, options.backgrounds_path, options.seed
    )
    items, problems = find_items(layout, source, layout_options)
    plan = ConversionPlan(
        layout,
        os.path.abspath(source),
        LAYOUTS[layout].licence,
        copies=options.copies,
        split_ratio=split_ratio,
        seed=options.seed,
        options={k: v for k, v in layout_options._asdict().items() if v is not None},
    )
    summary = convert_dataset(items, target, plan, problems)
    if not summary.pairs:
        reasons = summarize_problems(summary.problems)
        raise MmnetError(f"{source}: contains no usable pair: {reasons}")
    for problem, names in sorted(summary.problems.items()):
        prefix = "" if problem == RESIZED else "skipped: "
        log.warning("%s%s", prefix, summarize_names(problem, names, MAX_NAMES))
    if options.json:
        record = {"pairs": summary.pairs, "before": summary.existing, "problems": summary.problems}
        record.update(linked=summary.links, target=target, licence=plan.licence)
        print(json.dumps(record))
    else:
        pairs = ", ".join(f"{number} in {split}" for split, number in summary.pairs.items())
        pairs = escape_controls(pairs)
        print(f"{target}: pairs: {pairs}; {summary.existing} existed already")
        print(f"licence: {plan.licence}")
    return 1 if set(summary.problems) - {RESIZED} else 0


def run_check(options: Options) -> int:
    if options.report:
        check_replaceable(options.report, is_own_page, parameter="report")
    datasets = []
    for root, label in zip(options.paths, label_datasets(options.paths)):
        names = list_splits(root)
        if not names:
            raise MmnetError(f"{root}: contains no SPLIT/image; use mmnet data convert")
        datasets += [find_dataset(root, name, label) for name in names]
    splits = [statistics.compute_statistics(dataset) for dataset in datasets]
    shared = statistics.find_shared_photos(splits)
    if options.report:
        write_text(options.report, render_report(splits, shared))
        log.info("wrote %s", options.report)
    if options.json:
        records = [summarize_statistics(split) for split in splits]
        for record in records + [photo._asdict() for photo in shared]:
            print(json.dumps(record))
    else:
        print_statistics(splits)
        print_shared_photos(shared)
    has_unusable_files = any(split.has_unusable_files for split in splits)
    return 1 if has_unusable_files or any(not photo.within for photo in shared) else 0


def print_statistics(splits: Sequence[DatasetStatistics]) -> None:
    """Print a table with one row per split, and the problems."""
    rows = [("dataset", "pairs", "height x width", "person (10 % .. 90 %)", "soft", "hard masks")]
    for split in splits:
        record = summarize_statistics(split)
        cells = ("", "", "", "")
        if split.pairs:
            low, median, high = (100 * value for value in record["person"])
            cells = (
                format_sizes(split, record["height"][1], record["width"][1]),
                f"{median:.0f} % ({low:.0f} .. {high:.0f})",
                f"{100 * record['soft']:.1f} %",
                f"{100 * record['binary']:.0f} %",
            )
        rows.append((split.name, str(record["pairs"]), *cells))
    print(format_table(rows))
    for split in splits:
        for problem, names in sorted(split.problems.items()):
            print(f"{split.name}: {summarize_names(problem, names)}")


def format_sizes(split: DatasetStatistics, *median: int) -> str:
    """Return the median shape, and the smallest and largest one if they differ."""
    shapes = sorted(((pair.height, pair.width) for pair in split.pairs), key=np.prod)
    smallest, largest = format_shape(shapes[0]), format_shape(shapes[-1])
    return format_shape(median) + (f" ({smallest} .. {largest})" if smallest != largest else "")


def print_shared_photos(shared: Sequence[SharedPhoto]) -> None:
    for within, place in ((False, "in two datasets or splits"), (True, "twice in one split")):
        photos = [photo for photo in shared if photo.within == within]
        print(f"photos {place}: {len(photos) or 'none'}")
        for photo in photos[:MAX_SHARED_LINES]:
            mirrored = ", mirrored" if photo.mirrored else ""
            correlation = f"correlation of details {photo.correlation:.2f}"
            names = escape_controls(f"{photo.first} = {photo.second}")
            print(f"  {names}{mirrored} ({correlation})")
        if len(photos) > MAX_SHARED_LINES:
            print("  ... (--json lists all, --report shows them)")
