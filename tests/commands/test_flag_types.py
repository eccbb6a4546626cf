"""Tests of mmnet.commands.flag_types."""

import pytest

from helpers import assert_raises
from mmnet.commands import flag_types
from mmnet.io.errors import MmnetError

a_or_b = flag_types.one_of("a", "b")


@pytest.mark.parametrize(
    "parse, text, value",
    [
        (flag_types.positive_int, "12", 12),
        (flag_types.positive_ints, "1,8,32", (1, 8, 32)),
        (flag_types.whole_number, "0", 0),
        (flag_types.seed_number, "4294967295", (1 << 32) - 1),
        (flag_types.positive_float, "5e-1", 0.5),
        (flag_types.not_negative, "0", 0.0),
        (flag_types.fraction, "1", 1.0),
        (flag_types.decay, "0.999", 0.999),
        (flag_types.network_side, "96", 96),
        (flag_types.size_in_bytes, "500MB", 500 << 20),
        (flag_types.timespan, "10m", 600.0),
        (flag_types.timespan, "0s", 0.0),
        (flag_types.switch, "True", True),
        (a_or_b, "b", "b"),
    ],
)
def test_flag_type_converts(parse, text, value):
    converted = parse(text)
    assert converted == value and type(converted) is type(value)


@pytest.mark.parametrize(
    "parse, texts, token",
    [
        (
            flag_types.positive_int,
            ["0", "-1", "1.5", "four", "²", "1" * 21, "2147483648"],
            "above 0",
        ),
        (flag_types.positive_ints, ["1,,2", "1,0", "1, 2", ","], "1,2"),
        (flag_types.job_number, ["0", "1025", "9" * 20], "1024"),
        (flag_types.whole_number, ["-1", "x", "9" * 20], "2147483647"),
        (flag_types.seed_number, ["4294967296", "-1"], "4294967295"),
        (flag_types.positive_float, ["0", "-1", "nan", "inf", "1e308", "high"], "above 0"),
        (flag_types.not_negative, ["-1", "nan", "1e999"], "0 or more"),
        (flag_types.fraction, ["1.1", "-1"], "0 to 1"),
        (flag_types.decay, ["1", "1.5", "-0.1", "nan"], "below 1"),
        (flag_types.network_side, ["250"], "256"),
        (flag_types.network_side, ["0", "16"], "32"),
        (flag_types.network_side, ["big", "64.0"], "256"),
        (flag_types.size_in_bytes, ["much", "-1GB"], "500MB"),
        (flag_types.timespan, ["soon", "-5s", "inf", "9" * 400], "90s"),
        (flag_types.switch, ["1", "yes"], "true"),
        (a_or_b, ["c", "A"], "a, b"),
    ],
)
def test_flag_type_rejects(parse, texts, token):
    for text in texts:
        with assert_raises(MmnetError, token):
            parse(text)


@pytest.mark.parametrize(
    "parse, name",
    [
        (flag_types.existing_folder, "none"),
        (flag_types.existing_folder, "file"),
        (flag_types.source, "none"),
        (flag_types.source, "none.pb"),
        (flag_types.source, ""),
    ],
)
def test_path_type_rejects_missing_paths(parse, name, tmp_path):
    (tmp_path / "file").write_text("")
    path = str(tmp_path / name)
    with assert_raises(FileNotFoundError, path):
        parse(path)


@pytest.mark.parametrize("name", ["model.onnx", "run", "run/MMNetModel-3", "saved"])
def test_source_accepts_every_kind(tmp_path, name):
    for file in ("model.onnx", "run/MMNetModel-3.index", "saved/saved_model.pb"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("")
    path = str(tmp_path / name)
    assert flag_types.source(path) == path
    assert flag_types.existing_folder(str(tmp_path)) == str(tmp_path)


def test_source_never_downloads(monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("download")

    monkeypatch.setattr("mmnet.weights.download.download", fail)
    assert flag_types.source("mmnet-1898000") == "mmnet-1898000"
