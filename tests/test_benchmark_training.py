import json

import numpy as np
import pytest

from conftest import SMALL
from mmnet import checkpoint, cli
from mmnet.benchmark.training import PLAIN, rates, rates_text
from mmnet.compat import tf
from mmnet.networks.layers import TRAINING
from mmnet.networks.mmnet import mmnet

FLAGS = ["--width_multiplier", "0.25", "--size", "32", "--batch", "2", "--turns", "3"]
FLAGS += ["--dataset_split_name", "test"]


def test_the_baseline_computes_the_same():
    images = np.random.RandomState(0).rand(2, 64, 64, 3).astype("f")
    logits, values, ops = [], None, []
    for mode in (TRAINING, PLAIN):
        with tf.Graph().as_default() as graph, tf.Session() as session:
            tf.set_random_seed(0)
            outputs = mmnet(tf.constant(images), SMALL, mode)
            variables = tf.global_variables()
            session.run(tf.global_variables_initializer())
            if values is None:
                values = session.run({variable.op.name: variable for variable in variables})
                values = {name: np.array(value) for name, value in values.items()}
            report = checkpoint.restore(session, values, variables)
            assert not report.missing and not report.unused
            logits.append(session.run(outputs.logits))
            ops.append({operation.type for operation in graph.get_operations()})
    np.testing.assert_allclose(logits[0], logits[1], atol=1e-4 * np.abs(logits[0]).max())
    assert "SpaceToBatchND" in ops[1] and "SpaceToBatchND" not in ops[0]
    assert not any(op.startswith("FusedBatchNorm") for op in ops[1])


def test_rates_are_paired():
    # A machine that slows down.
    ours, baseline = np.array([1.0, 2.0, 4.0]), np.array([2.0, 4.0, 8.0])
    mine, plain = rates(ours, baseline, 32, (1.0, 20.0))
    assert (mine.speed_up, mine.speed_up_low, mine.speed_up_high) == (2, 2, 2)
    assert (plain.speed_up, plain.images_per_second, plain.median_ms) == (1, 8, 4000)
    assert (mine.waiting_percent, plain.waiting_percent) == (1, 20)


@pytest.mark.parametrize("what", ["--train", "--input"])
def test_the_command(portraits, capfd, what):
    capfd.readouterr()
    arguments = ["benchmark", what, "--dataset_path", portraits] + FLAGS
    assert cli.main(arguments + ["--json"]) == 0
    ours, plain = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert (ours["name"], plain["name"], plain["speed_up"]) == ("mmnet", "baseline", 1)
    assert ours["speed_up"] > 0 and ours["images_per_second"] > 0 and ours["batch"] == 2
    if what == "--train":
        assert 0 <= ours["waiting_percent"] < 100


def test_text():
    rows = rates(np.array([0.5]), np.array([1.0]), 32, (0.1, 30.0))
    said = rates_text(rows, "whole training steps")
    assert "64.0 images/s" in said and "2.00 x the baseline" in said
    assert "30.00 % waiting for input" in said
