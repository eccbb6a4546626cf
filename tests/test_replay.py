import os

import numpy as np
import pytest

from mmnet.scoring import replay
from test_offline_evaluate import SIDE, probabilities, write_results


def test_damaged_text_and_npy(tmp_path):
    def kind(name, data):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(replay.OutputError) as caught:
            replay.decode(str(tmp_path / name), SIDE, "probabilities")
        return caught.value.kind
    assert kind("a.txt", b"0.5 0.5") == kind("b.txt", b"") == "of a wrong size"
    assert kind("c.txt", b"0.5 oops") == "unreadable"
    assert kind("d.npy", b"") == kind("e.npy", b"no array") == "unreadable"
    for name, array in (("f.npy", np.zeros((1, 2, SIDE, SIDE), np.float32)), ("g.npy", np.zeros((SIDE, SIDE, 2)))):
        np.save(str(tmp_path / name), array)
        assert kind(name, (tmp_path / name).read_bytes()) == "of a wrong size"


def test_rounding_beyond_the_ends_is_clipped(tmp_path):
    path = str(tmp_path / "a.bin")
    probabilities(np.full((SIDE, SIDE), 1.0005, np.float32)).tofile(path)
    assert replay.decode(path, SIDE, "probabilities").max() == 1


def test_stems_that_end_like_a_naming(tmp_path):
    stems = ["a", "a_output"]
    for naming in ("_output_0.bin", "_0.bin"):
        folder = tmp_path / naming
        folder.mkdir()
        for stem, alpha in zip(stems, (0, 1)):
            probabilities(np.full((SIDE, SIDE), alpha, np.float32)).tofile(str(folder / (stem + naming)))
        paths = replay.check_outputs(str(folder), stems, SIDE, "probabilities")
        assert [os.path.basename(path) for path in paths] == ["a" + naming, "a_output" + naming]


def test_the_newest_results_are_taken(tmp_path, caplog):
    # By name the first would be the later one: these times are not padded.
    old, new = tmp_path / "2021924_9_3_12_123456", tmp_path / "20210924_150312"
    for age, folder in ((100, old), (50, new)):
        write_results(folder, {"a": np.zeros((SIDE, SIDE), np.float32)})
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
