"""cpu, gpu, npu; the npu with a stand-in for TF Adapter's npu_bridge, for no chip is at hand."""

import os
import sys
import types

import numpy as np
import pytest
from helpers.tiny import one_convolution

from mmnet.cli import main
from mmnet.commands.presets import resolve
from mmnet.networks.network import Network
from mmnet.networks.registry import NETWORKS
from mmnet.tf import checkpoint
from mmnet.tf.compat import tf
from mmnet.tf.device import (
    Device,
    check_device,
    loss_scaling,
    session_config,
    training_session_config,
)
from mmnet.training import train as train_module
from mmnet.training.graph import Recipe, build_training_graph

SMALLEST = Network(width_multiplier=0.25, shape=(32, 32))
RECIPE = Recipe(dict.fromkeys(("alpha", "cross_entropy", "auxiliary"), 1.0), 4e-7)
SMALL_RUN = {
    "dataset_split_name": "test",
    "batch_size": "2",
    "width_multiplier": "0.25",
    "size": "32",
    "max_step_from_restore": "2",
}


@pytest.fixture
def npu(monkeypatch):
    """A made-up npu_bridge. Its optimizer scales as TF Adapter's does, skips what is not finite,
    and takes notes.
    """
    notes = types.SimpleNamespace(managers=[], optimizers=[], dependencies=None)

    class Manager:
        def __init__(self, **arguments):
            notes.managers.append(arguments)
            self.scale = tf.get_variable(
                "loss_scale", [], initializer=tf.constant_initializer(8.0), trainable=False
            )

    class Optimizer:
        def __init__(self, optimizer, manager):
            notes.optimizers.append(optimizer)
            self.optimizer, self.scale = optimizer, manager.scale

        def compute_gradients(self, loss, variables, aggregation_method):
            gradients = self.optimizer.compute_gradients(
                loss * self.scale, variables, aggregation_method=aggregation_method
            )
            return [(gradient / self.scale, variable) for gradient, variable in gradients]

        def apply_gradients(self, gradients, global_step=None):
            notes.dependencies = tf.no_op().control_inputs  # of whatever is built here
            finite = tf.reduce_all(
                [tf.reduce_all(tf.is_finite(gradient)) for gradient, _ in gradients]
            )
            return tf.cond(
                finite, lambda: self.optimizer.apply_gradients(gradients, global_step), tf.no_op
            )

    package, names = types.ModuleType("npu_bridge"), types.ModuleType("npu_bridge.npu_init")
    package.npu_init, names.NPULossScaleOptimizer = names, Optimizer
    names.ExponentialUpdateLossScaleManager = Manager
    monkeypatch.setitem(sys.modules, "npu_bridge", package)
    monkeypatch.setitem(sys.modules, "npu_bridge.npu_init", names)
    return notes


@pytest.fixture
def no_npu(monkeypatch):
    monkeypatch.setitem(sys.modules, "npu_bridge", None)


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(tf.config.experimental, "list_physical_devices", lambda kind: [])


def test_cpu_and_gpu_sessions():
    assert not session_config().device_count
    assert session_config(Device("cpu")).device_count["GPU"] == 0
    assert "GPU" in session_config(Device("cpu")).device_count
    assert session_config(Device("gpu")).gpu_options.allow_growth
    for device in map(Device, (None, "cpu", "gpu")):
        rewrites = training_session_config(device).graph_options.rewrite_options
        assert rewrites.arithmetic_optimization == rewrites.OFF and not rewrites.custom_optimizers
        assert loss_scaling(device) is None
    check_device(Device())
    check_device(Device("cpu"))


def test_threads_and_exact_sessions():
    config = session_config(Device(threads=3, exact=True))
    assert (config.intra_op_parallelism_threads, config.inter_op_parallelism_threads) == (3, 3)
    assert config.graph_options.rewrite_options.disable_meta_optimizer
    optimizing = session_config(Device(exact=False))
    assert not optimizing.graph_options.rewrite_options.disable_meta_optimizer


@pytest.mark.parametrize("build", [session_config, training_session_config])
def test_npu_sessions(npu, build):
    config = build(Device("npu", "force_fp16"))
    rewrites = config.graph_options.rewrite_options
    (optimizer,) = rewrites.custom_optimizers
    assert optimizer.name == "NpuOptimizer"
    assert set(optimizer.parameter_map) == {"use_off_line", "precision_mode"}
    assert optimizer.parameter_map["use_off_line"].b is True
    assert optimizer.parameter_map["precision_mode"].s == b"force_fp16"
    assert rewrites.remapping == rewrites.OFF and rewrites.memory_optimization == rewrites.OFF
    assert config.allow_soft_placement
    default = build(Device("npu")).graph_options.rewrite_options.custom_optimizers[0]
    assert default.parameter_map["precision_mode"].s == b"allow_mix_precision"


def test_steps_with_loss_scaling(npu):
    """Equal to the steps without it; a step that is not finite leaves everything but the counter as
    it was.
    """
    random = np.random.RandomState(0)
    images, truths = random.uniform(0, 255, (2, 32, 32, 3)), random.rand(2, 32, 32)
    ends, start = [], None
    for wrap in (None, loss_scaling(Device("npu"))):
        with tf.Graph().as_default(), tf.Session(config=session_config()) as session:
            tf.set_random_seed(1)
            graph = build_training_graph(SMALLEST, RECIPE, 2, wrap)
            session.run(graph.initializer)
            if ends:  # other operations, other seeds
                checkpoint.restore(session, start, graph.variables)
            names = [variable.op.name for variable in graph.variables]
            start = dict(zip(names, map(np.array, session.run(graph.variables))))
            feed = {
                graph.images: images,
                graph.truths: truths,
                graph.learning_rate: 1e-3,
                graph.batch_norm_decay: 0.9,
            }
            for _ in range(2):
                session.run(graph.step, feed)
            # Adam's two counters are made where the scaler applies, in its branch, and are called
            # after that.
            names = [name.replace("cond/", "") for name in names]
            ends.append(dict(zip(names, map(np.array, session.run(graph.variables)))))
            if wrap:
                assert "loss_scale" in graph.slots  # a warm start may do without it
                feed[graph.images] = images * np.nan
                session.run(graph.step, feed)
                after = dict(zip(names, session.run(graph.variables)))
    assert npu.managers == [
        {
            "init_loss_scale": 2**32,
            "incr_every_n_steps": 1000,
            "decr_every_n_nan_or_inf": 2,
            "decr_ratio": 0.5,
        }
    ]
    assert isinstance(npu.optimizers[0], tf.train.AdamOptimizer) and npu.dependencies == []
    assert set(ends[1]) == set(ends[0]) | {"loss_scale"}
    assert ends[0]["global_step"] == ends[1]["global_step"] == 2
    for name, value in ends[0].items():
        np.testing.assert_allclose(ends[1][name], value, rtol=1e-3, atol=1e-5, err_msg=name)
    assert after.pop("global_step") == 3
    for name, value in after.items():
        np.testing.assert_array_equal(value, ends[1][name], err_msg=name)


def test_train_passes_the_device_on(npu, portraits, tmp_path, monkeypatch):
    asked = []

    def configured(*given):
        asked.append(given)
        return session_config()

    monkeypatch.setattr(train_module, "training_session_config", configured)
    monkeypatch.setitem(NETWORKS, "tiny", one_convolution)
    flags = dict(SMALL_RUN, dataset_path=[portraits], train_dir=str(tmp_path))
    flags.update(device="npu", precision_mode="allow_fp32_to_fp16", network="tiny")
    assert train_module.train(resolve("train", flags)) == 0
    assert asked == [(Device("npu", "allow_fp32_to_fp16"),)] and len(npu.optimizers) == 1
    assert checkpoint.read(str(tmp_path / "MMNetModel-2"))["loss_scale"] == 8


def train_command(portraits, folder, device):
    command = ["train", "--dataset_path", portraits, "--train_dir", str(folder)]
    for name, value in SMALL_RUN.items():
        command += ["--" + name, value]
    return command + ["--device", device]


@pytest.mark.parametrize(
    "device, says", [("npu", "--device npu needs npu_bridge"), ("gpu", "finds no GPU")]
)
def test_a_device_that_is_not_there(
    no_npu, no_gpu, capfd, portraits, tmp_path, monkeypatch, device, says
):
    # Nothing is decoded before that is known.
    monkeypatch.setattr(train_module, "find_dataset", None)
    photo = os.path.join(portraits, "test", "image", "portrait0_0001.jpg")
    for command in (
        train_command(portraits, tmp_path / "run", device),
        ["evaluate", "--dataset_path", portraits, "--device", device],
        ["predict", photo, "--output", str(tmp_path / "out"), "--device", device],
    ):
        capfd.readouterr()
        assert main(command) == 2
        out, err = capfd.readouterr()
        assert out == "" and err.count("\n") == 1 and says in err
    assert not (tmp_path / "run").exists()


def test_bad_settings(capfd, portraits, tmp_path):
    assert main(train_command(portraits, tmp_path, "tpu")) == 2
    assert "--device: one of cpu, gpu, npu, not 'tpu'" in capfd.readouterr().err
    command = train_command(portraits, tmp_path, "cpu")
    assert main(command + ["--precision_mode", "fp8"]) == 2
    assert "--precision_mode: one of allow_fp32_to_fp16" in capfd.readouterr().err


def mixed_flags(portraits, folder, **flags):
    flags = dict(SMALL_RUN, dataset_path=[portraits], train_dir=str(folder), **flags)
    return resolve("train", dict(flags, precision="mixed_float16", force_precision="true"))


def test_mixed_precision_and_its_scale_go_on_with_a_run(portraits, tmp_path, monkeypatch):
    """On a processor it is forced; the loss's scale and its count are part of the checkpoint."""
    monkeypatch.setitem(NETWORKS, "tiny", one_convolution)
    for folder, steps in ((tmp_path / "one", (4,)), (tmp_path / "two", (2, 4))):
        for last in steps:
            flags = {"network": "tiny", "max_step_from_restore": str(last)}
            assert train_module.train(mixed_flags(portraits, folder, **flags)) == 0
    one, two = (checkpoint.read(str(tmp_path / name / "MMNetModel-4")) for name in ("one", "two"))
    assert (one["current_loss_scale"], one["good_steps"]) == (2**15, 4)
    assert set(one) == set(two)
    for name, value in one.items():
        np.testing.assert_array_equal(two[name], value, err_msg=name)


def test_a_step_that_overflows_halves_the_scale_and_moves_nothing():
    with tf.Graph().as_default(), tf.Session(config=session_config()) as session:
        wrap = loss_scaling(Device(mixed="mixed_float16"))
        graph = build_training_graph(SMALLEST, RECIPE, 2, wrap)
        session.run(graph.initializer)
        before = dict(zip([v.op.name for v in graph.variables], session.run(graph.variables)))
        feed = {
            graph.images: np.full((2, 32, 32, 3), np.nan),
            graph.truths: np.zeros((2, 32, 32)),
            graph.learning_rate: 1e-3,
            graph.batch_norm_decay: 0.9,
        }
        session.run(graph.step, feed)
        after = dict(zip([v.op.name for v in graph.variables], session.run(graph.variables)))
    assert after.pop("current_loss_scale") == before.pop("current_loss_scale") / 2
    assert after.pop("global_step") == before.pop("global_step") + 1
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)


def test_what_rewrites_graphs():
    rewrites = training_session_config(Device(mixed="mixed_float16")).graph_options.rewrite_options
    assert rewrites.auto_mixed_precision == rewrites.ON
    rewrites = training_session_config().graph_options.rewrite_options
    assert rewrites.auto_mixed_precision == rewrites.DEFAULT
    options = training_session_config(Device(xla=True)).graph_options.optimizer_options
    assert options.global_jit_level == options.ON_1


def test_a_layout_without_a_gpu(capfd, portraits, tmp_path):
    command = train_command(portraits, tmp_path / "run", "cpu") + ["--layout", "NCHW"]
    assert main(command) == 2
    err = capfd.readouterr().err
    assert "--layout NCHW is for GPUs" in err and err.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "device, precision, says",
    [
        ("cpu", "mixed_float16", "there is no GPU"),
        ("cpu", "bfloat16", "1.6 times as long"),
        ("npu", "mixed_float16", "on the npu --precision_mode says it"),
    ],
)
def test_mixed_precision_where_it_gains_nothing(
    npu, capfd, portraits, tmp_path, device, precision, says
):
    command = train_command(portraits, tmp_path / "run", device) + ["--precision", precision]
    assert main(command) == 2
    err = capfd.readouterr().err
    assert says in err and err.count("\n") == 1
    assert not (tmp_path / "run").exists()
