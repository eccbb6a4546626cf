import json

import numpy as np
import pytest

from mmnet.cli import main
from mmnet.datasets.pairs import find_dataset
from mmnet.datasets.synthetic import draw_clip, synthesize
from mmnet.evaluation import metrics
from mmnet.evaluation.clips import score_clips
from mmnet.inference.card import Card
from mmnet.inference.predictor import Predictor
from mmnet.matting.temporal import EXPONENTIAL_WEIGHT, smooth_exponential
from mmnet.networks.network import Network

SHAPE = (64, 64)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Folder of two clips of four frames."""
    folder = str(tmp_path_factory.mktemp("two clips"))
    synthesize(folder, "test", 2, shape=(120, 90), frames=4)
    return folder


class Recorder:
    """Gives the image's red channel as alpha, and keeps what it was given."""

    def __init__(self, channels):
        self.seen = []
        card = Card(Network(shape=SHAPE, channels=channels), "inside", "alpha")
        self.predictor = Predictor(self.run, card)

    def run(self, images):
        self.seen.append(images[0])
        return images[..., :1] / 255


def test_frames_come_in_their_order_with_the_alpha_before(clips):
    data_set = find_dataset(clips, "test")
    recorder = Recorder(4)
    scores = score_clips(recorder.predictor, data_set, smooth_exponential)
    assert scores.frames == len(recorder.seen) == 8
    assert scores.clips == ["clip0_0000", "clip0_0001"]
    for number, image in enumerate(recorder.seen):
        before = np.zeros(SHAPE) if number % 4 == 0 else recorder.seen[number - 1][..., 0]
        np.testing.assert_allclose(image[..., 3], before, atol=1e-3)


def test_scores_by_hand(clips):
    data_set = find_dataset(clips, "test")
    recorder = Recorder(3)
    smoothed = score_clips(recorder.predictor, data_set, smooth_exponential)
    share = EXPONENTIAL_WEIGHT
    alphas = [image[..., 0] / 255 for image in recorder.seen]
    truths = []

    class Truth:
        """Learns the truths, as the images of a dataset whose images are its masks."""

        network = Network(shape=SHAPE)

        def __call__(self, images, previous=None):
            truths.append(images[0, ..., 0] / 255)
            return images[..., 0] / 255

    masks = [pair._replace(image=pair.mask) for pair in data_set.pairs]
    perfect = score_clips(Truth(), data_set.__class__(clips, "test", masks))
    assert perfect.mad.max() < 1e-6 and perfect.dtssd.max() < 1e-6
    for clip in range(2):
        kept, mads, steps = None, [], []
        for at in range(4 * clip, 4 * clip + 4):
            new = alphas[at] if kept is None else share * kept + (1 - share) * alphas[at]
            mads.append(np.mean(np.abs(new - truths[at])))
            if kept is not None:
                change, true_change = new - kept, truths[at] - truths[at - 1]
                steps.append(np.sqrt(np.mean((change - true_change) ** 2)))
            kept = new
        assert smoothed.mad[clip] == pytest.approx(np.mean(mads), abs=1e-6)
        assert smoothed.dtssd[clip] == pytest.approx(np.mean(steps), abs=1e-6)


def test_what_dtssd_sees():
    still = np.zeros((20, 20), np.float32)
    wrong = still + 0.3
    assert metrics.dtssd((wrong, wrong), (still, still)) == 0  # steadily wrong
    assert metrics.dtssd((still, wrong), (still, still)) == pytest.approx(0.3)
    assert metrics.dtssd((still, wrong), (still, wrong)) == 0
    with pytest.raises(ValueError):
        metrics.dtssd((still, still[1:]), (still, still))


def test_the_verb(clips, lively_weights, capfd, tmp_path):
    flags = ["--dataset_path", clips, "--checkpoint_path", lively_weights.source, "--as_clips"]
    flags += ["--width_multiplier", "0.25", "--size", "64"]
    assert main(["evaluate", "--json"] + flags) == 0
    plain = json.loads(capfd.readouterr().out)
    assert (plain["clips"], plain["frames"], plain["global_step"]) == (2, 8, 5)
    assert main(["evaluate", "--temporal_filter", "exponential", "--json"] + flags) == 0
    smooth = json.loads(capfd.readouterr().out)
    assert smooth["dtSSD/test"] < plain["dtSSD/test"]
    assert main(["evaluate"] + flags) == 0
    assert "2 clips, 8 frames" in capfd.readouterr().out
    for more, says in (
        (["--output", str(tmp_path)], "--as_clips prints MAD and dtSSD: it takes no"),
        (["--temporal_filter", "x"], "--temporal_filter: one of none, exponential, motion"),
    ):
        assert main(["evaluate"] + flags + more) == 2
        assert says in capfd.readouterr().err
    flags.remove("--as_clips")
    assert main(["evaluate", "--temporal_filter", "motion"] + flags) == 2
    assert "--temporal_filter goes with --as_clips" in capfd.readouterr().err


def test_pictures_that_are_no_clips(capfd, tmp_path):
    one = str(tmp_path / "one")
    synthesize(one, "test", 1, shape=(64, 48))
    assert main(["evaluate", "--dataset_path", one, "--as_clips"]) == 2
    assert (
        "a clip has frames CLIP_0001, CLIP_0002, ..., and portrait0 has" in capfd.readouterr().err
    )


def test_a_drawn_clip_moves_smoothly():
    frames = list(draw_clip(np.random.RandomState(3), 6, (120, 90)))
    assert all(image.shape == (120, 90, 3) and alpha.shape == (120, 90) for image, alpha in frames)
    alphas = [alpha for _, alpha in frames]
    steps = [np.mean(np.abs(one - other)) for one, other in zip(alphas, alphas[1:])]
    assert 0 < max(steps) < 0.06
    assert np.mean(np.abs(alphas[0] - alphas[-1])) > 0.5 * max(steps)
    again = next(draw_clip(np.random.RandomState(3), 6, (120, 90)))
    np.testing.assert_array_equal(again[0], frames[0][0])
