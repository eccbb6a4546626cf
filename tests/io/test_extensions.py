"""Tests of mmnet.io.extensions."""

import pytest
from PIL import Image

from mmnet.io.extensions import is_clip


def test_is_clip_accepts_animated_gifs_only(tmp_path):
    pytest.importorskip("av", reason="no PyAV for this Python")
    images = [Image.new("L", (8, 8), 99 * number) for number in range(2)]
    for name, count in (("still.gif", 1), ("moving.GIF", 2)):
        images[0].save(str(tmp_path / name), save_all=True, append_images=images[1:count])
    (tmp_path / "damaged.gif").write_bytes(b"GIF89a")
    names = ["a.mp4", "a.M2TS", "a.jpg", "moving.GIF", "still.gif", "damaged.gif", "missing.gif"]
    clips = [name for name in names if is_clip(str(tmp_path / name))]
    assert clips == ["a.mp4", "a.M2TS", "moving.GIF"]
