"""What changes with the step, as pure functions of it: nothing to save, nothing to restore."""
import math


def learning_rate(step, highest, schedule="fixed", last_step=None, warm_up_steps=0, decay=0.1, decay_steps=100000,
                  power=0.9):
    """The rate of a step.

    Args:
        step: from restore, 0 for the first. highest: the rate after the warm-up. schedule: "fixed"; "step" (highest x
            decay^(step // decay_steps)); "polynomial" (highest x (1 - step / last_step)^power); "cosine" (half a cosine
            from highest to 0 at last_step). warm_up_steps: over these the rate also rises from 0 in a line.

    Raises:
        ValueError: a schedule that ends, without last_step.
    """
    if schedule in ("polynomial", "cosine") and not last_step:
        raise ValueError("the %s schedule needs its end: --max_step_from_restore or --max_epoch_from_restore"
                         % schedule)
    rate = highest * min(1.0, (step + 1) / warm_up_steps) if warm_up_steps else highest
    if schedule == "step":
        return rate * decay ** (step // decay_steps)
    if schedule == "polynomial":
        return rate * max(0.0, 1 - step / last_step) ** power
    if schedule == "cosine":
        return rate * 0.5 * (1 + math.cos(math.pi * min(1.0, step / last_step)))
    return rate


def batch_norm_decay(global_step, highest):
    """Decay of the moving statistics: min(highest, (1 + step) / (10 + step)).

    At a fixed .999 the initial values still make up 7 % after 2,600 steps, which wrecks the scores of a short run: the
    initial variance of 1 is far above that of most layers. The published checkpoints are past this ramp.
    """
    return min(highest, (1 + global_step) / (10 + global_step))
