"""TensorBoard events; that TensorFlow reads them is seen in the tests of what writes them."""

import gc

import pytest

from mmnet import events


def test_a_full_disk_is_an_error_that_names_the_file(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(events, "open", lambda *_: open("/dev/full", "wb"), raising=False)  # noqa: SIM115
    with pytest.raises(OSError, match="No space left on device: '.*events.out.tfevents"):
        events.open_events(str(tmp_path))
    gc.collect()
    assert capfd.readouterr().err == ""
