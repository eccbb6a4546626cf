"""The verbs as a user meets them: what is printed where, and one line with exit code 2 for bad
input.
"""

import json
import os
import shutil

import cv2
import pytest
from mmnet.commands.settings import VERBS

from helpers import SMALL_FLAGS
from mmnet.cli import main, underscored
from mmnet.io import checkpoint_files

SCORING_FLAGS = SMALL_FLAGS + ["--target_eval_shape", "40", "30"]


def run(capfd, *arguments):
    """(exit code, stdout, stderr), the file descriptors' own, so that TensorFlow's chatter counts
    too.
    """
    capfd.readouterr()
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = stop.code
    return (code,) + tuple(capfd.readouterr())


def assert_refused(result, *parts):
    code, out, err = result
    assert (code, out) == (2, "")
    assert err.count("\n") == 1 and err.endswith("\n") and "Traceback" not in err
    for part in parts:
        assert part in err


def test_json_is_one_object_a_checkpoint(capfd, portraits, write_checkpoints):
    folder = write_checkpoints(1, 2)
    arguments = ["evaluate", "--dataset_path", portraits, "--checkpoint_path", folder, "--json"]
    arguments += SCORING_FLAGS
    code, out, err = run(capfd, *arguments)
    assert (code, err) == (0, "")
    scores = json.loads(out)
    means = {"MAD/test", "MAD/test/40_30", "GAUSS_GRAD/test", "GAUSS_GRAD/test/40_30"}
    assert set(scores) == means | {"pictures", "checkpoint", "global_step"}
    assert (scores["pictures"], scores["global_step"]) == (6, 2)
    assert scores["checkpoint"] == os.path.join(folder, "MMNetModel-2")
    code, out, err = run(capfd, *arguments, "--valid_type", "loop", "--watch_timeout", "0s")
    assert code == 0
    assert [json.loads(line)["global_step"] for line in out.splitlines()] == [1, 2]


def test_text_output(capfd, portraits, write_checkpoints):
    arguments = ["--dataset_path", portraits, "--checkpoint_path", write_checkpoints(7)]
    code, out, err = run(capfd, "evaluate", "--worst", 2, *(arguments + SCORING_FLAGS))
    assert (code, err) == (0, "")
    assert "step 7, 6 pictures" in out and "MAD (0..1)" in out and out.count("portrait0_") == 2


def test_predict_and_its_exit_codes(capfd, caplog, portraits, tmp_path, write_checkpoints):
    images = os.path.join(portraits, "test", "image")
    photo = os.path.join(images, "portrait0_0001.jpg")
    broken = tmp_path / "broken.jpg"
    broken.write_text("no picture")
    flags = ["--checkpoint_path", write_checkpoints(1), "--output", tmp_path / "out"] + SMALL_FLAGS
    code, out, err = run(capfd, "predict", images, *flags)
    assert (code, err, out.count(" -> ")) == (0, "", 6)
    assert len(os.listdir(str(tmp_path / "out"))) == 12
    code, out, err = run(capfd, "predict", broken, images, "--json", *flags)
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 1 and [line["error"] is None for line in lines] == [False] + [True] * 6
    alone = tmp_path / "alone.png"
    code, out, err = run(capfd, "predict", photo, *flags, "--output", alone)
    assert code == 0 and "-> %s (person: " % alone in out
    assert cv2.imread(str(alone), cv2.IMREAD_UNCHANGED).shape[2] == 4
    code, out, err = run(capfd, "predict", broken, *flags)
    assert code == 2 and "skipped: %s is not a JPEG or PNG" % broken in caplog.text


def test_flags_with_hyphens():
    words = ["predict", "a-b.jpg", "--no-second-look", "--output=a-b", "--", "--a-b.jpg"]
    assert underscored(words) == [
        "predict",
        "a-b.jpg",
        "--no_second_pass",
        "--output=a-b",
        "--",
        "--a-b.jpg",
    ]


def test_synthesize(capfd, tmp_path):
    flags = ["--dataset_path", tmp_path, "--pictures", 2, "--shape", 80, 60]
    code, out, err = run(capfd, "synthesize", *flags)
    assert (code, err) == (0, "")
    assert len(os.listdir(str(tmp_path / "test" / "mask"))) == 2


def test_help_names_every_default(capfd):
    code, out, err = run(capfd, "evaluate", "--help")
    assert code == 0 and "(default: 800 600)" in " ".join(out.split()) and "(needed)" in out
    out = " ".join(run(capfd, "train", "--help")[1].split())
    for part in (
        "(default: 0.0001)",
        "(default: 4 GiB)",
        "focal term (mmnet: 0)",
        "augmentation (default: 0)",
        "channel multiplier of the network (default: 1.0)",
        "a multiple of 32 (default: 256)",
        "--shape HEIGHT WIDTH",
    ):
        assert part in out
    assert run(capfd, "--version")[1].startswith("mmnet ")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_and_presets(capfd, verb):
    code, out, err = run(capfd, verb, "--help")
    assert (code, err) == (0, "") and "--config PRESET" in out
    positional = ["x"] * (verb in ("predict", "parity", "info")) + ["list"] * (verb == "weights")
    positional += (
        ["train"] * (verb == "launch")
        + ["bash"] * (verb == "completion")
        + ["check", "x"] * (verb == "data")
    )
    result = run(capfd, verb, *(positional + ["--config", "paritty"]))
    assert_refused(result, "no preset paritty; did you mean 'parity'?")
    result = run(capfd, verb, *(positional + ["--config", ""]))
    assert_refused(result, "--config: no preset of an empty name")


def test_one_source_flag_with_two_names(capfd, portraits, tmp_path):
    for flag in ("--checkpoint_path", "--model"):
        arguments = ["evaluate", "--dataset_path", portraits, flag, tmp_path / "none.pb"]
        assert_refused(run(capfd, *arguments), "no model", "none.pb")
    both = ["--checkpoint_path", tmp_path, "--model", tmp_path]
    result = run(capfd, "evaluate", "--dataset_path", portraits, *both)
    assert_refused(result, "--checkpoint_path and --model are one setting: give one of them")


def evaluate(capfd, *arguments):
    return run(capfd, "evaluate", *arguments)


def test_bad_commands(capfd, portraits, tmp_path):
    data = ["--dataset_path", portraits]
    assert_refused(run(capfd, "--json"), "VERB")
    assert_refused(run(capfd, "judge"), "'judge'")
    assert_refused(evaluate(capfd), "--dataset_path is needed")
    result = evaluate(capfd, *data, "--batchsize", 3)
    assert_refused(result, "unrecognized arguments: --batchsize 3")
    result = evaluate(capfd, "--dataset", portraits)
    assert_refused(result, "unrecognized arguments: --dataset")
    result = evaluate(capfd, *data, "--size", 250)
    assert_refused(result, "--size: a multiple of 32 such as 256, not '250'")
    result = evaluate(capfd, *data, "--size", 64, "--shape", 64, 96)
    assert_refused(result, "--size and --shape do not go together")
    assert_refused(evaluate(capfd, *data, "--shape", 64, 90), "--shape: a multiple of 32")
    assert_refused(evaluate(capfd, *data, "--output", ""), "--output: it is empty")
    assert_refused(evaluate(capfd, *data, "--target_eval_shape", 800), "--target_eval_shape")
    preset = tmp_path / "p.yaml"
    preset.write_text("widht_multiplier: 1.0\n")
    result = evaluate(capfd, *data, "--config", preset)
    assert_refused(result, "p.yaml", "did you mean 'width_multiplier'?")
    result = evaluate(capfd, *data, "--config", tmp_path / "none.yaml")
    assert_refused(result, "none.yaml")
    result = evaluate(capfd, *data, "--network", "mnet")
    assert_refused(result, "; did you mean 'mmnet'?")


def test_bad_data_sets(capfd, portraits, tmp_path):
    result = evaluate(capfd, "--dataset_path", tmp_path / "none")
    assert_refused(result, "no dataset folder", "none")
    result = evaluate(capfd, "--dataset_path", portraits, "--dataset_split_name", "val")
    assert_refused(result, "no split 'val'", "it has test")
    for kind in ("image", "mask"):
        (tmp_path / "empty" / kind).mkdir(parents=True)
    result = evaluate(capfd, "--dataset_path", tmp_path, "--dataset_split_name", "empty")
    assert_refused(result, "is empty")
    shutil.copytree(os.path.join(portraits, "test"), str(tmp_path / "test"))
    (tmp_path / "test" / "image" / "portrait0_0003.jpg").write_text("no picture")
    result = evaluate(capfd, "--dataset_path", tmp_path)
    assert_refused(result, "1 unreadable files", "portrait0_0003.jpg is not a JPEG or PNG")


def test_bad_checkpoints(capfd, portraits, write_checkpoints, tmp_path):
    prefix = os.path.join(write_checkpoints(4), "MMNetModel-4")
    arguments = ["--dataset_path", portraits, "--checkpoint_path", prefix]
    result = evaluate(capfd, *arguments)
    assert_refused(
        result, "not mmnet of width_multiplier 1", "[3, 3, 3, 8] there and [3, 3, 3, 32] here"
    )
    data, index = checkpoint_files.files_of(prefix)
    os.truncate(data, os.path.getsize(data) // 2)
    result = evaluate(capfd, *(arguments + SCORING_FLAGS))
    assert_refused(result, prefix, "damaged or not complete")
    os.unlink(index)
    assert_refused(evaluate(capfd, *arguments), "has its data file but not its index")
    os.unlink(data)
    assert_refused(evaluate(capfd, *arguments), "no checkpoint " + prefix)
    result = evaluate(capfd, "--dataset_path", portraits, "--checkpoint_path", tmp_path)
    assert_refused(result, "no checkpoint (*.index) in")
    assert os.listdir(os.path.dirname(prefix)) == ["checkpoint"]  # nothing was written


def test_bad_predictions(capfd, portraits, tmp_path):
    photo = os.path.join(portraits, "test", "image", "portrait0_0001.jpg")
    assert_refused(run(capfd, "predict", photo), "--output is needed")
    result = run(capfd, "predict", photo + "x", "--output", tmp_path)
    assert_refused(result, "no photo, clip or folder")
    result = run(capfd, "predict", photo, "--output", tmp_path, "--background", "purplish")
    assert_refused(result, "'purplish' is neither")
    file = tmp_path / "file"
    file.write_bytes(b"")
    assert_refused(run(capfd, "predict", photo, "--output", file), "cannot be written")
    one = ["predict", photo, "--output"]
    assert_refused(run(capfd, *one, photo[:-4] + ".mp4"), "photos are written as .png")
    assert_refused(run(capfd, *one, tmp_path / "o.png", "--write", "alpha", "cutout"), "one file")
    assert_refused(run(capfd, "predict", portraits, "--output", tmp_path / "o.png"), "same files")


def test_bad_trainings(capfd, portraits, tmp_path):
    def train(*arguments):
        folders = ["--dataset_path", portraits, "--train_dir", tmp_path / "run"]
        return run(capfd, "train", *(folders + list(arguments)))

    for flag, value, says in (
        ("--learning_rate", "high", "--learning_rate: a number above 0, not 'high'"),
        ("--lambda_comp_loss", "-1", "--lambda_comp_loss: a number, 0 or more"),
        ("--ema_decay", "1.5", "--ema_decay: a number from 0 to below 1, not '1.5'"),
        ("--optimizer", "lion", "--optimizer: one of adam, gd, momentum, rmsprop, not 'lion'"),
        ("--cache_budget", "much", "--cache_budget: a size such as 500MB"),
        ("--seed", 1 << 32, "--seed: a whole number from 0 to 4294967295"),
    ):
        assert_refused(train(flag, value), says)
    result = train("--dataset_weights", 1, 2)
    assert_refused(result, "one number for each of the 1 datasets, not 2")
    assert_refused(train(), "no split 'train'")
    split = ["--dataset_split_name", "test"]
    result = train("--learning_rate_schedule", "cosine", *split)
    assert_refused(result, "cosine schedule needs its end")
    terms = ["alpha", "comp", "grad", "kd", "aux"]
    zeros = [part for term in terms for part in ("--lambda_%s_loss" % term, 0)]
    assert_refused(train(*(split + zeros)), "nothing to learn")
    result = train("--checkpoint_path", tmp_path / "none", *(split + SMALL_FLAGS))
    assert_refused(result, "no checkpoint")
    assert_refused(train("--network", "mnet", *split), "no network is named 'mnet'")
    folders = ["--dataset_path", portraits, "--train_dir", "/dev/null/run"]
    assert_refused(run(capfd, "train", *folders), "cannot be written")
