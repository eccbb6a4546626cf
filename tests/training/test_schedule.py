import pytest

from mmnet.training.schedule import batch_norm_decay, learning_rate


def test_schedules():
    assert [learning_rate(step, 2.0) for step in (0, 999)] == [2.0, 2.0]
    steps = [learning_rate(step, 1.0, "step", decay=0.5, decay_steps=10) for step in (0, 9, 10, 25)]
    assert steps == [1, 1, 0.5, 0.25]
    asked = (0, 50, 100, 120)
    cosine = [learning_rate(step, 1.0, "cosine", last_step=100) for step in asked]
    assert cosine == pytest.approx([1, 0.5, 0, 0])
    polynomial = [learning_rate(step, 1.0, "polynomial", last_step=100, power=2) for step in asked]
    assert polynomial == pytest.approx([1, 0.25, 0, 0])


def test_warm_up_rises_in_a_line_to_the_highest():
    rates = [learning_rate(step, 1.0, warm_up_steps=4) for step in range(6)]
    assert rates == [0.25, 0.5, 0.75, 1, 1, 1]


@pytest.mark.parametrize("schedule", ["cosine", "polynomial"])
def test_a_schedule_that_ends_needs_its_end(schedule):
    with pytest.raises(ValueError, match="needs its end: --max_step_from_restore"):
        learning_rate(0, 1.0, schedule)


def test_moving_statistics_follow_fast_at_first():
    assert batch_norm_decay(0, 0.999) == pytest.approx(0.1)
    assert batch_norm_decay(90, 0.999) == pytest.approx(0.91)
    assert batch_norm_decay(304500, 0.999) == 0.999
    left = 1.0  # of the initial value
    for step in range(100):
        left *= batch_norm_decay(step, 0.999)
    assert left < 1e-9
