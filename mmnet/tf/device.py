"""The device that runs a graph: cpu, gpu or npu (Ascend), with its sessions and loss scaling.

The npu needs TF Adapter, whose Python package is npu_bridge. Only this module imports it, and only
if the npu is used. This code follows TF Adapter's documents and sources; it has not run on an npu.
"""

import logging
import os
from typing import Any, Callable, Dict, NamedTuple, Optional, Tuple

from mmnet.io.errors import MmnetError
from mmnet.tf.compat import tf

# Training precision -> option of TensorFlow's graph optimizer. TF 1.15 has no bfloat16.
MIXED_PRECISIONS = {
    "mixed_float16": "auto_mixed_precision",
    "bfloat16": "auto_mixed_precision_onednn_bfloat16",
}

FORKED = (  # follows the name of a network or runtime
    "would hang, because its threads do not exist after a fork; load the network only in the child "
    "process, or start this process with the method spawn"
)
FIRST_SESSION: Dict[str, Optional[int]] = {}  # "process": its id, "threads": as in Device

log = logging.getLogger(__name__)


class Device(NamedTuple):
    """The device that runs a graph, its settings, and its place in a group of processes."""

    kind: Optional[str] = None  # "cpu", "gpu", "npu", or None: TensorFlow's choice
    precision_mode: str = "allow_mix_precision"  # TF Adapter's setting for float16 on the npu
    threads: Optional[int] = None  # None: one per core; the first session of a process decides
    precision: str = "float32"  # training precision: float32 or a key of MIXED_PRECISIONS
    exact: bool = False  # do not let TensorFlow rewrite the graph, which changes roundings
    rank: int = 0  # this process's number in its group
    processes: int = 1  # size of the group
    addresses: Tuple[str, ...] = ()  # host:port per process; empty if the engine finds them
    engine: str = "tensorflow"  # averages gradients in the group: tensorflow, horovod or hccl


def has_gpu(device: Device) -> bool:
    """Return whether a GPU runs the graphs of a device."""
    if device.kind not in (None, "gpu"):
        return False
    return bool(tf.config.experimental.list_physical_devices("GPU"))


def check_device(device: Device) -> None:
    """Raise MmnetError with the missing requirement if a device is not available."""
    if device.kind not in (None, "cpu", "gpu", "npu"):
        raise MmnetError(f"{device.kind!r}: must be cpu, gpu or npu", "device")
    if device.threads is not None and (device.threads < 1 or device.threads % 1):
        raise MmnetError(f"{device.threads}: must be a whole number of at least 1", "threads")
    if device.kind == "gpu" and not has_gpu(device):
        remedy = "install NVIDIA's driver and a TensorFlow with CUDA, or use cpu"
        raise MmnetError(f"gpu: TensorFlow {tf.__version__} finds no GPU; {remedy}", "device")
    if device.kind == "npu":
        _import_npu()


def check_precision(device: Device) -> None:
    """Log a warning if the device gains no speed from its precision. Raise MmnetError for npu."""
    if device.precision == "float32":
        return
    if device.kind == "npu":
        raise MmnetError("only for GPUs and CPUs; use allow_mix_precision on the npu", "precision")
    if device.precision == "bfloat16":
        # docs/benchmarks.md, "Training precision on CPUs"
        reason = "TensorFlow supports it on CPUs only, and there it is slower than float32"
    elif not has_gpu(device):
        reason = "there is no GPU, and CPUs do not compute faster in float16"
    else:
        return
    log.warning("precision %s gains no speed: %s", device.precision, reason)


def session_config(device: Device = Device()) -> "tf.ConfigProto":
    """Return the configuration of sessions on a device.

    Raise MmnetError without npu_bridge, or in a child of a process that had a session.
    """
    if not FIRST_SESSION:
        FIRST_SESSION.update(process=os.getpid(), threads=device.threads)
    if FIRST_SESSION["process"] != os.getpid():
        raise MmnetError(f"TensorFlow {FORKED}")
    if device.threads not in (None, FIRST_SESSION["threads"]):
        message = "threads %d: ignored, because TensorFlow keeps the threads of its first session"
        log.warning(message, device.threads)
    config = tf.ConfigProto()
    config.graph_options.rewrite_options.disable_meta_optimizer = device.exact
    config.intra_op_parallelism_threads = device.threads or 0
    config.inter_op_parallelism_threads = device.threads or 0
    if device.processes > 1 and device.engine == "tensorflow":
        config.experimental.collective_group_leader = "/job:worker/replica:0/task:0"
        config.device_filters.append(f"/job:worker/replica:0/task:{device.rank}")
    if device.kind == "cpu":
        config.device_count["GPU"] = 0
    elif device.kind == "gpu":
        config.gpu_options.allow_growth = True  # otherwise TensorFlow reserves all GPU memory
    elif device.kind == "npu":
        _configure_npu(config, device)
    return config


def _configure_npu(config, device):
    _import_npu()
    config.allow_soft_placement = True
    rewrites = config.graph_options.rewrite_options
    rewrites.remapping = rewrites.OFF  # TF Adapter requires both to be off
    rewrites.memory_optimization = rewrites.OFF
    optimizer = rewrites.custom_optimizers.add()
    optimizer.name = "NpuOptimizer"
    optimizer.parameter_map["use_off_line"].b = True  # run on the npu
    optimizer.parameter_map["precision_mode"].s = device.precision_mode.encode()


def training_session_config(device: Device = Device()) -> "tf.ConfigProto":
    """Return a session configuration with which a training step gives the same bits every time.

    The training graph adds gradients in pairs in a fixed order (training/graph.py). The arithmetic
    optimizer would merge these sums into one, whose order varies, so it is off.
    """
    config = session_config(device)
    rewrites = config.graph_options.rewrite_options
    rewrites.arithmetic_optimization = rewrites.OFF
    option = MIXED_PRECISIONS.get(device.precision, "")
    if option in rewrites.DESCRIPTOR.fields_by_name:
        setattr(rewrites, option, rewrites.ON)
    return config


def loss_scaling(device: Device) -> Optional[Callable[[Any], Any]]:
    """Return a function that wraps an optimizer in loss scaling, or None if it is not needed.

    Small gradients vanish in float16, so the loss is multiplied by a scale, and the gradients are
    divided by it. A step that overflows changes no weights. Such steps halve the scale, and a
    number of good steps doubles it. The checkpoint contains the scale.
    """
    if device.kind == "npu":
        npu = _import_npu()

        def wrap_for_npu(optimizer):
            manager = npu.ExponentialUpdateLossScaleManager(
                init_loss_scale=2**32,
                incr_every_n_steps=1000,
                decr_every_n_nan_or_inf=2,
                decr_ratio=0.5,
            )
            options = {"is_distributed": True} if device.processes > 1 else {}
            return npu.NPULossScaleOptimizer(optimizer, manager, **options)

        return wrap_for_npu
    if device.precision != "mixed_float16":
        return None

    def wrap(optimizer):
        experimental = tf.train.experimental
        scale = experimental.DynamicLossScale()
        return experimental.MixedPrecisionLossScaleOptimizer(optimizer, scale)

    return wrap


def hccl_all_reduce() -> "Callable[[tf.Tensor], tf.Tensor]":
    """Return HCCL's function that sums a tensor over the processes in RANK_TABLE_FILE."""
    _import_npu()
    from npu_bridge.hccl import hccl_ops

    return lambda tensor: hccl_ops.allreduce(tensor, "sum")


def _import_npu():
    """Return TF Adapter's functions. The import registers NpuOptimizer with TensorFlow."""
    try:
        from npu_bridge import npu_init
    except ImportError as error:
        remedy = "source set_env.sh on an Ascend host with CANN and TF Adapter, or use cpu or gpu"
        raise MmnetError(f"npu: needs npu_bridge ({error}); {remedy}", "device") from None
    return npu_init
