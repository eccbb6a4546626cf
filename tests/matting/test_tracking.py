"""Tests of mmnet.matting.tracking."""

import numpy as np
import pytest

from helpers.matting import brightness_predictor, colour_image
from mmnet.matting.clip import matte_next_frame
from mmnet.matting.compose import OutputOptions
from mmnet.matting.photo import MattingOptions
from mmnet.matting.tracking import MAX_AGE, border_distance, is_new_scene

WHOLE_RUNS = 2  # network runs on a whole frame and on its people


def person_frame(left=140, top=60, level=255, background=0):
    """Return a frame in which a rectangle of 60x40 pixels stands for a person."""
    image = colour_image(240, 320, background)
    image[top : top + 60, left : left + 40] = level
    return image


def count_runs(frames, **matting):
    """Return (the runs of the network per frame, the results)."""
    inputs, counts, results, previous = [], [], [], None
    predictor = brightness_predictor(inputs=inputs)
    options = OutputOptions(matting=MattingOptions(**matting), temporal_filter="none")
    for frame in frames:
        before = len(inputs)
        previous = matte_next_frame(frame, predictor, options, previous)
        counts.append(len(inputs) - before)
        results.append(previous)
    return counts, results


def test_frames_need_one_run_and_some_see_the_whole_frame():
    counts, results = count_runs([person_frame()] * (2 * MAX_AGE + 1))
    period = [WHOLE_RUNS] + [1] * (MAX_AGE - 1)
    assert counts == 2 * period + [WHOLE_RUNS]
    for result in results[1:]:
        np.testing.assert_allclose(result.alpha, results[0].alpha, atol=1e-6)


def test_a_person_who_reaches_the_border_of_the_box_starts_a_new_track():
    box = count_runs([person_frame()])[1][0].track.box
    frames = [person_frame(left=left) for left in (140, 142, 146, 150, 180)]
    counts, results = count_runs(frames)
    assert counts == [WHOLE_RUNS, 1, 1, WHOLE_RUNS, 1 + WHOLE_RUNS]
    assert results[1].track.box == box and results[2].track is None
    for result, left in zip(results, (140, 142, 146, 150, 180)):
        assert result.alpha[90, left + 35] > 0.9


def test_a_new_scene_starts_a_new_track():
    counts, results = count_runs([person_frame(), person_frame(20, 20, 255, 60)])
    assert counts == [WHOLE_RUNS, WHOLE_RUNS]
    assert results[1].alpha[40, 40] > 0.9
    image = person_frame()
    assert not is_new_scene(image, person_frame(left=170)) and is_new_scene(image, 255 - image)


def test_the_alpha_outside_the_box_is_the_previous_one():
    frame = person_frame()
    frame[200:220, :10] = 100  # not among the people
    changed = frame.copy()
    changed[200:220, :10] = 0
    results = count_runs([frame, changed])[1]
    np.testing.assert_array_equal(results[1].alpha[190:, :20], results[0].alpha[190:, :20])


@pytest.mark.parametrize("frame", [person_frame(), colour_image(240, 320, 255)])
def test_no_track_without_a_second_pass(frame):
    is_full = frame.min() > 0
    counts, results = count_runs([frame, frame], second_pass=is_full)
    assert counts == [1, 1] and results[1].track is None


@pytest.mark.parametrize(
    "side, rows, columns",
    [
        ("top", slice(10, 110), slice(0, 160)),
        ("bottom", slice(0, 100), slice(0, 160)),
        ("left", slice(0, 120), slice(10, 160)),
        ("right", slice(0, 120), slice(0, 150)),
    ],
)
def test_border_distance_ignores_the_sides_of_the_frame(side, rows, columns):
    alpha = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.float32)
    alpha[20:-20, 20:-20] = 1
    assert border_distance(alpha, (rows, columns), (120, 160)) == 20
    row, column = {"top": (0, 50), "bottom": (-1, 50), "left": (50, 0), "right": (50, -1)}[side]
    alpha[row, column] = 1
    assert border_distance(alpha, (rows, columns), (120, 160)) == 0
    whole = slice(0, alpha.shape[0]), slice(0, alpha.shape[1])
    assert border_distance(alpha, whole, alpha.shape) == max(alpha.shape)
