"""Training: prepare, then one visible loop."""

import contextlib
import dataclasses
import logging
import os
import signal
from typing import Any, Callable, List, NamedTuple, Optional

import numpy as np

from mmnet import __version__
from mmnet.datasets.augmentation import AugmentOptions, sample_shape
from mmnet.datasets.backgrounds import read_backgrounds
from mmnet.datasets.batches import generate_batches
from mmnet.datasets.cache import open_samples
from mmnet.datasets.duplicates import find_leaks
from mmnet.datasets.pairs import Dataset, find_dataset, find_unlabelled_images, pick_evenly
from mmnet.distributed.group import Group, build_sharing, join_group, share
from mmnet.distributed.heartbeat import Heartbeat
from mmnet.distributed.members import members_here, sharing_host
from mmnet.inference.open import open_predictor
from mmnet.inference.predictor import Predictor
from mmnet.io import checkpoint_files
from mmnet.io.checkpoint_files import RUN_FILE
from mmnet.io.errors import MmnetError, summarize_names
from mmnet.io.files import lock_folder, write_text
from mmnet.io.resize import resize_bilinear
from mmnet.networks.layers import INFERENCE, TRAINING
from mmnet.networks.network import make_network
from mmnet.networks.quantization import QUANTIZED_TRAINING, quantization_ranges
from mmnet.tf import checkpoint
from mmnet.tf.compat import tf
from mmnet.tf.device import (
    Device,
    check_device,
    check_precision,
    loss_scaling,
    training_session_config,
)
from mmnet.training import lineage
from mmnet.training.graph import Recipe, TrainingGraph, build_training_graph
from mmnet.training.logger import TrainingLogger
from mmnet.training.losses import ADAPTATION, recipe_of
from mmnet.training.restore import Start, restore
from mmnet.training.saver import Saver
from mmnet.training.schedule import batch_norm_decay, learning_rate
from mmnet.weights.ranges import measure_ranges
from mmnet.weights.run_file import network_in, network_of_run, network_options, to_yaml
from mmnet.weights.source import find_source
from mmnet.weights.values import Weights

RANGE_PICTURES = 100  # that the ranges of activations are measured on
# losses.TERMS name -> the setting that holds its weight
LAMBDAS = {
    "alpha": "lambda_alpha_loss",
    "composition": "lambda_comp_loss",
    "gradient": "lambda_grad_loss",
    "cross_entropy": "lambda_kd_loss",
    "auxiliary": "lambda_aux_loss",
    "laplacian": "lambda_laplacian_loss",
    "focal": "lambda_focal_loss",
    "boundary": "lambda_boundary_loss",
    "dice": "lambda_dice_loss",
    "square": "lambda_square_loss",
    "semantic": "lambda_semantic_loss",
    "detail": "lambda_detail_loss",
    "matte": "lambda_matte_loss",
    "teacher": "lambda_teacher_loss",
}

log = logging.getLogger(__name__)


class Run(NamedTuple):
    """A training run, ready for its next step."""

    settings: Any  # config.settings.Train, its network written out
    data_sets: List[Dataset]
    last_step: Optional[int]  # from restore
    session: "tf.Session"
    graph: TrainingGraph
    start: Start
    batches: Any  # of data.batches.batches
    teacher: Optional[Predictor]
    journal: TrainingLogger
    save: Callable  # (step from restore, learning rate)
    group: Group
    peers: Heartbeat


def train(settings):
    """Train as ``settings`` (config.settings.Train) ask.

    Returns:
        the exit code: 0, or 128 + the signal that ended it.

    Raises:
        FileNotFoundError, ValueError: data or a checkpoint that does not fit; no such device; a
            loss that is not finite (the state before that step is saved first; the npu leaves such
            a step out instead). OSError: a checkpoint that cannot be written.
    """
    with contextlib.ExitStack() as stack:
        run = prepare(settings, stack)
        if run is None:
            return 0
        with _signals() as stopped_by:  # until here Ctrl-C just ends; from here on it saves first
            return loop(run, stopped_by)


def loop(run, stopped_by):
    """Take steps until the last one, or until ``stopped_by`` holds a signal; the exit code."""
    settings, graph, last_step = run.settings, run.graph, run.last_step
    global_step = int(run.session.run(graph.global_step))
    step = run.start.step_from_restore
    rate, saved_at = settings.learning_rate, step or None
    run.journal.begin(global_step)
    alone, stop = run.group.size == 1, False
    inputs = _feeds(run)
    while not stop and (last_step is None or step < last_step):
        run.peers.step = step
        batch, pictures = next(inputs)
        rate = rate_of(settings, step, last_step)
        fetches = {"step": graph.step, "losses": graph.losses, "alphas": graph.alphas}
        fetches["stop"] = graph.stop
        feed = {
            **pictures,
            graph.learning_rate: rate,
            graph.batch_norm_decay: batch_norm_decay(global_step, settings.batch_norm_decay),
            graph.stop_here: float(bool(stopped_by)),
        }
        try:
            fetched = run.session.run(fetches, feed)
        except tf.errors.InvalidArgumentError as error:
            if "not finite" in str(error):
                run.save(step, rate)
                raise not_finite(run, global_step + 1, batch) from None
            raise
        except tf.errors.OpError as error:
            if alone:
                raise
            run.peers.failed(error)
        step, global_step = step + 1, global_step + 1
        # Several processes stop after the same step: that in which the first one says so.
        stop = bool(stopped_by) if alone else fetched["stop"] > 0
        if run.journal.is_due(step):
            run.journal.tell(global_step, step, rate, fetched, batch)
        if step % settings.step_save_checkpoint == 0:
            run.save(step, rate)
            saved_at = step
    if saved_at != step:
        run.save(step, rate)
    if stop:
        number = stopped_by[0] if stopped_by else signal.SIGTERM  # another process got one
        log.info("stopped by %s at step %d", signal.Signals(number).name, global_step)
        return 128 + number
    return 0


def _feeds(run):
    graph = run.graph
    while True:
        batch = run.journal.next_batch(run.batches)
        taught = {graph.taught: teach(run, batch)} if run.teacher else {}  # makes masks, too
        truths = batch.masks / np.float32(255)
        yield batch, {graph.images: batch.images, graph.truths: truths, **taught}


def prepare(settings, stack):
    """Read the data, build the graph, restore it; what must be closed goes on ``stack``.

    Returns:
        Run, or None where the run has taken its last step already.
    """
    network = make_network(network_of_training(settings))
    settings = dataclasses.replace(settings, **network_options(network))
    device = device_of(settings)
    check_device(device)  # before data is decoded
    check_precision(device)
    recipe = recipe_in(settings, network)
    split = settings.dataset_split_name
    data_sets = [find_dataset(path, split) for path in settings.dataset_path or ()]
    data_sets += [find_unlabelled_images(path) for path in settings.pictures_path or ()]
    pictures = sum(map(len, data_sets))
    last_step = last_step_of(settings, pictures)
    rate_of(settings, 0, last_step)  # a schedule without its end is an error before data is decoded
    writes = device.rank == 0  # the others only compute, and say what goes wrong
    if not writes:
        logging.getLogger("mmnet").setLevel(logging.WARNING)
    else:
        os.makedirs(settings.train_dir, exist_ok=True)
        stack.enter_context(lock_folder(settings.train_dir))
    if device.processes == 1 and is_done(settings.train_dir, last_step):
        log.info("%s has taken its %d steps: nothing is left to do", settings.train_dir, last_step)
        return None
    if last_step is None and writes:
        log.info(
            "without --max_step_from_restore or --max_epoch_from_restore this goes on until "
            "Ctrl-C, which saves"
        )

    group, peers = stack.enter_context(
        join_group(device, settings.peer_timeout, identity_of(settings))
    )
    teacher = open_teacher(settings, network, device) if settings.teacher else None
    tf.reset_default_graph()
    tf.set_random_seed(settings.seed)
    share_size = settings.batch_size // group.size
    graph = build_training_graph(network, recipe, share_size, loss_scaling(device), group)
    sharing = build_sharing(graph.variables, group) if group.size > 1 else None
    session = stack.enter_context(tf.Session(group.target, config=training_session_config(device)))
    start = restore(session, graph, settings)
    shape = sample_shape(network.shape, settings.augmentation_method)
    budget = settings.cache_budget // sharing_host(device)
    samples = [
        open_samples(data_set, shape, settings.cache, budget=budget * len(data_set) // pictures)
        for data_set in data_sets
    ]
    for split, pictures, stems in find_leaks(samples) if writes else ():
        log.warning(
            "%s is not unseen: %s",
            split,
            summarize_names("of %d pictures looked at are trained on, too" % pictures, stems),
        )
    changes = AugmentOptions(
        settings.augmentation_strength,
        swap_probability=settings.swapped_backgrounds,
        previous_alpha=network.channels == 4,
    )
    if settings.backgrounds_path:
        changes = changes._replace(backgrounds=read_backgrounds(settings.backgrounds_path, shape))
    if settings.quantize:
        _measure_ranges(session, graph, samples, network)
    if sharing is not None:
        start = _begin_alike(session, sharing, graph, start)
    session.graph.finalize()
    saver = None
    if writes:
        write_text(
            os.path.join(settings.train_dir, RUN_FILE), to_yaml(dataclasses.asdict(settings))
        )
        saver = stack.enter_context(
            contextlib.closing(Saver(settings.train_dir, settings.max_to_keep))
        )
    journal = TrainingLogger(settings, start, last_step, writes)
    stack.enter_context(contextlib.closing(journal))
    input_batches = generate_batches(
        samples,
        network.shape,
        settings.augmentation_method,
        settings.batch_size,
        seed=settings.seed,
        start=start.step_from_restore,
        weights=settings.dataset_weights,
        options=changes,
        rank=group.rank,
        group_size=group.size,
    )
    stack.enter_context(contextlib.closing(input_batches))
    run = Run(
        settings=settings,
        data_sets=data_sets,
        last_step=last_step,
        session=session,
        graph=graph,
        start=start,
        batches=input_batches,
        teacher=teacher,
        journal=journal,
        save=lambda step, rate: None,
        group=group,
        peers=peers,
    )
    return run._replace(save=_saving(run, saver)) if writes else run


def network_of_training(settings):
    """Return the fields of Network that the flags, the run itself or its warm start define."""
    fields = {}
    if settings.checkpoint_path:
        with contextlib.suppress(FileNotFoundError):  # a resumed run does not need its parent
            fields = network_of_run(find_source(settings.checkpoint_path).path)
    fields = dict(fields, **network_in(os.path.join(settings.train_dir, RUN_FILE)))
    return dict(fields, **settings.network_fields())


def device_of(settings):
    """The Device that the settings and the environment mean.

    Raises:
        ValueError: the pictures of a step cannot be divided among the processes.
    """
    device = Device(
        settings.device, settings.precision_mode, precision=settings.precision, xla=settings.xla
    )
    device = device._replace(**members_here(settings.engine))
    if settings.batch_size % device.processes:
        raise MmnetError(
            "--batch_size %d is no multiple of the %d processes: it counts the pictures of a step "
            "in all of them" % (settings.batch_size, device.processes)
        )
    return device


def identity_of(settings):
    """What processes that train together have in common, as text."""
    own = ("device", "train_dir", "cache", "cache_budget")  # these may differ from host to host
    shared = {k: v for k, v in dataclasses.asdict(settings).items() if k not in own}
    for name in ("dataset_path", "pictures_path", "backgrounds_path", "teacher", "checkpoint_path"):
        shared[name] = bool(shared[name])  # other mounts
    return "%s %r" % (__version__, sorted(shared.items()))


def _begin_alike(session, sharing, graph, start):
    """All begin with the variables and at the position of rank 0: the Start of this process."""
    values, position = share(session, sharing, graph.variables, start.step_from_restore)
    checkpoint.restore(session, values, graph.variables)
    return start._replace(step_from_restore=position)


def open_teacher(settings, network, device):
    """The Predictor whose alphas are learnt; a checkpoint's network takes any shape.

    Raises:
        FileNotFoundError, ValueError: none that takes the network's pictures.
    """
    try:
        return open_predictor(
            settings.teacher, {"shape": network.shape}, device=device, batch=settings.batch_size
        )
    except ValueError as error:
        raise MmnetError("--teacher: %s" % error) from None


def teach(run, batch):
    """The teacher's alphas of a Batch, [N,H,W]; they become the masks of pictures without one."""
    alphas = run.teacher(batch.images[..., :3])
    for slot, (number, index) in enumerate(batch.indices):
        if run.data_sets[number].pairs[index].mask is None:
            batch.masks[slot] = np.rint(255 * alphas[slot])
    return alphas


def is_done(train_dir, last_step):
    """Whether the latest checkpoint of a run is that of its last step from restore."""
    own = checkpoint_files.list_checkpoints(train_dir)
    record = lineage.read_lineage(own[-1]) if own and last_step is not None else None
    return record is not None and record["step_from_restore"] >= last_step


def recipe_in(settings, network):
    """The Recipe that the settings ask for."""
    given = {name: getattr(settings, setting) for name, setting in LAMBDAS.items()}
    if settings.teacher and given["teacher"] is None:
        given["teacher"] = 1.0
    mode = QUANTIZED_TRAINING if settings.quantize else TRAINING
    if settings.freeze_batch_norm:
        mode = mode._replace(batch_norm=INFERENCE.batch_norm)
    if settings.adapt:
        mode = INFERENCE  # batch norm keeps its moving statistics
    return Recipe(
        terms=ADAPTATION if settings.adapt else recipe_of(network, given),
        weight_decay=settings.weight_decay,
        optimizer=settings.optimizer,
        composition_range=settings.composition_range,
        teacher_temperature=settings.teacher_temperature,
        trainable_scopes=settings.trainable_scopes,
        ema_decay=settings.ema_decay if settings.use_ema else None,
        mode=mode,
        sync_batch_norm=settings.sync_batch_norm,
    )


def last_step_of(settings, pictures):
    """The number of steps from restore, or None: the smaller of the two limits."""
    limits = [settings.max_step_from_restore]
    if settings.max_epoch_from_restore is not None:
        steps = settings.max_epoch_from_restore * pictures / settings.batch_size
        limits.append(int(np.ceil(steps)))
    limits = [limit for limit in limits if limit is not None]
    return min(limits) if limits else None


def rate_of(settings, step, last_step):
    """The learning rate of a step."""
    return learning_rate(
        step,
        settings.learning_rate,
        settings.learning_rate_schedule,
        last_step=last_step,
        warm_up_steps=settings.warm_up_steps,
        decay=settings.learning_rate_decay,
        decay_steps=settings.learning_rate_decay_steps,
        power=settings.learning_rate_power,
    )


def not_finite(run, global_step, batch):
    """The error of a step whose loss is not finite: it names the batch."""
    names = [run.data_sets[number].pairs[index].image for number, index in batch.indices]
    return MmnetError(
        "the loss of step %d is not finite; the state before it is saved in %s; the batch: %s"
        % (global_step, run.settings.train_dir, ", ".join(names))
    )


def _saving(run, saver):
    """The function that saves a Run's state with its lineage."""
    settings, start = run.settings, run.start
    weights = settings.dataset_weights or [None] * len(run.data_sets)
    described = [lineage.describe_data(*described) for described in zip(run.data_sets, weights)]
    variables = {variable.op.name: variable for variable in run.graph.variables}

    def save(step, rate):
        values = run.session.run(variables)
        global_step = int(values["global_step"])
        counted = lineage.count_steps(described, start.data_sets, step - start.step_from_restore)
        record = lineage.record(
            global_step,
            start,
            counted,
            step=step,
            learning_rate=rate,
            configuration=dataclasses.asdict(settings),
        )
        saver.save(global_step, values, record)

    return save


def _measure_ranges(session, graph, samples, network):
    """Give the ranges of a warm start from a network without any their first values."""
    values = session.run({variable.op.name: variable for variable in graph.variables})
    if not np.isnan(list(quantization_ranges(values).values())).any():
        return
    each = max(1, RANGE_PICTURES // len(samples))
    images = [
        resize_bilinear(image, network.shape, align_corners=True)
        for data_set in samples
        for image, _ in pick_evenly(data_set, each)
    ]
    ranges = measure_ranges(Weights(network, values), np.stack(images))
    checkpoint.restore(session, ranges, graph.variables)
    averages = {
        average.op.name: ranges[weight.op.name]
        for weight, average in graph.averages.items()
        if weight.op.name in ranges
    }
    checkpoint.restore(session, averages, graph.variables)
    log.info("ranges of %d activations measured on %d pictures", len(ranges) // 2, len(images))


@contextlib.contextmanager
def _signals():
    """A list that SIGINT and SIGTERM put themselves into.

    The loop ends after the step under way, and saves.
    """
    caught = []
    before = {
        number: signal.signal(number, lambda number, _: caught.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
