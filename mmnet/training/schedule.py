"""Compute what changes with the step. These are pure functions: no state is saved or restored."""

import math

from mmnet.io.errors import MmnetError


def learning_rate(
    step,
    highest,
    schedule="fixed",
    last_step=None,
    warm_up_steps=0,
    decay=0.1,
    decay_steps=100000,
    power=0.9,
):
    """Compute the learning rate of a step.

    Args:
        step: counted from the restore; the first step is 0.
        highest: the rate after the warm-up.
        schedule: "fixed": highest.
            "step": highest x decay^(step // decay_steps).
            "polynomial": highest x (1 - step / last_step)^power.
            "cosine": half a cosine, which falls from highest to 0 at last_step.
        last_step: the end of "polynomial" and "cosine".
        warm_up_steps: during these steps the rate is also multiplied by
            (step + 1) / warm_up_steps.

    Raises:
        ValueError: the schedule has an end, but last_step is not given.
    """
    if schedule in ("polynomial", "cosine") and not last_step:
        raise MmnetError(
            "the %s schedule needs its end: --max_step_from_restore or --max_epoch_from_restore"
            % schedule
        )
    rate = highest * min(1.0, (step + 1) / warm_up_steps) if warm_up_steps else highest
    if schedule == "step":
        return rate * decay ** (step // decay_steps)
    if schedule == "polynomial":
        return rate * max(0.0, 1 - step / last_step) ** power
    if schedule == "cosine":
        return rate * 0.5 * (1 + math.cos(math.pi * min(1.0, step / last_step)))
    return rate


def batch_norm_decay(global_step, highest):
    """Compute the decay of the moving statistics: min(highest, (1 + step) / (10 + step)).

    With a fixed decay of .999, the initial values would still make up 7 % after 2,600 steps. This
    would ruin the scores of a short run, because the initial variance of 1 is far above the
    variance in most layers. The published checkpoints are past this ramp.
    """
    return min(highest, (1 + global_step) / (10 + global_step))
