"""Progress of a training: lines of the log and TensorBoard events."""

import logging
import textwrap
import time
from typing import Any, Dict, Iterator, Optional

import numpy as np
from humanfriendly import format_timespan

from mmnet.datasets.batches import Batch
from mmnet.evaluation.metrics import mad, miou
from mmnet.io.tensorboard import EventWriter, make_panel
from mmnet.weights.run_file import to_yaml

EXAMPLES = 2  # images of a batch that TensorBoard shows

log = logging.getLogger(__name__)


class TrainingLogger:
    """Logs losses, speed and examples, and measures the time spent waiting for input."""

    def __init__(
        self,
        folder: Optional[str],
        options: Dict[str, Any],
        global_step: int,
        *,
        batch_size: int,
        steps_per_summary: int,
        first_step: int,
        last_step: Optional[int],
        has_truths: bool = True,
    ):
        """Write the options of the training into the TensorBoard events.

        Args:
            folder: folder of the events. None: log nothing.
            batch_size: images per step, summed over all processes.
            steps_per_summary: steps between two lines.
            first_step, last_step: counted from the restore; last_step None: no limit.
            has_truths: compute scores of the batch.
        """
        self._batch_size, self._steps_per_summary = batch_size, steps_per_summary
        self._last_step, self._has_truths = last_step, has_truths
        self._logged_step, self._logged_at = first_step, time.monotonic()
        self._wait_seconds = 0.0
        self._events = None
        if folder is not None:
            self._events = EventWriter(folder)
            configuration = textwrap.indent(to_yaml(options), "    ")
            self._events.write(global_step, {}, texts={"configuration": configuration})
            self._events.write_hyperparameters(options)

    def next_batch(self, batches: Iterator[Batch]) -> Batch:
        """Return the next batch, and measure the waiting time."""
        start = time.monotonic()
        batch = next(batches)
        self._wait_seconds += time.monotonic() - start
        return batch

    def should_log(self, step: int) -> bool:
        """Return whether ``log`` is due. ``step`` is counted from the restore."""
        is_due = step % self._steps_per_summary == 0 or step == self._last_step
        return is_due and self._events is not None

    def log(
        self,
        global_step: int,
        step: int,
        learning_rate: float,
        batch: Batch,
        *,
        losses: Dict[str, float],
        alphas: np.ndarray,
    ) -> None:
        """Write a line of the log and a TensorBoard event.

        ``step`` is counted from the restore; ``alphas`` are the float32 [N,H,W,1] of the batch.
        """
        seconds = time.monotonic() - self._logged_at
        images_per_second = (step - self._logged_step) * self._batch_size / seconds
        scalars = {f"loss/{name}": float(value) for name, value in losses.items()}
        scalars["schedule/learning_rate"] = learning_rate
        scalars["schedule/epoch"] = batch.epoch
        scalars["speed/images_per_second"] = images_per_second
        scalars["speed/waiting_for_input_percent"] = 100 * self._wait_seconds / seconds
        time_left = ""
        if self._last_step is not None:
            images_left = (self._last_step - step) * self._batch_size
            time_left = f", {format_timespan(round(images_left / images_per_second))} left"
        loss_text = " ".join(f"{name} {value:.5f}" for name, value in losses.items())
        log.info(
            f"step {global_step} ({step} from restore), epoch {batch.epoch:.2f}, loss {loss_text}, "
            f"learning rate {learning_rate:.3g}, {images_per_second:.1f} images/s, "
            f"{scalars['speed/waiting_for_input_percent']:.1f} % waiting for input{time_left}"
        )
        self._write_event(global_step, scalars, alphas[..., 0], batch)
        self._logged_step, self._logged_at, self._wait_seconds = step, time.monotonic(), 0.0

    def _write_event(self, global_step, scalars, alphas, batch):
        masks, histograms = batch.masks / np.float32(255), {}
        if self._has_truths:
            scalars["batch/mIoU"] = np.mean([miou(*pair) for pair in zip(alphas, masks)])
            histograms["errors/batch/MAD"] = [mad(*pair) for pair in zip(alphas, masks)]
        examples = zip(batch.images[:EXAMPLES, ..., :3], masks, alphas)
        panels = {f"batch/{index}": make_panel(*example) for index, example in enumerate(examples)}
        self._events.write(global_step, scalars, panels, histograms=histograms)

    def close(self) -> None:
        if self._events is not None:
            self._events.close()
