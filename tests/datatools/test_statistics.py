"""Tests of mmnet.datatools.statistics, of its report page and of `mmnet data check`."""

import dataclasses
import json

import numpy as np
import pytest

from helpers import PHONE, assert_message, width_on_phone
from helpers.layouts import draw_pair, write_file, write_pair
from mmnet.cli import main
from mmnet.datasets.pairs import find_dataset
from mmnet.datatools.report import render_report
from mmnet.datatools.statistics import (
    INVERTED,
    compute_statistics,
    find_shared_photos,
    measure_pair,
)
from mmnet.io.files import read_text
from mmnet.io.images import encode_jpeg, encode_png
from mmnet.io.masks import FLAT, GUESSED, PARTIAL


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """train: 0 to 3, where 1 is inverted and 2 is flat. test: 4, and 0 again, smaller."""
    root = str(tmp_path_factory.mktemp("faces") / "set")
    for number in range(4):
        image, mask = draw_pair(number)
        mask = {1: 255 - mask, 2: np.full_like(mask, 255)}.get(number, mask)
        write_file(root, f"train/image/{number}.jpg", encode_jpeg(image))
        write_file(root, f"train/mask/{number}.png", encode_png(mask))
    for number in (4, 0):
        image, mask = (np.ascontiguousarray(array[::2, ::2]) for array in draw_pair(number))
        write_file(root, f"test/image/again{number}.jpg", encode_jpeg(image, 80))
        write_file(root, f"test/mask/again{number}.png", encode_png(mask))
    return root


def test_measure_pair():
    image, mask = draw_pair(0)
    alpha = mask / np.float32(255)
    pair = measure_pair("a", image, alpha)
    assert pair[:3] == ("a", 80, 60) and pair.person == pytest.approx(alpha.mean())
    assert pair.soft == pytest.approx(np.mean((alpha >= 0.02) & (alpha <= 0.98)))
    assert not pair.is_inverted and measure_pair("a", image, 1 - alpha).is_inverted
    assert not measure_pair("a", image, np.ones_like(alpha)).is_inverted


def test_statistics_find_suspicious_masks_and_photo_in_two_splits(root):
    splits = [compute_statistics(find_dataset(root, split)) for split in ("train", "test")]
    assert splits[0].problems == {FLAT: ["2"], INVERTED: ["1"]} and len(splits[0].pairs) == 4
    assert not splits[0].has_unusable_files
    (photo,) = find_shared_photos(splits)
    assert (photo.first, photo.second) == ("set/train/0", "set/test/again0")
    assert not photo.within and not photo.mirrored and photo.correlation > 0.78


def test_check_prints_statistics_as_text_and_json(root, capfd):
    assert main(["data", "check", root]) == 1  # a photo is in two splits
    text = capfd.readouterr().out
    assert_message(text, f"set/train: 1 {FLAT} (2)", f"set/train: 1 {INVERTED} (1)")
    assert_message(text, "set/test/again0 = set/train/0", "80x60", "40x30")
    assert main(["data", "check", root, "--json"]) == 1
    records = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [record.get("split") for record in records] == ["test", "train", None]
    assert records[0]["height"] == [40, 40, 40] and records[1]["pairs"] == 4
    assert records[2]["within"] is False and records[2]["correlation"] > 0.78


@pytest.mark.parametrize(
    "change, problem",
    [
        pytest.param(lambda mask: mask // 2, PARTIAL, id="dark"),
        pytest.param(lambda mask: mask // 255 * 2, GUESSED, id="0 and 2"),
    ],
)
def test_check_names_suspicious_masks(tmp_path, capfd, change, problem):
    root = str(tmp_path / "set")
    _, mask = write_pair(root, "train/image/0.jpg", "train/mask/0.png", 0)
    write_file(root, "train/mask/0.png", encode_png(change(mask)))
    assert main(["data", "check", root]) == 0
    assert_message(capfd.readouterr().out, f"set/train: 1 {problem} (0)")


def test_check_writes_report(root, tmp_path):
    page = str(tmp_path / "report.html")
    for _ in range(2):  # the second call replaces the page of the first one
        assert main(["data", "check", root, "--report", page]) == 1
    html = read_text(page)
    shared, test, train, flat, inverted = 2, 2, 4, 1, 1
    assert html.count("data:image/jpeg") == shared + test + train + flat + inverted
    assert "https:" not in html


def test_report_fits_a_phone(browser, portrait_set):
    dataset = dataclasses.replace(portrait_set, path="portraits_of_our_own_studio_in_the_city_2026")
    page = render_report([compute_statistics(dataset)], [])
    assert width_on_phone(browser, page) == PHONE


def test_check_reports_unusable_files_and_missing_splits(tmp_path, capfd):
    root = str(tmp_path / "set")
    image, mask = write_pair(root, "train/image/0.jpg", "train/mask/0.png", 0)
    assert main(["data", "check", root]) == 0
    write_file(root, "train/image/1.jpg", encode_jpeg(image)[:200])
    write_file(root, "train/mask/1.png", encode_png(mask))
    write_file(root, "train/image/2.jpg", encode_jpeg(image))
    capfd.readouterr()
    assert main(["data", "check", root]) == 1
    assert_message(capfd.readouterr().out, "1 unreadable files", "1 images without a mask (2.jpg)")
    assert main(["data", "check", str(tmp_path)]) == 2
    assert_message(capfd.readouterr().err, tmp_path, "mmnet data convert")
