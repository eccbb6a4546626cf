import json
import os

import numpy as np

from conftest import SMALL
from mmnet import checkpoint, cli
from mmnet.benchmark.training import BASELINE, OURS, PLAIN, rates, rates_text
from mmnet.compat import tf
from mmnet.networks.layers import TRAINING
from mmnet.networks.mmnet import mmnet

HOW = (", from memory", ", decoded each time")
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
    taken, waiting = {OURS: ours, BASELINE: baseline}, {OURS: 1.0, BASELINE: 20.0}
    mine, plain = rates(taken, 32, waiting)
    assert (mine.speed_up, mine.speed_up_low, mine.speed_up_high) == (2, 2, 2)
    assert (plain.speed_up, plain.images_per_second, plain.median_ms) == (1, 8, 4000)
    assert (mine.waiting_percent, plain.waiting_percent) == (1, 20)


def test_the_commands(portraits, tmp_path, capfd):
    capfd.readouterr()
    arguments = ["benchmark", "--train", "--dataset_path", portraits] + FLAGS
    assert cli.main(arguments + ["--json"]) == 0
    ours, plain = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert (ours["name"], plain["name"], plain["speed_up"]) == (OURS, BASELINE, 1)
    assert ours["speed_up"] > 0 and ours["images_per_second"] > 0 and ours["batch"] == 2
    assert 0 <= ours["waiting_percent"] < 100

    packed = str(tmp_path / "packed")
    assert cli.main(["data", "pack", portraits, packed]) == 0
    capfd.readouterr()
    arguments = ["benchmark", "--input", "--dataset_path", portraits, packed] + FLAGS
    assert cli.main(arguments + ["--json"]) == 0
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    ways = [name + how for name in (os.path.basename(portraits), "packed") for how in HOW]
    assert [row["name"] for row in rows] == ways + [BASELINE] and rows[-1]["speed_up"] == 1
    assert cli.main([word.replace("--input", "--train") for word in arguments]) == 2
    assert "--train takes one --dataset_path" in capfd.readouterr().err


def test_text():
    taken = {OURS: np.array([0.5]), BASELINE: np.array([1.0])}
    rows = rates(taken, 32, {OURS: 0.1, BASELINE: 30.0})
    said = rates_text(rows, "whole training steps")
    assert "64.0 images/s" in said and "2.00 x the baseline" in said
    assert "30.00 % waiting for input" in said
