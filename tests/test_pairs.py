import os
import shutil

import cv2
import numpy as np
import pytest

from mmnet.data.pairs import evenly, find_pairs, load_pairs, read_pair


@pytest.fixture
def data_set(tmp_path):
    """Three good pairs a, b.c and d, of extensions in any case."""
    for kind in ("image", "mask"):
        (tmp_path / "test" / kind).mkdir(parents=True)
    picture = np.zeros((20, 10, 3), np.uint8)
    picture[5:15] = 255
    for image, mask in (("a.jpg", "a.png"), ("b.c.JPEG", "b.c.PNG"), ("d.Png", "d.jpg")):
        cv2.imwrite(str(tmp_path / "test" / "image" / image), picture)
        cv2.imwrite(str(tmp_path / "test" / "mask" / mask), picture[..., 0])
    (tmp_path / "test" / "image" / ".DS_Store").write_text("")
    return tmp_path


def problems_of(data_set):
    with pytest.raises(ValueError) as error:
        load_pairs(str(data_set), "test")
    assert "\n" not in str(error.value)
    return str(error.value)


def test_good_pairs(data_set):
    pairs = load_pairs(str(data_set), "test")
    assert [pair.stem for pair in pairs] == ["a", "b.c", "d"]
    image, alpha = read_pair(pairs[1])
    assert image.shape == (20, 10, 3) and image.dtype == np.uint8
    assert alpha.shape == (20, 10) and alpha.dtype == np.float32 and alpha.max() == 1


def test_everything_wrong_is_said_at_once(data_set):
    image, mask = data_set / "test" / "image", data_set / "test" / "mask"
    for name in ("m1", "m2", "m3", "m4"):
        shutil.copy(str(image / "a.jpg"), str(image / (name + ".jpg")))
    shutil.copy(str(mask / "a.png"), str(mask / "stray.png"))
    shutil.copy(str(image / "a.jpg"), str(image / "a.jpeg"))
    (image / "d.Png").write_text("text")
    cv2.imwrite(str(mask / "b.c.PNG"), np.eye(30, 20, dtype=np.uint8))
    message = problems_of(data_set)
    assert "4 images without a mask (m1.jpg, m2.jpg, m3.jpg, ...)" in message
    assert "1 masks without an image (stray.png)" in message
    assert "1 unreadable files" in message and "d.Png is not a JPEG or PNG" in message
    assert "b.c.JPEG 20x10 with mask 30x20" in message
    assert "1 files of a stem that another file has (a.jpg)" in message


def test_masks_of_one_value_are_a_warning(data_set, caplog):
    cv2.imwrite(str(data_set / "test" / "mask" / "a.png"), np.zeros((20, 10), np.uint8))
    assert len(load_pairs(str(data_set), "test")) == 3
    assert "1 of one value only (a.png)" in caplog.text


def test_other_files_are_passed_over_with_a_warning(data_set, caplog):
    (data_set / "test" / "image" / "notes.txt").write_text("")
    assert len(load_pairs(str(data_set), "test")) == 3
    assert "passed over: notes.txt" in caplog.text


def test_missing_folders(data_set):
    with pytest.raises(FileNotFoundError, match="no data set folder"):
        find_pairs(str(data_set / "nowhere"), "test")
    with pytest.raises(FileNotFoundError, match="no split 'train' in .*: it has test"):
        find_pairs(str(data_set), "train")
    shutil.rmtree(str(data_set / "test" / "mask"))
    with pytest.raises(FileNotFoundError, match="mask: a split holds image/ and mask/"):
        find_pairs(str(data_set), "test")


def test_empty_split(data_set):
    for kind in ("image", "mask"):
        folder = data_set / "test" / kind
        for name in os.listdir(str(folder)):
            (folder / name).unlink()
    assert "is empty" in problems_of(data_set)


def test_real_portraits(test_data):
    assert len(load_pairs(os.path.join(test_data, "soft"), "test")) == 20


def test_evenly():
    assert evenly(list("abcdefghi"), 3) == ["a", "e", "i"]
    assert evenly(list("abc"), 100) == ["a", "b", "c"] and evenly(list("abc"), 1) == ["a"]
