"""The page of an evaluation."""

import base64
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from helpers import SMALL_FLAGS
from mmnet.cli import main
from mmnet.evaluation.report import Result, Scored, compared, comparisons_text
from mmnet.evaluation.report_page import Picture, extremes, page_of

KEYS = [("mad", "network"), ("gauss_grad", "network"), ("mad", "target"), ("gauss_grad", "target")]
SHAPES = {"network": (64, 64), "target": (80, 60)}
STEMS = ["a", "b", "<c> & d", "e"]


def result(step, mad, gradient=(0.01, 0.01, 0.01, 0.01), stems=STEMS):
    values = [mad, gradient, mad, gradient]
    scores = {key: np.array(value, float) for key, value in zip(KEYS, values)}
    return Result("my run/MMNetModel-%d" % step, step, stems, scores, SHAPES)


def picture(stem):
    random = np.random.RandomState(0)
    alpha = random.rand(20, 30).astype(np.float32)
    image = random.randint(0, 256, (20, 30, 3)).astype(np.uint8)
    return Picture(stem, image, alpha, 1 - alpha, image[::-1])


class Balance(HTMLParser):
    """Fails on a tag that is not closed, and collects what a page would fetch."""

    ALONE = {"meta", "img"}

    def __init__(self):
        super().__init__()
        self.open, self.fetched = [], []

    def handle_starttag(self, tag, attributes):
        if tag not in self.ALONE:
            self.open.append(tag)
        self.fetched += [value for name, value in attributes if name in ("src", "href")]

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_a_page_is_whole_and_needs_no_network():
    good, bad = result(5, [0.1, 0.2, 0.3, 0.4]), result(9, [0.3, 0.4, 0.5, 0.7])
    scored = [Scored("set/test", good), Scored("set/test", bad)]
    page = page_of(scored, {"set/test": [[picture("<c> & d")], []]}, "Scores of <this>")
    balance = Balance()
    balance.feed(page)
    assert balance.open == [] and len(balance.fetched) == 5
    assert all(one.startswith("data:image/jpeg;base64,") for one in balance.fetched)
    assert not re.search(r"https?://", page)
    assert "&lt;c&gt; &amp; d: MAD (0..1) 0.3000" in page and "Scores of &lt;this&gt;" in page
    assert "0.25000" in page and "+0.22500" in page and ">worse<" in page
    assert "over the steps" in page and "MMNet 1.0" in page
    first = np.frombuffer(base64.b64decode(balance.fetched[0].split(",")[1]), np.uint8)
    assert cv2.imdecode(first, cv2.IMREAD_COLOR).shape == (20, 30, 3)


def test_the_histogram_counts_every_picture():
    scored = [Scored("set/test", result(5, [0.1, 0.1, 0.3, 0.9]))]
    page = page_of(scored, {"set/test": [[], []]}, "t")
    counts = [int(n) for n in re.findall(r"<title>(\d+) pictures: ", page)]
    assert sum(counts) == 4 and len(counts) == 30 and counts[-1] == 1
    assert "over the steps" not in page and "Against" not in page


def test_what_is_compared():
    base = result(1, [0.1, 0.2, 0.3, 0.4])
    better = result(2, [0.05, 0.14, 0.26, 0.33], [0.02, 0.00, 0.02, 0.00])
    elsewhere = result(3, [0.1] * 4, stems=["x", "y", "z", "w"])
    scored = [Scored("s", one) for one in (base, better, elsewhere)]
    mad, gradient = compared(scored + [Scored("t", better)])
    assert (mad.metric, mad.verdict, mad.against) == ("mad", "better", base)
    assert mad.difference == pytest.approx(-0.055) and mad.interval[1] < 0
    assert (gradient.verdict, gradient.difference) == ("", pytest.approx(0))
    text = comparisons_text([mad, gradient])
    assert "against my run/MMNetModel-1" in text and "within the noise" in text
    assert "my run/MMNetModel-2, s, MAD (0..1)" in text and "-0.055000" in text


def test_extremes():
    one = result(1, [0.1, 0.4, 0.3, 0.2])
    assert extremes(one, 1) == ([1], [0])
    assert extremes(one, 3) == ([1, 2, 3], [0])
    assert extremes(one, 9) == ([1, 2, 3, 0], [])


def test_the_verb(portraits, lively_weights, write_checkpoints, tmp_path, capfd):
    """Two datasets and two sources: blocks, comparisons, a page; another's file stays."""
    page, other = tmp_path / "report.html", write_checkpoints(3)
    command = ["evaluate", "--dataset_path", portraits, portraits, "--compare", other]
    command += ["--checkpoint_path", lively_weights.source, "--worst", "2"] + SMALL_FLAGS
    command += ["--target_eval_shape", "40", "30", "--report", str(page)]
    assert main(command + ["--output", str(tmp_path / "kept")]) == 0
    out = capfd.readouterr().out
    assert out.count("MAD (0..1)            |") == 8 and "difference" in out
    text = page.read_text()
    assert text.count("<img src=") == 2 * 5 * 4 / 2 and "composition" in text
    assert main(command) == 0  # our own page is replaced
    page.write_text("a letter")
    capfd.readouterr()
    assert main(command) == 2
    assert "report.html exists, and this command did not write it" in capfd.readouterr().err
    assert main(["evaluate", "--dataset_path", portraits, "--as_clips", "--report", "x"]) == 2
    assert "--as_clips prints MAD and dtSSD" in capfd.readouterr().err


def test_a_run_over_its_steps(portraits, write_checkpoints, tmp_path):
    page = tmp_path / "run.html"
    command = [
        "evaluate",
        "--dataset_path",
        portraits,
        "--checkpoint_path",
        write_checkpoints(1, 2),
    ]
    command += ["--valid_type", "loop", "--watch_timeout", "0s", "--target_eval_shape", "40", "30"]
    assert main(command + ["--report", str(page), "--worst", "1"] + SMALL_FLAGS) == 0
    text = page.read_text()
    assert "MAD (0..1) over the steps" in text and text.count("<circle") == 4
    assert re.search(r"Against [^<]*MMNetModel-2<", text)  # the latest, whose pictures are shown
    assert re.search(r"<h2>[^<]*: [^<]*MMNetModel-2</h2>", text)
