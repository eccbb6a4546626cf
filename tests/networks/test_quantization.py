"""Tests of mmnet.networks.quantization, and of training and exporting a network for 8 bits."""

import os
import shutil

import numpy as np
import pytest

from helpers import SMALL_FLAGS
from mmnet.cli import main
from mmnet.inference.open import open_predictor
from mmnet.networks import quantization
from mmnet.tf import checkpoint
from mmnet.tf.compat import converts_fake_quantization, tf

OPERATIONS = {"CONV_2D", "DEPTHWISE_CONV_2D", "CONCATENATION", "RESIZE_BILINEAR", "QUANTIZE"}
OPERATIONS |= {"LOGISTIC", "MUL"}


@pytest.mark.parametrize("shape, axis", [([3, 3, 4, 6], 3), ([3, 3, 5, 1], 2), ([1, 1, 4, 1], 3)])
def test_weights_are_rounded_per_channel(shape, axis):
    weights = np.random.RandomState(0).normal(size=shape).astype("f")
    weights[(slice(None),) * axis + (0,)] = 0  # a channel that contains only zeros
    other_axes = tuple(number for number in range(4) if number != axis)
    scale = np.abs(weights).max(axis=other_axes, keepdims=True) / 127
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.constant(weights)
        y = quantization.quantize_weights(x, axis)
        rounded, gradient = session.run([y, tf.gradients(y, x)[0]])
    with np.errstate(invalid="ignore"):
        expected = np.where(scale > 0, np.rint(weights / scale) * scale, 0)
    difference = np.abs(rounded - expected)
    assert (difference < 1e-6).mean() > 0.95  # a half may round up or down
    assert (difference <= scale * 1.001).all()
    np.testing.assert_array_equal(gradient, np.ones(shape))


def test_rounding_before_batch_norm_equals_rounding_folded_weights():
    random = np.random.RandomState(0)
    weights = random.normal(size=[3, 3, 4, 6]).astype("f")
    factor = random.uniform(-2, 2, 6).astype("f")
    with tf.Graph().as_default(), tf.Session() as session:
        before = quantization.quantize_weights(tf.constant(weights), 3) * factor
        after = quantization.quantize_weights(tf.constant(weights * factor), 3)
        before, after = session.run([before, after])
    np.testing.assert_allclose(before, after, atol=1e-5)


def test_outputs_are_rounded_inside_the_range_and_keep_zero():
    x = np.linspace(-3, 9, 1201).astype("f")
    lowest, highest = "layer/quantization/lowest", "layer/quantization/highest"
    with tf.Graph().as_default(), tf.Session() as session:
        with tf.variable_scope("layer"):
            y = quantization.quantize_output(tf.constant(x))
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
    assert gradients[0] > 0 and gradients[1] > 0  # clipped values widen the range


def train_command(folder, portraits, *flags):
    command = ["train", "--dataset_path", portraits, "--dataset_split_name", "test"]
    command += ["--train_dir", str(folder), "--batch_size", "4", "--use_ema"]
    command += ["--mode", "quantize", "--learning_rate", "1e-3", "--max_step_from_restore", "6"]
    return [*command, "--step_save_checkpoint", "3", *SMALL_FLAGS, *flags]


@pytest.fixture(scope="module")
def quantized(small_weights, portraits, tmp_path_factory):
    """Folder of a training of six steps for 8 bits."""
    folder = tmp_path_factory.mktemp("quantized training")
    start = ["--checkpoint_path", small_weights.source]
    assert main(train_command(folder, portraits, *start)) == 0
    return folder


def test_training_moves_weights_and_ranges(small_weights, quantized):
    third, last = (checkpoint.read(str(quantized / f"MMNetModel-{step}")) for step in (3, 6))
    ranges = quantization.quantization_ranges(last)
    outputs = {name.rpartition("/quantization/")[0] for name in ranges}
    assert len(ranges) == 2 * len(outputs) and np.isfinite(list(ranges.values())).all()
    # Inputs of a concatenation have no range, but its output has one.
    block = "Tiny/block0"
    assert {"Tiny/init_block/conv", f"{block}/merge", f"{block}/branch0/pointwise_conv"} < outputs
    assert f"{block}/branch0/depthwise_conv_dilation" not in outputs
    assert any(last[name] != third[name] for name in ranges)
    for name, value in small_weights.values.items():  # batch norm keeps its statistics
        has_moved = not np.array_equal(last[name], value)
        assert has_moved == ("moving" not in name) or "aux_block" in name, name
    assert all(np.isfinite(value).all() for value in last.values())
    averages = sum(name.endswith("lowest" + checkpoint.AVERAGE_SUFFIX) for name in last)
    assert averages == len(outputs)


def test_training_resumes_without_a_new_measurement(small_weights, portraits, quantized, tmp_path):
    for suffix in (".index", ".data-00000-of-00001", ".json"):
        shutil.copy(str(quantized / f"MMNetModel-3{suffix}"), str(tmp_path))
    start = ["--checkpoint_path", small_weights.source]
    assert main(train_command(tmp_path, portraits, *start)) == 0
    resumed = checkpoint.read(str(tmp_path / "MMNetModel-6"))
    for name, value in checkpoint.read(str(quantized / "MMNetModel-6")).items():
        np.testing.assert_array_equal(resumed[name], value, err_msg=name)


def test_training_for_8_bits_needs_a_checkpoint(portraits, tmp_path, assert_refused):
    assert_refused(train_command(tmp_path, portraits), "quantize", "--checkpoint_path")


@pytest.mark.parametrize("flags", [[], ["--use_ema"], ["--io", "uint8"]], ids=lambda f: "".join(f))
def test_checkpoint_with_ranges_exports_to_int8(
    quantized, tmp_path, run_json, assert_refused, flags
):
    command = ["export", "--checkpoint_path", str(quantized), "--format", "tflite"]
    command += ["--precision", "int8", "--output", tmp_path, *flags]
    if not converts_fake_quantization():
        assert_refused(command, "TensorFlow 1.15", "8 bits")
        return
    (card,) = run_json(*command)
    assert card["calibration"] == {"method": "quantised training"}
    has_uint8 = flags == ["--io", "uint8"]
    assert set(card["operations"]) == OPERATIONS | (set() if has_uint8 else {"DEQUANTIZE"})
    assert card["operations"].get("DEQUANTIZE", 0) <= 1  # only the output is converted to float
    assert (" uint8 " in card["input"]) == has_uint8
    if has_uint8:
        interpreter = open_predictor(card["path"]).run.args[0]
        details = interpreter.get_output_details()[0]
        assert details["quantization"] == (pytest.approx(1 / 255), 0)  # 255 is opaque


def test_checkpoint_with_ranges_rejects_calibration(quantized, portraits, tmp_path, assert_refused):
    command = ["export", "--checkpoint_path", quantized, "--format", "tflite", "--precision"]
    command += ["int8", "--output", tmp_path, "--calibration_dataset", portraits]
    assert_refused(command, "--calibration_dataset", quantized)


def test_entropy_calibration_of_a_published_checkpoint(
    test_data, tmp_path, run_json, assert_refused
):
    prefix = os.path.join(test_data, "checkpoints", "MMNetModel-304500")
    command = ["export", "--checkpoint_path", prefix, "--format", "tflite"]
    command += ["--precision", "int8", "--output", tmp_path]
    command += ["--calibration_dataset", os.path.join(test_data, "portraits")]
    command += ["--calibration_pictures", "20", "--calibration_method", "entropy"]
    command += ["--dataset_path", os.path.join(test_data, "soft")]
    if not converts_fake_quantization():
        assert_refused(command, "TensorFlow 1.15", "entropy")
        assert not os.listdir(str(tmp_path))
        return
    assert run_json(*command)[0]["calibration"]["method"] == "entropy"
