"""Learning rate at a step, as a pure function of the schedule that stands in the config."""

import math

from adaptive_smoothing.core.options import CosineSchedule, StepSchedule


def learning_rate(
    schedule: StepSchedule | CosineSchedule, initial: float, step: int, steps_per_epoch: int, epochs: int
) -> float:
    """Return the learning rate of step 0, 1, …; a step schedule changes between epochs, a cosine at every step."""
    if isinstance(schedule, StepSchedule):
        epoch = step // steps_per_epoch
        passed = sum(epoch >= milestone for milestone in schedule.milestones)
        return float(initial * schedule.factor**passed)
    warm_up = schedule.warmup_epochs * steps_per_epoch
    if step < warm_up:
        return initial * min(1.0, (step + 1) / warm_up)  # a warm-up may be shorter than a step
    progress = (step - warm_up) / max(1.0, epochs * steps_per_epoch - warm_up)
    return initial * 0.5 * (1.0 + math.cos(math.pi * progress))
