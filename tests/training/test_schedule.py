"""Tests of mmnet.training.schedule."""

import pytest

from helpers import assert_raises
from mmnet.io.errors import MmnetError
from mmnet.training.schedule import Schedule, batch_norm_decay_at, learning_rate_at


@pytest.mark.parametrize(
    "schedule, steps, expected",
    [
        (Schedule(2.0), (0, 999), [2, 2]),
        (
            Schedule(1.0, "step", decay_factor=0.5, decay_steps=10),
            (0, 9, 10, 25),
            [1, 1, 0.5, 0.25],
        ),
        (Schedule(1.0, "cosine"), (0, 50, 100, 120), [1, 0.5, 0, 0]),
        (Schedule(1.0, "polynomial", power=2), (0, 50, 100, 120), [1, 0.25, 0, 0]),
        (Schedule(1.0, warm_up_steps=4), range(6), [0.25, 0.5, 0.75, 1, 1, 1]),
    ],
    ids=["fixed", "step", "cosine", "polynomial", "warm-up"],
)
def test_learning_rate_follows_schedule(schedule, steps, expected):
    rates = [learning_rate_at(schedule, step, 100) for step in steps]
    assert rates == pytest.approx(expected)


@pytest.mark.parametrize(
    "limits, expected",
    [
        ({}, None),
        ({"max_steps": 7}, 7),
        ({"max_epochs": 2.5}, 7),  # 2.5 * 10 images / 4 images per step, rounded up
        ({"max_steps": 9, "max_epochs": 1}, 3),
        ({"max_steps": 9, "max_epochs": 1e308}, 9),
    ],
)
def test_last_step_is_the_smaller_limit(limits, expected):
    assert Schedule(**limits).last_step(images=10, batch_size=4) == expected


def test_infinite_learning_rate_is_rejected():
    schedule = Schedule(name="step", decay_steps=1, decay_factor=1e37)
    with assert_raises(MmnetError, "learning_rate_schedule", 9):
        learning_rate_at(schedule, 9, None)


@pytest.mark.parametrize("name", ["cosine", "polynomial"])
def test_schedule_that_ends_needs_a_last_step(name):
    with assert_raises(MmnetError, "learning_rate_schedule", name, "max_step_from_restore"):
        Schedule(name=name).last_step(images=10, batch_size=4)


def test_batch_norm_decay_starts_low():
    assert batch_norm_decay_at(Schedule(), 0) == pytest.approx(0.1)
    assert batch_norm_decay_at(Schedule(), 90) == pytest.approx(0.91)
    assert batch_norm_decay_at(Schedule(), 304500) == 0.999
    initial_value_fraction = 1.0
    for step in range(100):
        initial_value_fraction *= batch_norm_decay_at(Schedule(), step)
    assert initial_value_fraction < 1e-9
