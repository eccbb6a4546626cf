"""TensorBoard events; that TensorFlow reads them is seen in the tests of what writes them."""

import gc

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from mmnet.io import tensorboard as events


def test_a_full_disk_is_an_error_that_names_the_file(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(events, "open", lambda *_: open("/dev/full", "wb"), raising=False)  # noqa: SIM115
    with pytest.raises(OSError, match="No space left on device: '.*events.out.tfevents"):
        events.open_events(str(tmp_path))
    gc.collect()
    assert capfd.readouterr().err == ""


def test_what_tensorboard_reads(tmp_path):
    file = events.open_events(str(tmp_path))
    flags = {"size": 256, "learning_rate": 1e-3, "use_ema": True, "config": None, "roots": ("a",)}
    events.write_settings(file, flags)
    events.write_events(file, 7, {"a/b": 0.5}, histograms={"errors": [0.0, 0.1, 0.1, 0.4]})
    events.close_events(file)
    read = EventAccumulator(str(tmp_path)).Reload()
    (histogram,) = read.Histograms("errors")
    assert histogram.step == 7 and histogram.histogram_value.num == 4
    assert sum(histogram.histogram_value.bucket) == 4
    assert read.Scalars("a/b")[0].value == 0.5
    metadata = read.SummaryMetadata("_hparams_/session_start_info")
    content = metadata.plugin_data.content
    hparams = HParamsPluginData.FromString(content).session_start_info.hparams
    assert hparams["size"].number_value == 256 and hparams["learning_rate"].number_value == 1e-3
    assert hparams["use_ema"].bool_value is True and hparams["roots"].string_value == "('a',)"
    assert "config" not in hparams


def test_a_panel():
    image = np.full((2, 3, 3), 100.0)
    truth, alpha = np.ones((2, 3)), np.array([[0, 1, 0.5]] * 2)
    shorten = events.panel(image, truth, alpha)
    assert shorten.shape == (2, 12, 3) and shorten.dtype == np.uint8
    assert shorten[0, ::3].tolist() == [[100] * 3, [255] * 3, [0] * 3, [0, 177, 64]]
    assert shorten[0, 10].tolist() == [100] * 3 and shorten[0, 11].tolist() == [50, 138, 82]
