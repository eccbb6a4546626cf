"""Tests of mmnet.inference.onnx."""

import sys

import numpy as np

from helpers import SMALL, assert_raises
from helpers.cards import CARD_OF_0_1, write_card
from helpers.models import need_onnx
from mmnet.inference.onnx import open_onnx, set_batch_size
from mmnet.io.errors import MmnetError
from mmnet.io.files import read_bytes
from mmnet.networks.network import Network


def test_open_onnx_rejects_a_file_for_another_batch_size(exported_models, tmp_path):
    path = tmp_path / "two.onnx"
    path.write_bytes(set_batch_size(read_bytes(exported_models.path("mmnet.onnx")), 2))
    with assert_raises(MmnetError, path, [2, 64, 64, 3], "[1,H,W,"):
        open_onnx(str(path))


def test_open_onnx_needs_a_card_without_metadata(exported_models, small_images, tmp_path):
    need_onnx()
    import onnx

    complete = exported_models.path("mmnet.onnx")
    path = tmp_path / "bare.onnx"
    bare = onnx.load(complete)
    del bare.metadata_props[:]
    path.write_bytes(bare.SerializeToString())
    with assert_raises(MmnetError, path, "card"):
        open_onnx(str(path))
    write_card(path, dict(CARD_OF_0_1, format="onnx"))
    model = open_onnx(str(path))
    assert model.network == Network("mmnet", 0.25, SMALL.shape)
    np.testing.assert_array_equal(model(small_images), open_onnx(complete)(small_images))


def test_open_onnx_reads_no_other_file(exported_models, tmp_path, monkeypatch):
    need_onnx()
    import onnx

    monkeypatch.chdir(str(tmp_path))
    model = onnx.load(exported_models.path("mmnet.onnx"))
    onnx.external_data_helper.convert_model_to_external_data(model, True, "secret", 100)
    onnx.save(model, str(tmp_path / "a.onnx"))
    assert (tmp_path / "secret").stat().st_size > 1000
    with assert_raises(MmnetError, "a.onnx", "other files"):
        open_onnx(str(tmp_path / "a.onnx"))


def test_open_onnx_rejects_other_files(tmp_path):
    need_onnx()
    path = tmp_path / "a.onnx"
    path.write_text("no model")
    with assert_raises(MmnetError, path, "ONNX"):
        open_onnx(str(path))


def test_open_onnx_names_the_missing_runtime(tmp_path, monkeypatch):
    (tmp_path / "a.onnx").write_text("")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with assert_raises(MmnetError, "onnxruntime", "pip install"):
        open_onnx(str(tmp_path / "a.onnx"))
