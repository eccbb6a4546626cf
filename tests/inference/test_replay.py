"""Tests of mmnet.inference.replay."""

import os

import numpy as np
import pytest

from helpers import assert_message, assert_raises
from helpers.results import SHAPE, probabilities, write_results
from mmnet.inference.replay import (
    OutputError,
    check_results,
    find_results,
    open_results,
    read_alpha,
)
from mmnet.io.errors import MmnetError

TALL = (96, 64)


@pytest.mark.parametrize(
    "name, content, problem",
    [
        ("a.bin", b"\0" * 28, "size"),
        ("a.txt", b"0.5 0.5", "size"),
        ("b.txt", b"", "size"),
        ("c.txt", b"0.5 oops", "unreadable"),
        ("d.npy", b"", "unreadable"),
        ("e.npy", b"no array", "unreadable"),
        ("f.npy", np.zeros((1, 2) + SHAPE, np.float32), "size"),
        ("g.npy", np.zeros(SHAPE + (2,)), "size"),  # float64
        ("h.npy", np.full(SHAPE + (2,), np.nan, np.float32), "not finite"),
        ("i.npy", np.full(SHAPE + (2,), 1.25, np.float32), "0..1"),
        ("j.npy", np.full(SHAPE + (2,), 0.9, np.float32), "probabilities"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_read_alpha_rejects_damaged_files(tmp_path, name, content, problem):
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(str(path), content)
    with pytest.raises(OutputError) as caught:
        read_alpha(str(path), SHAPE, "probabilities")
    assert_message(caught.value.problem, problem)


def test_read_alpha_clips_rounding_errors(tmp_path):
    path = str(tmp_path / "a.bin")
    probabilities(np.full(SHAPE, 1.0005, np.float32)).tofile(path)
    assert read_alpha(path, SHAPE, "probabilities").max() == 1


@pytest.mark.parametrize(
    "name, dtype, tolerance",
    [("a.bin", np.float32, 0), ("b.bin", np.float16, 1e-3), ("c.npy", np.float32, 0)],
    ids=["float32 .bin", "float16 .bin", ".npy"],
)
def test_read_alpha_keeps_shapes_that_are_not_square(tmp_path, name, dtype, tolerance):
    alpha = np.linspace(0, 1, TALL[0] * TALL[1], dtype=np.float32).reshape(TALL)
    path = str(tmp_path / name)
    values = probabilities(alpha).astype(dtype)
    if name.endswith(".npy"):
        np.save(path, values[None])
        with pytest.raises(OutputError):  # an array records which side is which
            read_alpha(path, TALL[::-1], "probabilities")
    else:
        values.tofile(path)
    result = read_alpha(path, TALL, "probabilities")
    assert result.shape == TALL and result.dtype == np.float32
    np.testing.assert_allclose(result, alpha, rtol=0, atol=tolerance)


def test_open_results_replays_alphas_in_the_order_of_the_stems(tmp_path):
    alphas = {stem: np.full(TALL, value, np.float32) for stem, value in (("b", 0.25), ("a", 0.75))}
    folder = write_results(tmp_path / "run", alphas)
    predictor = open_results(folder, ["b", "a"], list(TALL), "probabilities")
    assert predictor.network.shape == TALL and predictor.source == folder
    assert (predictor.precision, predictor.step) == ("float16", None)
    result = predictor(np.zeros((2,) + TALL + (3,)))
    np.testing.assert_array_equal(result, [alphas["b"], alphas["a"]])


def test_check_results_reports_all_problems_together(tmp_path):
    stems = ["a", "b", "c"]
    folder = write_results(tmp_path / "run", {stem: np.zeros(SHAPE) for stem in stems})
    os.unlink(os.path.join(folder, "a_output_0.bin"))
    np.zeros(7, np.float32).tofile(os.path.join(folder, "b_output_0.bin"))
    np.zeros(7, np.float32).tofile(os.path.join(folder, "x_output_0.bin"))
    tokens = ["1 missing (a_output_0.bin)", "1 extra (x_output_0.bin)", "b_output_0.bin", "28"]
    with assert_raises(MmnetError, folder, *tokens):
        check_results(folder, stems, SHAPE, "probabilities")


@pytest.mark.parametrize("naming", ["_output_0.bin", "_0.bin"])
def test_check_results_distinguishes_stems_that_end_like_a_naming(tmp_path, naming):
    stems = ["a", "a_output"]
    alphas = {stem: np.zeros(SHAPE, np.float32) for stem in stems}
    folder = write_results(tmp_path / "run", alphas, naming)
    paths = check_results(folder, stems, SHAPE, "probabilities")
    assert list(map(os.path.basename, paths)) == [f"a{naming}", f"a_output{naming}"]


def test_find_results_returns_the_newest_folder(tmp_path, caplog):
    # Sorted by name, the older folder is last, because its numbers have no leading zeros.
    old, new = tmp_path / "2021924_9_3_12_123456", tmp_path / "20210924_150312"
    for age, folder in ((100, old), (50, new)):
        write_results(folder, {"a": np.zeros(SHAPE, np.float32)})
        for path in [folder] + list(folder.iterdir()):
            os.utime(str(path), (1e9 - age, 1e9 - age))
    (tmp_path / "20300101_000000").mkdir()  # a run that failed at once
    (tmp_path / "run_summary.json").write_text("{}")
    (tmp_path / "log.txt").write_text("")
    with caplog.at_level("INFO"):
        assert find_results([str(tmp_path)]) == str(new)
    assert_message(caplog.text, new)
    os.utime(str(next(old.iterdir())))  # ais_bench --output_dirname overwrites files
    assert find_results([str(tmp_path)]) == str(old)
    assert find_results([str(new)]) == str(new)


def test_find_results_rejects_folders_without_results(tmp_path):
    (tmp_path / "empty").mkdir()
    with assert_raises(FileNotFoundError, tmp_path / "missing", "output_dir"):
        find_results([str(tmp_path / "missing"), str(tmp_path / "empty")])
