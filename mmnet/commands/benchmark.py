"""`mmnet benchmark`: measure latency and memory of models, and the steps of photos and clips."""

import dataclasses
import itertools
import json
import os
from typing import Dict, List, Tuple

from humanfriendly import format_size

from mmnet.benchmark.clip_steps import time_clip
from mmnet.benchmark.models import Load, Row, benchmark, summarize_machine
from mmnet.benchmark.steps import time_photo
from mmnet.commands.flag_types import positive_float, positive_ints, source
from mmnet.commands.options import SOURCE, JsonOptions, NetworkOptions, flag
from mmnet.inference.onnx import ONNX_BATCHES
from mmnet.inference.tflite import find_interpreter
from mmnet.io.extensions import HEIF_EXTENSIONS, IMAGE_EXTENSIONS, is_clip
from mmnet.io.files import short_names
from mmnet.io.optional import import_optional
from mmnet.io.tables import format_table
from mmnet.weights.registry import DEFAULT
from mmnet.weights.source import find_source
from mmnet.weights.values import WeightOptions

HEADER = ["model", "threads", "batch", "median", "90 %", "images/s", "time / first (10 .. 90 %)"]
HEADER += ["memory", "parameters", "multiply-adds", "size"]


def media_or_source(value: str) -> str:
    """Check that a photo, a clip or a trained network exists."""
    return value if is_media(value) else source(value)


def is_media(value: str) -> bool:
    is_photo = value.lower().endswith(IMAGE_EXTENSIONS + HEIF_EXTENSIONS)
    return os.path.isfile(value) and (is_photo or is_clip(value))


@dataclasses.dataclass(frozen=True)
class Options(NetworkOptions, JsonOptions):
    """Measure latency, throughput, memory and multiply-adds of models on the CPU.

    For a photo or clip, measure each step of predict with the first model.

    Each model runs in its own process, and the models take turns. The column "time / first" is the
    latency relative to the first model.
    """

    models: Tuple[str, ...] = flag(
        (),
        media_or_source,
        help=f"photo or clip; {SOURCE} (default: {DEFAULT})",
        nargs="*",
        positional=True,
    )
    threads: Tuple[int, ...] = flag((1,), positive_ints, help="numbers of threads, such as 1,2")
    batch_size: Tuple[int, ...] = flag(
        (1,), positive_ints, help="images per run, such as 1,8,32", old_name="batch"
    )
    seconds: float = flag(5.0, positive_float, help="measurement time per model")
    use_ema: bool = flag(False, help="use the moving averages of a checkpoint's weights")


def run(options: Options) -> int:
    paths = [model for model in options.models if is_media(model)]
    models = tuple(model for model in options.models if model not in paths) or (DEFAULT,)
    for path in paths:
        if is_clip(path):
            seconds = time_clip(path, models[0])
        else:
            seconds = time_photo(path, models[0], options.seconds)
        print_steps(path, seconds, options)
    if paths:
        return 0
    sources = [find_source(model) for model in models]
    if any(found.kind == "tflite" for found in sources):
        for threads in options.threads:  # fail before the first measurement
            find_interpreter(threads)
    if any(found.kind == "onnx" for found in sources) and max(options.batch_size) > 1:
        import_optional("onnx", ONNX_BATCHES, "export")
    names, table = short_names(models), [HEADER]
    fields, weight_options = options.network_fields(), WeightOptions(options.use_ema)
    for threads, batch_size in itertools.product(options.threads, options.batch_size):
        load = Load(threads, batch_size, options.seconds)
        rows = benchmark(sources, load, fields, weight_options)
        for model, name, row in zip(models, names, rows):
            if options.json:
                record = dict(row._asdict(), model=model, machine=summarize_machine())
                print(json.dumps(record), flush=True)
            table.append(format_row(name, row))
    if not options.json:
        print(summarize_machine())
        print(format_table(table))
    return 0


def print_steps(path: str, seconds: Dict[str, float], options: Options) -> None:
    """Print the time of each step and their sum, as a table or as JSON."""
    seconds = {**seconds, "total": sum(seconds.values())}
    milliseconds = {step: 1000 * value for step, value in seconds.items()}
    if options.json:
        record = {"path": path, "milliseconds": milliseconds, "machine": summarize_machine()}
        print(json.dumps(record), flush=True)
        return
    rows = [[step, f"{value:.1f} ms"] for step, value in milliseconds.items()]
    print(summarize_machine())
    unit = "mean per frame" if is_clip(path) else "median"
    print(format_table([[os.path.basename(path), unit], *rows]))


def format_row(name: str, row: Row) -> List[str]:
    """Return the cells of a table row. Unknown numbers are empty."""
    memory, parameters, multiply_adds = row.peak_memory_bytes, row.parameters, row.multiply_adds
    return [
        name,
        str(row.threads),
        str(row.batch),
        f"{row.median_ms:.2f} ms",
        f"{row.p90_ms:.2f} ms",
        f"{row.images_per_second:.1f}",
        f"{row.ratio:.3f} ({row.ratio_low:.3f} .. {row.ratio_high:.3f})",
        "" if memory is None else format_size(memory, binary=True),
        "" if parameters is None else f"{parameters:,}",
        "" if multiply_adds is None else f"{multiply_adds / 1e6:.1f} M",
        format_size(row.bytes, binary=True),
    ]
