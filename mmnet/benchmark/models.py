"""How long models take, side by side.

Every model runs in a process of its own, so that threads and memory are its own. The processes take
turns, a fraction of a second each: what slows the machine for a while slows all of them.
"""

import json
import multiprocessing
import os
import platform
import time
from typing import NamedTuple, Optional

import numpy as np
from humanfriendly import format_size

from mmnet import __version__
from mmnet.datasets.synthetic import draw_portrait
from mmnet.inference.complexity import measure_complexity
from mmnet.inference.open import open_predictor
from mmnet.inference.predictor import Complexity
from mmnet.io.errors import MmnetError
from mmnet.io.progress import progress
from mmnet.io.resize import resize_bilinear
from mmnet.io.tables import format_table
from mmnet.networks.inference_graph import inference_graph
from mmnet.tf.compat import installed_runtimes
from mmnet.tf.device import Device
from mmnet.weights.registry import UNTRAINED
from mmnet.weights.source import find_source, source_bytes
from mmnet.weights.values import WeightOptions

WARM_UP_RUNS, WARM_UP_SECONDS = 3, 1.0  # at least
TURN_SECONDS = 0.25


class Row(NamedTuple):
    """One model at one number of threads and one batch size."""

    model: str
    threads: int
    batch: int
    median_ms: float  # latency of a batch: images float32 0..255 in, alphas out
    p90_ms: float
    images_per_second: float  # at the median
    ratio: float  # its time / the first model's, median over the turns
    ratio_low: float  # 10th percentile of the turns
    ratio_high: float  # 90th
    # That the model and what runs it added to its process; None: not Linux.
    peak_memory_bytes: Optional[int]
    parameters: Optional[int]
    multiply_adds: Optional[int]  # of one picture
    bytes: int  # of its files
    runs: int


class Load(NamedTuple):
    """How models are run."""

    threads: int = 1
    batch: int = 1  # pictures a run
    seconds: float = 5.0  # to measure each model for


def benchmark(paths, load, wanted=None, weight_options=WeightOptions()):
    """Yield a Row for each model under one Load.

    Args:
        paths: as inference.open takes them. wanted, reading: as there, of checkpoints.

    Raises:
        FileNotFoundError, ValueError: no model, one that does not run here, or not at that many
            threads or pictures.
    """
    workers = []
    try:
        for path in paths:
            workers.append(Worker(path, load, wanted or {}, reading))
        yield from measure(workers, load)
    finally:
        for worker in workers:
            worker.close()


class Worker:
    """A model in a process of its own."""

    def __init__(self, path, load, wanted, reading):
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        arguments = (other, path, load, wanted, reading)
        self._process = context.Process(target=work, args=arguments, daemon=True)
        self._process.start()
        other.close()
        self.path = path
        self.complexity, self.bytes = self._answer()

    def run(self, runs):
        """The seconds that each of so many runs took."""
        self._pipe.send(runs)
        return self._answer()

    def memory(self):
        self._pipe.send(0)
        return self._answer()

    def _answer(self):
        try:
            answer = self._pipe.recv()
        except EOFError:
            self._process.join()
            raise MmnetError(
                "%s: the process that runs it ended with exit code %d"
                % (self.path, self._process.exitcode)
            ) from None
        if isinstance(answer, (OSError, ValueError)):
            raise answer
        return answer

    def close(self):
        self._pipe.close()
        self._process.terminate()
        self._process.join()


def work(pipe, path, load, wanted, reading):
    """What a Worker's process does: open the model, then run it as often as the pipe asks.

    0 asks for the memory.
    """
    before = memory_now()
    try:
        predictor, complexity = open_measured(path, load, wanted, reading)
        image = draw_portrait(np.random.RandomState(0), (400, 300))[0]
        image = resize_bilinear(image, predictor.network.shape, align_corners=True)
        images = np.stack([image] * load.batch)
        predictor(images)
    except (OSError, ValueError) as error:
        pipe.send(error)
        return
    except Exception as error:  # of TensorFlow, TFLite or onnxruntime, each its own class
        pipe.send(
            ValueError(
                "%s does not run %d pictures at a time here (%s)"
                % (path, load.batch, str(error)[:300])
            )
        )
        return
    pipe.send((complexity, source_bytes(find_source(predictor.source or UNTRAINED))))
    while True:
        try:
            runs = pipe.recv()
        except EOFError:
            return
        if not runs:
            pipe.send(None if before is None else memory_peak() - before)
            continue
        taken = []
        for _ in range(runs):
            start = time.perf_counter()
            predictor(images)
            taken.append(time.perf_counter() - start)
        pipe.send(taken)


def open_measured(path, load, wanted, reading):
    """(Predictor, its Complexity or None)."""
    if find_source(path).kind != "checkpoint":
        wanted, reading = {}, WeightOptions()
    predictor = open_predictor(
        path, wanted, weight_options=reading, device=Device(threads=load.threads), batch=load.batch
    )
    if predictor.complexity is not None or find_source(path).kind != "checkpoint":
        return predictor, predictor.complexity
    return predictor, measure_complexity(
        inference_graph(predictor.network, predictor.weights.values)
    )


def measure(workers, load):
    """The Rows of models that take turns."""
    turns = max(3, int(round(load.seconds / TURN_SECONDS)))
    runs = []
    for worker in workers:
        taken, start = [], time.perf_counter()
        while len(taken) < WARM_UP_RUNS or time.perf_counter() - start < WARM_UP_SECONDS:
            taken += worker.run(1)
        runs.append(max(1, int(round(TURN_SECONDS / np.median(taken)))))
    seconds_of = [[] for _ in workers]  # [model][turn] -> seconds of each run
    what = "%d threads, batch %d" % (load.threads, load.batch)
    for _ in progress(range(turns), turns, what, "turns"):
        for index, worker in enumerate(workers):
            worker.run(1)  # what the others left in the caches is not its own
            seconds_of[index].append(worker.run(runs[index]))
    first = np.array([np.median(turn) for turn in seconds_of[0]])
    for worker, turns_taken in zip(workers, seconds_of):
        yield row_of(worker, load, turns_taken, first)


def row_of(worker, load, turns_taken, first):
    """A Row.

    Args:
        turns_taken: [turn] -> seconds of each run. first: [turns] the first model's median seconds.
    """
    every = np.concatenate(turns_taken)
    ratios = np.array([np.median(turn) for turn in turns_taken]) / first
    complexity = worker.complexity or Complexity(None, None)
    median = float(np.median(every))
    return Row(
        worker.path,
        load.threads,
        load.batch,
        median_ms=1e3 * median,
        p90_ms=1e3 * float(np.percentile(every, 90)),
        images_per_second=load.batch / median,
        ratio=float(np.median(ratios)),
        ratio_low=float(np.percentile(ratios, 10)),
        ratio_high=float(np.percentile(ratios, 90)),
        peak_memory_bytes=worker.memory(),
        parameters=complexity.parameters,
        multiply_adds=complexity.multiply_adds,
        bytes=worker.bytes,
        runs=len(every),
    )


def memory_now():
    """Bytes of this process in memory; from here on memory_peak counts anew. None: not Linux."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # resets VmHWM
        return _status("VmRSS")
    except OSError:
        return None


def memory_peak():
    return _status("VmHWM")


def _status(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name + ":"))


def machine():
    """What measured it, in words."""
    model = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as file:
            names = [
                line.partition(":")[2].strip() for line in file if line.startswith("model name")
            ]
        model = names[0] if names else model
    words = [model, "%d cores" % (os.cpu_count() or 1), platform.system()]
    return ", ".join(words + installed_runtimes() + ["mmnet " + __version__])


def to_json(row):
    return json.dumps(dict(row._asdict(), machine=machine()))


HEADER = [
    "model",
    "threads",
    "batch",
    "median",
    "90 %",
    "images/s",
    "time / first (10 .. 90 %)",
    "memory",
    "parameters",
    "multiply-adds",
    "size",
]


def benchmark_lines(rows, names):
    """The lines of a table, the first of them its header; ``names`` are the rows' models."""
    lines = [HEADER]
    for name, row in zip(names, rows):
        memory, parameters, multiply_adds = "", "", ""
        if row.peak_memory_bytes is not None:
            memory = format_size(row.peak_memory_bytes, binary=True)
        if row.parameters is not None:
            parameters = "{:,}".format(row.parameters)
        if row.multiply_adds is not None:
            multiply_adds = "%.1f M" % (row.multiply_adds / 1e6)
        lines.append(
            [
                name,
                str(row.threads),
                str(row.batch),
                "%.2f ms" % row.median_ms,
                "%.2f ms" % row.p90_ms,
                "%.1f" % row.images_per_second,
                "%.3f (%.3f .. %.3f)" % (row.ratio, row.ratio_low, row.ratio_high),
                memory,
                parameters,
                multiply_adds,
                format_size(row.bytes, binary=True),
            ]
        )
    return format_table(lines).split("\n")
