"""The evaluate verb: score a source, or every checkpoint of a run as it appears; keep the best."""

import dataclasses
import json
import logging
import os
import tempfile
from functools import partial
from typing import Optional, Tuple

import numpy as np

from mmnet.commands.flag_types import (
    check_memory,
    dataset_folder,
    one_of,
    positive_int,
    shard,
    source,
    timespan,
    whole_number,
)
from mmnet.commands.options import (
    REQUIRED,
    SOURCE,
    DatasetOptions,
    DeviceOptions,
    JsonOptions,
    MattingStepOptions,
    SourceOptions,
    flag,
)
from mmnet.datasets.pairs import find_dataset, read_pair
from mmnet.evaluation.clips import score_clips
from mmnet.evaluation.evaluate import evaluate
from mmnet.evaluation.records import Identity, read_scores, record_path, write_records
from mmnet.evaluation.report import (
    Scored,
    clips_text,
    compared,
    comparisons_text,
    published,
    published_clips,
    report_text,
    result_of,
    source_name,
)
from mmnet.evaluation.report_page import Picture, extremes, page_of
from mmnet.inference.checkpoints import open_weights
from mmnet.inference.open import load_weights, open_predictor
from mmnet.io.checkpoint_files import copy_checkpoint
from mmnet.io.errors import MmnetError, format_shape
from mmnet.io.files import check_replaceable, is_writable, write_text
from mmnet.io.foreground import estimate_foreground
from mmnet.io.pages import is_page
from mmnet.io.resize import resize_bilinear
from mmnet.io.tar_shards import Shard
from mmnet.matting.compose import compose
from mmnet.matting.photo import MattingOptions, matte_photo
from mmnet.matting.temporal import FILTERS
from mmnet.tf import checkpoint
from mmnet.tf.device import Device
from mmnet.weights.registry import DEFAULT
from mmnet.weights.source import find_source, is_model_file

GREEN = np.array([0, 177, 64], np.uint8)  # behind the persons of a report

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Options(DatasetOptions, SourceOptions, MattingStepOptions, DeviceOptions, JsonOptions):
    """Score a checkpoint or a model on a dataset: MAD and gradient error.

    Both are measured at the network's size and at the target shape.
    """

    dataset_path: Tuple[str, ...] = flag(
        REQUIRED, dataset_folder, help="folders that hold SPLIT/image and SPLIT/mask", nargs="+"
    )
    checkpoint_path: str = flag(DEFAULT, help=SOURCE, alias="model")
    valid_type: str = flag(
        "once",
        one_of("once", "loop"),
        help="once, or loop: every checkpoint of the folder, also those that appear later; what is "
        "already scored is not computed again",
    )
    watch_timeout: Optional[float] = flag(
        None,
        timespan,
        help="end the loop after this time without a new checkpoint (90s, 10m, 2h); without it, it goes "
        "on until Ctrl-C",
    )
    target_eval_shape: Tuple[int, int] = flag(
        (800, 600), positive_int, help="second shape to score at: height width in pixels", nargs=2
    )
    batch_size: int = flag(8, positive_int, help="pictures in one run of the network")
    all_metrics: bool = flag(False, help="also SAD, MSE, Grad, Conn and mIoU at the target shape")
    as_photos: bool = flag(
        False,
        help="score what mmnet predict gives for each picture, not one run of the network alone",
    )
    as_clips: bool = flag(
        False,
        help="the pictures are frames of clips, CLIP_0001, CLIP_0002, ...: score them in their order, "
        "and how steady alpha is (dtSSD)",
    )
    temporal_filter: str = flag(
        "none",
        one_of("none", "exponential", "motion"),
        help="with --as_clips, how each alpha follows from the one before: none (the network alone), "
        "exponential (smoothing), motion (smoothing along the motion, as mmnet predict does it)",
    )
    worst: int = flag(5, whole_number, help="how many of the worst pictures to name")
    shard: Optional[Shard] = flag(
        None,
        shard,
        help="score one of N parts of the pictures, I/N: 0/8 to 7/8, each elsewhere; scores that lie in "
        "--output already are not computed again",
    )
    merge_shards: Optional[int] = flag(
        None, positive_int, help="put the scores of all N parts together, from --output"
    )
    compare: Optional[Tuple[str, ...]] = flag(
        None,
        source,
        help="score these sources, too, and compare them picture by picture",
        nargs="+",
    )
    report: Optional[str] = flag(
        None,
        help="also write this page (.html): scores, histograms, comparisons, the worst and the best "
        "pictures; it needs no network",
    )
    output: Optional[str] = flag(
        None,
        help="folder for scores, TensorBoard events and the best checkpoints (default: the "
        "checkpoint's folder; scores of a model file are printed only)",
    )

    def check(self):
        super().check()
        if not self.as_photos and (self.no_second_pass or self.no_refinement):
            raise MmnetError("--no_second_pass and --no_refinement go with --as_photos")
        if self.temporal_filter != "none" and not self.as_clips:
            raise MmnetError("--temporal_filter goes with --as_clips")
        if self.as_clips and (
            self.as_photos
            or self.all_metrics
            or self.output
            or self.valid_type == "loop"
            or self.compare
            or self.report
        ):
            raise MmnetError(
                "--as_clips prints MAD and dtSSD: it takes no --as_photos, --all_metrics, "
                "--output, --compare, --report or --valid_type loop"
            )
        if self.valid_type == "loop" and self.compare:
            raise MmnetError("--compare goes with --valid_type once")
        height, width = self.target_eval_shape
        what = "scoring %d pictures at %s" % (self.batch_size, format_shape((height, width)))
        check_memory(what, 2 * self.batch_size * height * width * 60)
        if self.valid_type == "loop":
            if not os.path.isdir(self.checkpoint_path):
                raise FileNotFoundError(
                    "a loop watches a folder of checkpoints, and %s is none" % self.checkpoint_path
                )
        else:
            find_source(self.checkpoint_path)


def run(options):
    split = options.dataset_split_name
    data_sets = [find_dataset(path, split) for path in options.dataset_path]
    if options.shard:
        parts = [data_set.select_shard(options.shard) for data_set in data_sets]
        for data_set, part in zip(data_sets, parts):
            if not part.pairs:
                log.info("this part holds none of the %d pictures in %s", len(data_set), part.path)
        data_sets = [part for part in parts if part.pairs]
    if options.report:
        check_replaceable("--report", options.report, is_page)
    if options.as_clips:
        for data_set in data_sets:
            score_as_clips(options, data_set)
        return 0
    scored = []
    watching = options.valid_type == "loop"
    for data_set, result in (score_all if watching else score_once)(options, data_sets):
        if options.json:
            where = {"dataset_path": data_set.path} if len(data_sets) > 1 else {}
            print(json.dumps(dict(published(result, split), **where)), flush=True)
        else:
            if len(data_sets) > 1:
                print("%s/%s:" % (data_set.path, data_set.split))
            print(report_text(result, options.worst), flush=True)
        scored.append(Scored("%s/%s" % (data_set.name, data_set.split), result))
    if watching:
        scored.reverse()  # the latest first: the others are compared with it
    comparisons = compared(scored)
    if comparisons and not options.json:
        print(comparisons_text(comparisons))
    if options.report and scored:
        write_report(options, data_sets, scored)
    return 0


def score_as_clips(options, data_set):
    predictor = open_source(options)
    scores = score_clips(predictor, data_set, FILTERS[options.temporal_filter])
    if options.json:
        print(json.dumps(published_clips(scores, predictor, data_set.split)))
    else:
        print(clips_text(scores, predictor))


def score_once(options, data_sets):
    """Yield (Dataset, Result) of every source that the options name on every dataset."""
    for source in (options.checkpoint_path,) + (options.compare or ()):
        options = dataclasses.replace(options, checkpoint_path=source)
        source = find_source(source)
        output = options.output
        if output is None and source.kind == "checkpoint" and not source.name:
            output = os.path.dirname(os.path.abspath(source.path))
        output, predictor = writable(output), open_source(options)
        for data_set in data_sets:
            if options.merge_shards:
                yield data_set, merged(options, data_set, predictor, output)
                continue
            result = None
            if options.shard and output:
                result = scores_there(options, data_set, predictor, output)
            first = data_set is data_sets[0]
            yield data_set, result or score(options, data_set, predictor, output, first)


def scores_there(options, data_set, predictor, output):
    """The Result of a Predictor that lies in ``output`` already, or None."""
    path = record_path(output, data_set, options.target_eval_shape, predictor.source)
    identity = identity_of(options, data_set, predictor.network, predictor.sha256)
    return read_scores(path, predictor.source, identity)


def merged(options, data_set, predictor, output):
    """The Result of a whole dataset, from the records of its parts.

    Raises:
        ValueError: a part has not been scored; says which.
    """
    parts = [Shard(index, options.merge_shards) for index in range(options.merge_shards)]
    data_sets = [data_set.select_shard(part) for part in parts]
    results = [
        scores_there(options, part, predictor, output) if output and part.pairs else None
        for part in data_sets
    ]
    missing = [
        "%d/%d" % part
        for part, pairs, result in zip(parts, data_sets, results)
        if pairs.pairs and result is None
    ]
    if missing:
        raise MmnetError(
            "%s holds no scores of these weights, pictures and options for --shard %s"
            % (output, ", ".join(missing))
        )
    found = [result for result in results if result is not None]
    stems = sum((result.stems for result in found), [])
    order = sorted(range(len(stems)), key=stems.__getitem__)
    scores = {
        key: np.concatenate([result.scores[key] for result in found])[order]
        for key in found[0].scores
    }
    return found[0]._replace(stems=[stems[index] for index in order], scores=scores)


def write_report(options, data_sets, scored):
    """Write the page of --report; its pictures are of the weights that the options name first."""
    predictor = open_source(options)
    matte = matte_for(options, predictor) or one_look(predictor)
    pictures = {}
    for data_set in data_sets:
        name = "%s/%s" % (data_set.name, data_set.split)
        result = next(one.result for one in scored if one.data_set == name)
        pictures[name] = [
            [picture_of(data_set.pairs[index], matte) for index in chosen]
            for chosen in extremes(result, options.worst)
        ]
    about = "One run of the network a picture."
    if options.as_photos:
        about = "Every picture cut out as mmnet predict does it."
    page = page_of(scored, pictures, "Scores of %s" % source_name(scored[0].result), about)
    write_text(options.report, page)
    log.info("wrote %s", options.report)


def one_look(predictor):
    """What evaluate scores without --as_photos, as a function: image uint8 -> alpha."""

    def matte(image):
        seen = resize_bilinear(image, predictor.network.shape, align_corners=True)
        return predictor(seen[np.newaxis])[0]

    return matte


def picture_of(pair, matte):
    """The Picture of a pair, at the image's own size."""
    image, mask = read_pair(pair)
    alpha, truth = (
        resize_bilinear(each, image.shape[:2], align_corners=True) for each in (matte(image), mask)
    )
    composition = compose(image, alpha, GREEN, estimate_foreground(image, alpha))
    return Picture(pair.stem, image, truth, alpha, composition)


def open_source(options):
    """The Predictor that the options name."""
    return open_predictor(
        options.checkpoint_path,
        options.network_fields(),
        weight_options=options.weight_options(),
        device=Device(options.device),
    )


def score_all(options, data_sets):
    """Yield (Dataset, Result) for every checkpoint of a folder, lowest step first, and new ones.

    Those whose scores of the same pictures and options are written already are read.
    """
    folder = options.checkpoint_path
    output, predictor = writable(options.output or folder), None
    for prefix in checkpoint.watch(folder, options.watch_timeout):
        try:
            weights, is_open = (
                load_weights(prefix, options.network_fields(), options.weight_options()),
                False,
            )
            for data_set in data_sets:
                identity = identity_of(options, data_set, weights.network, weights.sha256)
                result = None
                if output:
                    path = record_path(output, data_set, options.target_eval_shape, prefix)
                    result = read_scores(path, prefix, identity)
                if result is None:
                    if predictor is None:
                        predictor = open_weights(weights, Device(options.device))
                    elif not is_open:
                        predictor.load(weights)
                    is_open = True
                    first = data_set is data_sets[0]
                    result = score(options, data_set, predictor, output, first)
                yield data_set, result
        except FileNotFoundError:
            if os.path.exists(prefix + ".index"):
                raise
            log.warning("%s was deleted before it could be scored", prefix)


def score(options, data_set, predictor, output, first=True):
    """The Result of a Predictor, written below ``output`` unless that is None.

    first: whether the best checkpoints are chosen by this dataset.
    """
    is_checkpoint = predictor.source is not None and not is_model_file(predictor.source)
    with tempfile.TemporaryDirectory() as folder:
        # Scoring takes a while, and a trainer deletes its older checkpoints: best/ is filled from a
        # copy.
        copied = is_checkpoint and output and first
        copy = copy_checkpoint(predictor.source, folder) if copied else None
        evaluation = evaluate(
            predictor,
            data_set,
            options.target_eval_shape,
            options.batch_size,
            options.all_metrics,
            matte=matte_for(options, predictor),
        )
        result = result_of(predictor, evaluation)
        if output:
            identity = identity_of(options, data_set, predictor.network, predictor.sha256)
            write_records(result, evaluation, data_set, output, identity, copy, first)
    return result


def matte_for(options, predictor):
    """What is scored in the predictor's place: with --as_photos, what predict would give."""
    if not options.as_photos:
        return None
    care = MattingOptions(not options.no_second_pass, not options.no_refinement)
    return partial(matte_photo, predictor=predictor, care=care)


def identity_of(options, data_set, network, sha256):
    """The records.Identity of scores."""
    return Identity(
        network=dict(network._asdict(), shape=list(network.shape)),
        source=sha256,
        use_ema=options.use_ema,
        logit_scale=options.logit_scale,
        as_photos=[options.as_photos, options.no_second_pass, options.no_refinement],
        device=options.device,
        target_eval_shape=list(options.target_eval_shape),
        all_metrics=options.all_metrics,
        pictures=data_set.fingerprint,
    )


def writable(output):
    """The folder, or None, with a warning, where it cannot be written."""
    if output and not is_writable(output):
        log.warning(
            "%s cannot be written: the scores are printed only (--output FOLDER keeps them)", output
        )
        return None
    return output
