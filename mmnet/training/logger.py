"""What is told of a run while it goes on: the log's lines and TensorBoard's points."""

import logging
import textwrap
import time

import numpy as np
from humanfriendly import format_timespan

from mmnet.evaluation.metrics import mad, miou
from mmnet.io.tensorboard import EventWriter, make_panel
from mmnet.weights.run_file import to_yaml

EXAMPLES = 2  # pictures of a batch shown in TensorBoard
TAGS = {  # what is told -> where TensorBoard shows it
    "learning_rate": "schedule/learning_rate",
    "epoch": "schedule/epoch",
    "images_per_second": "speed/images_per_second",
    "waiting_for_input_percent": "speed/waiting_for_input_percent",
}

log = logging.getLogger(__name__)


class TrainingLogger:
    """Keeps the time between two lines, and the time spent waiting for input; close it."""

    def __init__(self, settings, start, last_step, writes=True):
        """start: restore.Start. last_step: from restore, or None.

        writes: whether it is this process that tells, of those that train together.
        """
        self._settings, self._last_step = settings, last_step
        self._writer = EventWriter(settings.train_dir) if writes else None
        self._told_at, self._told_step = time.monotonic(), start.step_from_restore
        self._waited = 0.0

    def begin(self, global_step):
        """Write the settings into TensorBoard."""
        if self._writer is None:
            return
        configuration = textwrap.indent(to_yaml(self._settings), "    ")
        self._writer.write(global_step, {}, texts={"configuration": configuration})
        self._writer.write_hyperparameters(vars(self._settings))

    def next_batch(self, batches):
        """The next batch, with the time counted that it took to come."""
        start = time.monotonic()
        batch = next(batches)
        self._waited += time.monotonic() - start
        return batch

    def is_due(self, step):
        """Whether something is told after a step (from restore)."""
        is_one = step % self._settings.step_save_summaries == 0 or step == self._last_step
        return is_one and self._writer is not None

    def tell(self, global_step, step, rate, fetched, batch):
        """Write a line and a point.

        Args:
            step: from restore. rate: learning rate. fetched: the step's ``losses`` and ``alphas``.
            batch: the Batch that it took.
        """
        seconds = time.monotonic() - self._told_at
        batch_size = self._settings.batch_size
        speed = {
            "learning_rate": rate,
            "images_per_second": (step - self._told_step) * batch_size / seconds,
            "waiting_for_input_percent": 100 * self._waited / seconds,
            "epoch": batch.epoch,
        }
        self._log(global_step, step, fetched["losses"], speed)
        scalars = {"loss/" + name: float(value) for name, value in fetched["losses"].items()}
        scalars.update((TAGS[name], value) for name, value in speed.items())
        alphas, masks, histograms = fetched["alphas"][..., 0], batch.masks / np.float32(255), {}
        if not self._settings.adapt:
            scalars["batch/mIoU"] = np.mean([miou(*pair) for pair in zip(alphas, masks)])
            histograms["errors/batch/MAD"] = [mad(*pair) for pair in zip(alphas, masks)]
        shorten = zip(batch.images[:EXAMPLES, ..., :3], masks, alphas)
        pictures = {
            "batch/%d" % index: make_panel(*example) for index, example in enumerate(shorten)
        }
        self._writer.write(global_step, scalars, pictures, histograms=histograms)
        self._told_at, self._told_step, self._waited = time.monotonic(), step, 0.0

    def _log(self, global_step, step, losses, speed):
        left = ""
        if self._last_step is not None:
            pictures = (self._last_step - step) * self._settings.batch_size
            left = ", %s left" % format_timespan(round(pictures / speed["images_per_second"]))
        log.info(
            "step %d (%d from restore), epoch %.2f, loss %s, learning rate %.3g, %.1f images/s, "
            "%.1f %% waiting for input%s",
            global_step,
            step,
            speed["epoch"],
            " ".join("%s %.5f" % item for item in losses.items()),
            speed["learning_rate"],
            speed["images_per_second"],
            speed["waiting_for_input_percent"],
            left,
        )

    def close(self):
        if self._writer is not None:
            self._writer.close()
