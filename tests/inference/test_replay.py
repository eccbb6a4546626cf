import os

import numpy as np
import pytest

from helpers.results import SHAPE, probabilities, write_results
from mmnet.inference import replay

TALL = (96, 64)


def test_damaged_text_and_npy(tmp_path):
    def problem(name, data):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(replay.OutputError) as caught:
            replay.decode(str(tmp_path / name), SHAPE, "probabilities")
        return caught.value.problem

    assert problem("a.txt", b"0.5 0.5") == problem("b.txt", b"") == "of a wrong size"
    assert problem("c.txt", b"0.5 oops") == "unreadable"
    assert problem("d.npy", b"") == problem("e.npy", b"no array") == "unreadable"
    for name, array in (
        ("f.npy", np.zeros((1, 2) + SHAPE, np.float32)),
        ("g.npy", np.zeros(SHAPE + (2,))),
    ):
        np.save(str(tmp_path / name), array)
        assert problem(name, (tmp_path / name).read_bytes()) == "of a wrong size"


def test_rounding_beyond_the_ends_is_clipped(tmp_path):
    path = str(tmp_path / "a.bin")
    probabilities(np.full(SHAPE, 1.0005, np.float32)).tofile(path)
    assert replay.decode(path, SHAPE, "probabilities").max() == 1


def test_pictures_that_are_not_square(tmp_path):
    alpha = np.linspace(0, 1, TALL[0] * TALL[1], dtype=np.float32).reshape(TALL)
    for name, dtype, tolerance in (
        ("a.bin", np.float32, 0),
        ("b.bin", np.float16, 1e-3),
        ("c.npy", np.float32, 0),
    ):
        path = str(tmp_path / name)
        values = probabilities(alpha).astype(dtype)
        if name.endswith(".npy"):
            np.save(path, values[None])
        else:
            values.tofile(path)
        decoded = replay.decode(path, TALL, "probabilities")
        assert decoded.shape == TALL and decoded.dtype == np.float32
        np.testing.assert_allclose(decoded, alpha, rtol=0, atol=tolerance)
    with pytest.raises(replay.OutputError) as caught:  # an array says which side is which
        replay.decode(str(tmp_path / "c.npy"), TALL[::-1], "probabilities")
    assert caught.value.problem == "of a wrong size"


def test_results_as_a_predictor(tmp_path):
    alphas = {stem: np.full(TALL, value, np.float32) for stem, value in (("b", 0.25), ("a", 0.75))}
    folder = write_results(tmp_path / "run", alphas)
    predictor = replay.open_results(folder, ["b", "a"], list(TALL), "probabilities")
    assert predictor.network.shape == TALL and predictor.source == folder
    assert (predictor.precision, predictor.step, predictor.complexity) == ("float16", None, None)
    alphas_given = predictor(np.zeros((2,) + TALL + (3,)))
    assert alphas_given.shape == (2,) + TALL
    np.testing.assert_array_equal(alphas_given, [alphas["b"], alphas["a"]])


def test_stems_that_end_like_a_naming(tmp_path):
    stems = ["a", "a_output"]
    for naming in ("_output_0.bin", "_0.bin"):
        folder = tmp_path / naming
        folder.mkdir()
        for stem, alpha in zip(stems, (0, 1)):
            values = probabilities(np.full(SHAPE, alpha, np.float32))
            values.tofile(str(folder / (stem + naming)))
        paths = replay.check_outputs(str(folder), stems, SHAPE, "probabilities")
        names = [os.path.basename(path) for path in paths]
        assert names == ["a" + naming, "a_output" + naming]


def test_the_newest_results_are_taken(tmp_path, caplog):
    # By name the first would be the later one: these times are not padded.
    old, new = tmp_path / "2021924_9_3_12_123456", tmp_path / "20210924_150312"
    for age, folder in ((100, old), (50, new)):
        write_results(folder, {"a": np.zeros(SHAPE, np.float32)})
        for path in [folder] + list(folder.iterdir()):
            os.utime(str(path), (1e9 - age, 1e9 - age))
    (tmp_path / "20300101_000000").mkdir()  # of a run that failed at once
    (tmp_path / "run_summary.json").write_text("{}")
    (tmp_path / "log.txt").write_text("")
    with caplog.at_level("INFO"):
        assert replay.find_results([str(tmp_path)]) == str(new)
    assert "%s, the newest of 2" % new in caplog.text
    os.utime(str(next(old.iterdir())))  # ais_bench --output_dirname writes over its files
    assert replay.find_results([str(tmp_path)]) == str(old)
    assert replay.find_results([str(new)]) == str(new)
    with pytest.raises(FileNotFoundError, match="--output_dir"):
        replay.find_results([str(tmp_path / "none"), str(tmp_path / "20300101_000000")])
