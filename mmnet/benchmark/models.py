"""Measure latency, throughput and memory of models.

Each model runs in its own process, so its threads and memory are its own. The processes take short
turns, so a slow phase of the machine slows all models.
"""

import contextlib
import multiprocessing
import os
import platform
import time
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from mmnet import __version__
from mmnet.export.comparison import comparison_images
from mmnet.inference.open import Device, Source, WeightOptions, open_predictor
from mmnet.inference.runtimes import runtime_versions
from mmnet.inference.sizes import ModelSize, model_size
from mmnet.io.errors import MmnetError
from mmnet.io.progress import progress

WARM_UP_RUNS, WARM_UP_SECONDS = 3, 1.0  # minimum of both
TURN_SECONDS = 0.25


class Load(NamedTuple):
    """How models run."""

    threads: int = 1
    batch_size: int = 1  # images per run
    seconds: float = 5.0  # measurement time per model


class Row(NamedTuple):
    """Measurements of one model under one Load."""

    model: str
    threads: int
    batch: int  # images per run
    median_ms: float  # latency of one run, from float32 images to alphas
    p90_ms: float
    images_per_second: float  # at the median latency
    ratio: float  # latency / latency of the first model: median over the turns
    ratio_low: float  # 10th percentile over the turns
    ratio_high: float  # 90th percentile
    peak_memory_bytes: Optional[int]  # added by the model and its runtime; None: not Linux
    parameters: Optional[int]
    multiply_adds: Optional[int]  # for one image
    bytes: int  # size of all files
    runs: int


def benchmark(
    sources: Sequence[Source],
    load: Load,
    network_fields: Optional[Dict[str, Any]] = None,
    weight_options: WeightOptions = WeightOptions(),
) -> Iterator[Row]:
    """Yield the measurements of each model.

    ``network_fields`` and ``weight_options`` (as in ``open_predictor``) apply to the checkpoints
    among the models. Without a checkpoint they are an error.
    """
    workers: List[Worker] = []
    are_checkpoints = [source.kind in ("checkpoint", "untrained") for source in sources]
    try:
        for source, is_checkpoint in zip(sources, are_checkpoints):
            options: Tuple[Dict[str, Any], WeightOptions] = ({}, WeightOptions())
            if is_checkpoint or not any(are_checkpoints):
                options = network_fields or {}, weight_options
            workers.append(Worker(source, load, *options))
        yield from measure(workers, load)
    finally:
        for worker in workers:
            worker.close()


class Worker:
    """A model in its own process.

    Attributes:
        name: name or path of the model.
        size: parameters, multiply-adds and bytes of the model.
        peak_memory: bytes that the model and its runtime added to the process; None: not Linux.
    """

    def __init__(self, source: Source, *arguments: Any):
        """Start the process, which calls ``serve`` with a pipe, the source and these arguments."""
        context = multiprocessing.get_context("spawn")
        self._pipe, child_pipe = context.Pipe()
        process_arguments = (child_pipe, source) + arguments
        self._process = context.Process(target=serve, args=process_arguments, daemon=True)
        self._process.start()
        child_pipe.close()
        self.name = source.name or source.path or source.kind
        self.peak_memory: Optional[int] = None
        self.size: ModelSize = self._receive()

    def run(self, runs: int) -> List[float]:
        """Run the model, and return the seconds of each run."""
        self._pipe.send(runs)
        seconds, self.peak_memory = self._receive()
        return seconds

    def close(self) -> None:
        self._pipe.close()
        self._process.terminate()
        self._process.join()

    def _receive(self):
        try:
            answer = self._pipe.recv()
        except EOFError:
            self._process.join()
            exit_code = self._process.exitcode
            raise MmnetError(f"{self.name}: its process ended with exit code {exit_code}") from None
        if isinstance(answer, Exception):
            raise answer
        return answer


def serve(
    pipe: Any,
    source: Source,
    load: Load,
    network_fields: Dict[str, Any],
    weight_options: WeightOptions,
) -> None:
    """Open a model in a worker process, send its ModelSize, and run it as the pipe requests.

    Each request is a number of runs. The answer is (seconds of each run, peak memory).
    """
    start_memory = _reset_peak_memory()
    device = Device(threads=load.threads)
    try:
        predictor = open_predictor(
            source,
            network_fields,
            weight_options=weight_options,
            device=device,
            batch_size=load.batch_size,
        )
        image = comparison_images(None, predictor.network)[:1]
        images = np.repeat(image, load.batch_size, axis=0)
        _time_run(predictor, images)
        pipe.send(model_size(predictor))
    except (OSError, MmnetError) as error:
        pipe.send(error)
        return
    with contextlib.suppress(EOFError):
        while True:
            seconds = [_time_run(predictor, images) for _ in range(pipe.recv())]
            peak_memory = None if start_memory is None else _memory("VmHWM") - start_memory
            pipe.send((seconds, peak_memory))


def measure(workers: Sequence[Worker], load: Load) -> Iterator[Row]:
    """Run the models in turns, and yield the measurements of each."""
    runs_per_turn = []
    for worker in workers:
        seconds: List[float] = []
        end = time.perf_counter() + WARM_UP_SECONDS
        while len(seconds) < WARM_UP_RUNS or time.perf_counter() < end:
            seconds += worker.run(1)
        runs_per_turn.append(max(1, int(round(TURN_SECONDS / np.median(seconds)))))

    turns = max(3, round(load.seconds / TURN_SECONDS))
    results: List[List[List[float]]] = [[] for _ in workers]  # [model][turn] -> seconds of runs
    label = f"{load.threads} threads, batch size {load.batch_size}"
    for _ in progress(range(turns), turns, label, "turns"):
        for worker, runs, turn_results in zip(workers, runs_per_turn, results):
            worker.run(1)  # other models have filled the caches of the processor
            turn_results.append(worker.run(runs))
    reference = np.array([np.median(seconds) for seconds in results[0]])
    for worker, turn_results in zip(workers, results):
        yield make_row(worker, load, turn_results, reference)


def make_row(
    worker: Worker, load: Load, turn_results: Sequence[Sequence[float]], reference: np.ndarray
) -> Row:
    """Summarize one model, given the seconds of each run per turn.

    ``reference`` contains the median seconds of the first model, per turn.
    """
    seconds = np.concatenate(turn_results)
    median, p90 = np.percentile(seconds, [50, 90]).tolist()
    ratios = np.array([np.median(turn) for turn in turn_results]) / reference
    ratio_low, ratio, ratio_high = np.percentile(ratios, [10, 50, 90]).tolist()
    return Row(
        worker.name,
        load.threads,
        load.batch_size,
        median_ms=1e3 * median,
        p90_ms=1e3 * p90,
        images_per_second=load.batch_size / median,
        ratio=ratio,
        ratio_low=ratio_low,
        ratio_high=ratio_high,
        peak_memory_bytes=worker.peak_memory,
        runs=len(seconds),
        **worker.size._asdict(),
    )


def summarize_machine() -> str:
    """Return processor, number of cores, system and versions as text."""
    processor = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as file:
            names = [line.partition(":")[2].strip() for line in file if line[:10] == "model name"]
        processor = names[0] if names else processor
    words = [processor, f"{os.cpu_count() or 1} cores", platform.system()]
    return ", ".join(words + runtime_versions() + [f"mmnet {__version__}"])


def _time_run(predictor, images):
    start = time.perf_counter()
    try:
        predictor(images)
    except Exception as error:  # each runtime raises classes of its own
        message = f"{predictor.source}: cannot run {len(images)} images ({str(error)[:300]})"
        raise MmnetError(message) from None
    return time.perf_counter() - start


def _reset_peak_memory() -> Optional[int]:
    """Restart the measurement of peak memory, and return the memory in use. None: not Linux."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # resets VmHWM
        return _memory("VmRSS")
    except OSError:
        return None


def _memory(name: str) -> int:
    """Return an entry of /proc/self/status in bytes."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name + ":"))
