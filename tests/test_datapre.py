import hashlib
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from conftest import ROOT
from mmnet.data.images import resize_bilinear
from mmnet.data.pairs import load_pairs, read_pair

sys.path.append(ROOT)
from offline_infer import datapre  # noqa: E402

SCRIPT = os.path.join(ROOT, "offline_infer", "datapre.py")
SIDE = 64


def prepare(dataset_path, output, *more):
    flags = ["--dataset_path", dataset_path, "--output", str(output), "--size", str(SIDE)]
    assert datapre.main(flags + list(more)) == 0
    with open(str(output / "test" / "manifest.json")) as file:
        return json.load(file)


def renamed(portraits, folder, names):
    """A copy of the portraits' first pictures under other names."""
    for kind, extension in (("image", ".jpg"), ("mask", ".png")):
        (folder / "test" / kind).mkdir(parents=True)
        for number, name in enumerate(names):
            shutil.copy(os.path.join(portraits, "test", kind, "portrait0_%04d%s" % (number, extension)),
                        str(folder / "test" / kind / (name + extension)))
    return str(folder)


def test_files_are_what_the_network_is_fed(portraits, tmp_path, capsys):
    manifest = prepare(portraits, tmp_path / "Bin")
    pairs = load_pairs(portraits, "test")
    assert {key: manifest[key] for key in manifest if key != "pictures"} == {
        "dataset_path": portraits, "split": "test", "size": SIDE, "dtype": "float32", "preprocess": "inside"}
    assert [picture["stem"] for picture in manifest["pictures"]] == [pair.stem for pair in pairs]
    folder = tmp_path / "Bin" / "test"
    assert sorted(os.listdir(str(folder))) == ["images", "manifest.json", "masks"]
    assert os.listdir(str(tmp_path / "Bin")) == ["test"]
    for pair, picture in zip(pairs, manifest["pictures"]):
        image, mask = read_pair(pair)
        data = (folder / "images" / (pair.stem + ".bin")).read_bytes()
        np.testing.assert_array_equal(np.frombuffer(data, "<f4").reshape(SIDE, SIDE, 3),
                                      resize_bilinear(image, (SIDE, SIDE), align_corners=True))
        np.testing.assert_array_equal(np.fromfile(str(folder / "masks" / (pair.stem + ".bin")), "<f4"),
                                      resize_bilinear(mask, (SIDE, SIDE), align_corners=True).ravel())
        assert picture == {"stem": pair.stem, "image": pair.stem + ".jpg", "mask": pair.stem + ".png", "height": 200,
                           "width": 150, "sha256": hashlib.sha256(data).hexdigest()}
    assert sorted(os.listdir(str(folder / "images"))) == [pair.stem + ".bin" for pair in pairs]
    assert capsys.readouterr().out == "6 pictures in %s: 49152 bytes each, float32 [64,64,3], RGB 0..255\n" % (
        folder / "images")


def test_division_outside_and_bytes(portraits, tmp_path, capsys):
    def first(name):
        return str(tmp_path / name / "test" / "images" / "portrait0_0000.bin")
    for name, flags in (("inside", []), ("outside", ["--preprocess", "outside"]), ("uint8", ["--dtype", "uint8"]),
                        ("both", ["--dtype", "uint8", "--preprocess", "outside"])):
        manifest = prepare(portraits, tmp_path / name, *flags)
    assert (manifest["dtype"], manifest["preprocess"]) == ("uint8", "outside")
    inside = np.fromfile(first("inside"), "<f4")
    np.testing.assert_array_equal(np.fromfile(first("outside"), "<f4"), inside / np.float32(255))
    for name in ("uint8", "both"):
        np.testing.assert_array_equal(np.fromfile(first(name), np.uint8), np.rint(inside))
    ends = [line.partition(": ")[2] for line in capsys.readouterr().out.splitlines()]
    assert ends[1:] == ["49152 bytes each, float32 [64,64,3], RGB 0..1"] + [
        "12288 bytes each, uint8 [64,64,3], RGB 0..255"] * 2


def test_safe_stems():
    assert datapre.safe_stems(["a.b", "a_b", "a b", "a_b_2", "anna", "\u00e4", "\u65e5\u672c", "__"]) == [
        "a_b_3", "a_b", "a_b_4", "a_b_2", "anna", "_", "___2", "__"]
    long = datapre.safe_stems(["a" * 250, "a" * 251])
    assert long[0] != long[1] and max(map(len, long)) < 210


def test_names_are_made_safe_and_recorded(portraits, tmp_path):
    names = ["anna.2019", "anna 2019", "anna_2019", "\u00e9va"]
    manifest = prepare(renamed(portraits, tmp_path / "named", names), tmp_path / "Bin")
    stems = {picture["image"]: picture["stem"] for picture in manifest["pictures"]}
    assert stems == {"anna 2019.jpg": "anna_2019_2", "anna.2019.jpg": "anna_2019_3", "anna_2019.jpg": "anna_2019",
                     "\u00e9va.jpg": "_va"}
    assert sorted(os.listdir(str(tmp_path / "Bin" / "test" / "images"))) == sorted(
        stem + ".bin" for stem in stems.values())


def test_an_earlier_result_is_replaced_as_a_whole(portraits, tmp_path, monkeypatch):
    prepare(portraits, tmp_path / "Bin")
    two = renamed(portraits, tmp_path / "two", ["a", "b"])
    images = tmp_path / "Bin" / "test" / "images"
    with monkeypatch.context() as broken:
        def full(*_):
            raise OSError("no space left")
        broken.setattr(datapre, "write_text", full)
        with pytest.raises(OSError, match="no space"):
            prepare(two, tmp_path / "Bin")
    assert len(os.listdir(str(images))) == 6
    prepare(two, tmp_path / "Bin")
    assert sorted(os.listdir(str(images))) == ["a.bin", "b.bin"]
    assert os.listdir(str(tmp_path / "Bin")) == ["test"]


def test_a_foreign_folder_stays(portraits, tmp_path):
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "letter.txt").write_text("dear")
    with pytest.raises(ValueError, match="no manifest.json"):
        prepare(portraits, tmp_path)
    with pytest.raises(ValueError, match="no manifest.json"):
        datapre.datapre(portraits, "test", portraits, SIDE)
    assert [path.name for path in tmp_path.iterdir()] == ["test"] and (tmp_path / "test" / "letter.txt").exists()


def test_bad_input_is_one_line(portraits, tmp_path):
    for flags, said in ((["--dataset_path", "none here"], "no data set folder none here"),
                        (["--dataset_path", portraits, "--dataset_split_name", "val"], "no split 'val'"),
                        (["--dataset_path", portraits, "--dataset_split_name", "../x"], "name of one folder"),
                        (["--dataset_path", portraits, "--size", "250"], "multiple of 32"),
                        (["--dataset_path", portraits, "--color", "red"], "--color")):
        done = subprocess.run([sys.executable, SCRIPT, "--output", str(tmp_path / "Bin")] + flags, cwd=str(tmp_path),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
        assert done.returncode == 2 and done.stdout == ""
        assert said in done.stderr and done.stderr.startswith("datapre.py: error: ") and done.stderr.count("\n") == 1
    assert os.listdir(str(tmp_path)) == []
