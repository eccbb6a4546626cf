"""The predict verb."""

import os

import cv2
import numpy as np
import pytest

from mmnet.data.images import load_mask, read_image
from mmnet.verbs.predict import find_photos, predict_photos
from test_matte import brightness


def test_photos_are_found_once_and_never_overwrite_each_other(tmp_path):
    folder = tmp_path / "my photos"
    folder.mkdir()
    for name in ("b.JPG", "a.png", "notes.txt"):
        (folder / name).write_bytes(b"")
    out = str(tmp_path / "out")
    found = find_photos([str(folder), str(folder / "a.png")], out)
    assert [os.path.basename(path) for path in found] == ["a.png", "b.JPG"]
    (folder / "a.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match="same files"):
        find_photos([str(folder)], out)
    with pytest.raises(ValueError, match="output folder too"):
        find_photos([str(folder)], str(folder))
    with pytest.raises(FileNotFoundError, match="no photo or folder .*none"):
        find_photos([str(tmp_path / "none")], out)


def test_a_broken_file_among_many_is_skipped(portrait_set, tmp_path):
    good = portrait_set.pairs[0].image
    broken = tmp_path / "broken.jpg"
    broken.write_text("no picture")
    out = str(tmp_path / "out")
    black = np.zeros(3, np.uint8)
    photos = [str(broken), good]
    first, second = predict_photos(brightness((64, 64)), photos, out, black)
    assert "broken.jpg is not a JPEG" in first.error and first.alpha is None
    image = read_image(good)
    assert second.error is None
    cutout = cv2.imread(second.cutout, cv2.IMREAD_UNCHANGED)
    assert cutout.shape == image.shape[:2] + (4,)
    assert read_image(second.composition).shape == image.shape
    alpha = load_mask(second.alpha)
    assert alpha.shape == image.shape[:2]
    assert second.person_share == pytest.approx(alpha.mean(), abs=0.01)
    assert len(os.listdir(out)) == 3
