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


def copy_portraits(portraits, folder, stems):
    """Copy the first portraits under other stems. Return the folder."""
    for kind, extension in (("image", ".jpg"), ("mask", ".png")):
        (folder / "test" / kind).mkdir(parents=True)
        for index, stem in enumerate(stems):
            source = os.path.join(portraits, "test", kind, f"portrait0_{index:04d}{extension}")
            shutil.copy(source, str(folder / "test" / kind / (stem + extension)))
    return folder


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
    output = tmp_path / "Bin"
    manifest = run_datapre(portraits, output, shape=flags)
    entries = manifest.pop("pictures")
    assert manifest == {
        "dataset_path": portraits,
        "split": "test",
        "shape": list(shape),
        "dtype": "float32",
        "preprocess": "inside",
    }
    pairs = portrait_set.pairs
    stems = [pair.stem for pair in pairs]
    assert [entry["stem"] for entry in entries] == stems
    folder = output / "test"
    assert os.listdir(str(output)) == ["test"]
    assert sorted(os.listdir(str(folder))) == ["images", "manifest.json", "masks"]
    assert sorted(os.listdir(str(folder / "images"))) == [stem + ".bin" for stem in stems]
    for pair, entry in zip(pairs, entries):
        image, mask = read_pair(pair)
        data = (folder / "images" / (pair.stem + ".bin")).read_bytes()
        np.testing.assert_array_equal(
            np.frombuffer(data, "<f4").reshape(*shape, 3),
            resize_bilinear(image, shape, align_corners=True),
        )
        np.testing.assert_array_equal(
            np.fromfile(str(folder / "masks" / (pair.stem + ".bin")), "<f4"),
            resize_bilinear(mask, shape, align_corners=True).ravel(),
        )
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


@pytest.mark.parametrize(
    "flags, dtype, divisor, line_end",
    [
        ([], "<f4", 1, "49152 bytes each, float32 [64,64,3], RGB 0..255"),
        (["--preprocess", "outside"], "<f4", 255, "49152 bytes each, float32 [64,64,3], RGB 0..1"),
        (["--dtype", "uint8"], "u1", 1, "12288 bytes each, uint8 [64,64,3], RGB 0..255"),
        (
            ["--dtype", "uint8", "--preprocess", "outside"],
            "u1",
            1,
            "12288 bytes each, uint8 [64,64,3], RGB 0..255",
        ),
    ],
    ids=["inside", "outside", "uint8", "uint8 outside"],
)
def test_dtype_and_preprocess(
    portraits, portrait_set, tmp_path, capsys, flags, dtype, divisor, line_end
):
    manifest = run_datapre(portraits, tmp_path, *flags)
    assert (manifest["dtype"] == "uint8") == (dtype == "u1")
    assert manifest["preprocess"] == ("outside" if "outside" in flags else "inside")
    image, _ = read_pair(portrait_set.pairs[0])
    expected = resize_bilinear(image, (64, 64), align_corners=True)
    if dtype == "u1":
        expected = np.rint(expected)
    values = np.fromfile(str(tmp_path / "test" / "images" / "portrait0_0000.bin"), dtype)
    np.testing.assert_array_equal(values, expected.ravel() / np.float32(divisor))
    assert capsys.readouterr().out.rstrip().endswith(line_end)


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


def test_earlier_result_is_replaced_completely_or_not(portraits, tmp_path, monkeypatch):
    output = tmp_path / "Bin"
    run_datapre(portraits, output)
    two = copy_portraits(portraits, tmp_path / "two", ["a", "b"])
    images = str(output / "test" / "images")
    with monkeypatch.context() as context:

        def fail(*_):
            raise OSError("no space left")

        context.setattr(datapre, "write_json", fail)
        with pytest.raises(OSError, match="no space"):
            run_datapre(two, output)
    assert len(os.listdir(images)) == 6
    run_datapre(two, output)
    assert sorted(os.listdir(images)) == ["a.bin", "b.bin"]
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
    with pytest.raises(MmnetError) as caught:
        run_datapre(dataset, output)
    message = str(caught.value)
    assert_message(message, "a.jpg", "b.png", split / "image" / "c.jpg")
    assert_message(message, "d.jpg", "200x150", "30x20")
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
