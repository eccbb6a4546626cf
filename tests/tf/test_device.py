"""Tests of mmnet.tf.device. A fake npu_bridge replaces TF Adapter, because there is no npu."""

import os
import sys
import types

import numpy as np
import pytest

from helpers import SMALL, SMALL_FLAGS, assert_message, assert_raises
from helpers.graphs import training_feed, variable_values
from mmnet.cli import main
from mmnet.io.errors import MmnetError
from mmnet.tf import checkpoint
from mmnet.tf.compat import tf
from mmnet.tf.device import (
    Device,
    check_device,
    check_precision,
    loss_scaling,
    session_config,
    training_session_config,
)
from mmnet.training import train as train_module
from mmnet.training.graph import Recipe, build_training_graph

RECIPE = Recipe(dict.fromkeys(("alpha", "cross_entropy", "auxiliary"), 1.0), 4e-7)
MIXED = Device(precision="mixed_float16")


@pytest.fixture
def npu(monkeypatch):
    """Install a fake npu_bridge and return a record of its calls.

    Its optimizer scales gradients and skips steps that are not finite, as TF Adapter does.
    """
    record = types.SimpleNamespace(managers=[], optimizers=[], dependencies=None)

    class Manager:
        def __init__(self, **arguments):
            record.managers.append(arguments)
            self.scale = tf.get_variable(
                "loss_scale", [], initializer=tf.constant_initializer(8.0), trainable=False
            )

    class Optimizer:
        def __init__(self, optimizer, manager):
            record.optimizers.append(optimizer)
            self.optimizer, self.scale = optimizer, manager.scale

        def compute_gradients(self, loss, variables, aggregation_method):
            gradients = self.optimizer.compute_gradients(
                loss * self.scale, variables, aggregation_method=aggregation_method
            )
            return [(gradient / self.scale, variable) for gradient, variable in gradients]

        def apply_gradients(self, gradients, global_step=None):
            record.dependencies = tf.no_op().control_inputs  # all operations created here have them
            finite = tf.reduce_all(
                [tf.reduce_all(tf.is_finite(gradient)) for gradient, _ in gradients]
            )
            return tf.cond(
                finite, lambda: self.optimizer.apply_gradients(gradients, global_step), tf.no_op
            )

    package, functions = types.ModuleType("npu_bridge"), types.ModuleType("npu_bridge.npu_init")
    package.npu_init, functions.NPULossScaleOptimizer = functions, Optimizer
    functions.ExponentialUpdateLossScaleManager = Manager
    monkeypatch.setitem(sys.modules, "npu_bridge", package)
    monkeypatch.setitem(sys.modules, "npu_bridge.npu_init", functions)
    return record


@pytest.fixture
def no_accelerators(monkeypatch):
    monkeypatch.setitem(sys.modules, "npu_bridge", None)
    monkeypatch.setattr(tf.config.experimental, "list_physical_devices", lambda kind: [])


def test_session_config_sets_device_threads_and_exact():
    default, cpu = session_config(), session_config(Device("cpu", threads=3, exact=True))
    assert not default.device_count
    assert "GPU" in cpu.device_count and cpu.device_count["GPU"] == 0
    assert session_config(Device("gpu")).gpu_options.allow_growth
    assert (cpu.intra_op_parallelism_threads, cpu.inter_op_parallelism_threads) == (3, 3)
    assert cpu.graph_options.rewrite_options.disable_meta_optimizer
    assert not default.graph_options.rewrite_options.disable_meta_optimizer


@pytest.mark.parametrize("kind", [None, "cpu", "gpu"])
def test_training_session_config_sets_graph_optimizer(kind):
    rewrites = training_session_config(Device(kind)).graph_options.rewrite_options
    assert rewrites.arithmetic_optimization == rewrites.OFF and not rewrites.custom_optimizers
    assert rewrites.auto_mixed_precision == rewrites.DEFAULT
    assert loss_scaling(Device(kind)) is None
    rewrites = training_session_config(MIXED).graph_options.rewrite_options
    assert rewrites.auto_mixed_precision == rewrites.ON


@pytest.mark.parametrize("make_config", [session_config, training_session_config])
def test_session_config_adds_npu_optimizer(npu, make_config):
    config = make_config(Device("npu", "force_fp16"))
    rewrites = config.graph_options.rewrite_options
    (optimizer,) = rewrites.custom_optimizers
    assert optimizer.name == "NpuOptimizer"
    assert set(optimizer.parameter_map) == {"use_off_line", "precision_mode"}
    assert optimizer.parameter_map["use_off_line"].b is True
    assert optimizer.parameter_map["precision_mode"].s == b"force_fp16"
    assert rewrites.remapping == rewrites.OFF and rewrites.memory_optimization == rewrites.OFF
    assert config.allow_soft_placement
    default = make_config(Device("npu")).graph_options.rewrite_options.custom_optimizers[0]
    assert default.parameter_map["precision_mode"].s == b"allow_mix_precision"


@pytest.mark.parametrize("kind, token", [("npu", "npu_bridge"), ("gpu", "no GPU")])
def test_check_device_names_missing_requirement(no_accelerators, kind, token):
    check_device(Device("cpu"))
    with assert_raises(MmnetError, "device", token):
        check_device(Device(kind))


@pytest.mark.parametrize("precision", ["mixed_float16", "bfloat16"])
def test_check_precision_warns_without_gain(no_accelerators, caplog, precision):
    check_precision(Device("cpu", precision=precision))
    assert_message(caplog.text, precision)


def test_check_precision_rejects_npu(npu):
    with assert_raises(MmnetError, "precision", "allow_mix_precision"):
        check_precision(Device("npu", precision="mixed_float16"))


def run_step(session, graph, images, truths):
    session.run(graph.step, training_feed(graph, images, truths, 1e-3))


def assert_only_step_changed(before, after):
    assert after.pop("global_step") == before.pop("global_step") + 1
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)


def test_npu_loss_scaling_keeps_steps_and_skips_overflow(npu):
    random = np.random.RandomState(0)
    images, truths = random.uniform(0, 255, (2, 64, 64, 3)), random.rand(2, 64, 64)
    results, initial_values = [], {}
    for wrap in (None, loss_scaling(Device("npu"))):
        with tf.Graph().as_default(), tf.Session(config=session_config()) as session:
            tf.set_random_seed(1)
            graph = build_training_graph(SMALL, RECIPE, 2, wrap)
            session.run(graph.initializer)
            checkpoint.restore(session, initial_values, graph.variables)
            initial_values = variable_values(session, graph)  # the second graph has other seeds
            for _ in range(2):
                run_step(session, graph, images, truths)
            results.append(variable_values(session, graph))
            if wrap:
                assert "loss_scale" in graph.slots  # a warm start does not need it
                run_step(session, graph, images * np.nan, truths)
                after_overflow = variable_values(session, graph)
    plain, scaled = results
    (manager,) = npu.managers
    assert manager.pop("decr_every_n_nan_or_inf") == 2 and manager.pop("decr_ratio") == 0.5
    assert manager == {"init_loss_scale": 2**32, "incr_every_n_steps": 1000}
    assert isinstance(npu.optimizers[0], tf.train.AdamOptimizer) and npu.dependencies == []
    assert set(scaled) == set(plain) | {"loss_scale"}
    assert plain["global_step"] == scaled["global_step"] == 2
    for name, value in plain.items():
        np.testing.assert_allclose(scaled[name], value, rtol=1e-3, atol=1e-5, err_msg=name)
    assert_only_step_changed(scaled, after_overflow)


def test_loss_scaling_halves_scale_after_overflow():
    with tf.Graph().as_default(), tf.Session(config=session_config()) as session:
        graph = build_training_graph(SMALL, RECIPE, 2, loss_scaling(MIXED))
        session.run(graph.initializer)
        before = variable_values(session, graph)
        run_step(session, graph, np.full((2, 64, 64, 3), np.nan), np.zeros((2, 64, 64)))
        after = variable_values(session, graph)
    assert after.pop("current_loss_scale") == before.pop("current_loss_scale") / 2
    assert_only_step_changed(before, after)


def train_command(portraits, folder, *flags, steps=2):
    command = ["train", "--dataset_path", portraits, "--dataset_split_name", "test"]
    command += ["--train_dir", str(folder), "--batch_size", "2"]
    return command + ["--max_step_from_restore", str(steps)] + SMALL_FLAGS + list(flags)


def test_train_uses_device(npu, portraits, tmp_path, monkeypatch):
    devices = []

    def make_config(device):
        devices.append(device)
        return session_config()

    monkeypatch.setattr(train_module, "training_session_config", make_config)
    flags = ["--device", "npu", "--precision", "allow_fp32_to_fp16"]
    assert main(train_command(portraits, tmp_path, *flags)) == 0
    assert devices == [Device("npu", "allow_fp32_to_fp16")] and len(npu.optimizers) == 1
    assert checkpoint.read(str(tmp_path / "MMNetModel-2"))["loss_scale"] == 8


def test_mixed_precision_resume_is_bit_equal(portraits, tmp_path):
    """The checkpoint contains the loss scale and its counter."""
    flags = ["--precision", "mixed_float16"]
    for folder, last_step in (("whole", 4), ("resumed", 2), ("resumed", 4)):
        assert main(train_command(portraits, tmp_path / folder, *flags, steps=last_step)) == 0
    whole = checkpoint.read(str(tmp_path / "whole" / "MMNetModel-4"))
    resumed = checkpoint.read(str(tmp_path / "resumed" / "MMNetModel-4"))
    assert (whole["current_loss_scale"], whole["good_steps"]) == (2**15, 4)
    assert set(whole) == set(resumed)
    for name, value in whole.items():
        np.testing.assert_array_equal(resumed[name], value, err_msg=name)


@pytest.mark.parametrize("device", ["npu", "gpu"])
def test_commands_reject_missing_device(
    no_accelerators, assert_refused, portraits, tmp_path, device
):
    photo = os.path.join(portraits, "test", "image", "portrait0_0001.jpg")
    for command in (
        train_command(portraits, tmp_path / "run"),
        ["evaluate", "--dataset_path", portraits],
        ["predict", photo, "--output", tmp_path / "out"],
    ):
        assert_refused([*command, "--device", device], "--device", device)
    assert not (tmp_path / "run").exists()  # the device is checked before the data
