import pytest

from mmnet.commands import flag_types as kinds


@pytest.mark.parametrize(
    "kind, text, value",
    [
        (kinds.positive_int, "12", 12),
        (kinds.positive_ints, "1,8,32", (1, 8, 32)),
        (kinds.whole_number, "0", 0),
        (kinds.seed_number, "4294967295", (1 << 32) - 1),
        (kinds.positive_float, "5e-1", 0.5),
        (kinds.not_negative, "0", 0.0),
        (kinds.decay, "0.999", 0.999),
        (kinds.network_side, "96", 96),
        (kinds.size_in_bytes, "500MB", 500 << 20),
        (kinds.timespan, "10m", 600.0),
        (kinds.timespan, "0s", 0.0),
        (kinds.switch, "True", True),
        (kinds.one_of("a", "b"), "b", "b"),
        (kinds.text, "1", "1"),
    ],
)
def test_values(kind, text, value):
    converted = kind(text)
    assert converted == value and type(converted) is type(value)


@pytest.mark.parametrize(
    "kind, texts, says",
    [
        (kinds.positive_int, ["0", "-1", "1.5", "four", "²", "1" * 21], "a whole number above 0"),
        (kinds.positive_ints, ["1,,2", "1,0", "1, 2", ","], "with commas between, such as 1,2"),
        (kinds.whole_number, ["-1", "x"], "a whole number, 0 or more"),
        (kinds.seed_number, ["4294967296", "-1"], "a whole number from 0 to 4294967295"),
        (kinds.positive_float, ["0", "-1", "nan", "inf", "high"], "a number above 0"),
        (kinds.not_negative, ["-1", "nan", "1e999"], "a number, 0 or more"),
        (kinds.decay, ["1", "1.5", "-0.1", "nan"], "a number from 0 to below 1"),
        (kinds.network_side, ["250"], "a multiple of 32 such as 256"),
        (kinds.network_side, ["0", "16"], "a multiple of 32 such as 32"),
        (kinds.network_side, ["big", "64.0"], "a multiple of 32 such as 128 or 256"),
        (kinds.size_in_bytes, ["much", "-1GB"], "a size such as 500MB or 4GB"),
        (kinds.timespan, ["soon", "-5s", "inf"], "a time such as 90s, 10m or 2h"),
        (kinds.switch, ["1", "yes"], "true or false"),
        (kinds.one_of("a", "b"), ["c", "A"], "one of a, b"),
    ],
)
def test_what_is_wrong_and_what_would_be_right_is_said(kind, texts, says):
    for text in texts:
        with pytest.raises(ValueError) as error:
            kind(text)
        assert str(error.value) == str(error.value).splitlines()[0]
        assert says in str(error.value) and "not %r" % text in str(error.value)


def test_paths_are_looked_at(tmp_path):
    folder, file, none = str(tmp_path), str(tmp_path / "file"), str(tmp_path / "none")
    (tmp_path / "file").write_text("")
    assert kinds.dataset_folder(folder) == folder
    assert kinds.existing_file(file) == file
    for kind, path, says in (
        (kinds.dataset_folder, none, "no dataset folder"),
        (kinds.dataset_folder, file, "no dataset folder"),
        (kinds.existing_file, none, "no file"),
        (kinds.existing_file, folder, "no file"),
        (kinds.source, none, "no checkpoint"),
        (kinds.source, folder, "no checkpoint"),
        (kinds.source, none + ".pb", "no model"),
    ):
        with pytest.raises((ValueError, FileNotFoundError)) as error:
            kind(path)
        assert says in str(error.value) and path in str(error.value)


def test_sources(tmp_path):
    for name in ("model.onnx", "run/MMNetModel-3.index", "saved/saved_model.pb"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    for name in ("model.onnx", "run", "run/MMNetModel-3", "saved"):
        assert kinds.source(str(tmp_path / name)) == str(tmp_path / name)
