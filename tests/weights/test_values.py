"""Tests of mmnet.weights.values, write and batch_norm."""

import numpy as np
import pytest

from helpers import SMALL, assert_raises
from mmnet.io.errors import MmnetError
from mmnet.networks.layers import INFERENCE, batch_norm_training
from mmnet.networks.network import Network, make_network
from mmnet.networks.registry import alphas_from_logits, build
from mmnet.tf import checkpoint
from mmnet.tf.checkpoint import AVERAGE_SUFFIX, RestoreReport
from mmnet.tf.compat import tf
from mmnet.weights.batch_norm import measure_batch_norm
from mmnet.weights.run_file import network_in
from mmnet.weights.values import (
    MOVING,
    WeightOptions,
    average_weights,
    check_finite,
    check_fit,
    count_parameters,
    count_variables,
    global_step,
    read_weights,
    scale_classifier,
)
from mmnet.weights.write import write_weights

CLASSIFIER = "Tiny/final_block/pointwise_conv"


def change_values(weights, **values):
    return weights._replace(values=dict(weights.values, **values))


@pytest.fixture(scope="module")
def averaged_prefix(small_weights, tmp_path_factory):
    """Prefix of a checkpoint with a moving average, an optimizer slot and a global step."""
    values = dict(small_weights.values)
    name = f"{CLASSIFIER}/weights"
    values[name + AVERAGE_SUFFIX] = values[name] + 1
    values[f"{CLASSIFIER}/biases/Adam"] = np.ones(2, np.float32)
    values["global_step"] = np.int64(9)
    prefix = str(tmp_path_factory.mktemp("averages") / "MMNetModel-7")
    checkpoint.write(prefix, values)
    return prefix


def test_read_weights_uses_moving_averages(small_weights, averaged_prefix):
    name = f"{CLASSIFIER}/weights"
    options = WeightOptions(use_ema=True, logit_scale=2.0)
    weights = read_weights(averaged_prefix, SMALL, options)
    np.testing.assert_array_equal(weights.values[name], 2 * (small_weights.values[name] + 1))
    assert (weights.source, weights.step, weights.options) == (averaged_prefix, 9, options)
    with assert_raises(MmnetError, "use_ema", small_weights.source):
        read_weights(small_weights.source, SMALL, options)


def test_scale_classifier_needs_the_classifier(small_weights):
    assert scale_classifier(small_weights, 1) is small_weights
    with assert_raises(MmnetError, "logit_scale", small_weights.source, "MMNet/"):
        scale_classifier(small_weights._replace(network=Network()), 2)


def test_average_weights_is_the_mean(small_weights, averaged_prefix):
    other = read_weights(averaged_prefix, SMALL)
    name = f"{CLASSIFIER}/weights"
    for use_ema, difference in ((False, 0), (True, 0.5)):
        mean = average_weights([small_weights, other], use_ema=use_ema)
        assert mean.values.keys() == small_weights.values.keys() and mean.step == 9
        for key, value in small_weights.values.items():
            expected = value + difference if key == name else value
            np.testing.assert_allclose(mean.values[key], expected, atol=1e-6, err_msg=key)
            assert mean.values[key].dtype == value.dtype


def test_average_weights_rejects_other_networks(small_weights):
    name = f"{CLASSIFIER}/biases"
    other = change_values(small_weights._replace(source="other"), **{name: np.zeros(3)})
    with assert_raises(MmnetError, "other", small_weights.source, name, [3], [2]):
        average_weights([small_weights, other])


@pytest.mark.parametrize(
    "step, expected", [(np.int32(4), 4), (np.array([5]), 5), (None, 7), (np.arange(3), None)]
)
def test_global_step_comes_from_the_variable_or_the_name(step, expected):
    values = {} if step is None else {"global_step": step}
    if expected is None:
        with assert_raises(MmnetError, "run/x-7", "global_step", [3]):
            global_step("run/x-7", values)
    else:
        assert global_step("run/x-7", values) == expected


def test_check_finite_names_the_variable():
    values = {"a/weights": np.array([1, np.nan, np.inf]), "a/quantization/lowest": np.nan}
    with assert_raises(MmnetError, "run/x-7", "a/weights", "2 of 3"):
        check_finite("run/x-7", values)
    check_finite("run/x-7", {"a/quantization/lowest": np.nan, "step": np.int64(3)})


def test_check_fit_reports_missing_and_reshaped_variables(small_weights):
    check_fit(RestoreReport(["a"], [], ["unused"], []), small_weights)
    report = RestoreReport([], ["b/weights"], [], [("a/weights", [1, 2], [3, 4])])
    tokens = ["tiny", "a/weights", [1, 2], [3, 4], "b/weights", "width_multiplier"]
    with assert_raises(MmnetError, small_weights.source, *tokens):
        check_fit(report, small_weights)


def test_count_variables_groups_by_purpose(averaged_prefix, small_weights):
    values = checkpoint.read(averaged_prefix)
    values["a/quantization/lowest"] = values["a/weights/copy"] = np.zeros(3)
    assert count_variables(values, "/copy") == {
        "network": len(small_weights.values),
        "optimizer": 1,
        "moving averages of weights": 1,
        "ranges of 8 bits": 1,
        "frozen copy": 1,
    }
    values = {"a/weights": np.ones((2, 3)), "a/moving_mean": np.ones(3), "a/Adam": np.ones(5)}
    assert (count_parameters(values), count_parameters(values, MOVING)) == (6, 3)


@pytest.mark.parametrize("text", ["size: 320000000", "network: x", "width_multiplier: 1.0e+308"])
def test_bad_record_of_a_network_names_its_file(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with assert_raises(MmnetError, path):
        network_in(str(path))


def test_write_weights_records_the_network(averaged_prefix, tmp_path):
    weights = read_weights(averaged_prefix, SMALL)
    prefix = str(tmp_path / "new" / "MMNetModel-9")
    write_weights(prefix, weights)
    values = checkpoint.read(prefix)
    assert values.pop("global_step") == 9
    assert not any(name.endswith(("/Adam", AVERAGE_SUFFIX)) for name in values)
    assert make_network(network_in(str(tmp_path / "new" / "config.yaml"))) == SMALL
    with assert_raises(MmnetError, tmp_path / "new", SMALL):
        write_weights(prefix, weights._replace(network=Network()))


def test_measure_batch_norm_reproduces_batch_statistics(small_weights, small_images):
    images = small_images
    random = np.random.RandomState(0)
    noisy = {
        name: value * random.uniform(1, 2, value.shape).astype("f")
        for name, value in small_weights.values.items()
        if name.endswith(MOVING)
    }
    measured = measure_batch_norm(change_values(small_weights, **noisy), images)
    for name, value in small_weights.values.items():
        assert np.array_equal(measured.values[name], value) == ("/moving_" not in name), name

    def alphas(mode, weights):
        with tf.Graph().as_default(), tf.Session() as session:
            output = alphas_from_logits(build(SMALL, tf.constant(images), mode).logits)
            checkpoint.restore(session, weights.values, tf.global_variables())
            return session.run(output)

    expected = alphas(INFERENCE._replace(batch_norm=batch_norm_training), small_weights)
    noise = np.abs(alphas(INFERENCE, change_values(small_weights, **noisy)) - expected).mean()
    # The moving variance is unbiased, so the difference is not 0.
    assert np.abs(alphas(INFERENCE, measured) - expected).mean() < min(2e-3, noise / 10)
