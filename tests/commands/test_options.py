"""Tests of mmnet.commands.options: options that exclude each other."""

import pytest

from helpers import assert_raises
from mmnet.commands.presets import resolve
from mmnet.io.errors import MmnetError


@pytest.fixture
def paths(tmp_path):
    """Flags with the paths of an empty dataset, and of an empty model file."""
    (tmp_path / "data").mkdir()
    (tmp_path / "model.pb").write_text("")
    return {"dataset_path": str(tmp_path / "data")}, str(tmp_path / "model.pb")


def test_size_and_shape_exclude_each_other(paths):
    with assert_raises(MmnetError, "--size", "--shape"):
        resolve("check-batch-norm", dict(paths[0], size="64", shape=["64", "96"]))


def test_checkpoint_command_rejects_model_file(paths):
    flags, model = paths
    with assert_raises(MmnetError, "--checkpoint_path", model):
        resolve("check-batch-norm", dict(flags, checkpoint_path=model))


@pytest.mark.parametrize(
    "flags, fields",
    [
        ({}, {}),
        ({"shape": ["64", "96"]}, {"shape": (64, 96)}),
        ({"size": "64", "network": "deeplab"}, {"name": "deeplab", "shape": (64, 64)}),
    ],
)
def test_network_fields_are_the_given_flags(paths, flags, fields):
    options = resolve("check-batch-norm", dict(paths[0], checkpoint_path="untrained", **flags))
    assert options.network_fields() == fields
