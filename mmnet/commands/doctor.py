"""`mmnet doctor`: show which optional components are installed, and how to install the others."""

import dataclasses
import importlib
import json
import os
import platform
import shutil
import sys
from typing import Any, Dict, List, NamedTuple, Optional

import numpy as np
from humanfriendly import format_size
from humanfriendly.tables import format_pretty_table

from mmnet import __version__
from mmnet.commands.options import JsonOptions
from mmnet.inference.open import open_predictor
from mmnet.io.errors import MmnetError
from mmnet.io.memory import machine_memory
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
    installation: str


def _extra(name):
    return f"pip install 'mmnet[{name}]'"


COMPONENTS = (
    Component("TensorFlow", "tensorflow", "training, checkpoints, export", "sh scripts/setup.sh"),
    Component("LiteRT", "ai_edge_litert", "matting without TensorFlow", "Python 3.10 or newer"),
    Component("ONNX Runtime", "onnxruntime", "running .onnx files", _extra("export")),
    Component("tf2onnx", "tf2onnx", "writing .onnx files", _extra("export")),
    Component("PyAV", "av", "clips", f"{_extra('video')}, Python 3.10 or newer"),
    Component("aiohttp", "aiohttp", "mmnet demo", _extra("demo")),
    Component(
        "Horovod", "horovod", "train --engine horovod", f"{_extra('horovod')}, Python < 3.12"
    ),
    Component("pillow-heif", "pillow_heif", "HEIC and AVIF photos", _extra("heif")),
    Component("atc", None, "run_pb2om.sh: .pb to .om", "Huawei's CANN"),
    Component("msame", None, "run_msame.sh: running an .om", "Huawei's tools, or ais_bench"),
)


def run(options: Options) -> int:
    versions = {component.name: find_version(component) for component in COMPONENTS}
    machine, fault = describe_machine(), check_bundled_weights()
    if options.json:
        record = dict(machine, parts=versions, weights_in_the_box=fault or "work")
        print(json.dumps(record))
    else:
        print(format_report(versions, machine, fault))
    return 0 if fault is None else 1


def describe_machine() -> Dict[str, Any]:
    """Return versions, cores, memory in bytes and the devices of this machine."""
    return {
        "mmnet": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "memory": machine_memory(),
        "devices": list_devices(),
    }


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
    if "tensorflow" not in sys.modules:
        return ["cpu"]
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


def format_report(versions, machine, fault):
    """Return the report as text."""
    line = "mmnet {mmnet}, Python {python}, {system}, {cores} cores".format(**machine)
    if machine["memory"]:
        line += f", {format_size(machine['memory'], binary=True)} of memory"
    rows = []
    for component in COMPONENTS:
        version = versions[component.name]
        installation = "" if version else component.installation
        rows.append((component.name, version or "-", component.purpose, installation))
    table = format_pretty_table(rows, ["component", "installed", "purpose", "installation"])
    devices = ", ".join(machine["devices"])
    return f"{line}\n--device: {devices}\nbundled weights: {fault or 'work'}\n{table}"
