"""What a session and an optimizer need to know of what they run on: cpu, gpu or npu (Ascend).

The npu comes with TF Adapter, whose Python package is npu_bridge: it is imported only here, and
only where the npu is asked for. None of this has run on an npu yet; it is built to TF Adapter's
documents and sources.
"""

from typing import NamedTuple, Optional, Tuple

from mmnet.io.errors import MmnetError
from mmnet.tf.compat import tf

# What --precision means -> the graph optimizer's fields that rewrite a graph so; older TensorFlows
# have not all of them.
MIXED = {
    "mixed_float16": ("auto_mixed_precision", "auto_mixed_precision_cpu"),
    "bfloat16": ("auto_mixed_precision_onednn_bfloat16",),
}


class Device(NamedTuple):
    """What runs a graph, and how."""

    kind: Optional[str] = None  # "cpu", "gpu", "npu", or None: what TensorFlow finds
    precision: str = "allow_mix_precision"  # what the npu computes in float16
    threads: Optional[int] = None  # of the processor; None is one a core; the first session decides
    mixed: str = "float32"  # what training computes in; MIXED has the others
    xla: bool = False  # compile parts of the graph
    exact: bool = False  # run graphs without TensorFlow's own optimizers, which move alphas by 1e-5
    rank: int = 0  # of this process among those that train together
    processes: int = 1
    addresses: Tuple[str, ...] = ()  # host:port of each process; () where another program knows
    engine: str = "tensorflow"  # what adds up their gradients: a key of cluster.engines.ENGINES


def has_gpu(device):
    """Whether a GPU runs what the Device runs."""
    return device.kind in (None, "gpu") and bool(
        tf.config.experimental.list_physical_devices("GPU")
    )


def check_device(device):
    """Raise ValueError, saying what to install, where a Device is not there."""
    if device.kind == "gpu" and not has_gpu(device):
        raise MmnetError(
            "--device gpu: TensorFlow %s finds no GPU here (it takes NVIDIA's driver and a "
            "TensorFlow with CUDA); --device cpu runs without one" % tf.__version__
        )
    if device.kind == "npu":
        _npu()


def check_precision(device, force=False):
    """Raise ValueError where a Device gains nothing by its mixed precision, unless forced."""
    if device.mixed == "float32":
        return
    if device.kind == "npu":
        raise MmnetError("--precision is for GPUs: on the npu --precision_mode says it")
    if force or (has_gpu(device) and device.mixed == "mixed_float16"):
        return
    raise MmnetError(
        "--precision %s gains nothing here (%s): leave it out; --force_precision does it all the "
        "same"
        % (
            device.mixed,
            "TensorFlow rewrites graphs to it on processors only, where a step took 1.6 times as "
            "long"
            if device.mixed == "bfloat16"
            else "there is no GPU, and processors compute float16 no faster",
        )
    )


def session_config(device=Device()):
    """The ConfigProto of sessions on a Device; ValueError for the npu without npu_bridge."""
    config = tf.ConfigProto()
    config.graph_options.rewrite_options.disable_meta_optimizer = device.exact
    config.intra_op_parallelism_threads = device.threads or 0
    config.inter_op_parallelism_threads = device.threads or 0
    if device.processes > 1 and device.engine == "tensorflow":
        config.experimental.collective_group_leader = "/job:worker/replica:0/task:0"
        config.device_filters.append("/job:worker/replica:0/task:%d" % device.rank)
    if device.kind == "cpu":
        config.device_count["GPU"] = 0
    elif device.kind == "gpu":
        config.gpu_options.allow_growth = True  # else TensorFlow takes all memory of every GPU
    elif device.kind == "npu":
        _npu()
        config.allow_soft_placement = True
        rewrites = config.graph_options.rewrite_options
        rewrites.remapping = rewrites.OFF  # TF Adapter's documents want both off, by this value
        rewrites.memory_optimization = rewrites.OFF
        optimizer = rewrites.custom_optimizers.add()
        optimizer.name = "NpuOptimizer"
        optimizer.parameter_map["use_off_line"].b = True  # on the npu itself
        optimizer.parameter_map["precision_mode"].s = device.precision.encode()
    return config


def training_session_config(device=Device()):
    """A session_config under which a step gives the same bits every time on one machine.

    TensorFlow sums three gradients and more in whichever order their buffers come free. Ours are
    summed in pairs, in a fixed order (training/graph.py), and the graph optimizer that would merge
    those sums again is switched off.
    """
    config = session_config(device)
    rewrites = config.graph_options.rewrite_options
    rewrites.arithmetic_optimization = rewrites.OFF
    for name in MIXED.get(device.mixed, ()):
        if name in rewrites.DESCRIPTOR.fields_by_name:
            setattr(rewrites, name, rewrites.ON)
    if device.xla:
        options = config.graph_options.optimizer_options
        options.global_jit_level = options.ON_1
    return config


def loss_scaling(device):
    """What goes around the optimizer in training: optimizer -> optimizer, or None for nothing.

    Small gradients vanish in float16, so the loss is scaled up and the gradients down again. A step
    that overflows updates nothing. On the npu two of them halve the scale, and 1000 good ones
    double it; elsewhere each one halves it, and 2000 good ones double it. The scale is in the
    checkpoint.
    """
    if device.kind != "npu" and device.mixed == "mixed_float16":
        experimental = tf.train.experimental
        return lambda optimizer: experimental.MixedPrecisionLossScaleOptimizer(
            optimizer, experimental.DynamicLossScale()
        )
    if device.kind != "npu":
        return None
    npu = _npu()

    def wrap(optimizer):
        manager = npu.ExponentialUpdateLossScaleManager(
            init_loss_scale=2**32,
            incr_every_n_steps=1000,
            decr_every_n_nan_or_inf=2,
            decr_ratio=0.5,
        )
        more = {"is_distributed": True} if device.processes > 1 else {}
        return npu.NPULossScaleOptimizer(optimizer, manager, **more)

    return wrap


def hccl_all_reduce():
    """HCCL's function: tensor -> its sum over the processes; it finds them in RANK_TABLE_FILE.

    Raises:
        ValueError: no npu_bridge.
    """
    _npu()
    from npu_bridge.hccl import hccl_ops

    return lambda tensor: hccl_ops.allreduce(tensor, "sum")


def _npu():
    """TF Adapter's names; importing them registers NpuOptimizer with TensorFlow."""
    try:
        from npu_bridge import npu_init
    except ImportError as error:
        raise MmnetError(
            "--device npu needs npu_bridge (%s): run on an Ascend host with CANN and its TF "
            "Adapter installed (source its set_env.sh first), or choose --device cpu or gpu" % error
        ) from None
    return npu_init
