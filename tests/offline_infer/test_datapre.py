import hashlib
import json
import os
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

from helpers import ROOT
from mmnet.datasets.pairs import find_dataset, read_pair
from mmnet.io.resize import resize_bilinear

sys.path.append(ROOT)
from offline_infer import datapre  # noqa: E402

SCRIPT = os.path.join(ROOT, "offline_infer", "datapre.py")
SQUARE = ["--size", "64"]


def prepare(dataset_path, output, *more, shape=SQUARE):
    flags = ["--dataset_path", dataset_path, "--output", str(output)]
    assert datapre.main(flags + shape + list(more)) == 0
    return read_manifest(output)


def read_manifest(output):
    with open(str(output / "test" / "manifest.json")) as file:
        return json.load(file)


def renamed(portraits, folder, names):
    """A copy of the portraits' first pictures under other names."""
    for kind, extension in (("image", ".jpg"), ("mask", ".png")):
        (folder / "test" / kind).mkdir(parents=True)
        for number, name in enumerate(names):
            old = "portrait0_%04d%s" % (number, extension)
            new = folder / "test" / kind / (name + extension)
            shutil.copy(os.path.join(portraits, "test", kind, old), str(new))
    return str(folder)


def contents(folder):
    """Relative path -> bytes of every file."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize(
    "flags, shape",
    [(SQUARE, (64, 64)), (["--shape", "96", "64"], (96, 64)), (["--shape", "32", "64"], (32, 64))],
)
def test_files_are_what_the_network_is_fed(portraits, portrait_set, tmp_path, capsys, flags, shape):
    manifest = prepare(portraits, tmp_path / "Bin", shape=flags)
    pairs = portrait_set.pairs
    assert {key: manifest[key] for key in manifest if key != "pictures"} == {
        "dataset_path": portraits,
        "split": "test",
        "shape": list(shape),
        "dtype": "float32",
        "preprocess": "inside",
    }
    stems = [pair.stem for pair in pairs]
    assert [picture["stem"] for picture in manifest["pictures"]] == stems
    folder = tmp_path / "Bin" / "test"
    assert sorted(os.listdir(str(folder))) == ["images", "manifest.json", "masks"]
    assert os.listdir(str(tmp_path / "Bin")) == ["test"]
    for pair, picture in zip(pairs, manifest["pictures"]):
        image, mask = read_pair(pair)
        data = (folder / "images" / (pair.stem + ".bin")).read_bytes()
        np.testing.assert_array_equal(
            np.frombuffer(data, "<f4").reshape(shape + (3,)),
            resize_bilinear(image, shape, align_corners=True),
        )
        np.testing.assert_array_equal(
            np.fromfile(str(folder / "masks" / (pair.stem + ".bin")), "<f4"),
            resize_bilinear(mask, shape, align_corners=True).ravel(),
        )
        assert picture == {
            "stem": pair.stem,
            "image": pair.stem + ".jpg",
            "mask": pair.stem + ".png",
            "height": 200,
            "width": 150,
            "sha256": hashlib.sha256(data).hexdigest(),
        }
    assert sorted(os.listdir(str(folder / "images"))) == [stem + ".bin" for stem in stems]
    length = shape[0] * shape[1] * 3 * 4
    expected = "6 pictures in %s: %d bytes each, float32 [%d,%d,3], RGB 0..255\n"
    assert capsys.readouterr().out == expected % ((folder / "images", length) + shape)


def test_division_outside_and_bytes(portraits, tmp_path, capsys):
    def first(name):
        return str(tmp_path / name / "test" / "images" / "portrait0_0000.bin")

    for name, flags in (
        ("inside", []),
        ("outside", ["--preprocess", "outside"]),
        ("uint8", ["--dtype", "uint8"]),
        ("both", ["--dtype", "uint8", "--preprocess", "outside"]),
    ):
        manifest = prepare(portraits, tmp_path / name, *flags)
    assert (manifest["dtype"], manifest["preprocess"]) == ("uint8", "outside")
    inside = np.fromfile(first("inside"), "<f4")
    np.testing.assert_array_equal(np.fromfile(first("outside"), "<f4"), inside / np.float32(255))
    for name in ("uint8", "both"):
        np.testing.assert_array_equal(np.fromfile(first(name), np.uint8), np.rint(inside))
    ends = [line.partition(": ")[2] for line in capsys.readouterr().out.splitlines()]
    assert (
        ends[1:]
        == ["49152 bytes each, float32 [64,64,3], RGB 0..1"]
        + ["12288 bytes each, uint8 [64,64,3], RGB 0..255"] * 2
    )


def test_safe_stems():
    stems = ["a.b", "a_b", "a b", "a_b_2", "anna", "\u00e4", "\u65e5\u672c", "__"]
    safe = ["a_b_3", "a_b", "a_b_4", "a_b_2", "anna", "_", "___2", "__"]
    assert datapre.safe_stems(stems) == safe
    long = datapre.safe_stems(["a" * 250, "a" * 251])
    assert long[0] != long[1] and max(map(len, long)) < 210


def test_names_are_made_safe_and_recorded(portraits, tmp_path):
    names = ["anna.2019", "anna 2019", "anna_2019", "\u00e9va"]
    manifest = prepare(renamed(portraits, tmp_path / "named", names), tmp_path / "Bin")
    stems = {picture["image"]: picture["stem"] for picture in manifest["pictures"]}
    assert stems == {
        "anna 2019.jpg": "anna_2019_2",
        "anna.2019.jpg": "anna_2019_3",
        "anna_2019.jpg": "anna_2019",
        "\u00e9va.jpg": "_va",
    }
    written = sorted(os.listdir(str(tmp_path / "Bin" / "test" / "images")))
    assert written == sorted(stem + ".bin" for stem in stems.values())


def test_an_earlier_result_is_replaced_as_a_whole(portraits, tmp_path, monkeypatch):
    prepare(portraits, tmp_path / "Bin")
    two = renamed(portraits, tmp_path / "two", ["a", "b"])
    images = tmp_path / "Bin" / "test" / "images"
    with monkeypatch.context() as broken:

        def full(*_):
            raise OSError("no space left")

        broken.setattr(datapre, "write_json", full)
        with pytest.raises(OSError, match="no space"):
            prepare(two, tmp_path / "Bin")
    assert len(os.listdir(str(images))) == 6
    prepare(two, tmp_path / "Bin")
    assert sorted(os.listdir(str(images))) == ["a.bin", "b.bin"]
    assert os.listdir(str(tmp_path / "Bin")) == ["test"]


def test_everything_wrong_is_said_at_once_and_the_older_result_stays(portraits, tmp_path):
    prepare(portraits, tmp_path / "Bin")
    before = contents(tmp_path / "Bin")
    own = renamed(portraits, tmp_path / "own", ["a", "b", "c", "d", "e"])
    data = tmp_path / "own" / "test"
    (data / "mask" / "a.png").unlink()
    (data / "image" / "b.jpg").unlink()
    (data / "image" / "c.jpg").write_text("no picture")
    cv2.imwrite(str(data / "mask" / "d.png"), np.eye(30, 20, dtype=np.uint8))
    with pytest.raises(ValueError) as caught:
        prepare(own, tmp_path / "Bin")
    said = str(caught.value)
    assert "\n" not in said
    assert "1 images without a mask (a.jpg)" in said
    assert "1 masks without an image (b.png)" in said
    assert "1 unreadable files (%s: not a JPEG" % (data / "image" / "c.jpg") in said
    assert "1 pairs of different sizes" in said and "d.jpg 200x150 with mask 30x20" in said
    assert contents(tmp_path / "Bin") == before
    assert os.listdir(str(tmp_path / "Bin")) == ["test"]


def test_a_foreign_folder_stays(portraits, portrait_set, tmp_path):
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "letter.txt").write_text("dear")
    with pytest.raises(ValueError, match="no manifest.json"):
        prepare(portraits, tmp_path)
    with pytest.raises(ValueError, match="no manifest.json"):
        datapre.datapre(portrait_set, portraits, datapre.Input((64, 64)))
    assert [path.name for path in tmp_path.iterdir()] == ["test"]
    assert (tmp_path / "test" / "letter.txt").exists()


def test_a_split_that_is_no_single_folder(portraits, tmp_path):
    shutil.copytree(portraits, str(tmp_path / "data" / "inner"))
    data_set = find_dataset(str(tmp_path / "data"), os.path.join("inner", "test"))
    with pytest.raises(ValueError, match="name of one folder"):
        datapre.datapre(data_set, str(tmp_path / "Bin"))
    assert not (tmp_path / "Bin").exists()


def test_bad_input_is_one_line(portraits, tmp_path):
    for flags, said in (
        (["--dataset_path", "none here"], "no dataset folder none here"),
        (["--dataset_path", portraits, "--dataset_split_name", "val"], "no split 'val'"),
        (["--dataset_path", portraits, "--dataset_split_name", "../x"], "name of one folder"),
        (["--dataset_path", portraits, "--size", "250"], "multiple of 32"),
        (["--dataset_path", portraits, "--shape", "64", "250"], "multiple of 32"),
        (["--dataset_path", portraits, "--shape", "64"], "--shape"),
        (["--dataset_path", portraits, "--color", "red"], "--color"),
    ):
        done = subprocess.run(
            [sys.executable, SCRIPT, "--output", str(tmp_path / "Bin")] + flags,
            cwd=str(tmp_path),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 2 and done.stdout == ""
        assert said in done.stderr and done.stderr.startswith("datapre.py: error: ")
        assert done.stderr.count("\n") == 1
    assert os.listdir(str(tmp_path)) == []
