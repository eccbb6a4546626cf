"""Tests of offline_infer/datapre.py."""

import hashlib
import json
import os
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

from helpers import ROOT, assert_message, assert_raises
from helpers.results import copy_portraits
from mmnet.datasets.pairs import find_dataset, read_pair
from mmnet.io.errors import MmnetError
from mmnet.io.resize import resize_bilinear

sys.path.append(ROOT)
from offline_infer import datapre  # noqa: E402

SCRIPT = os.path.join(ROOT, "offline_infer", "datapre.py")
SQUARE = ["--size", "64"]


def run_datapre(dataset_path, output, *flags, shape=SQUARE):
    """Run the script. Return the manifest."""
    arguments = ["--dataset_path", str(dataset_path), "--output", str(output), *shape, *flags]
    assert datapre.main(arguments) == 0
    return json.loads((output / "test" / "manifest.json").read_text())


def read_files(folder):
    """Return relative path -> bytes of every file."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.mark.parametrize(
    "flags, shape",
    [(SQUARE, (64, 64)), (["--shape", "96", "64"], (96, 64)), (["--shape", "32", "64"], (32, 64))],
    ids=["size", "tall", "wide"],
)
def test_files_equal_the_network_input(portraits, portrait_set, tmp_path, capsys, flags, shape):
    output, folder = tmp_path / "Bin", tmp_path / "Bin" / "test"
    manifest = run_datapre(portraits, output, shape=flags)
    entries = manifest.pop("pictures")
    assert manifest == {
        "dataset_path": portraits,
        "split": "test",
        "shape": list(shape),
        "dtype": "float32",
        "preprocess": "inside",
    }
    assert os.listdir(str(output)) == ["test"]
    assert sorted(os.listdir(str(folder))) == ["images", "manifest.json", "masks"]
    names = [pair.stem + ".bin" for pair in portrait_set.pairs]
    assert sorted(os.listdir(str(folder / "images"))) == names
    for pair, name, entry in zip(portrait_set.pairs, names, entries):
        data = (folder / "images" / name).read_bytes()
        for file, array in zip(("images", "masks"), read_pair(pair)):
            values = np.fromfile(str(folder / file / name), "<f4")
            expected = resize_bilinear(array, shape, align_corners=True)
            np.testing.assert_array_equal(values, expected.ravel())
        assert entry == {
            "stem": pair.stem,
            "image": pair.stem + ".jpg",
            "mask": pair.stem + ".png",
            "height": 200,
            "width": 150,
            "sha256": hashlib.sha256(data).hexdigest(),
        }
    height, width = shape
    assert capsys.readouterr().out == (
        f"6 pictures in {folder / 'images'}: {height * width * 12} bytes each, "
        f"float32 [{height},{width},3], RGB 0..255\n"
    )


@pytest.mark.parametrize("preprocess", ["inside", "outside"])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_dtype_and_preprocess(portraits, portrait_set, tmp_path, capsys, dtype, preprocess):
    manifest = run_datapre(portraits, tmp_path, "--dtype", dtype, "--preprocess", preprocess)
    assert (manifest["dtype"], manifest["preprocess"]) == (dtype, preprocess)
    expected = resize_bilinear(read_pair(portrait_set.pairs[0])[0], (64, 64), align_corners=True)
    value_range = "0..255"
    if dtype == "uint8":
        expected = np.rint(expected)
    elif preprocess == "outside":
        expected, value_range = expected / np.float32(255), "0..1"
    values = np.fromfile(str(tmp_path / "test" / "images" / "portrait0_0000.bin"), dtype)
    np.testing.assert_array_equal(values, expected.ravel())
    line_end = f"{values.nbytes} bytes each, {dtype} [64,64,3], RGB {value_range}\n"
    assert capsys.readouterr().out.endswith(line_end)


def test_make_safe_stems():
    stems = ["a.b", "a_b", "a b", "a_b_2", "anna", "\u00e4", "\u65e5\u672c", "__"]
    safe = ["a_b_3", "a_b", "a_b_4", "a_b_2", "anna", "_", "___2", "__"]
    assert datapre.make_safe_stems(stems) == safe
    long = datapre.make_safe_stems(["a" * 250, "a" * 251])
    assert long[0] != long[1] and max(map(len, long)) < 210


def test_manifest_records_original_names(portraits, tmp_path):
    stems = ["anna.2019", "anna 2019", "anna_2019", "\u00e9va"]
    dataset = copy_portraits(portraits, tmp_path / "renamed", stems)
    manifest = run_datapre(dataset, tmp_path / "Bin")
    safe_stems = {entry["image"]: entry["stem"] for entry in manifest["pictures"]}
    assert safe_stems == {
        "anna 2019.jpg": "anna_2019_2",
        "anna.2019.jpg": "anna_2019_3",
        "anna_2019.jpg": "anna_2019",
        "\u00e9va.jpg": "_va",
    }
    names = sorted(os.listdir(str(tmp_path / "Bin" / "test" / "images")))
    assert names == sorted(stem + ".bin" for stem in safe_stems.values())


def test_earlier_result_is_replaced_completely(portraits, tmp_path):
    output = tmp_path / "Bin"
    run_datapre(portraits, output)
    run_datapre(copy_portraits(portraits, tmp_path / "two", ["a", "b"]), output)
    assert sorted(os.listdir(str(output / "test" / "images"))) == ["a.bin", "b.bin"]
    assert os.listdir(str(output)) == ["test"]


def test_unusable_pairs_are_all_reported_and_the_earlier_result_stays(portraits, tmp_path):
    output = tmp_path / "Bin"
    run_datapre(portraits, output)
    files = read_files(output)
    dataset = copy_portraits(portraits, tmp_path / "damaged", ["a", "b", "c", "d", "e"])
    split = dataset / "test"
    (split / "mask" / "a.png").unlink()
    (split / "image" / "b.jpg").unlink()
    (split / "image" / "c.jpg").write_text("no image")
    cv2.imwrite(str(split / "mask" / "d.png"), np.eye(30, 20, dtype=np.uint8))
    tokens = ["a.jpg", "b.png", split / "image" / "c.jpg", "d.jpg", "200x150", "30x20"]
    with assert_raises(MmnetError, *tokens):
        run_datapre(dataset, output)
    assert read_files(output) == files
    assert os.listdir(str(output)) == ["test"]


def test_foreign_folder_is_unchanged(portraits, portrait_set, tmp_path):
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "letter.txt").write_text("dear")
    for output in (str(tmp_path), portraits):
        with assert_raises(MmnetError, os.path.join(output, "test"), "manifest.json"):
            datapre.write_inputs(portrait_set, output, datapre.InputFormat((64, 64)))
    assert [path.name for path in tmp_path.iterdir()] == ["test"]
    assert (tmp_path / "test" / "letter.txt").exists()


def test_split_must_be_one_folder(portraits, tmp_path):
    shutil.copytree(portraits, str(tmp_path / "data" / "inner"))
    dataset = find_dataset(str(tmp_path / "data"), os.path.join("inner", "test"))
    with assert_raises(MmnetError, "inner/test"):
        datapre.write_inputs(dataset, str(tmp_path / "Bin"))
    assert not (tmp_path / "Bin").exists()


@pytest.mark.parametrize(
    "flags, tokens",
    [
        (["--dataset_path", "missing"], ["missing"]),
        (["--dataset_split_name", "val"], ["val"]),
        (["--dataset_split_name", "../x"], ["../x"]),
        (["--dataset_split_name", ""], ["--dataset_split_name"]),
        (["--size", "250"], ["--size", "250", "32"]),
        (["--shape", "64", "250"], ["--shape", "250", "32"]),
        (["--shape", "64"], ["--shape"]),
        (["--color", "red"], ["--color"]),
    ],
)
def test_bad_input_is_one_line(portraits, tmp_path, flags, tokens):
    command = [sys.executable, SCRIPT, "--output", str(tmp_path / "Bin")]
    result = subprocess.run(
        [*command, "--dataset_path", portraits, *flags],
        cwd=str(tmp_path),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2 and result.stdout == ""
    assert result.stderr.startswith("datapre.py: error: ") and result.stderr.count("\n") == 1
    assert_message(result.stderr, *tokens)
    assert os.listdir(str(tmp_path)) == []
