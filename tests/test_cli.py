"""Tests of mmnet.cli: output streams, exit codes, help and error messages."""

import json
import logging
import os

import cv2
import pytest

from helpers import assert_message
from mmnet import cli
from mmnet.cli import use_underscores
from mmnet.commands import COMMANDS, RENAMED_COMMANDS
from mmnet.commands.removed import REMOVED_FLAGS
from mmnet.io.errors import MmnetError

POSITIONALS = {  # valid positional arguments
    "predict": ["x"],
    "card": ["x"],
    "parity": ["x"],
    "weights": ["list"],
    "launch": ["train"],
    "completion": ["bash"],
    "data": ["check", "x"],
}


def test_predict_escapes_control_characters_of_file_names(run, portraits, tmp_path):
    for name in ("a\033[2Jm.png", "b\r\nmmnet: c.png", "d\x9b31m\x7f\u202e.png"):
        draw = cv2.imread(os.path.join(portraits, "test", "image", "portrait0_0001.jpg"))
        (tmp_path / name).write_bytes(cv2.imencode(".png", draw)[1].tobytes())
        (tmp_path / name.replace(".png", ".xyz")).write_text("ignored")
        (tmp_path / f"damaged {name}").write_text("no image")
    arguments = ["predict", tmp_path, "--output", tmp_path / "out\a"]
    code, out, err = run(*arguments)
    assert code == 1 and out.count("\n") == 3 and err.count("\n") == 5
    code, json_out, json_err = run(*arguments, "--json")
    records = [json.loads(line) for line in json_out.splitlines()]
    assert sum(os.path.exists(record["photo"]) for record in records if "photo" in record) == 6
    code, _, bad_flag = run(*arguments, "--size", "\033[2J")
    for text in (out, err, json_out, json_err, bad_flag):
        assert text.replace("\n", "").isprintable()


def test_use_underscores_stops_at_double_hyphen():
    words = ["predict", "a-b.jpg", "--no-second-pass", "--output=a-b", "--", "--a-b.jpg"]
    expected = ["predict", "a-b.jpg", "--no_second_pass", "--output=a-b", "--", "--a-b.jpg"]
    assert use_underscores(words) == expected


def test_introduction_names_existing_commands(run):
    code, out, err = run()
    assert (code, err) == (0, "")
    commands = [line.split()[1] for line in out.splitlines() if line.startswith("  mmnet ")]
    assert len(commands) == 3 and set(commands) <= set(COMMANDS)


def test_help_lists_all_commands(run):
    code, out, err = run("--help")
    assert (code, err) == (0, "") and run() == (code, out, err)
    assert_message(out, *COMMANDS)
    assert run("--version")[1].startswith("mmnet ")


def test_help_shows_defaults_choices_and_required_flags(run):
    code, out, err = run("evaluate", "--help")
    assert code == 0
    assert_message(" ".join(out.split()), "(default: 800 600)", "{once,loop}")
    assert out.index("--dataset_path PATH") < out.index("--batch_size N")
    out = " ".join(run("train", "--help")[1].split())
    assert_message(out, "(default: 0.0001)", "(default: 4GB)", "--shape HEIGHT WIDTH")


@pytest.mark.parametrize("command", COMMANDS)
def test_command_has_help_and_presets(run, assert_refused, command):
    code, out, err = run(command, "--help")
    assert (code, err) == (0, "")
    assert_message(out, "--config PRESET", "--debug")
    arguments = [command, *POSITIONALS.get(command, [])]
    assert_refused([*arguments, "--config", "paritty"], "--config", "paritty", "parity")


@pytest.mark.parametrize("name, new_name", RENAMED_COMMANDS.items())
def test_renamed_command_warns(run, name, new_name):
    code, out, err = run(name, "--dataset_path", "none")
    assert code == 2
    assert_message(err, name, new_name, "none")


@pytest.mark.parametrize("flag", REMOVED_FLAGS)
def test_removed_flag_names_its_replacement(assert_refused, flag):
    command = ["train"]
    if flag in ("ids", "shards"):
        command = ["data", "check", "x"]
    elif flag in ("adb", "input", "train", "turns"):
        command = ["benchmark"]
    assert_refused([*command, f"--{flag}", "1"], f"--{flag}", REMOVED_FLAGS[flag])


@pytest.mark.parametrize(
    "arguments, tokens",
    [
        (["--json"], ["--json"]),
        (["judge"], ["judge", "predict"]),
        (["evaluat"], ["evaluat", "did you mean evaluate"]),
        (["evaluate"], ["evaluate", "--dataset_path"]),
        (["train", "--learning_rat", "1"], ["mmnet train", "--learning_rat;", "--learning_rate?"]),
        (["evaluate", "--dataset", "x"], ["--dataset", "--dataset_path"]),
        (["evaluate", "x"], ["unexpected", "x"]),
        (["evaluate", "--output", ""], ["--output", "empty"]),
        (["evaluate", "--target_eval_shape", "800"], ["--target_eval_shape"]),
        (["evaluate", "--size", "250"], ["--size 250", "256"]),
        (["evaluate", "--shape", "64", "90"], ["--shape 90", "32"]),
        (["evaluate", "--network", "mnet"], ["--network mnet", "mmnet"]),
        (["evaluate", "--config", "none.yaml"], ["--config", "none.yaml"]),
        (["evaluate", "--model", "a", "--checkpoint_path", "b"], ["--checkpoint_path", "--model"]),
        (["predict", "x"], ["--output"]),
        (["predict", "x", "--output", "y"], ["x"]),
    ],
    ids=lambda value: " ".join(value) or None,
)
def test_bad_command_line_is_refused(assert_refused, arguments, tokens):
    assert_refused(arguments, *tokens)


@pytest.mark.parametrize("flag", ["--checkpoint_path", "--model"])
def test_source_flag_has_an_alias(assert_refused, portraits, tmp_path, flag):
    model = tmp_path / "none.pb"
    assert_refused(["evaluate", "--dataset_path", portraits, flag, model], model)


@pytest.mark.parametrize(
    "error, code, tokens",
    [
        (MmnetError("must be even", "size"), 2, ["mmnet doctor: error", "--size: must be even"]),
        (MmnetError("a.jpg: corrupt"), 2, ["a.jpg: corrupt"]),
        (FileNotFoundError(2, "No such file", "a.jpg"), 2, ["a.jpg"]),
        (MemoryError(), 2, ["memory"]),
        (KeyboardInterrupt(), 130, []),
        (ValueError("a bug"), 1, ["Traceback", "a bug", "report"]),
    ],
    ids=["parameter", "file", "system", "memory", "interrupt", "bug"],
)
def test_exception_decides_exit_code(run, monkeypatch, error, code, tokens):
    def fail(options):
        raise error

    monkeypatch.setattr("mmnet.commands.doctor.run", fail)
    result, out, err = run("doctor")
    assert (result, out) == (code, "")
    assert_message(err, *tokens)
    assert ("Traceback" in err) == (code == 1)
    if code == 2:
        assert "Traceback" in run("doctor", "--debug")[2]


def test_warning_is_printed_once_per_command(run, monkeypatch):
    log = logging.getLogger("mmnet.io")

    def warn(options):
        for name in ("a.png", "b.png", "a.png"):
            log.warning("%s: damaged", name)
            log.info("done")
        return 0

    monkeypatch.setattr("mmnet.commands.doctor.run", warn)
    for _ in range(2):
        lines = run("doctor")[2].splitlines()
        expected = ["a.png: damaged", "done", "b.png: damaged", "done", "done"]
        assert lines == [f"mmnet: {text}" for text in expected]


def test_logger_prints_only_messages_of_mmnet(capfd):
    cli.prepare_output()
    logging.getLogger("another").info("noise")
    logging.getLogger("mmnet.io").info("signal")
    assert capfd.readouterr().err == "mmnet: signal\n"
