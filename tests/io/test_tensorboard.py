"""Tests of mmnet.io.tensorboard. The tests of its callers read the files with TensorFlow."""

import gc

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from helpers import assert_raises
from mmnet.io import tensorboard
from mmnet.io.tensorboard import EventWriter, make_panel


def test_event_writer_names_file_on_full_disk(tmp_path, monkeypatch, capfd):
    def open_full_disk(*_):
        return open("/dev/full", "wb")  # noqa: SIM115

    monkeypatch.setattr(tensorboard, "open", open_full_disk, raising=False)
    with assert_raises(OSError, "No space left on device", "events.out.tfevents"):
        EventWriter(str(tmp_path))
    gc.collect()
    assert capfd.readouterr().err == ""


def test_tensorboard_reads_written_events(tmp_path):
    writer = EventWriter(str(tmp_path))
    options = {"size": 256, "learning_rate": 1e-3, "use_ema": True, "config": None, "paths": ("a",)}
    writer.write_hyperparameters(options)
    writer.write(7, {"a/b": 0.5}, histograms={"errors": [0.0, 0.1, 0.1, 0.4]})
    writer.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    (histogram,) = events.Histograms("errors")
    assert histogram.step == 7 and histogram.histogram_value.num == 4
    assert sum(histogram.histogram_value.bucket) == 4
    assert events.Scalars("a/b")[0].value == 0.5
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    hparams = HParamsPluginData.FromString(content).session_start_info.hparams
    assert hparams["size"].number_value == 256 and hparams["learning_rate"].number_value == 1e-3
    assert hparams["use_ema"].bool_value is True and hparams["paths"].string_value == "('a',)"
    assert "config" not in hparams


def test_make_panel_shows_image_truth_alpha_and_composition():
    image = np.full((2, 3, 3), 100.0)
    truth, alpha = np.ones((2, 3)), np.array([[0, 1, 0.5]] * 2)
    panel = make_panel(image, truth, alpha)
    assert panel.shape == (2, 12, 3) and panel.dtype == np.uint8
    assert panel[0, ::3].tolist() == [[100] * 3, [255] * 3, [0] * 3, [0, 177, 64]]
    assert panel[0, 10].tolist() == [100] * 3 and panel[0, 11].tolist() == [50, 138, 82]
