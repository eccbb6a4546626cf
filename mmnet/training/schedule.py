"""Values that depend on the step: learning rate, decay of moving statistics, end of the training.

These functions are pure, so a resumed training needs no state of them.
"""

import math
import sys
from typing import NamedTuple, Optional

from mmnet.io.errors import MmnetError

SCHEDULES = ("fixed", "step", "polynomial", "cosine")


class Schedule(NamedTuple):
    """Learning rate and length of a training. Steps are counted from the restore."""

    learning_rate: float = 1e-4  # after the warm-up
    name: str = "fixed"  # one of SCHEDULES
    decay_steps: int = 100000  # "step": interval between two decays
    decay_factor: float = 0.1  # "step": factor of each decay
    power: float = 0.9  # "polynomial": (1 - step / last step) ** power
    warm_up_steps: int = 0  # the rate rises linearly during these steps
    batch_norm_decay: float = 0.999  # decay of the moving statistics per step
    max_steps: Optional[int] = None
    max_epochs: Optional[float] = None

    def last_step(self, images: int, batch_size: int) -> Optional[int]:
        """Return the number of steps: the smaller one of both limits, or None without a limit.

        An epoch has ``images`` images; ``batch_size`` counts images per step.
        """
        limits = []
        if self.max_steps is not None:
            limits.append(self.max_steps)
        if self.max_epochs is not None:
            steps = self.max_epochs * images / batch_size
            limits.append(math.ceil(min(steps, sys.maxsize)))
        if not limits and self.name in ("polynomial", "cosine"):
            raise MmnetError(
                f"{self.name} needs a last step; set max_step_from_restore or "
                "max_epoch_from_restore",
                "learning_rate_schedule",
            )
        return min(limits) if limits else None


def learning_rate_at(schedule: Schedule, step: int, last_step: Optional[int]) -> float:
    """Return the learning rate. The first step is 0."""
    rate = schedule.learning_rate
    if schedule.warm_up_steps:
        rate *= min(1.0, (step + 1) / schedule.warm_up_steps)
    if schedule.name == "step":
        try:
            return rate * schedule.decay_factor ** (step // schedule.decay_steps)
        except OverflowError:
            message = f"the learning rate of step {step} is infinite"
            raise MmnetError(message, "learning_rate_schedule") from None
    if last_step is not None and schedule.name == "polynomial":
        return rate * max(0.0, 1 - step / last_step) ** schedule.power
    if last_step is not None and schedule.name == "cosine":
        return rate * 0.5 * (1 + math.cos(math.pi * min(1.0, step / last_step)))
    return rate


def batch_norm_decay_at(schedule: Schedule, global_step: int) -> float:
    """Return the decay of the moving statistics: min(decay, (1 + step) / (10 + step)).

    The ramp removes the initial values quickly. Otherwise they would ruin short trainings, because
    the initial variance of 1 is far above the variance of most layers.
    """
    return min(schedule.batch_norm_decay, (1 + global_step) / (10 + global_step))
