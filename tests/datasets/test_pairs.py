"""Tests of mmnet.datasets.pairs."""

import os
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

from helpers import assert_message, assert_raises
from helpers.colours import ADOBE, make_profile, reference_srgb
from mmnet.datasets.pairs import (
    DIFFERENT_SIZES,
    NO_IMAGE,
    NO_MASK,
    SAME_STEM,
    UNREADABLE,
    DatasetValidator,
    PairError,
    find_dataset,
    find_unlabelled_images,
    pick_evenly,
    read_pair,
)
from mmnet.io.errors import MmnetError
from mmnet.io.masks import FLAT, GUESSED, PARTIAL
from mmnet.io.tar_shards import Shard


@pytest.fixture
def folder(tmp_path):
    """A dataset with the pairs a, b.c and d, with extensions in any case."""
    image = np.zeros((20, 10, 3), np.uint8)
    image[5:15] = 255
    for kind in ("image", "mask"):
        (tmp_path / "test" / kind).mkdir(parents=True)
    for image_name, mask_name in (("a.jpg", "a.png"), ("b.c.JPEG", "b.c.PNG"), ("d.Png", "d.jpg")):
        cv2.imwrite(str(tmp_path / "test" / "image" / image_name), image)
        cv2.imwrite(str(tmp_path / "test" / "mask" / mask_name), image[..., 0])
    (tmp_path / "test" / "image" / ".DS_Store").write_text("")
    return tmp_path


def validate(folder):
    """Return the dataset of a folder. Read every pair and raise its problems."""
    dataset = find_dataset(str(folder), "test")
    validator = DatasetValidator(dataset)
    for pair in dataset.pairs:
        validator.read(pair)
    validator.finish()
    return dataset


def test_find_dataset_matches_pairs_by_stem(folder):
    dataset = validate(folder)
    assert [pair.stem for pair in dataset.pairs] == ["a", "b.c", "d"]
    assert (len(dataset), dataset.split, dataset.problems) == (3, "test", {})
    assert (dataset.path, dataset.name) == (str(folder), folder.name)
    image, alpha = read_pair(dataset.pairs[1])
    assert image.shape == (20, 10, 3) and image.dtype == np.uint8
    assert alpha.shape == (20, 10) and alpha.dtype == np.float32 and alpha.max() == 1


def test_find_dataset_matches_stems_in_two_normal_forms(folder):
    composed, decomposed = "\xe9", "e\u0301"
    image, mask = folder / "test" / "image", folder / "test" / "mask"
    stems = [(composed, decomposed), (f"x{decomposed}", f"x{composed}"), (f"y{composed}",) * 2]
    for image_stem, mask_stem in stems:
        shutil.copy(str(image / "a.jpg"), str(image / (image_stem + ".jpg")))
        shutil.copy(str(mask / "a.png"), str(mask / (mask_stem + ".png")))
    stems = [pair.stem for pair in validate(folder).pairs]
    assert stems == ["a", "b.c", "d", f"x{decomposed}", f"y{composed}", composed]


@pytest.mark.parametrize("extension", [".jfif", ".jpe", ".JPE", ".tif", ".TIFF", ".bmp"])
def test_datasets_contain_images_of_other_formats(folder, extension):
    image, mask = (folder / "test" / kind for kind in ("image", "mask"))
    file_format = {"j": "JPEG", "t": "TIFF", "b": "BMP"}[extension[1].lower()]
    photo = np.full((20, 10, 3), (200, 100, 50), np.uint8)
    Image.fromarray(photo).save(str(image / ("e" + extension)), file_format)
    Image.fromarray(photo[..., 0] * 0 + 1).save(str(mask / ("e" + extension)), file_format)
    read_image, alpha = read_pair(validate(folder).pairs[-1])
    assert np.abs(read_image.astype(int) - photo).max() <= 3 and (alpha == 1).all()


def test_read_pair_converts_colours_to_srgb(folder):
    pair = find_dataset(str(folder), "test").pairs[2]
    profile, colours = make_profile(*ADOBE), np.full((20, 10, 3), (60, 160, 90), np.uint8)
    Image.fromarray(colours).save(pair.image, "PNG", icc_profile=profile)
    mask = Image.fromarray(np.resize(np.uint8([0, 60, 120, 255]), (20, 10)))
    mask.save(pair.mask, "PNG", icc_profile=profile)
    image, alpha = read_pair(pair)
    expected = reference_srgb(Image.fromarray(colours), profile)
    assert np.abs(image.astype(int) - expected).max() <= 2 < np.abs(expected - colours).max()
    np.testing.assert_allclose(255 * alpha, np.array(mask), atol=1e-3)  # a mask has no colours


def test_read_pair_ignores_bytes_after_an_image(folder):
    pairs = find_dataset(str(folder), "test").pairs
    expected = read_pair(pairs[0])
    for path in pairs[0].files:
        with open(path, "ab") as file:
            file.write(b"\xff\xda" * 100 + b"ftypmp42" + b"\xff\xd9" + bytes(200))
    for array, expected_array in zip(read_pair(pairs[0]), expected):
        np.testing.assert_array_equal(array, expected_array)


def test_find_dataset_opens_no_file(folder):
    for kind in ("image", "mask"):
        for name in os.listdir(str(folder / "test" / kind)):
            (folder / "test" / kind / name).write_text("no image")
    dataset = find_dataset(str(folder), "test")
    assert len(dataset) == 3 and dataset.problems == {}


def test_find_unlabelled_images_reads_zero_masks(folder):
    dataset = find_unlabelled_images(str(folder / "test" / "image"))
    assert [pair.mask for pair in dataset.pairs] == [None] * 3 and dataset.split == ""
    assert not read_pair(dataset.pairs[0])[1].any()
    with assert_raises(MmnetError, folder):
        find_unlabelled_images(str(folder))


def test_name_is_the_folder_for_every_form_of_its_path(folder, monkeypatch):
    monkeypatch.chdir(str(folder))
    for path in (".", str(folder) + os.sep, os.path.join(str(folder), "test", "..")):
        assert find_dataset(path, "test").name == folder.name


def test_shards_contain_every_pair_once(folder):
    dataset = find_dataset(str(folder), "test")
    shards = [dataset.select_shard(Shard(index, 2)) for index in range(2)]
    assert sorted(shards[0].pairs + shards[1].pairs) == dataset.pairs
    assert shards[0].name == f"{folder.name}-{Shard(0, 2)}"


def test_fingerprint_changes_with_names_and_sizes_only(folder, tmp_path):
    fingerprint = find_dataset(str(folder), "test").fingerprint
    copy = tmp_path / "copy"
    shutil.copytree(str(folder / "test"), str(copy / "test"))
    assert find_dataset(str(copy), "test").fingerprint == fingerprint
    with open(str(folder / "test" / "mask" / "a.png"), "ab") as file:
        file.write(b"\0")
    longer = find_dataset(str(folder), "test").fingerprint
    os.rename(str(copy / "test" / "image" / "a.jpg"), str(copy / "test" / "image" / "a.jpeg"))
    renamed = find_dataset(str(copy), "test").fingerprint
    assert len({fingerprint, longer, renamed}) == 3


def test_validator_reports_all_problems_together(folder):
    image, mask = folder / "test" / "image", folder / "test" / "mask"
    for name in ("m1", "m2", "m3", "m4"):
        shutil.copy(str(image / "a.jpg"), str(image / (name + ".jpg")))
    shutil.copy(str(mask / "a.png"), str(mask / "stray.png"))
    shutil.copy(str(image / "a.jpg"), str(image / "a.jpeg"))
    (image / "d.Png").write_text("text")
    cv2.imwrite(str(mask / "b.c.PNG"), np.eye(30, 20, dtype=np.uint8))
    with assert_raises(
        MmnetError,
        os.path.join(str(folder), "test"),
        f"4 {NO_MASK} (m1.jpg, m2.jpg, m3.jpg, ...)",
        f"1 {NO_IMAGE} (stray.png)",
        f"1 {UNREADABLE} (",
        "d.Png",
        f"1 {DIFFERENT_SIZES} (b.c.JPEG 20x10 with mask 30x20)",
        f"1 {SAME_STEM} (a.jpg beside a.jpeg)",
    ) as caught:
        validate(folder)
    assert "\n" not in str(caught.value)


def test_validator_warns_of_suspicious_masks(folder, caplog):
    for name, values in (("a.png", (0, 100, 120)), ("b.c.PNG", (0, 2)), ("d.jpg", (0,))):
        mask = np.resize(np.uint8(values), (20, 10))
        cv2.imwrite(str(folder / "test" / "mask" / name), mask)
    (folder / "test" / "image" / "notes.txt").write_text("")
    assert len(validate(folder)) == 3
    messages = "\n".join(caplog.messages)
    assert_message(messages, "skipped", "notes.txt")
    for problem, name in ((PARTIAL, "a.png"), (GUESSED, "b.c.PNG"), (FLAT, "d.jpg")):
        assert_message(messages, f"1 {problem} ({name})")


def test_read_pair_names_the_kind_of_problem(folder):
    pairs = find_dataset(str(folder), "test").pairs
    cv2.imwrite(pairs[0].mask, np.eye(30, 20, dtype=np.uint8))
    with assert_raises(PairError, "a.jpg 20x10 with mask 30x20") as caught:
        read_pair(pairs[0])
    assert caught.value.problem == DIFFERENT_SIZES
    os.unlink(pairs[1].image)
    with assert_raises(PairError, "b.c.JPEG") as caught:
        read_pair(pairs[1])
    assert caught.value.problem == UNREADABLE and isinstance(caught.value, ValueError)


def test_find_dataset_reports_missing_and_empty_folders(folder):
    with assert_raises(FileNotFoundError, folder / "nowhere"):
        find_dataset(str(folder / "nowhere"), "test")
    with assert_raises(FileNotFoundError, folder, "'train'", "splits: test"):
        find_dataset(str(folder), "train")
    shutil.rmtree(str(folder / "test" / "mask"))
    with assert_raises(FileNotFoundError, folder / "test" / "mask"):
        find_dataset(str(folder), "test")
    shutil.rmtree(str(folder / "test" / "image"))
    for kind in ("image", "mask"):
        (folder / "test" / kind).mkdir()
    with assert_raises(MmnetError, folder / "test", "empty"):
        find_dataset(str(folder), "test")


def test_real_portraits_are_valid(test_data):
    assert len(validate(os.path.join(test_data, "soft"))) == 20


@pytest.mark.parametrize(
    "items, number, expected", [("abcdefghi", 3, "aei"), ("abc", 100, "abc"), ("abc", 1, "a")]
)
def test_pick_evenly(items, number, expected):
    assert pick_evenly(items, number) == list(expected)
