"""Rounding to 8 bits, ranges, and training for them."""

import json
import os
import shutil

import numpy as np
import pytest

from helpers import SMALL
from mmnet import cli
from mmnet.commands.presets import resolve
from mmnet.export.export import comparison_images
from mmnet.inference.open import open_predictor
from mmnet.networks import quantization
from mmnet.networks.layers import INFERENCE
from mmnet.networks.mmnet import mmnet
from mmnet.tf import checkpoint
from mmnet.tf.compat import converts_fake_quantization, tf
from mmnet.tf.device import session_config
from mmnet.training.train import train


@pytest.mark.parametrize("shape, axis", [([3, 3, 4, 6], 3), ([3, 3, 5, 1], 2), ([1, 1, 4, 1], 3)])
def test_weights_are_rounded_for_each_channel(shape, axis):
    weights = np.random.RandomState(0).normal(size=shape).astype("f")
    weights[(slice(None),) * axis + (0,)] = 0  # a dead channel
    others = tuple(number for number in range(4) if number != axis)
    scale = np.abs(weights).max(axis=others, keepdims=True) / 127
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.constant(weights)
        y = quantization.rounded_weights(x, axis)
        rounded, gradient = session.run([y, tf.gradients(y, x)[0]])
    with np.errstate(invalid="ignore"):
        expected = np.where(scale > 0, np.rint(weights / scale) * scale, 0)
    difference = np.abs(rounded - expected)
    assert (difference < 1e-6).mean() > 0.95  # a half goes either way
    assert (difference <= scale * 1.001).all()
    np.testing.assert_array_equal(gradient, np.ones(shape))


def test_rounding_before_batch_norm_is_rounding_the_folded_weights():
    random = np.random.RandomState(0)
    weights = random.normal(size=[3, 3, 4, 6]).astype("f")
    factor = random.uniform(-2, 2, 6).astype("f")
    with tf.Graph().as_default(), tf.Session() as session:
        before = quantization.rounded_weights(tf.constant(weights), 3) * factor
        after = quantization.rounded_weights(tf.constant(weights * factor), 3)
        before, after = session.run([before, after])
    np.testing.assert_allclose(before, after, atol=1e-5)


def test_outputs_are_rounded_to_the_range_and_keep_zero():
    x = np.linspace(-3, 9, 1201).astype("f")
    lowest, highest = "layer/quantization/lowest", "layer/quantization/highest"
    with tf.Graph().as_default(), tf.Session() as session:
        with tf.variable_scope("layer"):
            y = quantization.rounded_output(tf.constant(x))
        variables = tf.trainable_variables()
        assert [variable.op.name for variable in variables] == [lowest, highest]
        session.run(tf.global_variables_initializer())
        assert np.isnan(session.run(variables)).all()  # not measured yet
        values = {lowest: np.float32(-1), highest: np.float32(6)}
        checkpoint.restore(session, values, variables)
        rounded, gradients = session.run([y, tf.gradients(y, variables)])
    levels = np.unique(rounded)
    assert len(levels) == 256 and 0 in levels
    np.testing.assert_allclose(np.diff(levels), 7 / 255, rtol=1e-4)
    inside = (x > levels[0]) & (x < levels[-1])
    assert np.abs(rounded - x)[inside].max() <= 7 / 255 / 2 + 1e-6
    assert gradients[0] > 0 and gradients[1] > 0  # what is clipped pulls the range


def test_measured_ranges(lively_weights):
    images = comparison_images(None, SMALL)
    values = lively_weights.values
    ranges = quantization.measure_ranges(lively_weights, images)
    assert all(quantization.is_range(name) for name in ranges) and len(ranges) == 2 * 37
    assert quantization.quantization_ranges(dict(values, **ranges)) == ranges
    assert not quantization.quantization_ranges(values)
    with tf.Graph().as_default(), tf.Session(config=session_config()) as session:
        x = tf.placeholder(tf.float32, images.shape)
        outputs = mmnet(x / 255, SMALL, INFERENCE)
        checkpoint.restore(session, values, tf.global_variables())
        endpoints, logits = session.run([outputs.endpoints, outputs.logits], {x: images})
    for block in ("enc_block3/merge/pointwise_conv", "dec_block0", "init_block/conv"):
        value = endpoints[block.split("/")[0]]
        name = "MMNet/%s/quantization/" % block
        found = [ranges[name + end] for end in ("lowest", "highest")]
        expected = [min(value.min(), 0), max(value.max(), 0)]
        # Rounding: all pictures at once here, one by one there.
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    log_odds = logits[..., 1] - logits[..., 0]
    # Before it is resized, which cannot leave the range.
    name = "MMNet/final_block/pointwise_conv/quantization/"
    assert ranges[name + "lowest"] <= log_odds.min() + 1e-4
    assert ranges[name + "highest"] >= log_odds.max() - 1e-4
    clipped = quantization.measure_ranges(lively_weights, images, "entropy")
    assert clipped.keys() == ranges.keys()
    wider = [clipped[name] - ranges[name] for name in ranges if name.endswith("highest")]
    assert max(wider) <= 1e-5 and min(wider) < -0.01


def test_entropy_range():
    random = np.random.RandomState(0)
    bell = np.append(random.normal(size=100000), 100.0)  # one value far out
    histogram = np.histogram(bell, 2048, (bell.min(), 100))[0]
    low, high = quantization.entropy_range(histogram, bell.min(), 100.0)
    # 256 levels to 100 would be .4 apart.
    assert low == pytest.approx(bell.min(), abs=0.1) and 4 < high < 20
    even = random.uniform(0, 6, 100000)
    assert quantization.entropy_range(np.histogram(even, 2048, (0, 6))[0], 0.0, 6.0)[1] > 5.8
    # A quarter each at 0 and at 6: both are levels.
    relu6 = np.clip(random.normal(3, 4, 100000), 0, 6)
    histogram = np.histogram(relu6, 2048, (0, 6))[0]
    assert quantization.entropy_range(histogram, 0.0, 6.0) == (0.0, 6.0)
    nothing = np.zeros(2048, int)
    assert quantization.entropy_range(nothing, 0.0, 0.0) == (0.0, 0.0)


def run_settings(portraits, weights, folder, **flags):
    flags = dict(
        {
            "dataset_path": [portraits],
            "train_dir": str(folder),
            "dataset_split_name": "test",
            "batch_size": "4",
            "width_multiplier": str(SMALL.width_multiplier),
            "size": str(SMALL.shape[0]),
            "learning_rate": "1e-3",
            "checkpoint_path": weights and weights.source,
            "quantize": "true",
            "use_ema": "true",
            "max_step_from_restore": "6",
            "step_save_checkpoint": "3",
        },
        **flags,
    )
    return resolve("train", {name: value for name, value in flags.items() if value is not None})


@pytest.fixture(scope="module")
def quantized(lively_weights, portraits, tmp_path_factory):
    """Folder of a run of six steps for 8 bits."""
    folder = tmp_path_factory.mktemp("a run for 8 bits")
    assert train(run_settings(portraits, lively_weights, folder)) == 0
    return folder


def test_training_for_8_bits(lively_weights, portraits, quantized, tmp_path):
    before = lively_weights.values
    # There is no step in the checkpoint that it began with.
    third, last = (checkpoint.read(str(quantized / ("MMNetModel-%d" % step))) for step in (3, 6))
    ranges = quantization.quantization_ranges(last)
    # One for each layer and each concatenation, but for what a concatenation takes up.
    outputs = {name.rpartition("/quantization/")[0] for name in ranges}
    assert len(ranges) == 2 * len(outputs) and np.isfinite(list(ranges.values())).all()
    assert {"MMNet/init_block/conv", "MMNet/dec_block0", "MMNet/enc_block0/merge"} < outputs
    assert any(last[name] != third[name] for name in ranges)
    for name, value in before.items():  # batch norm keeps its statistics, everything else moves
        moved = not np.array_equal(last[name], value)
        assert moved == ("moving" not in name) or "aux_block" in name, name
    assert all(np.isfinite(value).all() for value in last.values())
    averages = sum(name.endswith("lowest" + checkpoint.AVERAGE_SUFFIX) for name in last)
    assert averages == len(outputs)
    for suffix in (".index", ".data-00000-of-00001", ".json"):
        shutil.copy(str(quantized / ("MMNetModel-3" + suffix)), str(tmp_path))
    # It goes on: nothing is measured again.
    assert train(run_settings(portraits, lively_weights, tmp_path)) == 0
    again = checkpoint.read(str(tmp_path / "MMNetModel-6"))
    for name, value in last.items():
        np.testing.assert_array_equal(again[name], value, err_msg=name)


def test_from_scratch_is_refused(portraits, tmp_path):
    says = "--quantize makes a trained network ready .* --checkpoint_path"
    with pytest.raises(ValueError, match=says):
        run_settings(portraits, None, tmp_path)


@pytest.mark.parametrize("flags", [[], ["--use_ema"], ["--io", "uint8"]])
def test_its_checkpoint_exports_to_int8(quantized, tmp_path, capfd, flags):
    capfd.readouterr()
    arguments = ["export", "--checkpoint_path", str(quantized), "--format", "tflite"]
    arguments += ["--precision", "int8", "--output", str(tmp_path), "--json"]
    code = cli.main(arguments + flags)
    out, err = capfd.readouterr()
    if not converts_fake_quantization():
        says = "converter takes no given ranges, as a checkpoint of train --quantize needs"
        assert code == 2 and says in err
        return
    assert code == 0, err
    card = json.loads(out)
    assert card["calibration"] == {"method": "quantised training"}
    operations = {"CONV_2D", "DEPTHWISE_CONV_2D", "CONCATENATION", "RESIZE_BILINEAR", "QUANTIZE"}
    operations |= {"LOGISTIC", "MUL"} | (set() if flags[:1] == ["--io"] else {"DEQUANTIZE"})
    assert set(card["operations"]) == operations
    assert card["operations"].get("DEQUANTIZE", 0) <= 1  # nothing in between is float
    assert (" uint8 " in card["input"]) == (flags[:1] == ["--io"])
    if flags[:1] == ["--io"]:
        interpreter = open_predictor(card["path"]).run.args[0]
        details = interpreter.get_output_details()[0]
        assert details["quantization"] == (pytest.approx(1 / 255), 0)  # 255 is opaque


def test_ranges_of_its_own_and_calibration_do_not_go_together(
    quantized, portraits, tmp_path, capfd
):
    capfd.readouterr()
    arguments = ["export", "--checkpoint_path", str(quantized), "--format", "tflite"]
    arguments += ["--precision", "int8", "--output", str(tmp_path)]
    assert cli.main(arguments + ["--calibration_dataset", portraits]) == 2
    assert "has its own ranges: leave --calibration_dataset out" in capfd.readouterr().err


def test_entropy_calibration(test_data, tmp_path, capfd):
    capfd.readouterr()
    prefix = os.path.join(test_data, "checkpoints", "MMNetModel-304500")
    arguments = ["export", "--checkpoint_path", prefix, "--format", "tflite"]
    arguments += ["--precision", "int8", "--output", str(tmp_path), "--json"]
    arguments += ["--calibration_dataset", os.path.join(test_data, "portraits")]
    arguments += ["--calibration_pictures", "20", "--calibration_method", "entropy"]
    code = cli.main(arguments + ["--dataset_path", os.path.join(test_data, "soft")])
    out, err = capfd.readouterr()
    if not converts_fake_quantization():
        says = "converter takes no given ranges, as --calibration_method entropy needs"
        assert code == 2 and says in err
        assert not os.listdir(str(tmp_path))
        return
    assert code == 0, err
    assert json.loads(out)["calibration"]["method"] == "entropy"
