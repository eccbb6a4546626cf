"""Tests of mmnet.distributed.group, with fakes of Horovod and HCCL."""

import sys
import types

import numpy as np
import pytest

from helpers import assert_raises
from helpers.graphs import training_feed, variable_values
from mmnet.distributed.group import ALONE, Group, all_reduce_mean, broadcast, join_group
from mmnet.io.errors import MmnetError
from mmnet.networks.network import Network
from mmnet.tf import checkpoint
from mmnet.tf.compat import tf
from mmnet.tf.device import Device, session_config
from mmnet.training.graph import Recipe, build_training_graph

TWINS = Group(0, 2, lambda vector: 2 * vector)  # two processes with the same images
NETWORK = Network("tiny", shape=(32, 32))
LOSS_WEIGHTS = dict.fromkeys(("alpha", "gradient", "cross_entropy", "auxiliary"), 1.0)


def after_a_step(group, images, truths, **recipe):
    """Compute one step from fixed weights. Return the variables and the losses."""
    with tf.Graph().as_default(), tf.Session(config=session_config()) as session:
        recipe = Recipe(LOSS_WEIGHTS, optimizer="gd", **recipe)
        graph = build_training_graph(NETWORK, recipe, len(images), group=group)
        session.run(graph.initializer)
        random = np.random.RandomState(0)
        values = {
            variable.op.name: random.uniform(0.1, 0.5, variable.shape.as_list())
            for variable in graph.variables
            if variable.op.name != "global_step"
        }
        checkpoint.restore(session, values, graph.variables)
        fetches = [graph.losses, graph.step]
        losses = session.run(fetches, training_feed(graph, images, truths))[0]
        return variable_values(session, graph), losses


@pytest.mark.parametrize("sync_batch_norm", [False, True])
def test_step_of_two_processes_equals_step_of_one(sync_batch_norm):
    random = np.random.RandomState(1)
    images, truths = random.uniform(0, 255, (2, 32, 32, 3)), random.rand(2, 32, 32)
    one, loss = after_a_step(ALONE, images, truths)
    two, losses = after_a_step(TWINS, images, truths, sync_batch_norm=sync_batch_norm)
    assert losses["total"] == pytest.approx(loss["total"], rel=1e-5)
    for name, value in one.items():
        # An unbiased variance of twice as many pixels has another divisor.
        if sync_batch_norm and name.endswith("moving_variance"):
            continue
        np.testing.assert_allclose(two[name], value, rtol=1e-3, atol=1e-5, err_msg=name)


def test_all_reduce_mean_uses_one_buffer():
    calls = []

    def all_reduce(vector):
        calls.append(vector.shape.as_list())
        return 4 * vector

    tensors = [np.float32(3), np.arange(6, dtype=np.float32).reshape(2, 3)]
    with tf.Graph().as_default(), tf.Session() as session:
        means = session.run(
            all_reduce_mean(list(map(tf.constant, tensors)), Group(1, 2, all_reduce))
        )
    assert calls == [[7]]
    for tensor, mean in zip(tensors, means):
        np.testing.assert_array_equal(mean, 2 * tensor)


def test_broadcast_is_exact():
    sent = []

    def run(rank, all_reduce, weights, step):
        with tf.Graph().as_default(), tf.Session() as session:
            variables = [
                tf.get_variable("w", [3], initializer=tf.constant_initializer(weights)),
                tf.get_variable("step", [], tf.int32, tf.constant_initializer(step)),
            ]
            session.run(tf.global_variables_initializer())
            return broadcast(session, variables, 10**12 - rank, Group(rank, 2, all_reduce))

    def record(vector):
        return tf.py_func(lambda value: sent.append(value) or value, [vector], tf.float32)

    weights = [0.1, np.nan, -0.0]
    run(0, record, weights, 16777217)
    values, number = run(1, lambda vector: vector + tf.constant(sent[0]), [1, 2, 3], -3)
    assert number == 10**12 and values["step"] == 16777217
    assert values["w"].tobytes() == np.float32(weights).tobytes()


def test_hccl_sums(monkeypatch):
    """Use a fake of Ascend's operations, which need its chips."""
    package, names = types.ModuleType("npu_bridge"), types.ModuleType("npu_bridge.npu_init")
    hccl, operations = types.ModuleType("npu_bridge.hccl"), types.SimpleNamespace()
    operations.allreduce = lambda tensor, how: {"sum": 3 * tensor}[how]
    package.npu_init, package.hccl, hccl.hccl_ops = names, hccl, operations
    for name, module in (("", package), (".npu_init", names), (".hccl", hccl)):
        monkeypatch.setitem(sys.modules, "npu_bridge" + name, module)
    device = Device("npu", rank=1, processes=3, engine="hccl")
    with join_group(device) as (group, _):
        assert (group.rank, group.size, group.target) == (1, 3, "")
        assert group.all_reduce(2) == 6


def test_horovod_names_each_sum(monkeypatch):
    """Use a fake of Horovod. test_launch uses the real one, if it is installed."""
    calls, horovod = [], types.ModuleType("horovod.tensorflow")
    horovod.init, horovod.Sum = lambda: calls.append("init"), "sum"
    horovod.allreduce = lambda tensor, op, name: calls.append((op, name)) or tensor
    package = types.ModuleType("horovod")
    package.tensorflow = horovod
    monkeypatch.setitem(sys.modules, "horovod", package)
    monkeypatch.setitem(sys.modules, "horovod.tensorflow", horovod)
    monkeypatch.setenv("HOROVOD_RANK", "0")
    with join_group(Device(processes=2, engine="horovod")) as (group, _):
        assert group.all_reduce(1) == group.all_reduce(1) == 1
    assert calls == ["init", ("sum", "mmnet_0"), ("sum", "mmnet_1")]


@pytest.mark.parametrize("engine, module", [("horovod", "horovod"), ("hccl", "npu_bridge")])
def test_missing_engine_is_reported(monkeypatch, engine, module):
    monkeypatch.setitem(sys.modules, module, None)
    for name in [name for name in sys.modules if name.startswith(module + ".")]:
        monkeypatch.delitem(sys.modules, name)
    device = Device(processes=2, engine=engine)
    with assert_raises(MmnetError, module), join_group(device):
        pass
