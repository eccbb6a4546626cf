"""The train verb: one visible loop."""
import contextlib
import dataclasses
import logging
import os
import signal
import textwrap
import time

import numpy as np
from humanfriendly import format_timespan

from mmnet import backend, checkpoint
from mmnet.compat import tf
from mmnet.config import RUN_FILE, to_yaml
from mmnet.data.augment import sample_side
from mmnet.data.batches import batches
from mmnet.data.images import resize_bilinear
from mmnet.data.pairs import evenly, load_pairs
from mmnet.data.samples import open_samples
from mmnet.events import open_events, strip, write_events
from mmnet.files import write_text
from mmnet.networks.layers import TRAINING
from mmnet.networks.quantization import QUANTIZED_TRAINING, measure_ranges, ranges_of
from mmnet.training import lineage
from mmnet.training.graph import build_training_graph
from mmnet.training.restore import restore
from mmnet.training.saver import Saver
from mmnet.training.schedule import batch_norm_decay, learning_rate

RANGE_PICTURES = 100  # that the ranges of activations are measured on
EXAMPLES = 2  # pictures of a batch shown in TensorBoard

log = logging.getLogger(__name__)


def train(settings):
    """Train as ``settings`` (config.Train) say; return the exit code: 0, or 128 + the signal that ended it.

    Raises:
        FileNotFoundError, ValueError: data or a checkpoint that does not fit; no such device; a loss that is not finite
            (the state before that step is saved first; the npu leaves such a step out instead).
        OSError: a checkpoint that cannot be written.
    """
    term_weights = _term_weights(settings)
    backend.need_device(settings.device)  # before data is decoded
    data_sets = [load_pairs(path, settings.dataset_split_name) for path in settings.dataset_path]
    os.makedirs(settings.train_dir, exist_ok=True)
    if settings.quantize and not settings.checkpoint_path and not checkpoint.list_checkpoints(settings.train_dir):
        raise ValueError("--quantize makes a trained network ready for 8 bits: give its checkpoint with --checkpoint_path")
    weights = settings.dataset_weights or [None] * len(data_sets)
    described = [lineage.describe_data(path, settings.dataset_split_name, pairs, weight)
                 for path, pairs, weight in zip(settings.dataset_path, data_sets, weights)]
    pictures = sum(map(len, data_sets))
    last_step = _last_step(settings, pictures)
    _rate(settings, 0, last_step)  # a schedule without its end is an error now, not after the data is decoded

    tf.reset_default_graph()
    tf.set_random_seed(settings.seed)
    graph = build_training_graph(
        settings.batch_size, settings.size, settings.width_multiplier, term_weights, settings.weight_decay,
        settings.optimizer, settings.composition_range, settings.trainable_scopes,
        settings.ema_decay if settings.use_ema else None, backend.loss_scaling(settings.device),
        QUANTIZED_TRAINING if settings.quantize else TRAINING)
    with contextlib.ExitStack() as stack:
        session = stack.enter_context(tf.Session(
            config=backend.training_session_config(settings.device, settings.precision_mode)))
        session.run(graph.initializer)
        start = restore(session, graph, settings)
        session.graph.finalize()
        write_text(os.path.join(settings.train_dir, RUN_FILE), to_yaml(settings))
        side = sample_side(settings.size, settings.augmentation_method)
        samples = [open_samples(pairs, side, settings.cache, settings.cache_budget * len(pairs) // pictures)
                   for pairs in data_sets]
        for data_set in samples:
            data_set.fill()
        if settings.quantize:
            _measure_ranges(session, graph, samples, settings)
        stopped_by = stack.enter_context(_signals())  # until here Ctrl-C just ends; from here on it saves first
        saver = stack.enter_context(contextlib.closing(Saver(settings.train_dir, settings.max_to_keep)))
        writer = stack.enter_context(contextlib.closing(open_events(settings.train_dir)))
        input_batches = stack.enter_context(contextlib.closing(batches(
            samples, settings.size, settings.augmentation_method, settings.batch_size, settings.seed,
            start.step_from_restore, settings.dataset_weights)))

        def save(step, rate):
            values = session.run({variable.op.name: variable for variable in graph.variables})
            data = lineage.count_steps(described, start.data_sets, step - start.step_from_restore)
            saver.save(int(values["global_step"]), values, lineage.record(
                int(values["global_step"]), step, start.parent, data, rate, dataclasses.asdict(settings)))

        global_step = int(session.run(graph.global_step))
        first, step, rate = start.step_from_restore, start.step_from_restore, settings.learning_rate
        saved_at, said_at, said_step, waited = (first if first else None), time.monotonic(), first, 0.0
        write_events(writer, global_step, {}, texts={"configuration": textwrap.indent(to_yaml(settings), "    ")})
        while not stopped_by and (last_step is None or step < last_step):
            waiting = time.monotonic()
            batch = next(input_batches)
            waited += time.monotonic() - waiting
            rate = _rate(settings, step, last_step)
            said = (step + 1) % settings.step_save_summaries == 0 or step + 1 == last_step
            fetches = {"step": graph.step, "losses": graph.losses, "alphas": graph.alphas if said else ()}
            try:
                fetched = session.run(fetches, {
                    graph.images: batch.images, graph.truths: batch.masks / np.float32(255), graph.learning_rate: rate,
                    graph.batch_norm_decay: batch_norm_decay(global_step, settings.batch_norm_decay)})
            except tf.errors.InvalidArgumentError as error:
                if "not finite" not in str(error):
                    raise
                save(step, rate)
                names = [data_sets[number][index].image for number, index in batch.indices]
                raise ValueError("the loss of step %d is not finite; the state before it is saved in %s; the batch: %s"
                                 % (global_step + 1, settings.train_dir, ", ".join(names))) from None
            step, global_step = step + 1, global_step + 1
            if said:
                seconds = time.monotonic() - said_at
                speed = {"learning_rate": rate, "images_per_second": (step - said_step) * settings.batch_size / seconds,
                         "waiting_for_input_percent": 100 * waited / seconds, "epoch": batch.epoch}
                _say(global_step, step, last_step, fetched["losses"], speed, settings.batch_size)
                _write_summaries(writer, global_step, fetched, speed, batch)
                said_at, said_step, waited = time.monotonic(), step, 0.0
            if step % settings.step_save_checkpoint == 0:
                save(step, rate)
                saved_at = step
        if saved_at != step:
            save(step, rate)
    if stopped_by:
        log.info("stopped by %s at step %d", signal.Signals(stopped_by[0]).name, global_step)
        return 128 + stopped_by[0]
    return 0


def _measure_ranges(session, graph, samples, settings):
    """Give the ranges of a warm start from a network without any their first values."""
    values = session.run({variable.op.name: variable for variable in graph.variables})
    if not np.isnan(list(ranges_of(values).values())).any():
        return
    images = [resize_bilinear(image, (settings.size, settings.size), align_corners=True) for data_set in samples
              for image, _ in evenly(data_set, max(1, RANGE_PICTURES // len(samples)))]
    ranges = measure_ranges(values, np.stack(images), settings.width_multiplier)
    checkpoint.restore(session, ranges, graph.variables)
    averages = {average.op.name: ranges[weight.op.name] for weight, average in graph.averages.items()
                if weight.op.name in ranges}
    checkpoint.restore(session, averages, graph.variables)
    log.info("ranges of %d activations measured on %d pictures", len(ranges) // 2, len(images))


def _say(global_step, step, last_step, losses, speed, batch_size):
    left = ""
    if last_step is not None:
        left = ", %s left" % format_timespan(round((last_step - step) * batch_size / speed["images_per_second"]))
    log.info("step %d (%d from restore), epoch %.2f, loss %s, learning rate %.3g, %.1f images/s, %.1f %% waiting for "
             "input%s", global_step, step, speed["epoch"],
             " ".join("%s %.5f" % item for item in losses.items()), speed["learning_rate"], speed["images_per_second"],
             speed["waiting_for_input_percent"], left)


def _write_summaries(writer, global_step, fetched, speed, batch):
    scalars = dict(speed, **{"loss/" + name: float(value) for name, value in fetched["losses"].items()})
    shown = zip(batch.images[:EXAMPLES], batch.masks / np.float32(255), fetched["alphas"])
    pictures = {"train/%d" % index: strip(*example) for index, example in enumerate(shown)}
    write_events(writer, global_step, scalars, pictures)


def _term_weights(settings):
    weights = {"alpha": settings.lambda_alpha_loss, "composition": settings.lambda_comp_loss,
               "gradient": settings.lambda_grad_loss, "cross_entropy": settings.lambda_kd_loss,
               "auxiliary": settings.lambda_aux_loss, "laplacian": settings.lambda_laplacian_loss,
               "focal": settings.lambda_focal_loss, "boundary": settings.lambda_boundary_loss}
    weights = {name: weight for name, weight in weights.items() if weight > 0}
    if not weights:
        raise ValueError("every --lambda_..._loss is 0: nothing to learn")
    return weights


def _last_step(settings, pictures):
    """The number of steps from restore, or None: the smaller of the two limits."""
    limits = [settings.max_step_from_restore]
    if settings.max_epoch_from_restore is not None:
        limits.append(int(np.ceil(settings.max_epoch_from_restore * pictures / settings.batch_size)))
    limits = [limit for limit in limits if limit is not None]
    return min(limits) if limits else None


def _rate(settings, step, last_step):
    return learning_rate(step, settings.learning_rate, settings.learning_rate_schedule, last_step,
                         settings.warm_up_steps, settings.learning_rate_decay, settings.learning_rate_decay_steps,
                         settings.learning_rate_power)


@contextlib.contextmanager
def _signals():
    """A list that SIGINT and SIGTERM put themselves into: the loop ends after the step under way, and saves."""
    caught = []
    before = {number: signal.signal(number, lambda number, _: caught.append(number))
              for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
