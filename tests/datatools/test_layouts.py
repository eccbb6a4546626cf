"""Public datasets in their true forms, small: each is found, converted, and trained on."""

import base64
import json
import os
import zlib

import cv2
import numpy as np
import pytest

from helpers import SMALL_FLAGS
from helpers.layouts import dapm, portrait, put
from mmnet.cli import main
from mmnet.datasets.pairs import find_dataset
from mmnet.io.images import encode_jpeg, encode_png, load_mask, read_image

SHAPE = (80, 60)


def aisegment(root):
    for number in range(3):
        image, mask = portrait(number)
        place = "%s/1803151818/%s_%08d/1803151818-%08d.%s"
        put(root, place % ("clip_img", "clip", number % 2, number, "jpg"), encode_jpeg(image))
        cutout = encode_png(np.dstack([image, mask]))
        put(root, place % ("matting", "matting", number % 2, number, "png"), cutout)
    put(root, "clip_img/1803151818/clip_00000000/._1803151818-00000000.jpg", "left by a Mac")
    put(root, place % ("clip_img", "clip", 0, 9, "jpg"), encode_jpeg(image)[:300])
    put(root, place % ("matting", "matting", 0, 9, "png"), cutout)
    return {"train": 3}


def p3m10k(root):
    places = (("train", "blurred_image"), ("validation/P3M-500-P", "blurred_image"))
    for number, (folder, images) in enumerate(
        places + (("validation/P3M-500-NP", "original_image"),)
    ):
        image, mask = portrait(number)
        put(root, "%s/%s/p_%d.jpg" % (folder, images, number), encode_jpeg(image))
        put(root, "%s/mask/p_%d.png" % (folder, number), encode_png(mask))
        if folder != "train":
            put(root, "%s/trimap/p_%d.png" % (folder, number), encode_png(mask))
    return {"train": 1, "P3M-500-P": 1, "P3M-500-NP": 1}


def ppm100(root):
    for number in range(2):
        image, mask = portrait(number)
        put(root, "image/%d_o.jpg" % number, encode_jpeg(image))
        put(root, "matte/%d_o.jpg" % number, encode_jpeg(mask))
    return {"test": 2}


def eg1800(root):
    for number in range(3):
        image, mask = portrait(number)
        put(root, "Images/%05d.jpg" % number, encode_jpeg(image))
        put(root, "Labels/%05d.png" % number, encode_png((mask > 127).astype(np.uint8)))
    put(root, "eg1800_train.txt", "00000.jpg\n00002.jpg\n")
    put(root, "eg1800_test.txt", "00001.jpg\n")
    return {"train": 2, "test": 1}


def supervisely(root):
    """The first person is a bitmap, the second a polygon with a hole; a third object is none."""
    for number in range(2):
        image, mask = portrait(number)
        top, left = 10, 4
        inside = (mask[top:, left:] > 127).astype(np.uint8) * 255
        bitmap = encode_png(np.dstack([inside] * 3 + [inside]))
        if number == 0:
            person = {
                "classTitle": "person_bmp",
                "bitmap": {
                    "origin": [left, top],
                    "data": base64.b64encode(zlib.compress(bitmap)).decode(),
                },
            }
        else:
            person = {
                "classTitle": "person_poly",
                "bitmap": None,
                "points": {
                    "exterior": [[10, 20], [50, 20], [50, 79], [10, 79]],
                    "interior": [[[20, 30], [40, 30], [40, 40], [20, 40]]],
                },
            }
        neutral = {"classTitle": "neutral", "points": {"exterior": [[0, 0], [5, 0], [5, 5]]}}
        annotation = {"size": {"height": 80, "width": 60}, "objects": [person, neutral]}
        put(root, "ds%d/img/photo.jpg" % number, encode_jpeg(image))
        put(root, "ds%d/ann/photo.jpg.json" % number, json.dumps(annotation))
    put(root, "meta.json", "{}")
    return {"train": 2}


def labels(root):
    for number in range(2):
        image, mask = portrait(number)
        parts = np.where(mask > 127, 3, 0).astype(np.uint8)
        parts[:20] = np.where(parts[:20] > 0, 7, 0)
        put(root, "photos/%d.jpg" % number, encode_jpeg(image))
        put(root, "annotations/%d.png" % number, encode_png(parts))
    return {"train": 2}


def rgba(root):
    for number in range(2):
        image, mask = portrait(number)
        put(root, "%d.png" % number, encode_png(np.dstack([image, mask])))
        put(root + "-backgrounds", "%d.jpg" % number, encode_jpeg(portrait(7 + number)[0][::2]))
    return {"train": 2}


def pairs(root):
    for number in range(2):
        image, mask = portrait(number)
        put(root, "left/%d.jpg" % number, encode_jpeg(image))
        put(root, "right/%d.png" % number, encode_png(mask))
    put(
        root,
        "list.csv",
        "image,mask,split\nleft/0.jpg,right/0.png,train\nleft/1.jpg,right/1.png,x\n",
    )
    return {"train": 2}


FORMS = {
    "dapm": (dapm, []),
    "aisegment": (aisegment, []),
    "p3m10k": (p3m10k, []),
    "ppm100": (ppm100, []),
    "eg1800": (eg1800, []),
    "supervisely": (supervisely, []),
    "labels": (labels, []),
    "rgba": (rgba, ["--backgrounds_path", "%s-backgrounds"]),
    "pairs": (pairs, ["--images", "left", "--masks", "right"]),
}


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """layout -> (target, pairs by split); ppm100 is split anew, so that it has one to train on."""
    targets = {}
    for layout, (make, flags) in sorted(FORMS.items()):
        folder = tmp_path_factory.mktemp(layout)
        source, target = str(folder / "as it comes"), str(folder / "ours")
        counts = make(source)
        flags = [flag.replace("%s", source) for flag in flags]
        if layout == "ppm100":
            flags, counts = ["--split_ratio", "0.5"], {"train": 1, "test": 1}
        code = main(["data", "convert", "--from", layout, source, target] + flags)
        assert code == (1 if layout == "aisegment" else 0)
        targets[layout] = target, counts
    return targets


@pytest.mark.parametrize("layout", sorted(FORMS))
def test_every_layout_is_converted(converted, layout):
    target, counts = converted[layout]
    found = {split: find_dataset(target, split) for split in counts}
    assert {split: len(data_set) for split, data_set in found.items()} == counts
    assert not any(data_set.problems for data_set in found.values())
    with open(os.path.join(target, "manifest.jsonl")) as file:
        header, *lines = map(json.loads, file)
    assert header["layout"] == layout and header["licence"] and len(lines) == sum(counts.values())
    image, mask = portrait(0)
    pair = next(
        pair
        for data_set in found.values()
        for pair in data_set.pairs
        if pair.stem.endswith("0") or pair.stem in ("0_o", "photo")
    )
    truth = mask / 255
    if layout in ("eg1800", "labels"):
        truth = mask > 127
    if layout == "supervisely":
        truth = (mask > 127) & (np.arange(80)[:, None] >= 10) & (np.arange(60) >= 4)
    limit = 0.06 if layout == "ppm100" else 0.002  # a matte in JPEG
    assert np.abs(load_mask(pair.mask) - truth).max() <= limit
    if layout != "rgba":
        assert np.abs(read_image(pair.image).astype(int) - image).mean() < 3


def test_a_cut_out_lies_before_a_background(converted):
    target, _ = converted["rgba"]
    image, mask = portrait(0)
    composed = read_image(os.path.join(target, "train", "image", "0.jpg")).astype(int)
    assert np.abs(composed - image)[mask == 255].mean() < 5
    assert np.abs(composed - image)[mask == 0].mean() > 20


def test_all_of_them_are_trained_on_together(converted, tmp_path):
    command = ["train", "--train_dir", str(tmp_path), "--batch_size", "4", "--cache", "none"]
    command += ["--max_step_from_restore", "3", "--dataset_path"]
    command += [target for target, _ in converted.values()]
    assert main(command + SMALL_FLAGS) == 0


def test_what_cannot_be_used_is_said_and_left_out(tmp_path, capfd, caplog):
    source = str(tmp_path / "as it comes")
    aisegment(source)
    target = str(tmp_path / "ours")
    assert main(["data", "convert", "--from", "aisegment", source, target]) == 1
    assert "skipped: 1 unreadable files" in caplog.text and "-00000009.jpg" in caplog.text
    assert "skipped: 1 files that are no pictures (._1803151818-00000000.jpg)" in caplog.text
    said = capfd.readouterr().out
    assert "pairs: 3 in train" in said and "released for research" in said


def test_supervisely_polygons_have_holes(tmp_path):
    source, target = str(tmp_path / "a"), str(tmp_path / "b")
    supervisely(source)
    assert main(["data", "convert", "--from", "supervisely", source, target]) == 0
    stems = [pair.stem for pair in find_dataset(target, "train").pairs]
    assert stems == ["ds1_photo", "photo"]  # the same name in two of its datasets
    mask = load_mask(os.path.join(target, "train", "mask", "ds1_photo.png"))
    assert mask[50, 30] == 1 and mask[35, 30] == 0 and mask[10, 30] == 0 and mask[2, 2] == 0


def test_labels_by_number_and_from_a_palette_and_mat(tmp_path):
    source = str(tmp_path / "a")
    labels(source)
    target = str(tmp_path / "b")
    command = ["data", "convert", "--from", "labels", source]
    assert main(command + [target, "--ids", "7"]) == 0
    mask = load_mask(os.path.join(target, "train", "mask", "0.png"))
    assert mask[:20].any() and not mask[20:].any()

    image_module = pytest.importorskip("PIL.Image")
    parts = cv2.imread(os.path.join(source, "annotations", "0.png"), cv2.IMREAD_UNCHANGED)
    picture = image_module.fromarray(parts, "P")
    picture.putpalette([0, 0, 0] * 4 + [255, 0, 0] * 252)  # the colours tell 3 from 0 no more
    picture.save(os.path.join(source, "annotations", "0.png"))
    scipy_io = pytest.importorskip("scipy.io")
    os.unlink(os.path.join(source, "annotations", "1.png"))
    scipy_io.savemat(os.path.join(source, "annotations", "1.mat"), {"groundtruth": parts})
    target = str(tmp_path / "c")
    assert main(command + [target]) == 0
    for stem in "01":
        mask = load_mask(os.path.join(target, "train", "mask", stem + ".png"))
        assert np.array_equal(mask, parts > 0)


def test_a_csv_with_splits(tmp_path, capfd):
    source = tmp_path / "a"
    pairs(str(source))
    target = str(tmp_path / "b")
    assert main(["data", "convert", "--from", "pairs", str(source / "list.csv"), target]) == 0
    assert len(find_dataset(target, "x")) == len(find_dataset(target, "train")) == 1
    (source / "list.csv").write_text("image,mask\nleft/0.jpg,right/5.png\nleft/6.jpg,right/1.png\n")
    capfd.readouterr()
    target = str(tmp_path / "c")
    assert main(["data", "convert", "--from", "pairs", str(source / "list.csv"), target]) == 2
    error = capfd.readouterr().err
    assert "names 2 files that are not there" in error and error.count("\n") == 1
    (source / "list.csv").write_text("photo,alpha\na,b\n")
    assert main(["data", "convert", "--from", "pairs", str(source / "list.csv"), target]) == 2
    assert "a first line such as image,mask" in capfd.readouterr().err


def test_another_layout_is_said(tmp_path, capfd):
    dapm(str(tmp_path / "a"))
    for layout in sorted(set(FORMS) - {"dapm", "rgba"}):
        command = ["data", "convert", "--from", layout, str(tmp_path / "a"), str(tmp_path / "b")]
        assert main(command) == 2
        error = capfd.readouterr().err
        assert "is not %s: looked for" % layout in error and "found test/, train/" in error
        assert error.count("\n") == 1
    assert not (tmp_path / "b").exists()
