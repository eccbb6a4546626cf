import numpy as np
import pytest

from mmnet.scoring import report

RESULT = report.Result("run/MMNetModel-7", 7, ["a", "b, c", "d"], {
    "mad_256": np.array([0.01, 0.03, 0.02]), "gauss_grad_256": np.array([0.001, 0.002, 0.003]),
    "mad_800_600": np.array([0.02, 0.04, 0.03]), "gauss_grad_800_600": np.array([0.002, 0.002, 0.002])})


def test_published_names():
    assert report.published(RESULT, "test") == {
        "MAD/test": pytest.approx(0.02), "GAUSS_GRAD/test": pytest.approx(0.002),
        "MAD/test/800_600": pytest.approx(0.03), "GAUSS_GRAD/test/800_600": pytest.approx(0.002),
        "pictures": 3, "checkpoint": "run/MMNetModel-7", "global_step": 7}


def test_tags_of_every_metric():
    assert [report.tag(name + "_5_4", "val") for name in report.NAMES] == [
        "MAD/val/5_4", "GAUSS_GRAD/val/5_4", "SAD/val/5_4", "MSE/val/5_4", "GRAD/val/5_4", "CONN/val/5_4", "MIOU/val/5_4"]
    with pytest.raises(ValueError, match="'psnr_256'"):
        report.tag("psnr_256", "test")


def test_csv_comes_back():
    stems, scores = report.from_csv(report.to_csv(RESULT))
    assert stems == RESULT.stems
    assert list(scores) == list(RESULT.scores)
    for column, values in RESULT.scores.items():
        np.testing.assert_array_equal(scores[column], values)


def test_text_names_units_and_the_worst():
    text = report.text(RESULT, worst=2)
    assert "MAD (0..1)" in text and "256x256" in text and "800x600" in text and "3 pictures" in text
    assert text.splitlines()[-1] == "worst by MAD at 800x600: b, c 0.0400, d 0.0300"
    assert "worst" not in report.text(RESULT, worst=0)


def test_text_draws_a_table():
    assert report.text(RESULT, worst=0).splitlines()[:5] == [
        "run/MMNetModel-7, step 7, 3 pictures",
        "---------------------------------------------------------------------------------",
        "| score                 | height x width |     mean | 95 % interval of the mean |",
        "---------------------------------------------------------------------------------",
        "| MAD (0..1)            | 256x256        | 0.020000 | 0.010000 .. 0.030000      |"]


def test_bootstrap_interval():
    scores = np.random.RandomState(1).normal(5, 2, 400)
    low, high = report.bootstrap_interval(scores)
    half = 1.96 * scores.std() / 20
    assert low == pytest.approx(scores.mean() - half, abs=0.04) and high == pytest.approx(scores.mean() + half, abs=0.04)
    assert report.bootstrap_interval(scores) == (low, high)
    assert report.bootstrap_interval([3.0]) == (3.0, 3.0)


def test_aligned():
    assert report.aligned([["model", "ms"], ["a", "12.5"], ["a longer one", ""]]) == (
        "model           ms\na             12.5\na longer one")
