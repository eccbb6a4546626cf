"""The evaluate verb: score a source, or every checkpoint of a run as it appears; keep the best."""

import json
import logging
import os
import tempfile
from functools import partial

from mmnet import checkpoint
from mmnet.data.pairs import find_data_set
from mmnet.device import Device
from mmnet.files import is_writable
from mmnet.inference.checkpoints import open_weights
from mmnet.inference.open import load_weights, open_predictor
from mmnet.photos.matte import Care, matte_of
from mmnet.photos.temporal import FILTERS
from mmnet.scoring.clips import score_clips
from mmnet.scoring.evaluate import evaluate
from mmnet.scoring.records import Identity, copy_checkpoint, read_scores, record_path, write_records
from mmnet.scoring.report import clips_text, published, published_clips, report_text, result_of
from mmnet.weights.find import find_source, is_model

log = logging.getLogger(__name__)


def run(settings):
    data_set = find_data_set(settings.dataset_path, settings.dataset_split_name)
    if settings.as_clips:
        predictor = open_source(settings)
        scores = score_clips(predictor, data_set, FILTERS[settings.temporal_filter])
        if settings.json:
            print(json.dumps(published_clips(scores, predictor, data_set.split)))
        else:
            print(clips_text(scores, predictor))
        return 0
    watching = settings.valid_type == "loop"
    for result in (score_all if watching else score_one)(settings, data_set):
        if settings.json:
            print(json.dumps(published(result, data_set.split)), flush=True)
        else:
            print(report_text(result, settings.worst), flush=True)
    return 0


def score_one(settings, data_set):
    """Yield the Result of the source that the settings name."""
    source = find_source(settings.checkpoint_path)
    output = settings.output
    if output is None and source.kind == "checkpoint" and not source.name:
        output = os.path.dirname(os.path.abspath(source.path))
    yield score(settings, data_set, open_source(settings), writable(output))


def open_source(settings):
    """The Predictor that the settings name."""
    return open_predictor(
        settings.checkpoint_path,
        settings.wanted(),
        reading=settings.reading(),
        device=Device(settings.device),
    )


def score_all(settings, data_set):
    """Yield a Result for every checkpoint of a folder, lowest step first, and for new ones.

    Those whose scores of the same pictures and settings are written already are read.
    """
    folder = settings.checkpoint_path
    output, predictor = writable(settings.output or folder), None
    for prefix in checkpoint.watch(folder, settings.watch_timeout):
        try:
            weights = load_weights(prefix, settings.wanted(), settings.reading())
            identity = identity_of(settings, data_set, weights.network, weights.sha256)
            result = None
            if output:
                path = record_path(output, data_set, settings.target_eval_shape, prefix)
                result = read_scores(path, prefix, identity)
            if result is None:
                if predictor is None:
                    predictor = open_weights(weights, Device(settings.device))
                else:
                    predictor.load(weights)
                result = score(settings, data_set, predictor, output)
        except FileNotFoundError:
            if os.path.exists(prefix + ".index"):
                raise
            log.warning("%s was deleted before it could be scored", prefix)
            continue
        yield result


def score(settings, data_set, predictor, output):
    """The Result of a Predictor, written below ``output`` unless that is None."""
    is_checkpoint = predictor.source is not None and not is_model(predictor.source)
    with tempfile.TemporaryDirectory() as folder:
        # Scoring takes a while, and a trainer deletes its older checkpoints: best/ is filled from a
        # copy.
        copy = copy_checkpoint(predictor.source, folder) if is_checkpoint and output else None
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
            write_records(result, evaluation, data_set, output, identity, copy)
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
