"""What a stranger hands in: one line that names it, exit code 2, no traceback, nothing lost."""

import json
import os
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
from mmnet.io.memory import machine_memory

from helpers import SMALL_FLAGS
from mmnet.cli import main
from mmnet.inference.open import load_weights
from mmnet.io import checkpoint_files, files
from mmnet.io.images import read_image
from mmnet.tf import checkpoint


@pytest.fixture
def refused(capfd):
    """Run a command that must be refused; its line on stderr."""

    def run(*arguments):
        capfd.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code
        out, err = capfd.readouterr()
        assert (code, out, err.count("\n")) == (2, "", 1), err
        return err

    return run


def command(*arguments, **options):
    """Run a command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "mmnet"] + [str(argument) for argument in arguments],
        timeout=120,
        **options,
    )


# Outputs


def test_an_output_is_never_an_input(refused, write_checkpoints, tmp_path):
    folder = write_checkpoints(3)
    (data, index), prefix = checkpoint_files.files_of(folder + "/MMNetModel-3"), folder
    before = files.read_bytes(data)
    freeze = ["freeze", "--checkpoint_path", prefix] + SMALL_FLAGS + ["--output"]
    assert "is an input of this command and stays" in refused(*freeze, data)
    assert "is an input of this command and stays" in refused(*freeze, index)
    assert files.read_bytes(data) == before
    both = str(tmp_path / "x.pb")
    assert "are the same file" in refused(*freeze, both, "--graph", both)
    assert "is not a regular file and stays" in refused(*freeze, "/dev/null")
    (tmp_path / "letter.txt").write_text("dear")
    assert "was not written by this command" in refused(*freeze, tmp_path / "letter.txt")
    assert (tmp_path / "letter.txt").read_text() == "dear"
    assert not os.path.exists(both)


def test_an_export_replaces_only_exports(refused, lively_weights, tmp_path):
    export = ["export", "--checkpoint_path", lively_weights.source, "--output", tmp_path]
    for name, kind in (("mmnet_float32.tflite", "tflite"), ("mmnet.onnx", "onnx")):
        (tmp_path / name).write_text("a thesis")
        error = refused(*export, "--format", kind, *SMALL_FLAGS)
        assert name in error and "was not written by this command" in error
        assert (tmp_path / name).read_text() == "a thesis"
    (tmp_path / "mmnet.pb.json").write_text('{"letters": 3}')
    assert "mmnet.pb.json" in refused(*export, "--format", "pb", *SMALL_FLAGS)
    assert sorted(os.listdir(str(tmp_path))) == [
        "mmnet.onnx",
        "mmnet.pb.json",
        "mmnet_float32.tflite",
    ]


def test_a_photo_is_never_a_result(refused, portraits, lively_weights, tmp_path):
    photo = os.path.join(portraits, "test", "image", "portrait0_0001.jpg")
    for name in ("a.jpg", "a_alpha.png"):
        cv2.imwrite(str(tmp_path / name), cv2.imread(photo))
    error = refused(
        "predict",
        tmp_path / "a.jpg",
        tmp_path / "a_alpha.png",
        "--output",
        tmp_path,
        "--checkpoint_path",
        lively_weights.source,
    )
    assert "a_alpha.png is a result of another photo" in error


def test_devices_and_folders_are_never_replaced(tmp_path):
    for path in ("/dev/null", str(tmp_path)):
        with pytest.raises(ValueError, match="is not a regular file and stays"):
            files.write_bytes(path, b"x")


# Absurd sizes


@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate", "--size", "3200000"],
        ["evaluate", "--target_eval_shape", "1000000", "1000000"],
        ["train", "--train_dir", "never", "--width_multiplier", "3000"],
        ["train", "--train_dir", "never", "--shape", "320000", "320000"],
        ["synthesize", "--shape", "1000000", "1000000"],
    ],
)
def test_absurd_sizes(refused, portraits, arguments):
    assert machine_memory() > 1 << 28
    error = refused(*arguments, "--dataset_path", portraits)
    assert "of memory, and this machine has" in error
    assert not os.path.exists("never")


def test_memory_that_is_not_there_after_all(refused, portraits, monkeypatch):
    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr("mmnet.commands.evaluate.open_predictor", full)
    assert "not enough memory" in refused("evaluate", "--dataset_path", portraits)


# Presets


@pytest.mark.parametrize(
    "text, message",
    [
        ("a: &a [1, 1]\nb: [*a, *a]\n", "an alias (*name) in line 2"),
        ("[" * 3000, "is not YAML of plain settings"),
        ("size: " + "5" * 5000, "p.yaml"),
        ("x: " + "y" * 200000, "a preset is a short file of settings"),
        ("!!python/object/apply:os.system [ls]", "is not YAML of plain settings"),
        (b"\xff\xfe", "is not UTF-8 text"),
        ("optimizer: " + "y" * 9000, "optimizer: one of adam"),
    ],
)
def test_presets(refused, portraits, tmp_path, text, message):
    preset = tmp_path / "p.yaml"
    preset.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    flags = ["--dataset_path", portraits, "--train_dir", tmp_path / "run", "--config", preset]
    error = refused("train", *flags)
    assert message in error and "p.yaml" in error and len(error) < 500


# Checkpoints


def test_folders_whose_names_are_patterns(lively_weights, tmp_path):
    for name in ("run [1]", "a\\b", "w*", "q?"):
        folder = tmp_path / name
        folder.mkdir()
        for path in checkpoint_files.files_of(lively_weights.source):
            shutil.copy(path, str(folder))
        weights = load_weights(str(folder), {"width_multiplier": 0.25, "shape": (64, 64)})
        assert weights.values.keys() == lively_weights.values.keys()
        checkpoint.write(str(folder / "MMNetModel-6"), {"a": np.ones(3, "f")})
        assert checkpoint.read(str(folder / "MMNetModel-6"))["a"].sum() == 3


def test_weights_that_are_not_finite(refused, lively_weights, portraits, tmp_path):
    values = {name: np.array(value) for name, value in lively_weights.values.items()}
    name = sorted(name for name in values if name.endswith("/weights"))[3]
    values[name].flat[2] = np.nan
    checkpoint.write(str(tmp_path / "MMNetModel-1"), values)
    flags = ["--dataset_path", portraits, "--checkpoint_path", tmp_path] + SMALL_FLAGS
    error = refused("evaluate", *flags)
    assert "MMNetModel-1: 1 of the " in error and name in error and "not finite" in error
    values = dict(lively_weights.values, global_step=np.arange(3))
    checkpoint.write(str(tmp_path / "MMNetModel-2"), values)
    assert "global_step is int64 [3], not one whole number" in refused("evaluate", *flags)


# Things that are no files


def test_pipes_are_refused_at_once(lively_weights, portraits, tmp_path, capfd, caplog):
    folder = str(tmp_path / "set")
    shutil.copytree(portraits, folder)
    for kind, name in (("image", "portrait0_0002.jpg"), ("mask", "portrait0_0004.png")):
        path = os.path.join(folder, "test", kind, name)
        os.unlink(path)
        os.mkfifo(path)
    flags = ["--checkpoint_path", lively_weights.source] + SMALL_FLAGS
    assert main(["evaluate", "--dataset_path", folder] + flags) == 2
    error = capfd.readouterr().err
    assert "2 unreadable files" in error and "is not a regular file" in error
    images = os.path.join(folder, "test", "image")
    assert main(["predict", images, "--output", str(tmp_path / "out")] + flags) == 1
    assert "portrait0_0002.jpg is not a regular file" in caplog.text
    os.mkfifo(str(tmp_path / "model.tflite"))
    assert main(["info", str(tmp_path / "model.tflite")]) == 2


# Photos


def test_one_bad_photo_does_not_stop_a_folder(lively_weights, portraits, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    good = os.path.join(portraits, "test", "image", "portrait0_0001.jpg")
    names = [b"b.jpg", b"n" * 250 + b".jpg", b"\xff\xfe.jpg", "ä.jpg".encode()]
    for name in names:
        shutil.copy(good, os.fsencode(str(photos)) + b"/" + name)
    cv2.imwrite(str(photos / "w.webp"), cv2.imread(good))
    (photos / "x.heic").write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 40)
    (photos / "y.gif").write_bytes(b"GIF89a")
    done = command(
        "predict",
        photos,
        "--checkpoint_path",
        lively_weights.source,
        "--output",
        tmp_path / "out",
        *SMALL_FLAGS,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    error = done.stderr.decode("ascii", "backslashreplace")
    assert done.returncode == 1, error
    assert done.stdout.count(b" -> ") == 4 and error.count("skipped: ") == 2
    assert "File name too long" in error and "x.heic" in error
    assert "1 pictures of formats that are not read (y.gif)" in error
    assert "Traceback" not in error


def test_webp(tmp_path):
    picture = np.zeros((20, 30, 3), np.uint8)
    picture[:, 10:] = (10, 200, 60)
    path = tmp_path / "a.webp"
    assert cv2.imwrite(str(path), picture[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, 101])
    np.testing.assert_array_equal(read_image(str(path)), picture)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match="a.webp is damaged or cut off"):
        read_image(str(path))


def test_two_trainers_in_one_folder(refused, portraits, tmp_path):
    flags = ["--dataset_path", portraits, "--dataset_split_name", "test", "--batch_size", "2"]
    flags += ["--width_multiplier", "0.25", "--size", "32", "--max_step_from_restore", "1"]
    with files.locked(str(tmp_path)):
        error = refused("train", *flags, "--train_dir", tmp_path)
        assert "is in use: process %d writes there" % os.getpid() in error
    assert os.listdir(str(tmp_path)) == [files.LOCK]
    with files.locked(str(tmp_path)):  # it was let go of
        pass


@pytest.mark.parametrize("stream", ["closed", "full"])
def test_stderr_that_takes_nothing(lively_weights, portraits, tmp_path, stream):
    redirect = {"closed": "2>&-", "full": "2>/dev/full"}[stream]
    arguments = ["evaluate", "--dataset_path", portraits, "--json", "--output", str(tmp_path)]
    arguments += ["--checkpoint_path", lively_weights.source] + SMALL_FLAGS
    line = 'exec "$@" ' + redirect
    done = subprocess.run(
        ["sh", "-c", line, "sh", sys.executable, "-m", "mmnet"] + arguments,
        stdout=subprocess.PIPE,
        timeout=120,
    )
    assert done.returncode == 0 and json.loads(done.stdout.decode())["pictures"] == 6


@pytest.mark.parametrize("redirect, code", [(">&-", 0), (">/dev/full", 2)])
def test_stdout_that_takes_nothing(portraits, tmp_path, redirect, code):
    line = 'exec "$@" ' + redirect
    synthesize = ["synthesize", "--dataset_path", str(tmp_path / "made"), "--pictures", "1"]
    done = subprocess.run(
        ["sh", "-c", line, "sh", sys.executable, "-m", "mmnet"] + synthesize,
        stderr=subprocess.PIPE,
        timeout=120,
    )
    error = done.stderr.decode()
    assert done.returncode == code and "Traceback" not in error, error
    assert error.count("\n") == (code != 0)
