"""The conversion of a dataset: what is written, what goes on, what stays as it is."""

import json
import os
import shutil

import numpy as np
import pytest

from helpers.layouts import dapm, portrait, put
from mmnet.cli import main
from mmnet.datasets.pairs import find_dataset
from mmnet.io.images import encode_jpeg, encode_png, load_mask


@pytest.fixture
def source(tmp_path):
    folder = str(tmp_path / "a")
    for number in range(8):
        image, mask = portrait(number)
        put(folder, "images/%d.jpg" % number, encode_jpeg(image))
        put(folder, "masks/%d.png" % number, encode_png(mask))
    return folder


def convert(source, target, *flags):
    return main(["data", "convert", "--from", "pairs", source, str(target), *flags])


def state_of(folder):
    """Everything of a folder that a conversion could change."""
    states = {}
    for inside, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(inside, name)
            status = os.stat(path)
            states[path] = status.st_mode, status.st_mtime_ns, status.st_size, status.st_ino
    return states


@pytest.mark.parametrize("flags, links", [([], 16), (["--copies"], 0)])
def test_links_or_copies_and_the_source_stays(source, tmp_path, capfd, flags, links):
    os.chmod(os.path.join(source, "images", "3.jpg"), 0o640)
    before = state_of(source)
    assert convert(source, tmp_path / "b", "--json", *flags) == 0
    assert json.loads(capfd.readouterr().out)["linked"] == links
    assert state_of(source) == before
    for pair in find_dataset(str(tmp_path / "b"), "train").pairs:
        original = os.path.join(source, "images", os.path.basename(pair.image))
        assert os.path.samefile(pair.image, original) == bool(links)


def test_another_size_of_the_same_aspect_is_resized_and_said(source, tmp_path, caplog):
    _, mask = portrait(0)
    put(source, "masks/0.png", encode_png(np.ascontiguousarray(mask[::2, ::2])))
    put(source, "masks/1.png", encode_png(np.ascontiguousarray(mask[:, ::2])))
    assert convert(source, tmp_path / "b") == 1
    assert "1 masks of another size, resized (0.jpg 80x60 with mask 40x30)" in caplog.text
    assert "skipped: 1 pairs of different shapes (height x width) (1.jpg 80x60" in caplog.text
    data_set = find_dataset(str(tmp_path / "b"), "train")
    assert [pair.stem for pair in data_set.pairs] == ["0"] + list("234567")
    assert np.abs(load_mask(data_set.pairs[0].mask) - mask / 255).mean() < 0.03


def test_what_was_interrupted_goes_on(source, tmp_path, capfd):
    target = tmp_path / "b"
    assert convert(source, target) == 0
    manifest = target / "manifest.jsonl"
    lines = manifest.read_text().splitlines(True)
    manifest.write_text("".join(lines[:4]) + lines[4][:20])  # killed while it wrote the fourth
    os.unlink(str(target / "train" / "image" / "0.jpg"))
    before = state_of(str(target / "train"))
    capfd.readouterr()
    assert convert(source, target, "--json") == 0
    record = json.loads(capfd.readouterr().out)
    assert record["pairs"] == {"train": 8} and record["before"] == 2
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    assert sorted({line["stem"] for line in lines[1:]}) == list("01234567")
    assert before.items() <= state_of(str(target / "train")).items()


def test_a_target_that_holds_something_else_stays(source, tmp_path, capfd):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.txt").write_text("mine")
    assert convert(source, tmp_path / "b") == 2
    assert "holds something else (thesis.txt): give a new folder" in capfd.readouterr().err
    assert os.listdir(str(tmp_path / "b")) == ["thesis.txt"]
    assert convert(source, tmp_path / "c") == 0
    assert convert(source, tmp_path / "c", "--copies") == 2
    assert "was made of something else, or otherwise" in capfd.readouterr().err
    assert convert(source, source) == 2
    assert "is the source and the target" in capfd.readouterr().err


def test_a_full_disk_in_the_middle(source, tmp_path, capfd, monkeypatch):
    import mmnet.datatools.convert as module

    put_file = module.put

    def full(path, target, copies):
        if path.endswith("4.png"):
            raise OSError(28, "No space left on device", target)
        return put_file(path, target, copies)

    monkeypatch.setattr(module, "put", full)
    assert convert(source, tmp_path / "b") == 2
    error = capfd.readouterr().err
    assert "No space left on device" in error and "4.png" in error and error.count("\n") == 1
    monkeypatch.undo()
    assert convert(source, tmp_path / "b", "--json") == 0
    record = json.loads(capfd.readouterr().out)
    assert record["pairs"] == {"train": 8} and 0 < record["before"] < 8


def test_near_duplicates_stay_on_one_side_of_a_split(tmp_path, capfd):
    source = str(tmp_path / "a")
    for number in range(12):
        image, mask = portrait(number)
        for copy, quality in enumerate((95, 60)):
            put(source, "train/image/%d_%d.jpg" % (number, copy), encode_jpeg(image, quality))
            put(source, "train/mask/%d_%d.png" % (number, copy), encode_png(mask))
    sides = []
    for target, seed in (("b", "1"), ("c", "1"), ("d", "2")):
        target = str(tmp_path / target)
        command = ["data", "split", source, target, "--split_ratio", "0.25", "--seed", seed]
        assert main(command) == 0
        stems = [
            [pair.stem for pair in find_dataset(target, split).pairs] for split in ("train", "test")
        ]
        assert [len(each) for each in stems] == [18, 6]
        assert not {stem[:-2] for stem in stems[0]} & {stem[:-2] for stem in stems[1]}
        sides.append(stems[1])
    assert sides[0] == sides[1] != sides[2]
    shutil.rmtree(str(tmp_path / "c"))
    dapm(str(tmp_path / "c"))
    capfd.readouterr()
    assert main(["data", "convert", source, str(tmp_path / "e")]) == 2
    assert main(["data", "split", source]) == 2
    assert "mmnet data split takes SOURCE TARGET" in capfd.readouterr().err
