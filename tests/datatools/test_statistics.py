"""What a check of datasets says, as facts, text, JSON and page."""

import json
import os

import numpy as np
import pytest

from helpers import SMALL_FLAGS
from helpers.layouts import portrait, put
from mmnet.cli import main
from mmnet.datasets.pairs import find_dataset
from mmnet.datatools.statistics import FLAT, INVERTED, facts_of, survey
from mmnet.io.files import read_text
from mmnet.io.images import encode_jpeg, encode_png


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """train: 0 to 3, of which 1 is inverted and 2 flat; test: 4, and 0 again, smaller."""
    root = str(tmp_path_factory.mktemp("faces") / "set")
    for number in range(4):
        image, mask = portrait(number)
        mask = {1: 255 - mask, 2: np.full_like(mask, 255)}.get(number, mask)
        put(root, "train/image/%d.jpg" % number, encode_jpeg(image))
        put(root, "train/mask/%d.png" % number, encode_png(mask))
    for number in (4, 0):
        image, mask = (np.ascontiguousarray(each[::2, ::2]) for each in portrait(number))
        put(root, "test/image/again%d.jpg" % number, encode_jpeg(image, 80))
        put(root, "test/mask/again%d.png" % number, encode_png(mask))
    return root


def test_facts():
    image, mask = portrait(0)
    alpha = mask / np.float32(255)
    facts = facts_of("a", image, alpha)
    assert facts[:3] == ("a", 80, 60) and facts.person == pytest.approx(alpha.mean())
    assert facts.soft == pytest.approx(np.mean((alpha >= 0.02) & (alpha <= 0.98)))
    assert not facts.flat and not facts.inverted
    assert facts_of("a", image, 1 - alpha).inverted
    assert facts_of("a", image, np.ones_like(alpha)).flat


def test_a_survey(root):
    found = survey(find_dataset(root, "train"))
    assert found.problems == {FLAT: ["2"], INVERTED: ["1"]} and len(found.facts) == 4


def test_a_check_in_text_json_and_html(root, tmp_path, capfd):
    page = str(tmp_path / "sheet.html")
    assert main(["data", "check", root, "--report", page]) == 1  # a photo in two splits
    text = capfd.readouterr().out
    assert "set/train: 1 masks of one value only (2)" in text
    assert "set/train: 1 masks that look inverted (1)" in text
    assert "set/test/again0 = set/train/0" in text or "set/train/0 = set/test/again0" in text
    assert "photos that lie twice in one split: none" in text
    html = read_text(page)
    assert html.count("data:image/jpeg") == 2 + 2 + 4 + 1 + 1 and "https:" not in html
    assert main(["data", "check", root, "--report", page]) == 1  # ours is replaced
    capfd.readouterr()
    assert main(["data", "check", root, "--json"]) == 1
    records = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [record.get("split") for record in records] == ["test", "train", None]
    assert records[0]["height"] == [40, 40, 40] and records[1]["pairs"] == 4
    assert records[2]["within"] is False and records[2]["correlation"] > 0.78


def test_files_that_cannot_be_used(tmp_path, capfd):
    image, mask = portrait(0)
    root = str(tmp_path / "set")
    put(root, "train/image/0.jpg", encode_jpeg(image))
    put(root, "train/mask/0.png", encode_png(mask))
    assert main(["data", "check", root]) == 0
    put(root, "train/image/1.jpg", encode_jpeg(image)[:200])
    put(root, "train/mask/1.png", encode_png(mask))
    put(root, "train/image/2.jpg", encode_jpeg(image))
    capfd.readouterr()
    assert main(["data", "check", root]) == 1
    text = capfd.readouterr().out
    assert "1 unreadable files" in text and "1 images without a mask (2.jpg)" in text
    (tmp_path / "empty").mkdir()
    assert main(["data", "check", str(tmp_path / "empty")]) == 2
    assert "holds no SPLIT/image and SPLIT/mask: mmnet data convert" in capfd.readouterr().err


def test_training_warns_of_splits_that_it_has_seen(root, tmp_path, caplog):
    command = ["train", "--dataset_path", root, "--dataset_split_name", "train", *SMALL_FLAGS]
    command += ["--batch_size", "2", "--max_step_from_restore", "1", "--train_dir"]
    assert main([*command, str(tmp_path / "a")]) == 0
    said = "set/test is not unseen: 1 of 2 pictures looked at are trained on, too (again0)"
    assert said in caplog.text
    os.rename(os.path.join(root, "test"), str(tmp_path / "away"))
    caplog.clear()
    assert main([*command, str(tmp_path / "b")]) == 0
    assert "not unseen" not in caplog.text
