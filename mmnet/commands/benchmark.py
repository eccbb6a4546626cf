"""`mmnet benchmark`: measure latency and memory of models."""

import dataclasses
from typing import Tuple

from mmnet.benchmark.models import Load, benchmark, benchmark_lines, machine, to_json
from mmnet.commands.flag_types import positive_float, positive_ints, source
from mmnet.commands.options import SOURCE, JsonOptions, NetworkOptions, flag
from mmnet.inference.tflite import tflite_interpreter
from mmnet.io.files import short_names
from mmnet.weights.registry import DEFAULT
from mmnet.weights.source import find_source
from mmnet.weights.values import WeightOptions


@dataclasses.dataclass(frozen=True)
class Options(NetworkOptions, JsonOptions):
    """Measure latency, throughput, memory and multiply-adds of models on the CPU.

    Each model runs in its own process, and the models take turns. The column "time / first" is the
    latency relative to the first model.
    """

    models: Tuple[str, ...] = flag(
        (), source, help=f"{SOURCE} (default: {DEFAULT})", nargs="*", positional=True
    )
    threads: Tuple[int, ...] = flag((1,), positive_ints, help="numbers of threads, such as 1,2")
    batch_size: Tuple[int, ...] = flag(
        (1,), positive_ints, help="images per run, such as 1,8,32", old_name="batch"
    )
    seconds: float = flag(5.0, positive_float, help="measurement time per model")
    use_ema: bool = flag(False, help="use the moving averages of a checkpoint's weights")


def run(options: Options) -> int:
    models = options.models or (DEFAULT,)
    need_threads(models, options.threads)
    names = short_names(models)
    printed = []
    for threads in options.threads:
        for batch in options.batch_size:
            load = Load(threads, batch, options.seconds)
            rows = list(
                benchmark(models, load, options.network_fields(), WeightOptions(options.use_ema))
            )
            if options.json:
                for row in rows:
                    print(to_json(row), flush=True)
            else:
                first = not printed
                printed += rows
                lines = benchmark_lines(printed, names * (len(printed) // len(names)))
                fresh = lines if first else lines[-len(rows) :]
                print("\n".join([machine()] * first + fresh), flush=True)
    return 0


def need_threads(models, threads):
    """Raise MmnetError, before the first measurement, for thread counts that cannot be set."""
    for path in models:
        for count in threads if find_source(path).kind == "tflite" else ():
            tflite_interpreter(count)
