import numpy as np
import pytest

from mmnet.evaluation import report

RESULT = report.Result(
    "run/MMNetModel-7",
    7,
    ["a", "b, c", "d"],
    {
        ("mad", "network"): np.array([0.01, 0.03, 0.02]),
        ("gauss_grad", "network"): np.array([0.001, 0.002, 0.003]),
        ("mad", "target"): np.array([0.02, 0.04, 0.03]),
        ("gauss_grad", "target"): np.array([0.002, 0.002, 0.002]),
    },
    {"network": (256, 256), "target": (800, 600)},
)
WIDE = RESULT._replace(shapes={"network": (288, 480), "target": (800, 600)})


def test_published_names():
    assert report.published(RESULT, "test") == {
        "MAD/test": pytest.approx(0.02),
        "GAUSS_GRAD/test": pytest.approx(0.002),
        "MAD/test/800_600": pytest.approx(0.03),
        "GAUSS_GRAD/test/800_600": pytest.approx(0.002),
        "pictures": 3,
        "checkpoint": "run/MMNetModel-7",
        "global_step": 7,
    }
    assert report.published(WIDE, "test") == report.published(RESULT, "test")


def test_tags_of_every_metric():
    shapes = {"network": (4, 4), "target": (5, 4)}
    assert [report.tag((name, "target"), "val", shapes) for name in report.NAMES] == [
        "MAD/val/5_4",
        "GAUSS_GRAD/val/5_4",
        "SAD/val/5_4",
        "MSE/val/5_4",
        "GRAD/val/5_4",
        "CONN/val/5_4",
        "MIOU/val/5_4",
    ]
    with pytest.raises(ValueError, match="'psnr_256'"):
        report.from_csv("stem,psnr_256\na,0.5\n")


@pytest.mark.parametrize("result", [RESULT, WIDE], ids=["square", "wide"])
def test_csv_comes_back(result):
    stems, scores, shapes = report.from_csv(report.to_csv(result))
    assert stems == result.stems
    assert list(scores) == list(result.scores)
    for key, values in result.scores.items():
        np.testing.assert_array_equal(scores[key], values)
    assert shapes == result.shapes


def test_columns_name_metric_and_shape():
    names = ["mad_256", "gauss_grad_256", "mad_800_600", "gauss_grad_800_600"]
    assert report.to_csv(RESULT).splitlines()[0] == ",".join(["stem"] + names)
    names = ["mad_288x480", "gauss_grad_288x480", "mad_800_600", "gauss_grad_800_600"]
    assert report.to_csv(WIDE).splitlines()[0] == ",".join(["stem"] + names)
    square = {"network": (64, 64), "target": (64, 64)}
    assert report.column_of(("mad", "network"), square) == "mad_64"
    assert report.column_of(("mad", "target"), square) == "mad_64_64"


@pytest.mark.parametrize("line", ["b", "b,0.5,0.5", "b,much"])
def test_what_is_no_csv_of_scores(line):
    with pytest.raises(ValueError):
        report.from_csv("stem,mad_256\na,0.5\n%s\n" % line)


def test_text_names_units_and_the_worst():
    text = report.report_text(RESULT, worst=2)
    assert "MAD (0..1)" in text and "256x256" in text and "800x600" in text
    assert "3 pictures" in text
    assert text.splitlines()[-1] == "worst by MAD at 800x600: b, c 0.0400, d 0.0300"
    assert "worst" not in report.report_text(RESULT, worst=0)
    assert "| MAD (0..1)            | 288x480        |" in report.report_text(WIDE)


def test_text_draws_a_table():
    assert report.report_text(RESULT, worst=0).splitlines()[:5] == [
        "run/MMNetModel-7, step 7, 3 pictures",
        "---------------------------------------------------------------------------------",
        "| score                 | height x width |     mean | 95 % interval of the mean |",
        "---------------------------------------------------------------------------------",
        "| MAD (0..1)            | 256x256        | 0.020000 | 0.010000 .. 0.030000      |",
    ]


def test_bootstrap_interval():
    scores = np.random.RandomState(1).normal(5, 2, 400)
    low, high = report.bootstrap_interval(scores)
    half = 1.96 * scores.std() / 20
    assert low == pytest.approx(scores.mean() - half, abs=0.04)
    assert high == pytest.approx(scores.mean() + half, abs=0.04)
    assert report.bootstrap_interval(scores) == (low, high)
    assert report.bootstrap_interval([3.0]) == (3.0, 3.0)
