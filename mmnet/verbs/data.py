"""The data verb: data sets of others made into ours, what a data set holds, its split anew."""

import json
import logging
import os

import numpy as np
from humanfriendly.tables import format_pretty_table

from mmnet.compat import tf
from mmnet.data.convert import RESIZED, Plan, convert
from mmnet.data.layouts import LAYOUTS, Options, find_items
from mmnet.data.pages import is_page
from mmnet.data.pairs import Check, count, find_data_set, splits_in
from mmnet.data.sheet import sheet_of
from mmnet.data.survey import FLAT, INVERTED, find_shared, summary_of, survey
from mmnet.data.tfrecords import IMAGE, MASK, STEM, shard_name
from mmnet.files import need_replaceable, need_writable, read_bytes, replacing, write_text
from mmnet.progress import progress

SPLIT_RATIO = 0.1  # of the action split, where none is given
SHOWN = 10  # photos in two places that the text names
SUSPECT = (FLAT, INVERTED)  # may be right; anything else is a file that cannot be used

log = logging.getLogger(__name__)


def run(settings):
    if settings.action == "check":
        return check(settings)
    source, target = settings.paths
    need_writable("TARGET", target)
    if os.path.realpath(source) == os.path.realpath(target):
        raise ValueError("%s is the source and the target: give a new folder" % target)
    if settings.action == "pack":
        return pack(settings, source, target)
    layout = settings.layout or "dapm"  # split reads ours
    options = options_of(settings)
    found = find_items(layout, source, options)
    ratio = settings.split_ratio
    if settings.action == "split" and ratio is None:
        ratio = SPLIT_RATIO
    given = {name: value for name, value in options._asdict().items() if value is not None}
    plan = Plan(
        layout,
        os.path.abspath(source),
        LAYOUTS[layout].licence,
        copies=settings.copies,
        split_ratio=ratio,
        seed=settings.seed,
        options=given,
    )
    converted = convert(found, target, plan)
    for problem, names in sorted(converted.problems.items()):
        log.warning("%s%s", "" if problem == RESIZED else "skipped: ", count(problem, names))
    if settings.json:
        print(json.dumps(dict(converted._asdict(), target=target, licence=plan.licence)))
    else:
        print(converted_text(converted, target, plan))
    if not converted.pairs:
        raise ValueError("nothing of %s could be used" % source)
    return 1 if set(converted.problems) - {RESIZED} else 0


def pack(settings, source, target):
    """Write every split of a data set of ours as TFRecord shards; the exit code."""
    counts = {}
    for split in splits_of(source):
        data_set = find_data_set(source, split)
        if data_set.problems:
            Check(data_set).finish()  # says them
        folder = os.path.join(target, split)
        os.makedirs(folder, exist_ok=True)
        shards = max(1, min(settings.shards, len(data_set)))
        names = [shard_name(number, shards) for number in range(shards)]
        others = sorted(set(os.listdir(folder)) - set(names))
        if others:
            raise ValueError(
                "%s holds something else (%s): give a new folder" % (folder, others[0])
            )
        numbers = progress(range(shards), shards, "packing %s" % split, "shards")
        for number in numbers:
            with replacing(os.path.join(folder, names[number])) as temporary:
                write_shard(temporary, data_set.pairs[number::shards])
        counts[split] = len(data_set)
    if settings.json:
        print(json.dumps({"target": target, "pairs": counts}))
    else:
        pairs = ", ".join("%d in %s" % (number, split) for split, number in counts.items())
        print("%s: pairs: %s" % (target, pairs))
    return 0


def write_shard(path, pairs):
    """Write Pairs, their files as they are, as the records of one shard."""
    with tf.io.TFRecordWriter(path) as writer:
        for pair in pairs:
            values = {STEM: pair.stem.encode(), IMAGE: read_bytes(pair.image)}
            values[MASK] = read_bytes(pair.mask)
            features = {
                name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
                for name, value in values.items()
            }
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())


def options_of(settings):
    return Options(
        settings.images, settings.masks, settings.ids, settings.backgrounds_path, settings.seed
    )


def converted_text(converted, target, plan):
    pairs = ", ".join("%d in %s" % (number, split) for split, number in converted.pairs.items())
    lines = ["%s: pairs: %s" % (target, pairs or "none")]
    if converted.before:
        lines.append("%d of them were there already" % converted.before)
    return "\n".join(lines + ["licence: %s" % plan.licence])


def check(settings):
    """Print what the data sets hold; the exit code."""
    if settings.report:
        need_replaceable("--report", settings.report, is_page)
    data_sets = [find_data_set(root, split) for root in settings.paths for split in splits_of(root)]
    surveys = [survey(data_set) for data_set in data_sets]
    shared = find_shared(surveys)
    if settings.report:
        write_text(settings.report, sheet_of(surveys, shared))
        log.info("wrote %s", settings.report)
    if settings.json:
        for one in surveys:
            print(json.dumps(summary_of(one)))
        for one in shared:
            print(json.dumps(one._asdict()))
    else:
        print(survey_text(surveys, shared))
    unusable = any(set(one.problems) - set(SUSPECT) for one in surveys)
    return 1 if unusable or any(not one.within for one in shared) else 0


def splits_of(root):
    """Names of a data set's splits.

    Raises:
        FileNotFoundError: no such folder. ValueError: none in it.
    """
    if not os.path.isdir(root):
        raise FileNotFoundError("no data set folder %s" % root)
    splits = splits_in(root)
    if not splits:
        raise ValueError(
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
    heads = ["data set", "pairs", "height x width", "person (80 % of them)", "soft", "hard masks"]
    lines = [format_pretty_table(rows, heads)]
    for one in surveys:
        lines += [
            "%s: %s" % (one.name, count(*problem)) for problem in sorted(one.problems.items())
        ]
    for within, what in ((False, "in two data sets or splits"), (True, "twice in one split")):
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
