"""Tests of mmnet calibrate."""

import os

import pytest

from helpers import SMALL, SMALL_FLAGS, assert_message
from mmnet.evaluation.calibration import LOGIT_SCALES
from mmnet.inference.open import load_weights
from mmnet.networks.registry import find_definition
from mmnet.weights.write import write_weights


@pytest.fixture(scope="module")
def checkpoint(small_weights, tmp_path_factory):
    """Prefix of a checkpoint that scores better with a larger logit scale."""
    prefix = str(tmp_path_factory.mktemp("inverted") / "MMNetModel-5")
    scope = find_definition(SMALL).classifier
    values = {
        name: -value if name.startswith(scope) else value
        for name, value in small_weights.values.items()
    }
    write_weights(prefix, small_weights._replace(values=values))
    return prefix


@pytest.fixture
def flags(checkpoint, portraits):
    flags = ["--checkpoint_path", checkpoint, "--dataset_path", portraits]
    return [*flags, "--dataset_split_name", "test", *SMALL_FLAGS]


def test_calibrate_writes_scaled_checkpoint(flags, tmp_path, run_json):
    prefix = str(tmp_path / "scaled" / "MMNetModel-5")
    os.mkdir(os.path.dirname(prefix))
    (result,) = run_json("calibrate", "--output", prefix, *flags)
    for key in ("logit_scale", "temperature"):  # the new name, and the name in 0.2
        assert [score[key] for score in result["scores"]] == list(LOGIT_SCALES)
    assert result["best"] > 1
    (best,) = [score for score in result["scores"] if score["logit_scale"] == result["best"]]

    def evaluate(*more):
        return run_json("evaluate", "--output", tmp_path, *flags, *more)[0]["MAD/test"]

    expected = pytest.approx(best["mad"], abs=1e-5)
    assert evaluate("--logit_scale", str(result["best"])) == expected
    assert evaluate("--temperature", str(result["best"])) == expected  # the name in 0.2
    flags[1] = prefix
    assert evaluate() == expected
    weights = load_weights(prefix)
    assert weights.step == 5 and weights.network == SMALL  # recorded beside the checkpoint


@pytest.mark.parametrize("command", ["calibrate", "temperature"])
def test_calibrate_prints_table(flags, command, run):
    code, out, err = run(command, *flags)
    assert code == 0
    assert_message(out, "logit scale", "MAD (0..1)", "6 images")
    for scale in LOGIT_SCALES:
        assert f"\n{scale:g} " in out
    assert ("calibrate" in err) == (command == "temperature")  # a warning with the new name


def test_calibrate_explains_a_missing_split(portraits, assert_refused):
    tokens = ["val", "splits: test", f"{portraits}/val/image", "--dataset_split_name"]
    assert_refused(["calibrate", "--dataset_path", portraits], *tokens)


def test_calibrate_refuses_read_only_output(flags, tmp_path, assert_refused):
    tmp_path.chmod(0o555)
    try:
        assert_refused(["calibrate", "--output", tmp_path / "MMNetModel-5", *flags], tmp_path)
    finally:
        tmp_path.chmod(0o755)
