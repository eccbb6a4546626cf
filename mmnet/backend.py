"""What a session and an optimizer need to know of the machine they run on: cpu, gpu or npu (an Ascend chip).

The npu comes with TF Adapter, whose Python package is npu_bridge: it is imported where the npu is asked for, only here.
Nothing of this ran on an npu yet; it is built to TF Adapter's documents and sources. One device, no distribution.
"""
from mmnet.compat import tf

PRECISION_MODE = "allow_mix_precision"


def need_device(device):
    """Check that a device is there: "cpu", "gpu", "npu", or None, which is what TensorFlow finds.

    Raises:
        ValueError: it is not; says what to install.
    """
    if device == "gpu" and not tf.config.experimental.list_physical_devices("GPU"):
        raise ValueError("--device gpu: TensorFlow %s finds no GPU here (it takes NVIDIA's driver and a TensorFlow with "
                         "CUDA); --device cpu runs without one" % tf.__version__)
    if device == "npu":
        _npu()


def session_config(device=None, precision_mode=PRECISION_MODE, as_written=False, threads=None):
    """A ConfigProto for one device.

    Args:
        device: as need_device takes it. precision_mode: which operations the npu computes in float16; no other device
            reads it. as_written: run graphs without TensorFlow's own optimizers, whose folding of batch norm rounds
            (alphas move by 1e-5). threads: of the processor; None is one a core. The first session of a process decides.

    Raises:
        ValueError: npu without npu_bridge.
    """
    config = tf.ConfigProto()
    config.graph_options.rewrite_options.disable_meta_optimizer = as_written
    config.intra_op_parallelism_threads = config.inter_op_parallelism_threads = threads or 0
    if device == "cpu":
        config.device_count["GPU"] = 0
    elif device == "gpu":
        config.gpu_options.allow_growth = True  # else TensorFlow takes all the memory of every GPU at once
    elif device == "npu":
        _npu()
        config.allow_soft_placement = True
        rewrites = config.graph_options.rewrite_options
        rewrites.remapping = rewrites.OFF  # TF Adapter's documents want both off, with this very value
        rewrites.memory_optimization = rewrites.OFF
        optimizer = rewrites.custom_optimizers.add()
        optimizer.name = "NpuOptimizer"
        optimizer.parameter_map["use_off_line"].b = True  # on the npu itself
        optimizer.parameter_map["precision_mode"].s = precision_mode.encode()
    return config


def training_session_config(device=None, precision_mode=PRECISION_MODE):
    """A session_config under which a step gives the same bits every time on one build, CPU and thread count.

    TensorFlow sums three gradients and more in whichever order their buffers come free. Ours are summed in pairs, in a
    fixed order (training/graph.py), and the graph optimizer that would merge those sums again is switched off.
    """
    config = session_config(device, precision_mode)
    rewrites = config.graph_options.rewrite_options
    rewrites.arithmetic_optimization = rewrites.OFF
    return config


def loss_scaling(device):
    """What goes around the optimizer in training: a function optimizer -> optimizer, or None where nothing does.

    Small gradients vanish in float16, so the npu scales the loss up and the gradients down again. A step that overflows
    updates nothing; two of them halve the scale, 1000 good ones double it.
    """
    if device != "npu":
        return None
    npu = _npu()

    def wrap(optimizer):
        return npu.NPULossScaleOptimizer(optimizer, npu.ExponentialUpdateLossScaleManager(
            init_loss_scale=2 ** 32, incr_every_n_steps=1000, decr_every_n_nan_or_inf=2, decr_ratio=0.5))
    return wrap


def _npu():
    """TF Adapter's names; importing them registers NpuOptimizer with TensorFlow."""
    try:
        from npu_bridge import npu_init
    except ImportError as error:
        raise ValueError("--device npu needs npu_bridge (%s): run on an Ascend host with CANN and its TF Adapter "
                         "installed (source its set_env.sh first), or choose --device cpu or gpu" % error) from None
    return npu_init
