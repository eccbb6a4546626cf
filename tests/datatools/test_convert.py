"""Tests of mmnet.datatools.convert."""

import json
import os

import numpy as np
import pytest

from helpers import assert_message
from helpers.images import make_empty_png
from helpers.layouts import draw_pair, write_file, write_pair
from mmnet.cli import main
from mmnet.datasets.pairs import find_dataset
from mmnet.datatools import convert as module
from mmnet.io.images import encode_png
from mmnet.io.masks import load_mask

CONVERT = ["data", "convert", "--layout", "pairs"]


@pytest.fixture
def source(tmp_path):
    """A folder with eight pairs in images/ and masks/."""
    folder = str(tmp_path / "a")
    for number in range(8):
        write_pair(folder, f"images/{number}.jpg", f"masks/{number}.png", number)
    return folder


def convert(source, target):
    return main([*CONVERT, source, str(target)])


def list_states(folder):
    """Return path -> everything of a file that a conversion could change."""
    states = {}
    for inside, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(inside, name)
            status = os.stat(path)
            states[path] = status.st_mode, status.st_mtime_ns, status.st_size, status.st_ino
    return states


@pytest.mark.parametrize(
    "flags, links", [pytest.param([], 16, id="links"), pytest.param(["--copies"], 0, id="copies")]
)
def test_convert_links_or_copies_and_keeps_source(source, tmp_path, run_json, flags, links):
    os.chmod(os.path.join(source, "images", "3.jpg"), 0o640)
    states = list_states(source)
    assert run_json(*CONVERT, source, tmp_path / "b", *flags)[0]["linked"] == links
    assert list_states(source) == states
    for pair in find_dataset(str(tmp_path / "b"), "train").pairs:
        original = os.path.join(source, "images", os.path.basename(pair.image))
        assert os.path.samefile(pair.image, original) == bool(links)


def test_convert_resizes_masks_of_the_same_aspect_ratio(source, tmp_path, caplog):
    _, mask = draw_pair(0)
    write_file(source, "masks/0.png", encode_png(np.ascontiguousarray(mask[::2, ::2])))
    write_file(source, "masks/1.png", encode_png(np.ascontiguousarray(mask[:, ::2])))
    assert convert(source, tmp_path / "b") == 1
    assert_message(caplog.text, f"1 {module.RESIZED}", "0.jpg 80x60 with mask 40x30")
    assert_message(caplog.text, f"1 {module.DIFFERENT_SHAPES}", "1.jpg 80x60 with mask 80x30")
    dataset = find_dataset(str(tmp_path / "b"), "train")
    assert [pair.stem for pair in dataset.pairs] == ["0"] + list("234567")
    assert np.abs(load_mask(dataset.pairs[0].mask) - mask / 255).mean() < 0.03


def test_convert_resumes(source, tmp_path, run_json):
    target = tmp_path / "b"
    assert convert(source, target) == 0
    manifest = target / "manifest.jsonl"
    lines = manifest.read_text().splitlines(True)
    manifest.write_text("".join(lines[:4]) + lines[4][:20])  # killed while it wrote the fourth pair
    os.unlink(str(target / "train" / "image" / "0.jpg"))
    states = list_states(str(target / "train"))
    (record,) = run_json(*CONVERT, source, target)
    assert record["pairs"] == {"train": 8} and record["before"] == 2
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    assert sorted({line["stem"] for line in lines[1:]}) == list("01234567")
    assert states.items() <= list_states(str(target / "train")).items()


def test_convert_keeps_foreign_and_other_targets(source, tmp_path, assert_refused):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.txt").write_text("mine")
    assert_refused([*CONVERT, source, tmp_path / "b"], tmp_path / "b", "thesis.txt")
    assert os.listdir(str(tmp_path / "b")) == ["thesis.txt"]
    assert convert(source, tmp_path / "c") == 0
    states = list_states(str(tmp_path / "c" / "train"))
    assert_refused([*CONVERT, source, tmp_path / "c", "--copies"], tmp_path / "c", "options")
    assert list_states(str(tmp_path / "c" / "train")) == states


def test_convert_resumes_after_full_disk(source, tmp_path, run_json, assert_refused, monkeypatch):
    link_or_copy = module.link_or_copy

    def fail_for_one_file(path, target, *, copies):
        if path.endswith("4.png"):
            raise OSError(28, "No space left on device", target)
        return link_or_copy(path, target, copies=copies)

    monkeypatch.setattr(module, "link_or_copy", fail_for_one_file)
    command = [*CONVERT, source, tmp_path / "b"]
    assert_refused(command, "No space left on device", "4.png")
    monkeypatch.undo()
    (record,) = run_json(*command)
    assert record["pairs"] == {"train": 8} and 0 < record["before"] < 8


@pytest.mark.parametrize("kind", ["link", "dangling link", "hard link", "pipe"])
def test_convert_writes_no_lock_through_a_link(source, tmp_path, assert_refused, kind):
    letter, lock = tmp_path / "letter.txt", tmp_path / "b" / ".lock"
    letter.write_text("a letter of the user")
    lock.parent.mkdir()
    if kind == "pipe":
        os.mkfifo(str(lock))
    elif kind == "hard link":
        os.link(str(letter), str(lock))
    else:
        lock.symlink_to(letter if kind == "link" else tmp_path / "new.txt")
    assert_refused([*CONVERT, source, tmp_path / "b"], lock)
    assert letter.read_text() == "a letter of the user" and not (tmp_path / "new.txt").exists()


@pytest.mark.parametrize("name", ["train", "train/image", "manifest.jsonl"])
def test_convert_writes_nothing_through_links_in_the_target(source, tmp_path, assert_refused, name):
    assert convert(source, tmp_path / "b") == 0
    link, other = tmp_path / "b" / name, tmp_path / "other"
    other.mkdir()
    place = other / "mine"
    os.rename(str(link), str(place))
    link.symlink_to(place)
    with open(str(tmp_path / "b" / "manifest.jsonl"), "r+") as manifest:
        length = len(manifest.readline())
        if name != "manifest.jsonl":
            manifest.truncate(length)  # convert all pairs again
    states = list_states(str(other))
    assert_refused([*CONVERT, source, tmp_path / "b"], link)
    assert list_states(str(other)) == states


BAD_LINES = ["{}", "[]", "null", "3", "", "[" * 100000, '{"split": "train"}', "\\", "9" * 6000]
BAD_VALUES = {"split": "../../a", "stem": 3, "image": None, "mask": "../0.png"}


def test_convert_repairs_damaged_manifest(source, tmp_path, caplog):
    assert convert(source, tmp_path / "b") == 0
    manifest = tmp_path / "b" / "manifest.jsonl"
    header, *lines = manifest.read_text().splitlines()
    good = dict(json.loads(lines[7]), unknown=[1])
    bad = BAD_LINES + [json.dumps(dict(good, **{key: BAD_VALUES[key]})) for key in BAD_VALUES]
    for line in bad:
        text = "\n".join([header, *lines[:6], line, json.dumps(good), ""])
        manifest.write_text(text)
        caplog.clear()
        assert convert(source, tmp_path / "b") == 1, line[:99]
        assert_message(caplog.text, f"{manifest} line 8")
        records = [json.loads(line) for line in manifest.read_text().splitlines()]
        assert sorted(record["stem"] for record in records[1:]) == list("01234567")
        assert convert(source, tmp_path / "b") == 0
    assert len(find_dataset(str(tmp_path / "b"), "train")) == 8


def test_convert_repairs_manifest_that_is_no_text(source, tmp_path):
    assert convert(source, tmp_path / "b") == 0
    manifest = tmp_path / "b" / "manifest.jsonl"
    manifest.write_bytes(
        manifest.read_bytes().replace(b"images/7.jpg", b"images/\xff.jpg") + b"{}\n"
    )
    assert convert(source, tmp_path / "b") == 1
    assert manifest.read_bytes().count(b"\n") == 9
    manifest.write_bytes(manifest.read_bytes().split(b"\n")[0])  # without the end of the line
    assert convert(source, tmp_path / "b") == 0
    assert manifest.read_bytes().count(b"\n") == 9


def test_convert_names_links_and_folders_among_the_files(source, tmp_path, caplog):
    for name in ("images/0.jpg", "masks/1.png", "images/2.jpg"):
        os.unlink(os.path.join(source, name))
    os.symlink("0.jpg", os.path.join(source, "images", "0.jpg"))
    os.symlink("none", os.path.join(source, "masks", "1.png"))
    os.mkdir(os.path.join(source, "images", "2.jpg"))
    assert convert(source, tmp_path / "b") == 1
    assert_message(caplog.text, "images/0.jpg", "masks/1.png", "images/2.jpg")
    assert len(find_dataset(str(tmp_path / "b"), "train")) == 5


def test_convert_refuses_absurd_images_before_decoding(source, tmp_path, caplog):
    write_file(source, "masks/0.png", make_empty_png(17000, 17000, 3))
    os.unlink(os.path.join(source, "images", "1.jpg"))
    write_file(source, "images/1.png", make_empty_png(12000, 12000, 3))
    assert convert(source, tmp_path / "b") == 1
    assert_message(caplog.text, "masks/0.png: 17000x17000", "images/1.png: 12000x12000")
    assert len(find_dataset(str(tmp_path / "b"), "train")) == 6


def test_convert_without_a_usable_pair_is_one_message(source, assert_refused, tmp_path):
    for number in range(8):
        write_file(source, f"masks/{number}.png", "x")
    command = ["data", "convert", "--layout", "pairs", source, tmp_path / "b"]
    assert_refused(command, source, "masks/7.png")


def test_split_keeps_near_duplicates_together(tmp_path):
    source = str(tmp_path / "a")
    for number in range(12):
        for copy, quality in enumerate((95, 60)):
            stem = f"{number}_{copy}"
            write_pair(source, f"train/image/{stem}.jpg", f"train/mask/{stem}.png", number, quality)
    test_stems = []
    for target, seed in (("b", "1"), ("c", "1"), ("d", "2")):
        target = str(tmp_path / target)
        command = ["data", "split", source, target, "--split_ratio", "0.25", "--seed", seed]
        assert main(command) == 0
        train, test = (
            [pair.stem for pair in find_dataset(target, split).pairs] for split in ("train", "test")
        )
        assert [len(train), len(test)] == [18, 6]
        assert not {stem[:-2] for stem in train} & {stem[:-2] for stem in test}
        test_stems.append(test)
    assert test_stems[0] == test_stems[1] != test_stems[2]
