"""The benchmark verb: how long models take, side by side.

Every model runs in a process of its own, so that threads and memory are its own. The processes take turns, a fraction
of a second each: what slows the machine for a while slows all of them.
"""
import json
import multiprocessing
import os
import platform
import time
from typing import NamedTuple, Optional

import numpy as np
from humanfriendly import format_size

from mmnet import __version__, checkpoint
from mmnet.compat import tf
from mmnet.config import network_of
from mmnet.data.images import resize_bilinear
from mmnet.data.synthetic import draw_portrait
from mmnet.delivery.complexity import Complexity, complexity_of
from mmnet.delivery.graphs import inference_graph
from mmnet.delivery.models import bytes_of, is_model, open_model
from mmnet.delivery.predictor import CheckpointPredictor
from mmnet.files import short_names
from mmnet.progress import progress
from mmnet.scoring.report import aligned

WARM_UP_RUNS, WARM_UP_SECONDS = 3, 1.0  # at least
TURN_SECONDS = 0.25


class Network(NamedTuple):
    """What a checkpoint does not say of its network; None is what its run says, else 1.0 and 256."""
    width_multiplier: Optional[float] = None
    size: Optional[int] = None
    use_ema: bool = False


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
    peak_memory_bytes: Optional[int]  # that opening and running it added to its process; None where Linux does not tell
    parameters: Optional[int]
    multiply_adds: Optional[int]  # of one picture
    bytes: int  # of its files
    runs: int


def benchmark(paths, threads=(1,), batches=(1,), seconds=5.0, network=Network()):
    """Yield a Row for each model, at each number of threads and each batch size.

    Args:
        paths: model files, as models.open_model takes them, or checkpoints. seconds: to measure each Row for.

    Raises:
        FileNotFoundError, ValueError: no model, one that does not run here, or not at that many threads or pictures.
    """
    for thread_count in threads:
        for batch in batches:
            workers = []
            try:
                for path in paths:
                    workers.append(Worker(path, thread_count, batch, network))
                yield from measure(workers, thread_count, batch, seconds)
            finally:
                for worker in workers:
                    worker.close()


class Worker:
    """A model in a process of its own."""

    def __init__(self, path, threads, batch, network):
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=work, args=(other, path, threads, batch, network), daemon=True)
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
            raise ValueError("%s: the process that runs it ended with exit code %d"
                             % (self.path, self._process.exitcode)) from None
        if isinstance(answer, (OSError, ValueError)):
            raise answer
        return answer

    def close(self):
        self._pipe.close()
        self._process.terminate()
        self._process.join()


def work(pipe, path, threads, batch, network):
    """What a Worker's process does: open the model, then run it as often as the pipe says; 0 asks for the memory."""
    before = memory_now()
    try:
        predict, complexity, size = open_any(path, threads, batch, network)
        image = draw_portrait(np.random.RandomState(0), (400, 300))[0]
        images = np.stack([resize_bilinear(image, (size, size), align_corners=True)] * batch)
        predict(images)
    except (OSError, ValueError) as error:
        pipe.send(error)
        return
    except Exception as error:  # of TensorFlow, TFLite or onnxruntime, each its own class
        pipe.send(ValueError("%s does not run %d pictures at a time here (%s)" % (path, batch, str(error)[:300])))
        return
    pipe.send((complexity, files_bytes(path)))
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
            predict(images)
            taken.append(time.perf_counter() - start)
        pipe.send(taken)


def open_any(path, threads=None, batch=1, network=Network()):
    """(predict, Complexity or None, size) of a model file or a checkpoint."""
    if is_model(path):
        model = open_model(path, threads=threads, batch=batch)
        return model, model.complexity, model.size
    width_multiplier, size = (given or of_run or default for given, of_run, default in
                              zip(network, network_of(path), (1.0, 256)))
    predictor = CheckpointPredictor.open(path, width_multiplier, size, network.use_ema, threads=threads)
    graph_def = inference_graph(predictor.values(), width_multiplier, size)
    return predictor, complexity_of(graph_def), size


def files_bytes(path):
    if is_model(path):
        return bytes_of(path)
    return sum(os.path.getsize(name) for name in checkpoint.files_of(checkpoint.resolve(path)))


def measure(workers, threads, batch, seconds):
    """The Rows of models that take turns."""
    turns = max(3, int(round(seconds / TURN_SECONDS)))
    runs = []
    for worker in workers:
        taken, start = [], time.perf_counter()
        while len(taken) < WARM_UP_RUNS or time.perf_counter() - start < WARM_UP_SECONDS:
            taken += worker.run(1)
        runs.append(max(1, int(round(TURN_SECONDS / np.median(taken)))))
    seconds_of = [[] for _ in workers]  # [model][turn] -> seconds of each run
    what = "%d threads, batch %d" % (threads, batch)
    for _ in progress(range(turns), turns, what, "turns"):
        for index, worker in enumerate(workers):
            worker.run(1)  # what the others left in the caches is not its own
            seconds_of[index].append(worker.run(runs[index]))
    first = np.array([np.median(turn) for turn in seconds_of[0]])
    for worker, turns_taken in zip(workers, seconds_of):
        every = np.concatenate(turns_taken)
        ratios = np.array([np.median(turn) for turn in turns_taken]) / first
        complexity = worker.complexity or Complexity(None, None)
        median = float(np.median(every))
        yield Row(worker.path, threads, batch, 1e3 * median, 1e3 * float(np.percentile(every, 90)), batch / median,
                  float(np.median(ratios)), float(np.percentile(ratios, 10)), float(np.percentile(ratios, 90)),
                  worker.memory(), complexity.parameters, complexity.multiply_adds, worker.bytes, len(every))


def memory_now():
    """Bytes of this process in memory; from here on memory_peak counts anew. None where Linux does not tell."""
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
    """What ran it, in words."""
    model = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
        model = names[0] if names else model
    return "%s, %d cores, %s, TensorFlow %s, mmnet %s" % (model, os.cpu_count() or 1, platform.system(), tf.__version__,
                                                         __version__)


def to_json(row):
    return json.dumps(dict(row._asdict(), machine=machine()))


def text(rows):
    """A table."""
    lines = [["model", "threads", "batch", "median", "90 %", "images/s", "time / first (10 .. 90 %)", "memory",
              "parameters", "multiply-adds", "size"]]
    for name, row in zip(short_names([row.model for row in rows]), rows):
        lines.append([
            name, str(row.threads), str(row.batch), "%.2f ms" % row.median_ms,
            "%.2f ms" % row.p90_ms, "%.1f" % row.images_per_second,
            "%.3f (%.3f .. %.3f)" % (row.ratio, row.ratio_low, row.ratio_high),
            "" if row.peak_memory_bytes is None else format_size(row.peak_memory_bytes, binary=True),
            "" if row.parameters is None else "{:,}".format(row.parameters),
            "" if row.multiply_adds is None else "%.1f M" % (row.multiply_adds / 1e6),
            format_size(row.bytes, binary=True)])
    return machine() + "\n" + aligned(lines)
