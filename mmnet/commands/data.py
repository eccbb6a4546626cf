"""The data verb: datasets of others made into ours, what a dataset holds, its split anew."""

import dataclasses
import json
import logging
import os
from typing import Optional, Tuple

import numpy as np
from humanfriendly.tables import format_pretty_table

from mmnet.commands.flag_types import fraction, image_folder, one_of, positive_ints, seed_number
from mmnet.commands.options import REQUIRED, JsonOptions, flag
from mmnet.datasets.pairs import find_dataset, list_splits
from mmnet.datatools import layouts
from mmnet.datatools.convert import RESIZED, Plan, convert
from mmnet.datatools.layouts import LAYOUTS, find_items
from mmnet.datatools.report import sheet_of
from mmnet.datatools.statistics import FLAT, INVERTED, find_shared, summary_of, survey
from mmnet.io.errors import MmnetError, summarize_names
from mmnet.io.files import check_replaceable, check_writable, write_text
from mmnet.io.pages import is_own_page

SPLIT_RATIO = 0.1  # of the action split, where none is given
SHOWN = 10  # photos in two places that the text names
SUSPECT = (FLAT, INVERTED)  # may be right; anything else is a file that cannot be used

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Options(JsonOptions):
    """Datasets of others made into ours; what a dataset holds; its split anew.

    convert --from LAYOUT SOURCE TARGET writes TARGET/SPLIT/{image,mask} and a manifest with hashes
    and the note on the licence. Files are hard links where that can be; the source is never
    changed. What was interrupted goes on. A dataset without splits becomes train; with
    --split_ratio, near-duplicates stay on one side.

    check ROOT ... reads every pair of every split: sizes, shares of person and of soft pixels,
    masks that look wrong, files that cannot be read, and photos that lie in two places. The exit
    code is 1 where files cannot be used, or a photo lies in two splits or datasets.

    split SOURCE TARGET splits a dataset of ours anew, into train and test.
    """

    action: str = flag(
        REQUIRED,
        one_of("convert", "check", "split"),
        help="convert --from LAYOUT SOURCE TARGET; check ROOT ...; split SOURCE TARGET",
        positional=True,
    )
    paths: Tuple[str, ...] = flag(
        REQUIRED, help="SOURCE TARGET, or the ROOTs to check", nargs="+", positional=True
    )
    layout: Optional[str] = flag(
        None,
        one_of(*LAYOUTS),
        help="convert: how the source lies: %s" % ", ".join(LAYOUTS),
        alias="from",
    )
    images: Optional[str] = flag(
        None, help="convert labels, pairs, eg1800, rgba: folder of the images, below SOURCE"
    )
    masks: Optional[str] = flag(
        None, help="convert labels, pairs, eg1800: folder of the masks, below SOURCE"
    )
    ids: Optional[Tuple[int, ...]] = flag(
        None,
        positive_ints,
        help="convert labels: those that are the person, such as 1,2 (default: all)",
    )
    backgrounds_path: Optional[str] = flag(
        None, image_folder, help="convert rgba: folder of pictures that the cut-outs are put before"
    )
    split_ratio: Optional[float] = flag(
        None,
        fraction,
        help="convert, split: share of the pictures that are for testing (split: 0.1)",
    )
    seed: int = flag(0, seed_number, help="convert, split: another one splits otherwise")
    copies: bool = flag(False, help="convert, split: copies in place of hard links")
    report: Optional[str] = flag(
        None, help="check: also write this page (HTML), with the pictures it is about"
    )

    def check(self):
        super().check()
        if self.action != "check" and len(self.paths) != 2:
            raise MmnetError("mmnet data %s takes SOURCE TARGET" % self.action)
        if (self.action == "convert") != (self.layout is not None):
            raise MmnetError("mmnet data convert --from LAYOUT SOURCE TARGET; nothing else has it")
        if self.report is not None and self.action != "check":
            raise MmnetError("--report goes with mmnet data check")


def run(options):
    if options.action == "check":
        return check(options)
    source, target = options.paths
    check_writable(target, "target")
    if os.path.realpath(source) == os.path.realpath(target):
        raise MmnetError("%s is the source and the target: give a new folder" % target)
    layout = options.layout or "dapm"  # split reads ours
    layout_options = options_of(options)
    found = find_items(layout, source, layout_options)
    ratio = options.split_ratio
    if options.action == "split" and ratio is None:
        ratio = SPLIT_RATIO
    given = {name: value for name, value in layout_options._asdict().items() if value is not None}
    plan = Plan(
        layout,
        os.path.abspath(source),
        LAYOUTS[layout].licence,
        copies=options.copies,
        split_ratio=ratio,
        seed=options.seed,
        options=given,
    )
    converted = convert(found, target, plan)
    for problem, names in sorted(converted.problems.items()):
        log.warning(
            "%s%s", "" if problem == RESIZED else "skipped: ", summarize_names(problem, names)
        )
    if options.json:
        print(json.dumps(dict(converted._asdict(), target=target, licence=plan.licence)))
    else:
        print(converted_text(converted, target, plan))
    if not converted.pairs:
        raise MmnetError("nothing of %s could be used" % source)
    return 1 if set(converted.problems) - {RESIZED} else 0


def options_of(options):
    return layouts.Options(
        options.images, options.masks, options.ids, options.backgrounds_path, options.seed
    )


def converted_text(converted, target, plan):
    pairs = ", ".join("%d in %s" % (number, split) for split, number in converted.pairs.items())
    lines = ["%s: pairs: %s" % (target, pairs or "none")]
    if converted.before:
        lines.append("%d of them were there already" % converted.before)
    return "\n".join(lines + ["licence: %s" % plan.licence])


def check(options):
    """Print what the datasets hold; the exit code."""
    if options.report:
        check_replaceable(options.report, is_own_page, parameter="report")
    data_sets = [find_dataset(root, split) for root in options.paths for split in splits_of(root)]
    surveys = [survey(data_set) for data_set in data_sets]
    shared = find_shared(surveys)
    if options.report:
        write_text(options.report, sheet_of(surveys, shared))
        log.info("wrote %s", options.report)
    if options.json:
        for one in surveys:
            print(json.dumps(summary_of(one)))
        for one in shared:
            print(json.dumps(one._asdict()))
    else:
        print(survey_text(surveys, shared))
    unusable = any(set(one.problems) - set(SUSPECT) for one in surveys)
    return 1 if unusable or any(not one.within for one in shared) else 0


def splits_of(root):
    """Names of a dataset's splits.

    Raises:
        FileNotFoundError: no such folder. ValueError: none in it.
    """
    if not os.path.isdir(root):
        raise FileNotFoundError("no dataset folder %s" % root)
    splits = list_splits(root)
    if not splits:
        raise MmnetError(
            "%s holds no SPLIT/image and SPLIT/mask: mmnet data convert makes them" % root
        )
    return splits


def survey_text(surveys, shared):
    """What people read of a check."""
    rows = []
    for one in surveys:
        record = summary_of(one)
        row = [one.name, record["pairs"]]
        if one.facts:
            sizes = "%dx%d" % (record["height"][1], record["width"][1])
            largest = max(one.facts, key=lambda facts: facts.height * facts.width)
            smallest = min(one.facts, key=lambda facts: facts.height * facts.width)
            if smallest[1:3] != largest[1:3]:
                sizes += " (%dx%d .. %dx%d)" % (smallest[1:3] + largest[1:3])
            row.append(sizes)
            row.append(
                "%.0f %% (%.0f .. %.0f)" % tuple(100 * np.array(record["person"])[[1, 0, 2]])
            )
            row.append("%.1f %%" % (100 * record["soft"]))
            row.append("%.0f %%" % (100 * record["binary"]))
        rows.append(row + [""] * (6 - len(row)))
    heads = ["dataset", "pairs", "height x width", "person (80 % of them)", "soft", "hard masks"]
    lines = [format_pretty_table(rows, heads)]
    for one in surveys:
        lines += [
            "%s: %s" % (one.name, summarize_names(*problem))
            for problem in sorted(one.problems.items())
        ]
    for within, what in ((False, "in two datasets or splits"), (True, "twice in one split")):
        found = [one for one in shared if one.within == within]
        lines.append("photos that lie %s: %s" % (what, len(found) or "none"))
        lines += [
            "  %s = %s%s (correlation of details %.2f)"
            % (one.first, one.second, ", mirrored" if one.mirrored else "", one.correlation)
            for one in found[:SHOWN]
        ]
        if len(found) > SHOWN:
            lines.append("  ... (--json lists all, --report shows them)")
    return "\n".join(lines)
