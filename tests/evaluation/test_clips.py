"""Tests of mmnet.evaluation.clips."""

import numpy as np
import pytest

from helpers import assert_raises
from helpers.matting import brightness_predictor
from mmnet.datasets.pairs import Dataset, find_dataset, read_pair
from mmnet.datasets.synthetic import synthesize
from mmnet.evaluation.clips import score_clips
from mmnet.inference.card import Card
from mmnet.inference.predictor import Predictor
from mmnet.io.errors import MmnetError
from mmnet.io.resize import resize_bilinear
from mmnet.matting.temporal import EXPONENTIAL_WEIGHT, FILTERS
from mmnet.networks.network import Network

SHAPE = (64, 64)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Dataset with two clips of four frames."""
    folder = str(tmp_path_factory.mktemp("two clips"))
    synthesize(folder, "test", 2, shape=(120, 90), frames=4)
    return find_dataset(folder, "test")


def test_clip_frames_are_scored_in_order_with_the_previous_alpha(clips):
    inputs = []

    def run(images):
        inputs.append(images[0])
        return images[..., :1] / 255  # the red channel

    predictor = Predictor(run, Card(Network(shape=SHAPE, channels=4), "inside", "alpha"))
    scores = score_clips(predictor, clips, FILTERS["exponential"])
    assert scores.frames == len(inputs) == 8
    assert scores.clips == ["clip0_0000", "clip0_0001"]
    for index, image in enumerate(inputs):
        previous_red = np.zeros(SHAPE) if index % 4 == 0 else inputs[index - 1][..., 0]
        np.testing.assert_allclose(image[..., 3], previous_red, atol=1e-3)


def test_clip_scores_follow_the_definition(clips):
    inputs = []
    scores = score_clips(brightness_predictor(SHAPE, inputs), clips, FILTERS["exponential"])
    network_alphas = [images[0].mean(axis=2) / 255 for images in inputs]
    truths = [
        resize_bilinear(read_pair(pair)[1], SHAPE, align_corners=True) for pair in clips.pairs
    ]
    for clip in range(2):
        alpha, mads, changes = None, [], []
        for index in range(4 * clip, 4 * clip + 4):
            previous_alpha, alpha = alpha, network_alphas[index]
            if previous_alpha is not None:
                alpha = EXPONENTIAL_WEIGHT * previous_alpha + (1 - EXPONENTIAL_WEIGHT) * alpha
                change, true_change = alpha - previous_alpha, truths[index] - truths[index - 1]
                changes.append(np.sqrt(np.mean((change - true_change) ** 2)))
            mads.append(np.mean(np.abs(alpha - truths[index])))
        assert scores.mad[clip] == pytest.approx(np.mean(mads), abs=1e-6)
        assert scores.dtssd[clip] == pytest.approx(np.mean(changes), abs=1e-6)


def test_clips_with_interleaved_names(clips):
    """In the order of the stems a_10_1 lies between a_1 and a_2."""
    stems = ["a_1", "a_10_1", "a_10_2", "a_2"]
    pairs = [pair._replace(stem=stem) for pair, stem in zip(clips.pairs, stems)]
    scores = score_clips(brightness_predictor(SHAPE), Dataset(clips.path, "test", pairs))
    assert scores.clips == ["a", "a_10"]


@pytest.mark.parametrize("stem", ["walk_0001", "portrait"])
def test_clip_of_one_frame_is_refused(clips, stem):
    pairs = [clips.pairs[0]._replace(stem=stem)]
    with assert_raises(MmnetError, clips.path, "one frame", "CLIP_0001"):
        score_clips(brightness_predictor(SHAPE), Dataset(clips.path, "test", pairs))


def test_unusable_frames_are_all_reported(clips):
    pairs = [pair._replace(mask=f"missing {pair.stem}.png") for pair in clips.pairs[:2]]
    with assert_raises(MmnetError, *[pair.mask for pair in pairs]):
        score_clips(brightness_predictor(SHAPE), Dataset(clips.path, "test", pairs))
