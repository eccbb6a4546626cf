"""Train a network: resolve, build, restore, open the data, start the input, then loop."""

import contextlib
import logging
import os
import signal
from typing import Any, Dict, Generator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from mmnet.datasets.batches import Batch
from mmnet.distributed.group import Group, join_group
from mmnet.distributed.heartbeat import Heartbeat
from mmnet.distributed.launch import catch_signals
from mmnet.distributed.members import count_on_host
from mmnet.inference.ensemble import make_ensemble
from mmnet.inference.open import open_predictor
from mmnet.inference.predictor import Predictor
from mmnet.io import checkpoint_files
from mmnet.io.errors import MAX_NAMES, MmnetError, format_names
from mmnet.io.files import lock_folder, write_text
from mmnet.io.tensorboard import check_tensorboard
from mmnet.networks.quantization import QUANTIZED_TRAINING
from mmnet.tf.compat import tf
from mmnet.tf.device import loss_scaling, training_session_config
from mmnet.training.graph import TrainingGraph, build_training_graph
from mmnet.training.input import (
    compute_teacher_alphas,
    open_data,
    select_range_images,
    start_batches,
    warn_of_leaks,
)
from mmnet.training.lineage import LineageWriter, Start, describe_dataset, read_lineage
from mmnet.training.logger import TrainingLogger
from mmnet.training.losses import ADAPTATION
from mmnet.training.restore import broadcast_state, initialize_ranges, restore
from mmnet.training.saver import CheckpointWriter
from mmnet.training.schedule import batch_norm_decay_at, learning_rate_at
from mmnet.training.setup import Setup, TrainingConfig, find_own_checkpoints, resolve_training
from mmnet.weights.run_file import to_yaml
from mmnet.weights.source import find_source

log = logging.getLogger(__name__)


class Run(NamedTuple):
    """A training that is ready for its next step."""

    setup: Setup
    session: "tf.Session"
    graph: TrainingGraph
    start: Start
    batches: Generator[Batch, None, None]
    teacher: Optional[Predictor]
    logger: TrainingLogger
    writer: CheckpointWriter
    group: Group
    heartbeat: Heartbeat


def train(config: TrainingConfig) -> int:
    """Train a network, or resume a training.

    Returns:
        The exit code: 0, or 128 + the signal that stopped the training. The state is saved.

    Raises:
        MmnetError: data, a checkpoint or an option is invalid, or the loss is not finite. The state
            before that step is saved. With loss scaling, the step is skipped instead.
        OSError: a dataset or checkpoint is missing, or a checkpoint cannot be written.
    """
    with contextlib.ExitStack() as stack:
        run = prepare(config, stack)
        if run is None:
            return 0
        with catch_signals() as signals:  # before, Ctrl-C ends the process at once
            return run_steps(run, signals)


def prepare(config: TrainingConfig, stack: contextlib.ExitStack) -> Optional[Run]:
    """Prepare a training, or return None if it is complete. ``stack`` closes its resources."""
    setup = resolve_training(config)
    if not open_train_dir(setup, stack):
        return None
    config, network, device = setup.config, setup.network, setup.config.device
    group, heartbeat = stack.enter_context(join_group(device, config.identity))
    local_batch_size = config.data.batch_size // group.size
    teacher = open_teacher(setup, local_batch_size)

    tf.reset_default_graph()
    tf.set_random_seed(config.data.seed)
    scaling = loss_scaling(device)
    graph = build_training_graph(network, config.recipe, local_batch_size, scaling, group)
    session = stack.enter_context(tf.Session(group.target, config=training_session_config(device)))
    start = restore(session, graph, config.train_dir, config.warm_start)

    check_tensorboard()  # before all images are read
    samples = open_data(
        setup.datasets, config.data, network, processes_on_host=count_on_host(device)
    )
    if config.recipe.mode is QUANTIZED_TRAINING:
        initialize_ranges(session, graph, network, select_range_images(samples, network))
    if group.size > 1:
        start = broadcast_state(session, graph, start, group)
    session.graph.finalize()

    if device.rank == 0:
        warn_of_leaks(samples)
    logger, writer = start_output(setup, session, graph, start)
    batches = start_batches(
        samples, config.data, network, start=start.step_from_restore, group=group
    )
    for resource in (logger, writer, batches):
        stack.enter_context(contextlib.closing(resource))
    return Run(setup, session, graph, start, batches, teacher, logger, writer, group, heartbeat)


def open_train_dir(setup: Setup, stack: contextlib.ExitStack) -> bool:
    """Create and lock the folder of a training. Return False if the training is complete."""
    config, last_step = setup.config, setup.last_step
    if config.device.rank != 0:
        logging.getLogger("mmnet").setLevel(logging.WARNING)
        return True
    os.makedirs(config.train_dir, exist_ok=True)
    stack.enter_context(lock_folder(config.train_dir))
    if last_step is None:
        log.info("no step limit: training continues until Ctrl-C, which saves the state")
        return True
    own = find_own_checkpoints(config.train_dir)
    record = read_lineage(own[-1]) if own and config.device.processes == 1 else None
    if record is None or record["step_from_restore"] < last_step:
        return True
    log.info("%s is complete after %d steps", config.train_dir, last_step)
    return False


def open_teacher(setup: Setup, batch_size: int) -> Optional[Predictor]:
    """Open the teacher, for images and alphas of the shape of the trained network.

    A checkpoint runs at this shape. Model files and several sources run at their own.
    """
    config, shape = setup.config, setup.network.shape
    if config.teacher is None:
        return None
    try:
        source = find_source(config.teacher)
        if source.kind in ("checkpoint", "untrained", "ensemble"):
            fields = {"shape": shape}
            return open_predictor(source, fields, device=config.device, batch_size=batch_size)
        predictor = open_predictor(source, device=config.device)
        return predictor if predictor.network.shape == shape else make_ensemble([predictor], shape)
    except MmnetError as error:
        raise MmnetError(str(error), "teacher") from None


def start_output(
    setup: Setup, session: "tf.Session", graph: TrainingGraph, start: Start
) -> Tuple[TrainingLogger, CheckpointWriter]:
    """Write config.yaml, and open the logger and the writer of checkpoints.

    Only rank 0 writes files and logs progress.
    """
    config = setup.config
    folder = config.train_dir if config.device.rank == 0 else None
    if folder is not None:
        run_file = os.path.join(folder, checkpoint_files.RUN_FILE)
        write_text(run_file, to_yaml(config.options))
    logger = TrainingLogger(
        folder,
        config.options,
        global_step=int(session.run(graph.global_step)),
        batch_size=config.data.batch_size,
        steps_per_summary=config.steps_per_summary,
        first_step=start.step_from_restore,
        last_step=setup.last_step,
        has_truths=config.recipe.loss_weights != ADAPTATION,
    )
    weights: Sequence[Any] = config.data.weights or [None] * len(setup.datasets)
    datasets = [describe_dataset(*pair) for pair in zip(setup.datasets, weights)]
    writer = CheckpointWriter(
        folder,
        config.max_to_keep,
        session=session,
        variables=graph.variables,
        lineage=LineageWriter(start, datasets, config.options),
    )
    return logger, writer


def run_steps(run: Run, signals: List[int]) -> int:
    """Compute steps until the last one, or until a signal arrives. Return the exit code."""
    config, last_step, graph = run.setup.config, run.setup.last_step, run.graph
    step = run.start.step_from_restore
    global_step = int(run.session.run(graph.global_step))
    stop = False
    while not stop and (last_step is None or step < last_step):
        run.heartbeat.step = step
        batch = run.logger.next_batch(run.batches)
        learning_rate = learning_rate_at(config.schedule, step, last_step)
        feed = {
            **feed_batch(run, batch),
            graph.learning_rate: learning_rate,
            graph.batch_norm_decay: batch_norm_decay_at(config.schedule, global_step),
            graph.stop_here: float(bool(signals)),
        }
        results = compute_step(run, feed)
        if results is None:
            run.writer.save(step, learning_rate)
            raise MmnetError(describe_bad_step(run.setup, global_step + 1, batch))
        step, global_step = step + 1, global_step + 1
        # All processes stop after the same step: the first one that starts after any has a signal.
        stop = results.pop("stop") > 0
        if run.logger.should_log(step):
            run.logger.log(global_step, step, learning_rate, batch, **results)
        if step % config.steps_per_checkpoint == 0 or stop or step == last_step:
            run.writer.save(step, learning_rate)
    if not stop:
        return 0
    number = signals[0] if signals else signal.SIGTERM  # another process received it
    log.info("stopped by %s at step %d", signal.Signals(number).name, global_step)
    return 128 + number


def feed_batch(run: Run, batch: Batch) -> Dict["tf.Tensor", np.ndarray]:
    """Return the images and the truths of a batch by placeholder."""
    feed = {run.graph.images: batch.images}
    if run.teacher is not None:  # first, because it sets masks
        alphas = compute_teacher_alphas(run.teacher, batch, run.setup.datasets)
        if run.graph.teacher_alphas is not None:  # the weight of this term may be 0
            feed[run.graph.teacher_alphas] = alphas
    feed[run.graph.truths] = batch.masks / np.float32(255)
    return feed


def compute_step(run: Run, feed: Dict[Any, Any]) -> Optional[Dict[str, Any]]:
    """Return losses, alphas and the stop flag, or None if the loss is not finite."""
    graph = run.graph
    fetches = {"losses": graph.losses, "alphas": graph.alphas, "stop": graph.stop}
    try:
        return run.session.run((fetches, graph.step), feed)[0]
    except tf.errors.OpError as error:
        check = graph.finite_check
        if check is not None and error.op is not None and error.op.name == check.name:
            return None
        if run.group.size > 1:
            run.heartbeat.handle_failed_step(error)
        raise


def describe_bad_step(setup: Setup, global_step: int, batch: Batch) -> str:
    """Return the error message of a step whose loss is not finite."""
    images = [setup.datasets[dataset].pairs[index].image for dataset, index in batch.indices]
    return (
        f"the loss of step {global_step} is not finite; {setup.config.train_dir} holds the state "
        f"before it; images of the batch: {format_names(images, MAX_NAMES)}"
    )
