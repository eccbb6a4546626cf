"""The doctor verb: what of all that mmnet can use is here, and what the rest would take."""

import dataclasses
import importlib
import json
import os
import platform
import shutil
import sys
from typing import NamedTuple, Optional

import numpy as np
from humanfriendly import format_size
from humanfriendly.tables import format_pretty_table

from mmnet import __version__
from mmnet.commands.flag_types import machine_memory
from mmnet.commands.options import JsonOptions
from mmnet.inference.open import open_predictor
from mmnet.tf.device import Device, check_device
from mmnet.weights.registry import DEFAULT


@dataclasses.dataclass(frozen=True)
class Options(JsonOptions):
    """What of all that mmnet can use is here, and what the rest would take.

    The exit code is 1 where the weights in the box do not run.
    """


class Part(NamedTuple):
    """Something that mmnet uses where it is there."""

    name: str
    module: Optional[str]  # its Python module, or None: a program
    use: str
    takes: str  # to get it


EXTRA = "pip install 'mmnet[%s]'"
CANN = "Huawei's CANN"
PARTS = (
    Part("TensorFlow", "tensorflow", "training, checkpoints, exports", "sh scripts/setup.sh"),
    Part("LiteRT", "ai_edge_litert", "cutting out without TensorFlow", "Python 3.10 or newer"),
    Part("ONNX Runtime", "onnxruntime", "running .onnx files", EXTRA % "export"),
    Part("tf2onnx", "tf2onnx", "writing .onnx files", EXTRA % "export"),
    Part("PyAV", "av", "clips", EXTRA % "video" + ", Python 3.10 or newer"),
    Part("Gradio", "gradio", "mmnet demo", EXTRA % "demo" + ", Python 3.10 or newer"),
    Part("Horovod", "horovod", "train --engine horovod", EXTRA % "horovod" + ", to Python 3.11"),
    Part("pillow-heif", "pillow_heif", "HEIC and AVIF photos", EXTRA % "heif"),
    Part("atc", None, "run_pb2om.sh: .pb to .om", CANN),
    Part("msame", None, "run_msame.sh: running an .om", "Huawei's tools, or ais_bench"),
    Part("adb", None, "measuring on a phone", "Android's platform tools"),
)


def run(options):
    found = {part.name: version_of(part) for part in PARTS}
    facts, fault = about(), fault_of_the_box()
    if options.json:
        print(json.dumps(dict(facts, parts=found, weights_in_the_box=fault or "work")))
    else:
        print(text(found, facts, fault))
    return 0 if fault is None else 1


def about():
    """Versions and the machine."""
    return {
        "mmnet": __version__,
        "python": platform.python_version(),
        "system": "%s %s" % (platform.system(), platform.machine()),
        "cores": os.cpu_count(),
        "memory": machine_memory(),  # bytes
        "devices": devices(),
    }


def version_of(part):
    """Its version, or where the program lies; None: not here; ``broken: ...``: not usable."""
    if part.module is None:
        return shutil.which(part.name)
    try:
        module = importlib.import_module(part.module)
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == part.module
        return None if missing else "broken: %s" % " ".join(str(error).split())
    return str(getattr(module, "__version__", "here"))


def devices():
    """What --device takes here."""
    return [kind for kind in ("cpu", "gpu", "npu") if is_there(Device(kind))]


def is_there(device):
    if "tensorflow" not in sys.modules:
        return device.kind == "cpu"
    try:
        check_device(device)
    except ValueError:
        return False
    return True


def fault_of_the_box():
    """Run the weights in the box once: None, or why they do not run."""
    try:
        predictor = open_predictor(DEFAULT)
        predictor(np.zeros((1,) + predictor.network.shape + (3,), np.float32))
    except (ValueError, OSError) as error:
        return str(error)
    return None


def text(found, facts, fault):
    """The same for people."""
    first = "mmnet %(mmnet)s, Python %(python)s, %(system)s, %(cores)s cores" % facts
    if facts["memory"]:
        first += ", %s of memory" % format_size(facts["memory"], binary=True)
    first += "\n--device: %s" % ", ".join(facts["devices"])
    rows = [
        (part.name, found[part.name] or "-", part.use, "" if found[part.name] else part.takes)
        for part in PARTS
    ]
    table = format_pretty_table(rows, ["part", "here", "for", "to get it"])
    return "\n".join([first, "weights in the box: %s" % (fault or "work"), table])
