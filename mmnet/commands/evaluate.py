"""`mmnet evaluate`: score a source, or each checkpoint of a run as it appears; keep the best."""

import contextlib
import dataclasses
import json
import logging
import os
import tempfile
from functools import partial
from typing import Iterator, List, NamedTuple, Optional, Sequence, Tuple

from mmnet.commands.flag_types import (
    existing_folder,
    one_of,
    positive_int,
    shard,
    source,
    timespan,
    whole_number,
)
from mmnet.commands.options import (
    REQUIRED,
    SOURCES,
    DatasetOptions,
    JsonOptions,
    PhotoOptions,
    flag,
)
from mmnet.datasets.pairs import Dataset, find_dataset, label_datasets
from mmnet.evaluation import report
from mmnet.evaluation.clips import score_clips
from mmnet.evaluation.comparison import compare_evaluations
from mmnet.evaluation.evaluate import Evaluation, Matte, evaluate
from mmnet.evaluation.records import Identity, merge_shards, read_evaluation, write_evaluation
from mmnet.evaluation.report_page import make_page
from mmnet.inference.checkpoints import CheckpointPredictor, open_weights
from mmnet.inference.open import load_weights, photo_views, with_view_count
from mmnet.inference.predictor import Predictor
from mmnet.io.checkpoint_files import copy_checkpoint
from mmnet.io.errors import MmnetError
from mmnet.io.files import check_replaceable, check_writable, short_names, write_text
from mmnet.io.images import Photo
from mmnet.io.memory import check_memory
from mmnet.io.pages import is_own_page
from mmnet.io.tar_shards import Shard
from mmnet.matting.photo import matte_photo
from mmnet.matting.temporal import FILTERS
from mmnet.tf import checkpoint
from mmnet.tf.device import Device
from mmnet.weights.registry import DEFAULT
from mmnet.weights.source import Source, find_source

SCORING_BYTES = 120  # per target pixel and image, with the masks that wait for a thread

score_flag = partial(flag, group="scores")
watch_flag = partial(flag, group="watching")

log = logging.getLogger(__name__)


class OpenNetwork(NamedTuple):
    """A network to score."""

    predictor: Predictor
    output: Optional[str]  # folder of the scores
    record_name: Optional[str] = None  # among several networks with one file name


@dataclasses.dataclass(frozen=True)
class Options(DatasetOptions, PhotoOptions, JsonOptions):
    """Score a trained network on datasets: MAD and gradient error at two shapes."""

    dataset_path: Tuple[str, ...] = flag(  # type: ignore[assignment]
        REQUIRED, existing_folder, nargs="+", help="datasets: SPLIT/image, SPLIT/mask", group="data"
    )
    checkpoint_path: str = flag(DEFAULT, help=SOURCES, alias="model", group="model", join=True)
    batch_size: int = flag(8, positive_int, help="images per network run")
    output: Optional[str] = flag(
        None,
        help="folder for scores, events and best checkpoints (default: the checkpoint's folder; "
        "none for model files and weights by name)",
    )
    report: Optional[str] = flag(None, help="HTML page to write: scores, charts and images")
    target_eval_shape: Tuple[int, int] = score_flag(
        (800, 600), positive_int, nargs=2, help="second shape in pixels to score at"
    )
    all_metrics: bool = score_flag(
        False, help="also SAD, MSE, Grad, Conn, mIoU and flaws at the target shape"
    )
    as_photos: bool = score_flag(False, help="score the alphas of mmnet predict")
    worst: int = score_flag(5, whole_number, help="number of worst images to show")
    compare: Optional[Tuple[str, ...]] = score_flag(
        None, source, nargs="+", help="other sources to score and compare"
    )
    as_clips: bool = flag(
        False, help="score frames CLIP_0001, CLIP_0002, ... and their flicker", group="clips"
    )
    temporal_filter: str = flag(
        "none", one_of(*FILTERS), help="filter of the alphas with --as_clips", group="clips"
    )
    valid_type: str = watch_flag(
        "once", one_of("once", "loop"), help="loop: all checkpoints of a folder, also later ones"
    )
    watch: bool = watch_flag(False, help="same as --valid_type loop")
    watch_timeout: Optional[float] = watch_flag(
        None, timespan, help="stop after this time without a new checkpoint"
    )
    shard: Optional[Shard] = flag(
        None, shard, help="score only part I/N of the images, 0/8 to 7/8", group="shards"
    )
    merge_shards: Optional[int] = flag(
        None, positive_int, help="merge the scores of N shards in --output", group="shards"
    )

    @property
    def is_watching(self) -> bool:
        return self.watch or self.valid_type == "loop"

    def check(self) -> None:
        super().check()
        photo_flags = self.no_second_pass, self.no_cleaning, self.no_refinement, self.views
        if not self.as_photos and any(photo_flags):
            flags = "--no_second_pass, --no_cleaning, --no_refinement and --views"
            raise MmnetError(f"{flags}: require --as_photos")
        if self.temporal_filter != "none" and not self.as_clips:
            raise MmnetError("--temporal_filter: requires --as_clips")
        if self.as_clips:
            excluded = self.as_photos, self.all_metrics, self.output, self.compare, self.report
            if any(excluded) or self.is_watching:
                others = "--as_photos, --all_metrics, --output, --compare, --report, --watch"
                raise MmnetError(f"--as_clips: excludes {others}")
        height, width = self.target_eval_shape
        subject = f"scoring {self.batch_size} images at {height}x{width}"
        check_memory(subject, SCORING_BYTES * self.batch_size * height * width)
        if not self.is_watching:
            source(self.checkpoint_path)
        elif self.compare:
            raise MmnetError("--compare: excludes --watch and --valid_type loop")
        elif not os.path.isdir(self.checkpoint_path):
            path = self.checkpoint_path
            raise FileNotFoundError(f"--checkpoint_path {path}: no folder of checkpoints to watch")


def run(options: Options) -> int:
    datasets = select_datasets(options)
    if options.report:
        check_replaceable(options.report, is_own_page, parameter="report")
    if options.output:
        check_writable(options.output)
    if options.as_clips:
        score_all_clips(options, datasets)
        return 0
    evaluations: List[Evaluation] = []
    predictors = []
    for network in open_checkpoints(options) if options.is_watching else open_networks(options):
        predictors.append(network.predictor)
        for dataset in datasets:
            evaluations.append(score_dataset(options, dataset, network))
            print_evaluation(options, evaluations[-1])
    if options.is_watching:
        evaluations.reverse()  # compare the older checkpoints with the latest one
    comparisons = compare_evaluations(evaluations)
    if comparisons and not options.json:
        print(report.format_comparisons(comparisons))
    if options.report and evaluations:
        about = "Alphas of mmnet predict." if options.as_photos else "One network run per image."
        matte = make_matte(options, predictors[0])
        page = make_page(evaluations, matte, image_count=options.worst, about=about)
        write_text(options.report, page)
        log.info("wrote %s", options.report)
    return 0


def select_datasets(options: Options) -> List[Dataset]:
    """Return the datasets, or their shards with images."""
    labels, split = label_datasets(options.dataset_path), options.dataset_split_name
    paths = options.dataset_path
    datasets = [find_dataset(path, split, label) for path, label in zip(paths, labels)]
    if options.shard is None:
        return datasets
    shards = [dataset.select_shard(options.shard) for dataset in datasets]
    for dataset, part in zip(datasets, shards):
        log.info("%s: %d of %d images are in this shard", dataset.path, len(part), len(dataset))
    return [part for part in shards if len(part)]


def score_all_clips(options: Options, datasets: Sequence[Dataset]) -> None:
    predictor = options.open_network(options.checkpoint_path, for_photos=False)
    for dataset in datasets:
        scores = score_clips(predictor, dataset, FILTERS[options.temporal_filter])
        if options.json:
            print(json.dumps(report.published_clip_scores(scores, predictor, dataset.split)))
        else:
            print(report.format_clip_scores(scores, predictor))


def open_networks(options: Options) -> List[OpenNetwork]:
    """Open --checkpoint_path and the sources of --compare, before the first one is scored."""
    networks = []
    models = [find_source(path) for path in (options.checkpoint_path, *(options.compare or ()))]
    for model, name in zip(models, short_names([model.name or model.path for model in models])):
        output = options.output
        if output is None and model.kind == "checkpoint" and model.name is None:
            output = os.path.dirname(os.path.abspath(model.path))
        output = writable_folder(output)
        predictor = options.open_network(model, for_photos=options.as_photos)
        record_name = name if options.output and predictor.source else None
        networks.append(OpenNetwork(predictor, output, record_name))
    return networks


def open_checkpoints(options: Options) -> Iterator[OpenNetwork]:
    """Yield all checkpoints of a folder, lowest step first, and then each new one."""
    output = writable_folder(options.output or options.checkpoint_path)
    predictor: Optional[CheckpointPredictor] = None  # shared by all checkpoints
    fields = options.network_fields()
    for prefix in checkpoint.watch(options.checkpoint_path, options.watch_timeout):
        try:
            weights = load_weights(prefix, fields, options.weight_options())
        except FileNotFoundError:
            if os.path.exists(prefix + ".index"):
                raise
            log.warning("%s: deleted before it was scored; skipped", prefix)
            continue
        if predictor is None:
            views = None
            if options.as_photos:
                views = options.views or photo_views(Source("checkpoint", prefix), fields)
            network = with_view_count(weights.network, views)
            predictor = open_weights(weights._replace(network=network), Device(options.device))
        else:
            predictor.load(weights)
        yield OpenNetwork(predictor, output)


def writable_folder(folder: Optional[str]) -> Optional[str]:
    """Return the folder, or None with a warning if it cannot be written."""
    try:
        if folder:
            check_writable(folder)
        return folder
    except MmnetError:
        log.warning("%s: cannot be written; scores are only printed, use --output", folder)
        return None


def score_dataset(options: Options, dataset: Dataset, network: OpenNetwork) -> Evaluation:
    """Score a network on a dataset and write the scores, or read them from the output folder.

    The first dataset selects the best checkpoints.
    """
    predictor, output, name = network
    identity, source = make_identity(options, dataset, predictor), predictor.source
    is_first = dataset.path == options.dataset_path[0]
    if options.merge_shards:
        if output is None:
            raise MmnetError("requires --output", "merge_shards")
        count = options.merge_shards
        merged = merge_shards(output, dataset, source, identity, count=count, name=name)
        return merged._replace(name=predictor.name)
    if output and (options.is_watching or options.shard):
        evaluation = read_evaluation(output, dataset, source, identity, name)
        if evaluation is not None:
            return evaluation._replace(name=predictor.name)
    with tempfile.TemporaryDirectory() as folder:
        copy = None
        if output and is_first and source and isinstance(predictor, CheckpointPredictor):
            # A training may delete the checkpoint while it is scored, or even before.
            with contextlib.suppress(FileNotFoundError):
                copy = copy_checkpoint(source, folder)
        evaluation = evaluate(
            predictor,
            dataset,
            options.target_eval_shape,
            batch_size=options.batch_size,
            all_metrics=options.all_metrics,
            matte=make_matte(options, predictor) if options.as_photos else None,
        )
        if output:
            write_evaluation(
                evaluation,
                output,
                identity,
                name=name,
                checkpoint_copy=copy,
                shared_events=is_first,
            )
    return evaluation


def make_identity(options: Options, dataset: Dataset, predictor: Predictor) -> Identity:
    network = predictor.network
    return Identity(
        network=dict(network._asdict(), shape=list(network.shape), views=list(network.views)),
        source=predictor.sha256,
        use_ema=options.use_ema,
        logit_scale=options.logit_scale,
        as_photos=options.as_photos,
        second_pass=not options.no_second_pass,
        clean_alpha=not options.no_cleaning,
        refine_edges=not options.no_refinement,
        device=options.device,
        target_eval_shape=list(options.target_eval_shape),
        all_metrics=options.all_metrics,
        pictures=dataset.fingerprint,
    )


def make_matte(options: Options, predictor: Predictor) -> Matte:
    """Return the function image -> alpha that is scored."""
    if not options.as_photos:
        return predictor.run_image
    steps = options.matting_options()
    return lambda image: matte_photo(Photo(image), predictor, steps)


def print_evaluation(options: Options, evaluation: Evaluation) -> None:
    dataset, several = evaluation.dataset, len(options.dataset_path) > 1
    if options.json:
        place = {"dataset_path": dataset.path} if several else {}
        print(json.dumps({**report.published_scores(evaluation), **place}), flush=True)
        return
    if several:
        print(f"{dataset.path}/{dataset.split}:")
    print(report.format_evaluation(evaluation, options.worst), flush=True)
