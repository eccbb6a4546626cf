"""Tests of mmnet.evaluation.report_page."""

import base64
import dataclasses
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from helpers import PHONE, assert_message, width_on_phone
from helpers.results import make_evaluation
from mmnet.datasets.pairs import Dataset
from mmnet.evaluation.report_page import make_page, select_extremes


@pytest.fixture
def dataset(portrait_set):
    """Four portraits; the stem of the third one contains HTML."""
    pairs = portrait_set.pairs[:4]
    pairs[2] = pairs[2]._replace(stem="<c> & d")
    return Dataset("data/faces", "test", pairs)


def evaluation_at(dataset, step, mads):
    fields = {"dataset": dataset, "source": f"my <run>/MMNetModel-{step}", "global_step": step}
    return make_evaluation(mads, **fields)


def half_alpha(image):
    return np.full((32, 32), 0.5, np.float32)


class TagChecker(HTMLParser):
    """Fails at a tag that is not closed, and collects the addresses that a page loads."""

    WITHOUT_END = {"meta", "img"}

    def __init__(self):
        super().__init__()
        self.open_tags, self.addresses = [], []

    def handle_starttag(self, tag, attributes):
        if tag not in self.WITHOUT_END:
            self.open_tags.append(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href")]

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open_tags.pop() == tag


def test_page_fits_a_phone(browser, dataset):
    name = "a_long_name_of_a_run_2026-01-01/mmnet_for_portraits_float32.tflite"
    dataset = dataclasses.replace(dataset, path="portraits_of_our_own_studio_in_the_city")
    evaluations = [evaluation_at(dataset, step, [0.1, 0.2, 0.4, 0.3]) for step in (5, 9)]
    evaluations = [evaluation._replace(source=name) for evaluation in evaluations]
    assert width_on_phone(browser, make_page(evaluations, half_alpha, image_count=1)) == PHONE


def test_page_is_complete_and_offline(dataset):
    good = evaluation_at(dataset, 5, [0.1, 0.2, 0.4, 0.3])
    bad = evaluation_at(dataset, 9, [0.3, 0.4, 0.7, 0.5])
    page = make_page([good, bad], half_alpha, image_count=1, about="About <this>.")
    checker = TagChecker()
    checker.feed(page)
    assert checker.open_tags == [] and len(checker.addresses) == 2 * 5
    assert all(address.startswith("data:image/jpeg;base64,") for address in checker.addresses)
    assert not re.search(r"https?://", page)
    assert_message(page, "&lt;c&gt; &amp; d: MAD (0..1) 0.4000", "my &lt;run&gt;", "&lt;this&gt;")
    assert_message(page, "faces/test", "0.25000", "+0.22500", ">worse<", "MMNet 1.0")
    image = np.frombuffer(base64.b64decode(checker.addresses[0].split(",")[1]), np.uint8)
    assert cv2.imdecode(image, cv2.IMREAD_COLOR).shape == (200, 150, 3)


def test_page_draws_curves_over_steps(dataset):
    steps = [evaluation_at(dataset, step, [0.1, 0.2, 0.3, step / 10]) for step in range(1, 9)]
    page = make_page(steps, half_alpha, image_count=0)
    assert page.count("<circle") == 2 * 8 and page.count("<polyline") == 2
    assert_message(page, "over the steps", ">1</text>", ">8</text>", "step 3: 0.22500")


@pytest.mark.parametrize("mads", [[0.1, 0.1, 0.3, 0.9], [0, 0, 0, 0]], ids=["spread", "all zero"])
def test_page_of_one_evaluation_has_a_histogram(dataset, mads):
    page = make_page([evaluation_at(dataset, 5, mads)], half_alpha, image_count=0)
    counts = [int(number) for number in re.findall(r"<title>(\d+) images: ", page)]
    assert sum(counts) == 4 and len(counts) == 30
    assert counts[-1] == (1 if mads[-1] else 0)
    assert "<circle" not in page and "Compared with" not in page  # there is one evaluation


@pytest.mark.parametrize(
    "count, worst, best", [(0, [], []), (1, [1], [0]), (3, [1, 2, 3], [0]), (9, [1, 2, 3, 0], [])]
)
def test_select_extremes(count, worst, best):
    assert select_extremes(np.array([0.1, 0.4, 0.3, 0.2]), count) == (worst, best)
