"""benchmark --adb against a stand-in for adb that keeps its arguments; no phone took part."""

import json
import os

import pytest

from mmnet import cli
from mmnet.benchmark.phone import benchmark_on_phone, phone_text, row_of

SAID = """STARTING!
Min num runs: [50]
Graph: [/data/local/tmp/mmnet-benchmark/model.tflite]
Initialized session in 3.203ms.
Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding \
150 seconds.
count=41 first=14021 curr=12101 min=12010 max=14021 avg=12312.1 std=330
Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding \
150 seconds.
count=84 first=11902 curr=11850 min=11701 max=12544 avg=11852.9 std=118
Inference timings in us: Init: 3203, First inference: 14021, Warmup (avg): 12312.1, Inference \
(avg): 11852.9
Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE to \
the actual memory
Memory footprint delta from the start of the tool (MB): init=2.3 overall=6.125
"""
ADB = """#!/bin/sh
printf '%s\\n' "$*" >> "$ADB_LOG"
case "$*" in
    *getprop*) echo "Some Phone" ;;
    push*) [ -n "${ADB_FAILS:-}" ] && { echo "adb: error: no devices/emulators found"; exit 1; } ;;
    *--graph=*) cat "$ADB_SAYS" ;;
esac
exit 0
"""


@pytest.fixture
def adb(tmp_path, monkeypatch):
    """A folder with a stand-in for adb on PATH, a benchmark_model, a.tflite and a.pb.

    The stand-in's arguments go to ``log``.
    """
    (tmp_path / "adb").write_text(ADB)
    (tmp_path / "adb").chmod(0o755)
    (tmp_path / "says").write_text(SAID)
    for name in ("benchmark_model", "a.tflite", "a.pb"):
        (tmp_path / name).write_text("")
    monkeypatch.setenv("PATH", str(tmp_path) + os.pathsep + os.environ["PATH"])
    monkeypatch.setenv("ADB_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("ADB_SAYS", str(tmp_path / "says"))
    return tmp_path


def test_what_is_run_and_read(adb, capfd):
    arguments = ["benchmark", str(adb / "a.tflite"), "--threads", "1,4"]
    arguments += ["--adb", str(adb / "benchmark_model")]
    assert cli.main(arguments + ["--json"]) == 0
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [row.pop("threads") for row in rows] == [1, 4]
    assert rows[0] == {
        "model": str(adb / "a.tflite"),
        "phone": "Some Phone",
        "mean_ms": pytest.approx(11.8529),
        "std_ms": pytest.approx(0.118),
        "first_ms": pytest.approx(14.021),
        "memory_mb": 6.125,
        "runs": 84,
    }
    log = (adb / "log").read_text().splitlines()
    folder = "/data/local/tmp/mmnet-benchmark"
    run = (
        "shell {0}/benchmark_model --graph={0}/model.tflite --num_threads={1} --num_runs=50 "
        "--report_peak_memory_footprint=true"
    )
    assert log == [
        "shell getprop ro.product.model",
        "shell mkdir -p " + folder,
        "push %s/benchmark_model %s/benchmark_model" % (adb, folder),
        "shell chmod +x %s/benchmark_model" % folder,
        "push %s/a.tflite %s/model.tflite" % (adb, folder),
        run.format(folder, 1),
        run.format(folder, 4),
        "shell rm -rf " + folder,
    ]
    assert cli.main(arguments) == 0
    out = capfd.readouterr().out
    assert "Some Phone" in out and "mean 11.85 ms (standard deviation 0.12, 84 runs)" in out
    assert "6.1 MB" in out


def test_an_older_program_tells_less():
    said = (
        "Inference timings in us: Init: 3e+03, First inference: 14021, Warmup (avg): 1.2e+04, "
        "Inference (avg): 1.1e+04"
    )
    row = row_of("a.tflite", "Some Phone", 1, said)
    assert (row.mean_ms, row.std_ms, row.memory_mb, row.runs) == (11, None, None, None)
    assert "mean 11.00 ms  first" in phone_text([row])


def test_what_goes_wrong(adb, capfd, monkeypatch):
    arguments = ["benchmark", "--adb", str(adb / "benchmark_model")]

    def said(*more):
        capfd.readouterr()
        assert cli.main(arguments + list(more)) == 2
        err = capfd.readouterr().err
        assert err.count("\n") == 1
        return err

    assert "--adb runs .tflite models, not %s/a.pb" % adb in said(str(adb / "a.pb"))
    assert "no model none.tflite" in said("none.tflite")
    arguments[-1] = "nowhere"
    assert "no file nowhere" in said(str(adb / "a.tflite"))
    arguments[-1] = str(adb / "benchmark_model")
    (adb / "says").write_text("error: cannot open model")
    assert "gave no timings for %s/a.tflite: error: cannot open" % adb in said(
        str(adb / "a.tflite")
    )
    assert (adb / "log").read_text().splitlines()[
        -1
    ] == "shell rm -rf /data/local/tmp/mmnet-benchmark"
    monkeypatch.setenv("ADB_FAILS", "1")
    assert "failed with exit code 1: adb: error: no devices" in said(str(adb / "a.tflite"))
    monkeypatch.setenv("PATH", "/nonexistent")
    assert "--adb needs the program adb on PATH" in said(str(adb / "a.tflite"))


def test_what_is_no_model(adb):
    binary = str(adb / "benchmark_model")
    with pytest.raises(ValueError, match="--adb runs .tflite models, not .*benchmark_model"):
        next(benchmark_on_phone(binary, [binary]))
    for paths in ((binary, ["none.tflite"]), ("none.tflite", [binary])):
        with pytest.raises(FileNotFoundError, match="no file none.tflite"):
            next(benchmark_on_phone(*paths))
    assert not (adb / "log").exists()
