"""The evaluate verb: score a source, or every checkpoint of a run as it appears; keep the best."""

import dataclasses
import json
import logging
import os
import tempfile
from functools import partial

import numpy as np

from mmnet import checkpoint
from mmnet.data.foreground import foreground_of
from mmnet.data.images import resize_bilinear
from mmnet.data.pages import is_page
from mmnet.data.pairs import find_data_set, read_pair
from mmnet.device import Device
from mmnet.files import is_writable, need_replaceable, write_text
from mmnet.inference.checkpoints import open_weights
from mmnet.inference.open import load_weights, open_predictor
from mmnet.photos.compose import compose
from mmnet.photos.matte import Care, matte_of
from mmnet.photos.temporal import FILTERS
from mmnet.scoring.clips import score_clips
from mmnet.scoring.evaluate import evaluate
from mmnet.scoring.page import Picture, extremes, page_of
from mmnet.scoring.records import Identity, copy_checkpoint, read_scores, record_path, write_records
from mmnet.scoring.report import (
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
from mmnet.shards import Shard
from mmnet.weights.find import find_source, is_model

GREEN = np.array([0, 177, 64], np.uint8)  # behind the persons of a report

log = logging.getLogger(__name__)


def run(settings):
    split = settings.dataset_split_name
    data_sets = [find_data_set(path, split) for path in settings.dataset_path]
    if settings.shard:
        parts = [data_set.part(settings.shard) for data_set in data_sets]
        for data_set, part in zip(data_sets, parts):
            if not part.pairs:
                log.info("this part holds none of the %d pictures in %s", len(data_set), part.path)
        data_sets = [part for part in parts if part.pairs]
    if settings.report:
        need_replaceable("--report", settings.report, is_page)
    if settings.as_clips:
        for data_set in data_sets:
            score_as_clips(settings, data_set)
        return 0
    scored = []
    watching = settings.valid_type == "loop"
    for data_set, result in (score_all if watching else score_once)(settings, data_sets):
        if settings.json:
            where = {"dataset_path": data_set.path} if len(data_sets) > 1 else {}
            print(json.dumps(dict(published(result, split), **where)), flush=True)
        else:
            if len(data_sets) > 1:
                print("%s/%s:" % (data_set.path, data_set.split))
            print(report_text(result, settings.worst), flush=True)
        scored.append(Scored("%s/%s" % (data_set.name, data_set.split), result))
    if watching:
        scored.reverse()  # the latest first: the others are compared with it
    comparisons = compared(scored)
    if comparisons and not settings.json:
        print(comparisons_text(comparisons))
    if settings.report and scored:
        write_report(settings, data_sets, scored)
    return 0


def score_as_clips(settings, data_set):
    predictor = open_source(settings)
    scores = score_clips(predictor, data_set, FILTERS[settings.temporal_filter])
    if settings.json:
        print(json.dumps(published_clips(scores, predictor, data_set.split)))
    else:
        print(clips_text(scores, predictor))


def score_once(settings, data_sets):
    """Yield (DataSet, Result) of every source that the settings name on every data set."""
    for source in (settings.checkpoint_path,) + (settings.compare or ()):
        settings = dataclasses.replace(settings, checkpoint_path=source)
        source = find_source(source)
        output = settings.output
        if output is None and source.kind == "checkpoint" and not source.name:
            output = os.path.dirname(os.path.abspath(source.path))
        output, predictor = writable(output), open_source(settings)
        for data_set in data_sets:
            if settings.merge_shards:
                yield data_set, merged(settings, data_set, predictor, output)
                continue
            result = None
            if settings.shard and output:
                result = scores_there(settings, data_set, predictor, output)
            first = data_set is data_sets[0]
            yield data_set, result or score(settings, data_set, predictor, output, first)


def scores_there(settings, data_set, predictor, output):
    """The Result of a Predictor that lies in ``output`` already, or None."""
    path = record_path(output, data_set, settings.target_eval_shape, predictor.source)
    identity = identity_of(settings, data_set, predictor.network, predictor.sha256)
    return read_scores(path, predictor.source, identity)


def merged(settings, data_set, predictor, output):
    """The Result of a whole data set, from the records of its parts.

    Raises:
        ValueError: a part has not been scored; says which.
    """
    parts = [Shard(index, settings.merge_shards) for index in range(settings.merge_shards)]
    data_sets = [data_set.part(part) for part in parts]
    results = [
        scores_there(settings, part, predictor, output) if output and part.pairs else None
        for part in data_sets
    ]
    missing = [
        "%d/%d" % part
        for part, pairs, result in zip(parts, data_sets, results)
        if pairs.pairs and result is None
    ]
    if missing:
        raise ValueError(
            "%s holds no scores of these weights, pictures and settings for --shard %s"
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


def write_report(settings, data_sets, scored):
    """Write the page of --report; its pictures are of the weights that the settings name first."""
    predictor = open_source(settings)
    matte = matte_for(settings, predictor) or one_look(predictor)
    pictures = {}
    for data_set in data_sets:
        name = "%s/%s" % (data_set.name, data_set.split)
        result = next(one.result for one in scored if one.data_set == name)
        pictures[name] = [
            [picture_of(data_set.pairs[index], matte) for index in chosen]
            for chosen in extremes(result, settings.worst)
        ]
    about = "One run of the network a picture."
    if settings.as_photos:
        about = "Every picture cut out as mmnet predict does it."
    page = page_of(scored, pictures, "Scores of %s" % source_name(scored[0].result), about)
    write_text(settings.report, page)
    log.info("wrote %s", settings.report)


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
    composition = compose(image, alpha, GREEN, foreground_of(image, alpha))
    return Picture(pair.stem, image, truth, alpha, composition)


def open_source(settings):
    """The Predictor that the settings name."""
    return open_predictor(
        settings.checkpoint_path,
        settings.wanted(),
        reading=settings.reading(),
        device=Device(settings.device),
    )


def score_all(settings, data_sets):
    """Yield (DataSet, Result) for every checkpoint of a folder, lowest step first, and new ones.

    Those whose scores of the same pictures and settings are written already are read.
    """
    folder = settings.checkpoint_path
    output, predictor = writable(settings.output or folder), None
    for prefix in checkpoint.watch(folder, settings.watch_timeout):
        try:
            weights, is_open = load_weights(prefix, settings.wanted(), settings.reading()), False
            for data_set in data_sets:
                identity = identity_of(settings, data_set, weights.network, weights.sha256)
                result = None
                if output:
                    path = record_path(output, data_set, settings.target_eval_shape, prefix)
                    result = read_scores(path, prefix, identity)
                if result is None:
                    if predictor is None:
                        predictor = open_weights(weights, Device(settings.device))
                    elif not is_open:
                        predictor.load(weights)
                    is_open = True
                    first = data_set is data_sets[0]
                    result = score(settings, data_set, predictor, output, first)
                yield data_set, result
        except FileNotFoundError:
            if os.path.exists(prefix + ".index"):
                raise
            log.warning("%s was deleted before it could be scored", prefix)


def score(settings, data_set, predictor, output, first=True):
    """The Result of a Predictor, written below ``output`` unless that is None.

    first: whether the best checkpoints are chosen by this data set.
    """
    is_checkpoint = predictor.source is not None and not is_model(predictor.source)
    with tempfile.TemporaryDirectory() as folder:
        # Scoring takes a while, and a trainer deletes its older checkpoints: best/ is filled from a
        # copy.
        copied = is_checkpoint and output and first
        copy = copy_checkpoint(predictor.source, folder) if copied else None
        evaluation = evaluate(
            predictor,
            data_set,
            settings.target_eval_shape,
            settings.batch_size,
            settings.all_metrics,
            matte=matte_for(settings, predictor),
        )
        result = result_of(predictor, evaluation)
        if output:
            identity = identity_of(settings, data_set, predictor.network, predictor.sha256)
            write_records(result, evaluation, data_set, output, identity, copy, first)
    return result


def matte_for(settings, predictor):
    """What is scored in the predictor's place: with --as_photos, what predict would give."""
    if not settings.as_photos:
        return None
    care = Care(not settings.no_second_look, not settings.no_refinement)
    return partial(matte_of, predictor=predictor, care=care)


def identity_of(settings, data_set, network, sha256):
    """The records.Identity of scores."""
    return Identity(
        network=dict(network._asdict(), shape=list(network.shape)),
        source=sha256,
        use_ema=settings.use_ema,
        temperature=settings.temperature,
        as_photos=[settings.as_photos, settings.no_second_look, settings.no_refinement],
        device=settings.device,
        target_eval_shape=list(settings.target_eval_shape),
        all_metrics=settings.all_metrics,
        pictures=data_set.sha256,
    )


def writable(output):
    """The folder, or None, with a warning, where it cannot be written."""
    if output and not is_writable(output):
        log.warning(
            "%s cannot be written: the scores are printed only (--output FOLDER keeps them)", output
        )
        return None
    return output
