import os
import shutil
import time

import cv2
import numpy as np
import pytest

from mmnet.datasets.pairs import DatasetValidator, PairError, find_dataset, pick_evenly, read_pair


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


def checked(folder):
    """The Dataset of a folder, every pair read: raises what is wrong with it."""
    found = find_dataset(str(folder), "test")
    check = DatasetValidator(found)
    for pair in found.pairs:
        check.read(pair)
    check.finish()
    return found


def problems_of(folder):
    with pytest.raises(ValueError) as error:
        checked(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_good_pairs(data_set):
    found = checked(data_set)
    assert [pair.stem for pair in found.pairs] == ["a", "b.c", "d"]
    assert (len(found), found.split, found.problems) == (3, "test", {})
    assert (found.path, found.name) == (str(data_set), data_set.name)
    image, alpha = read_pair(found.pairs[1])
    assert image.shape == (20, 10, 3) and image.dtype == np.uint8
    assert alpha.shape == (20, 10) and alpha.dtype == np.float32 and alpha.max() == 1


def test_finding_opens_no_file(data_set):
    for kind in ("image", "mask"):
        for name in os.listdir(str(data_set / "test" / kind)):
            (data_set / "test" / kind / name).write_text("no picture")
    found = find_dataset(str(data_set), "test")
    assert len(found) == 3 and found.problems == {}


def test_the_name_is_the_folders_however_its_path_is_written(data_set, monkeypatch):
    monkeypatch.chdir(str(data_set))
    for path in (".", str(data_set) + os.sep, os.path.join(str(data_set), "test", "..")):
        assert find_dataset(path, "test").name == data_set.name


def test_sha256_tells_pictures_apart_wherever_they_are(data_set, tmp_path):
    sha256 = find_dataset(str(data_set), "test").fingerprint
    shutil.copytree(str(data_set / "test"), str(tmp_path / "copy" / "test"))
    assert find_dataset(str(tmp_path / "copy"), "test").fingerprint == sha256
    with open(str(data_set / "test" / "mask" / "a.png"), "ab") as file:
        file.write(b"\0")
    longer = find_dataset(str(data_set), "test").fingerprint
    os.rename(
        str(tmp_path / "copy" / "test" / "image" / "a.jpg"),
        str(tmp_path / "copy" / "test" / "image" / "a.jpeg"),
    )
    renamed = find_dataset(str(tmp_path / "copy"), "test").fingerprint
    assert len({sha256, longer, renamed}) == 3


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
    assert "1 unreadable files" in message and "d.Png: not a JPEG" in message
    assert "b.c.JPEG 20x10 with mask 30x20" in message
    assert "1 files of a stem that another file has (a.jpg)" in message


def test_read_pair_says_what_is_wrong_of_what_kind(data_set):
    pairs = find_dataset(str(data_set), "test").pairs
    cv2.imwrite(pairs[0].mask, np.eye(30, 20, dtype=np.uint8))
    with pytest.raises(PairError, match="a.jpg 20x10 with mask 30x20") as caught:
        read_pair(pairs[0])
    assert caught.value.problem.startswith("pairs of different sizes")
    os.unlink(pairs[1].image)
    with pytest.raises(PairError, match="b.c.JPEG") as caught:
        read_pair(pairs[1])
    assert caught.value.problem == "unreadable files" and isinstance(caught.value, ValueError)


def test_a_pipe_in_the_place_of_a_picture_is_refused_at_once(data_set):
    path = data_set / "test" / "image" / "d.Png"
    path.unlink()
    os.mkfifo(str(path))
    begun = time.time()
    assert "1 unreadable files (%s: not a regular file)" % path in problems_of(data_set)
    assert time.time() - begun < 5


def test_masks_of_one_value_are_a_warning(data_set, caplog):
    cv2.imwrite(str(data_set / "test" / "mask" / "a.png"), np.zeros((20, 10), np.uint8))
    assert len(checked(data_set)) == 3
    assert "1 of one value only (a.png)" in caplog.text


def test_other_files_are_passed_over_with_a_warning(data_set, caplog):
    (data_set / "test" / "image" / "notes.txt").write_text("")
    assert len(checked(data_set)) == 3
    assert "passed over: notes.txt" in caplog.text


def test_missing_folders(data_set):
    with pytest.raises(FileNotFoundError, match="no dataset folder"):
        find_dataset(str(data_set / "nowhere"), "test")
    with pytest.raises(FileNotFoundError, match="no split 'train' in .*: it has test"):
        find_dataset(str(data_set), "train")
    shutil.rmtree(str(data_set / "test" / "mask"))
    with pytest.raises(FileNotFoundError, match="mask: a split holds image/ and mask/"):
        find_dataset(str(data_set), "test")


def test_empty_split(data_set):
    for kind in ("image", "mask"):
        folder = data_set / "test" / kind
        for name in os.listdir(str(folder)):
            (folder / name).unlink()
    assert "is empty" in problems_of(data_set)


def test_real_portraits(test_data):
    assert len(checked(os.path.join(test_data, "soft"))) == 20


def test_evenly():
    assert pick_evenly(list("abcdefghi"), 3) == ["a", "e", "i"]
    assert pick_evenly(list("abc"), 100) == ["a", "b", "c"] and pick_evenly(list("abc"), 1) == ["a"]
