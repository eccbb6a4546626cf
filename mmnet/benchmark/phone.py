"""TensorFlow Lite's own benchmark program, on an Android phone.

The program (benchmark_model for Android, https://ai.google.dev/edge/litert/models/measurement) and
the models are pushed with adb into a folder of their own on the phone, which is removed afterwards.
"""

import os
import re
import shutil
import subprocess
from typing import NamedTuple, Optional

FOLDER = "/data/local/tmp/mmnet-benchmark"
RUNS = 50
COMMAND = (
    "{folder}/benchmark_model --graph={folder}/model.tflite --num_threads={threads} "
    "--num_runs={runs} --report_peak_memory_footprint=true"
)
TIMINGS = re.compile(
    r"Inference timings in us: Init: (\S+), First inference: (\S+), Warmup \(avg\): (\S+), "
    r"Inference \(avg\): (\S+)"
)
SPREAD = re.compile(r"count=(\d+) .*?std=(\d+)")
MEMORY = re.compile(r"Memory footprint delta.*overall=(\S+)")


class PhoneRow(NamedTuple):
    model: str
    phone: str
    threads: int
    mean_ms: float
    std_ms: Optional[float]  # of the runs
    first_ms: float  # the first inference
    memory_mb: Optional[float]  # that the model added, as the program tells it
    runs: Optional[int]


def benchmark_on_phone(binary, paths, threads=(1,)):
    """Yield a PhoneRow for each .tflite at each number of threads.

    Raises:
        FileNotFoundError: no such binary or model. ValueError: no adb, no phone, a model that is no
            .tflite, or the program fails there; its own words are in the message.
    """
    if shutil.which("adb") is None:
        raise ValueError("--adb needs the program adb on PATH (Android's platform tools)")
    for path in [binary] + list(paths):
        if not os.path.isfile(path):
            raise FileNotFoundError("no file %s" % path)
    others = [path for path in paths if not path.endswith(".tflite")]
    if others:
        raise ValueError("--adb runs .tflite models, not %s" % others[0])
    phone = adb("shell", "getprop ro.product.model").strip()
    adb("shell", "mkdir -p " + FOLDER)
    try:
        adb("push", binary, FOLDER + "/benchmark_model")
        adb("shell", "chmod +x %s/benchmark_model" % FOLDER)
        for path in paths:
            adb("push", path, FOLDER + "/model.tflite")
            for count in threads:
                command = COMMAND.format(folder=FOLDER, threads=count, runs=RUNS)
                yield row_of(path, phone, count, adb("shell", command))
    finally:
        subprocess.run(
            ["adb", "shell", "rm -rf " + FOLDER],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def adb(*arguments):
    """What adb said.

    Raises:
        ValueError: it failed.
    """
    done = subprocess.run(
        ("adb",) + arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        raise ValueError(
            "adb %s failed with exit code %d: %s"
            % (" ".join(arguments), done.returncode, " ".join(done.stdout.split())[-300:])
        )
    return done.stdout


def row_of(path, phone, threads, output):
    """The PhoneRow in the program's output; its times are microseconds."""
    timings = TIMINGS.search(output)
    if timings is None:
        raise ValueError(
            "benchmark_model gave no timings for %s: %s" % (path, " ".join(output.split())[-300:])
        )
    _, first, _, mean = (float(value) / 1e3 for value in timings.groups())
    # The last spread is that of the runs; those before are of the warm-up.
    spreads, memory = SPREAD.findall(output), MEMORY.search(output)
    runs, std = spreads[-1] if spreads else (None, None)
    return PhoneRow(
        path,
        phone,
        threads,
        mean_ms=mean,
        std_ms=std and float(std) / 1e3,
        first_ms=first,
        memory_mb=memory and float(memory.group(1)),
        runs=runs and int(runs),
    )


def phone_text(rows):
    lines = ["%s, TensorFlow Lite's benchmark_model, batch 1" % rows[0].phone]
    for row in rows:
        lines.append(
            "%s  %d threads  mean %.2f ms%s  first %.2f ms%s"
            % (
                os.path.basename(row.model),
                row.threads,
                row.mean_ms,
                ""
                if row.std_ms is None
                else " (standard deviation %.2f, %d runs)" % (row.std_ms, row.runs),
                row.first_ms,
                "" if row.memory_mb is None else "  memory %.1f MB" % row.memory_mb,
            )
        )
    return "\n".join(lines)
