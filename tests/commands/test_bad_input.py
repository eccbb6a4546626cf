"""Bad input on the command line: one message that names it, exit code 2, nothing lost."""

import json
import os
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

from helpers import SMALL_FLAGS, assert_message, assert_raises
from mmnet.inference.open import load_weights
from mmnet.io import checkpoint_files, files
from mmnet.io.errors import MmnetError
from mmnet.io.images import save_png
from mmnet.io.memory import machine_memory
from mmnet.tf import checkpoint

TIMEOUT = 120  # seconds


def start(arguments, redirect="", **options):
    """Run a command in its own process; ``redirect`` is shell syntax."""
    line = f'exec "$@" {redirect}'
    command = ["sh", "-c", line, "sh", sys.executable, "-m", "mmnet", *map(str, arguments)]
    return subprocess.run(command, timeout=TIMEOUT, **options)


def test_freeze_never_replaces_an_input_or_a_foreign_file(
    assert_refused, write_checkpoints, tmp_path
):
    folder = write_checkpoints(3)
    data, index = checkpoint_files.files_of(os.path.join(folder, "MMNetModel-3"))
    content = files.read_bytes(data)
    freeze = ["freeze", "--checkpoint_path", folder, *SMALL_FLAGS, "--output"]
    for path in (data, index):
        assert_refused([*freeze, path], "--output", path)
    assert files.read_bytes(data) == content
    model, letter = tmp_path / "x.pb", tmp_path / "letter.txt"
    assert_refused([*freeze, model, "--graph", model], "--graph", model)
    assert_refused([*freeze, "/dev/null"], "/dev/null")
    letter.write_text("dear")
    assert_refused([*freeze, letter], letter)
    assert letter.read_text() == "dear" and not model.exists()


def test_export_replaces_only_exports(assert_refused, small_weights, tmp_path):
    export = ["export", "--checkpoint_path", small_weights.source, "--output", tmp_path]
    for name, model_format in (("tiny_float32.tflite", "tflite"), ("tiny.onnx", "onnx")):
        (tmp_path / name).write_text("a thesis")
        assert_refused([*export, "--format", model_format, *SMALL_FLAGS], name)
        assert (tmp_path / name).read_text() == "a thesis"
    (tmp_path / "tiny.pb.json").write_text('{"letters": 3}')
    assert_refused([*export, "--format", "pb", *SMALL_FLAGS], "tiny.pb.json")
    names = ["tiny.onnx", "tiny.pb.json", "tiny_float32.tflite"]
    assert sorted(os.listdir(str(tmp_path))) == names


@pytest.mark.parametrize("path", ["/dev/null", "."])
def test_write_never_replaces_a_device_or_folder(path):
    with assert_raises(MmnetError, path):
        files.write_bytes(path, b"x")


@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate", "--size", "3200000"],
        ["evaluate", "--target_eval_shape", "1000000", "1000000"],
        ["train", "--train_dir", "never", "--width_multiplier", "100", "--batch_size", "1000"],
        ["train", "--train_dir", "never", "--shape", "320000", "320000"],
        ["synthesize", "--output", "never", "--shape", "1000000", "1000000"],
    ],
    ids=" ".join,
)
def test_absurd_size_is_refused(assert_refused, portraits, arguments):
    assert machine_memory() > 1 << 28
    if arguments[0] != "synthesize":
        arguments = [*arguments, "--dataset_path", portraits]
    assert_refused(arguments, "memory")
    assert not os.path.exists("never")


@pytest.mark.parametrize(
    "content, tokens",
    [
        ("a: &a [1, 1]\nb: [*a, *a]\n", ["alias", "line 2"]),
        ("[" * 3000, ["YAML"]),
        ("size: " + "5" * 5000, []),
        ("x: " + "y" * 200000, ["characters"]),
        ("!!python/object/apply:os.system [ls]", ["YAML"]),
        (b"\xff\xfe", ["UTF-8"]),
        ("optimizer: " + "y" * 9000, ["optimizer", "adam"]),
    ],
    ids=["alias", "depth", "number", "length", "python object", "encoding", "value"],
)
def test_bad_preset_is_refused(assert_refused, portraits, tmp_path, content, tokens):
    preset = tmp_path / "p.yaml"
    preset.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    flags = ["--dataset_path", portraits, "--train_dir", tmp_path / "run", "--config", preset]
    assert_refused(["train", *flags], preset, *tokens)


@pytest.mark.parametrize("name", ["run [1]", "a\\b", "w*", "q?"])
def test_checkpoint_folder_may_look_like_a_pattern(small_weights, tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    for path in checkpoint_files.files_of(small_weights.source):
        shutil.copy(path, str(folder))
    weights = load_weights(str(folder), {"name": "tiny", "shape": (64, 64)})
    assert weights.values.keys() == small_weights.values.keys()
    checkpoint.write(str(folder / "MMNetModel-6"), {"a": np.ones(3, "f")})
    assert checkpoint.read(str(folder / "MMNetModel-6"))["a"].sum() == 3


def test_weights_that_are_not_finite_are_refused(
    assert_refused, small_weights, portraits, tmp_path
):
    values = {name: np.array(value) for name, value in small_weights.values.items()}
    name = sorted(name for name in values if name.endswith("/weights"))[1]
    values[name].flat[2] = np.nan
    checkpoint.write(str(tmp_path / "MMNetModel-1"), values)
    evaluate = ["evaluate", "--dataset_path", portraits, "--checkpoint_path", tmp_path]
    evaluate += SMALL_FLAGS
    assert_refused(evaluate, "MMNetModel-1", name, "finite")
    values = dict(small_weights.values, global_step=np.arange(3))
    checkpoint.write(str(tmp_path / "MMNetModel-2"), values)
    assert_refused(evaluate, "MMNetModel-2", "global_step")


def test_pipe_is_refused_without_waiting(run, assert_refused, small_weights, portraits, tmp_path):
    folder = str(tmp_path / "set")
    shutil.copytree(portraits, folder)
    for kind, name in (("image", "portrait0_0002.jpg"), ("mask", "portrait0_0004.png")):
        path = os.path.join(folder, "test", kind, name)
        os.unlink(path)
        os.mkfifo(path)
    flags = ["--checkpoint_path", small_weights.source, *SMALL_FLAGS]
    evaluate = ["evaluate", "--dataset_path", folder, *flags]
    assert_refused(evaluate, "2 ", "portrait0_0002.jpg", "portrait0_0004.png")
    images = os.path.join(folder, "test", "image")
    code, out, err = run("predict", images, "--output", tmp_path / "out", *flags)
    assert code == 1
    assert_message(err, "portrait0_0002.jpg")
    os.mkfifo(str(tmp_path / "model.tflite"))
    assert_refused(["info", tmp_path / "model.tflite"], "model.tflite")


def test_bad_photo_does_not_stop_a_folder(small_weights, portraits, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    photo = os.path.join(portraits, "test", "image", "portrait0_0001.jpg")
    for name in (b"b.jpg", b"n" * 250 + b".jpg", b"\xff\xfe.jpg", "ä.jpg".encode()):
        shutil.copy(photo, os.fsencode(str(photos)) + b"/" + name)
    cv2.imwrite(str(photos / "w.webp"), cv2.imread(photo))
    (photos / "x.heic").write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 40)
    (photos / "y.gif").write_bytes(b"GIF89a")
    flags = ["--checkpoint_path", small_weights.source, "--output", tmp_path / "out"]
    result = start(
        ["predict", photos, *flags, *SMALL_FLAGS], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    error = result.stderr.decode("ascii", "backslashreplace")
    assert result.returncode == 1, error
    assert result.stdout.count(b" -> ") == 4 and error.count("skipped: ") == 3
    assert_message(error, "File name too long", "x.heic", "y.gif")
    assert "Traceback" not in error


def test_second_trainer_in_a_folder_is_refused(assert_refused, portraits, tmp_path):
    flags = ["--dataset_path", portraits, "--dataset_split_name", "test", "--batch_size", "2"]
    flags += [*SMALL_FLAGS, "--max_step_from_restore", "1"]
    with files.lock_folder(str(tmp_path)):
        assert_refused(["train", *flags, "--train_dir", tmp_path], tmp_path, os.getpid())
    assert os.listdir(str(tmp_path)) == [files.LOCK_FILE]
    with files.lock_folder(str(tmp_path)):  # the lock is free again
        pass


@pytest.mark.parametrize("redirect", ["2>&-", "2>/dev/full"], ids=["closed", "full"])
def test_evaluate_survives_unusable_stderr(small_weights, portraits, tmp_path, redirect):
    arguments = ["evaluate", "--dataset_path", portraits, "--json", "--output", tmp_path]
    arguments += ["--checkpoint_path", small_weights.source, *SMALL_FLAGS]
    result = start(arguments, redirect, stdout=subprocess.PIPE)
    assert result.returncode == 0 and json.loads(result.stdout.decode())["pictures"] == 6


@pytest.mark.parametrize("redirect, code", [(">&-", 0), (">/dev/full", 2)], ids=["closed", "full"])
def test_unusable_stdout_is_reported(tmp_path, redirect, code):
    result = start(["weights", "list"], redirect, stderr=subprocess.PIPE)
    error = result.stderr.decode()
    assert result.returncode == code and "Traceback" not in error, error
    assert error.count("\n") == (code != 0)


@pytest.fixture
def predict(small_weights):
    """Start of a command line that needs neither the bundled weights nor much time."""
    return ["predict", "--checkpoint_path", small_weights.source, *SMALL_FLAGS]


@pytest.mark.parametrize("is_hard_link", [False, True], ids=["symbolic link", "hard link"])
def test_predict_never_replaces_an_input_through_a_link(
    assert_refused, predict, portrait_set, tmp_path, is_hard_link
):
    photo, photos, background = (tmp_path / name for name in ("me.jpg", "a.txt", "sea.png"))
    shutil.copy(portrait_set.pairs[0].image, str(photo))
    shutil.copy(str(portrait_set.pairs[1].mask), str(background))
    photos.write_text("me.jpg")
    out = tmp_path / "out"
    out.mkdir()
    contents = [path.read_bytes() for path in (photo, photos, background)]
    command = [*predict, photos, "--background", background, "--output"]
    for path in (photo, photos, background):
        for link, output in (("link.png", tmp_path / "link.png"), ("out/me_cutout.png", out)):
            (os.link if is_hard_link else os.symlink)(str(path), str(tmp_path / link))
            assert_refused([*command, output], "--output", path)
            os.unlink(str(tmp_path / link))
    assert contents == [path.read_bytes() for path in (photo, photos, background)]


def test_predict_never_replaces_standard_input(predict, portrait_set, tmp_path):
    photo = tmp_path / "me.png"
    shutil.copy(str(portrait_set.pairs[0].mask), str(photo))
    content = photo.read_bytes()
    result = start([*predict, "-", "--output", photo], f"< '{photo}'", stderr=subprocess.PIPE)
    assert result.returncode == 2 and photo.read_bytes() == content
    assert_message(result.stderr.decode(), "--output", "stdin")


def test_predict_never_replaces_a_photo_that_has_the_name_of_an_output(
    assert_refused, predict, portrait_set, tmp_path
):
    for name in ("me.jpg", "me_cutout.png"):
        shutil.copy(portrait_set.pairs[0].image, str(tmp_path / name))
    content = (tmp_path / "me_cutout.png").read_bytes()
    (tmp_path / "list.txt").write_text("me_cutout.png\nme.jpg\n")
    (tmp_path / "link").symlink_to(tmp_path)
    for output in (tmp_path, tmp_path / "link", tmp_path / "link" / ".." / tmp_path.name):
        assert_refused([*predict, tmp_path / "list.txt", "--output", output], "me_cutout.png")
    assert (tmp_path / "me_cutout.png").read_bytes() == content


def test_predict_never_replaces_a_background_by_a_frame(assert_refused, predict, tmp_path):
    clips = pytest.importorskip("helpers.clips")
    clip = clips.write_clip(str(tmp_path / "walk.mp4"))
    background = tmp_path / "00002.png"
    save_png(str(background), np.zeros((9, 9, 3), np.uint8))
    content = background.read_bytes()
    command = [*predict, clip, "--background", background, "--output"]
    for pattern in ("%05d.png", "%d.png"):
        (tmp_path / "2.png").symlink_to("00002.png")
        assert_refused([*command, tmp_path / pattern], "--output", background)
        (tmp_path / "2.png").unlink()
    assert background.read_bytes() == content and len(os.listdir(str(tmp_path))) == 2


def test_predict_summarizes_missing_photos_of_a_list(run, predict, portrait_set, tmp_path):
    photos, out = tmp_path / "photos.txt", tmp_path / "out"
    names = [f"{number:05d}.jpg" for number in range(2000)] + ["x" * 100000]
    photos.write_text("\n".join([*names, portrait_set.pairs[0].image]))
    code, text, err = run(*predict, photos, "--output", out, "--write", "alpha")
    assert code == 1 and text.count("\n") == 1
    assert_message(err, 2001, names[19], "...")
    assert names[20] not in err and len(err) < 5000
    photos.write_text("\n".join(names))
    code, text, err = run(*predict, photos, "--output", out)
    assert (code, text) == (2, "") and len(err) < 5000


def snapshot(folder):
    """Return path -> contents of the files in a folder and its subfolders."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(params=["calibrate", "average"])
def write_checkpoint(request, small_weights, portraits):
    """Start of a command line that writes a checkpoint: (command, its source)."""
    source = small_weights.source
    if request.param == "average":
        return ["weights", "average", source, source]
    flags = ["--dataset_path", portraits, "--dataset_split_name", "test", *SMALL_FLAGS]
    return ["calibrate", "--checkpoint_path", source, *flags]


@pytest.mark.parametrize("name", ["MMNetModel-6", "tuned-7", "./MMNetModel-6.index"])
@pytest.mark.parametrize("has_run_file", [True, False])
def test_checkpoints_are_not_written_to_a_training(
    assert_refused, write_checkpoint, write_checkpoints, tmp_path, name, has_run_file
):
    folder = tmp_path / "run"
    folder.mkdir()
    write_checkpoints(6, folder=str(folder))
    if has_run_file:
        (folder / "config.yaml").write_text("network: tiny\nsize: 64\nlearning_rate: 0.1\n")
    (tmp_path / "link").symlink_to("run")
    before = snapshot(folder)
    for parent in ("run", "link"):
        output = os.path.join(str(tmp_path), parent, name)
        assert_refused([*write_checkpoint, "--output", output], "--output", tmp_path / parent)
    assert snapshot(folder) == before


@pytest.mark.parametrize("output", [".", "..", "./", "x/", "folder", "folder/.", ""])
def test_checkpoints_need_a_prefix(assert_refused, write_checkpoint, tmp_path, monkeypatch, output):
    (tmp_path / "a" / "folder").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a")
    assert_refused([*write_checkpoint, "--output", output], "--output")
    assert os.listdir(str(tmp_path)) == ["a"] and os.listdir(str(tmp_path / "a")) == ["folder"]


def test_checkpoints_never_replace_an_input_or_a_foreign_file(
    assert_refused, run, write_checkpoint, tmp_path
):
    prefix = tmp_path / "own" / "MMNetModel-5"
    for _ in range(2):  # a command replaces its own checkpoint
        assert run(*write_checkpoint, "--output", prefix)[0] == 0
    before = snapshot(tmp_path)
    for index, word in enumerate(write_checkpoint):
        if word.endswith("MMNetModel-5"):
            write_checkpoint[index] = str(prefix)
    assert_refused([*write_checkpoint, "--output", prefix], "--output", prefix, "input")
    (tmp_path / "checkpoint").write_text("a list")
    assert_refused([*write_checkpoint, "--output", tmp_path / "a"], tmp_path / "checkpoint")
    (tmp_path / "checkpoint").unlink()
    (tmp_path / "config.yaml").symlink_to("nowhere")
    assert_refused([*write_checkpoint, "--output", tmp_path / "a"], "config.yaml")
    assert snapshot(tmp_path) == before


def test_convert_never_replaces_its_source(assert_refused, write_checkpoints, tmp_path):
    prefix = os.path.join(write_checkpoints(3), "MMNetModel-3")
    before = files.read_bytes(prefix + ".index")
    convert = ["weights", "convert", prefix, "--network", "modnet", "--output"]
    assert_refused([*convert, prefix], "--output")
    assert_refused([*convert, os.path.dirname(prefix)], "--output")
    assert files.read_bytes(prefix + ".index") == before


@pytest.mark.parametrize(
    "command",
    ["{}", "info {}", "predict {} --output {}", "data check {}", "train --{} 1", "weights get {}"],
)
def test_messages_shorten_names(assert_refused, command):
    assert_refused(command.format(*["x" * 100000] * 2).split(), "x...x")


def test_warnings_shorten_names(run, predict, tmp_path):
    (tmp_path / "list.txt").write_text("/".join(["x" * 200] * 15) + ".png")
    code, _, err = run(*predict, tmp_path / "list.txt", "--output", tmp_path / "out")
    assert code == 2 and len(err) < 600


@pytest.mark.parametrize("split", ["../x", "/x", "..", "a/../../x"])
def test_splits_are_folders_of_the_dataset(assert_refused, portraits, tmp_path, split):
    out = tmp_path / "out"
    synthesize = ["synthesize", "--output", out, "--pictures", "1"]
    for command in (synthesize, ["evaluate", "--dataset_path", portraits, "--output", out]):
        assert_refused([*command, "--dataset_split_name", split], "--dataset_split_name", split)
    assert os.listdir(str(tmp_path)) == []


def test_synthesize_never_replaces_a_background(assert_refused, run, tmp_path):
    command = ["synthesize", "--pictures", "1", "--shape", "40", "30", "--output", tmp_path]
    assert run(*command)[0] == 0
    before = snapshot(tmp_path)
    images = tmp_path / "test" / "image"
    (tmp_path / "link").symlink_to(images)
    for folder in (images, tmp_path / "link"):
        assert_refused([*command, "--looks", "varied", "--backgrounds_path", folder], "--output")
    assert snapshot(tmp_path) == before


def test_train_keeps_the_configuration_of_another_program(assert_refused, portraits, tmp_path):
    (tmp_path / "config.yaml").write_text("services: {web: {image: nginx}}\n")
    command = ["train", "--dataset_path", portraits, "--dataset_split_name", "test"]
    command += ["--train_dir", tmp_path, *SMALL_FLAGS]
    assert_refused(command, "--train_dir", tmp_path / "config.yaml")
    assert os.listdir(str(tmp_path)) == ["config.yaml"]
