"""`mmnet doctor`: show which optional components are installed, and how to install the others."""

import dataclasses
import importlib
import os
import platform
import shutil
from typing import List, NamedTuple, Optional

import numpy as np
from humanfriendly import format_size

from mmnet import __version__
from mmnet.commands.options import JsonOptions
from mmnet.inference.open import open_predictor
from mmnet.io.errors import MmnetError
from mmnet.io.memory import machine_memory
from mmnet.io.optional import install_command
from mmnet.tf.device import Device, check_device
from mmnet.weights.registry import DEFAULT


@dataclasses.dataclass(frozen=True)
class Options(JsonOptions):
    """Show which optional components are installed, and how to install the others.

    The command also runs the bundled weights once. The exit code is 1 if they do not run.
    """


class Component(NamedTuple):
    """An optional dependency: a Python module or a program."""

    name: str
    module: Optional[str]  # None: a program on PATH
    purpose: str
    origin: str  # the extra of mmnet that installs the module ("": the light set), or a supplier


COMPONENTS = (
    Component("TensorFlow", "tensorflow", "training, checkpoints, export", "train"),
    Component("LiteRT", "ai_edge_litert", "matting without TensorFlow", ""),
    Component("ONNX Runtime", "onnxruntime", "running .onnx files", "export"),
    Component("tf2onnx", "tf2onnx", "writing .onnx files", "export"),
    Component("PyAV", "av", "clips", "video"),
    Component("aiohttp", "aiohttp", "mmnet demo", "demo"),
    Component("Horovod", "horovod", "launch --engine horovod", "horovod"),
    Component("pillow-heif", "pillow_heif", "HEIC and AVIF photos", "heif"),
    Component("atc", None, "run_pb2om.sh: .pb to .om", "Huawei's CANN"),
    Component("msame", None, "run_msame.sh: running an .om", "Huawei's tools, or ais_bench"),
)


def run(options: Options) -> int:
    devices = list_devices()  # imports TensorFlow without its log lines
    versions = {component.name: find_version(component) for component in COMPONENTS}
    fault = check_bundled_weights()
    record = {
        "mmnet": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "memory": machine_memory(),
        "devices": devices,
        "parts": versions,
        "weights_in_the_box": fault or "work",
    }
    if not options.json:
        record["memory"] = format_size(machine_memory() or 0, binary=True)
        record["parts"] = {name: version for name, version in versions.items() if version}
        record["missing"] = {
            name: f"{purpose}; {install_command(origin) if module else origin}"
            for name, module, purpose, origin in COMPONENTS
            if not versions[name]
        }
    options.print_record(record)
    return 0 if fault is None else 1


def find_version(component: Component) -> Optional[str]:
    """Return the version, or the path of a program. None: missing. ``broken: ...``: unusable."""
    if component.module is None:
        return shutil.which(component.name)
    try:
        module = importlib.import_module(component.module)
    except ImportError as error:
        is_missing = isinstance(error, ModuleNotFoundError) and error.name == component.module
        return None if is_missing else f"broken: {' '.join(str(error).split())}"
    return str(getattr(module, "__version__", "installed"))


def list_devices() -> List[str]:
    """Return the values of --device that work on this machine."""
    devices = []
    for kind in ("cpu", "gpu", "npu"):
        try:
            check_device(Device(kind))
        except MmnetError:
            continue
        devices.append(kind)
    return devices


def check_bundled_weights() -> Optional[str]:
    """Run the bundled weights once. Return None, or the reason why they do not run."""
    try:
        predictor = open_predictor(DEFAULT)
        predictor(np.zeros((1, *predictor.network.shape, 3), np.float32))
    except (MmnetError, OSError) as error:
        return str(error)
    return None
