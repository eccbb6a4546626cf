"""Tests of mmnet.datatools.layouts: every layout is found, converted and trained on."""

import base64
import json
import os
import zlib

import numpy as np
import pytest

from helpers import SMALL_FLAGS, assert_message, assert_raises
from helpers.layouts import draw_pair, write_dapm, write_file, write_pair
from mmnet.cli import main
from mmnet.datasets.pairs import SAME_STEM, find_dataset
from mmnet.datatools.layouts import LAYOUTS, LayoutOptions, find_items
from mmnet.io.errors import MmnetError
from mmnet.io.images import encode_jpeg, encode_png, read_image
from mmnet.io.masks import load_mask


def write_aisegment(root):
    """Write three pairs, a truncated image and a metadata file of macOS."""
    place = "{}/1803151818/{}_{:08d}/1803151818-{:08d}.{}"
    for number in range(3):
        image, mask = draw_pair(number)
        cutout = encode_png(np.dstack([image, mask]))
        image_name = place.format("clip_img", "clip", number % 2, number, "jpg")
        write_file(root, image_name, encode_jpeg(image))
        write_file(root, place.format("matting", "matting", number % 2, number, "png"), cutout)
    write_file(root, "clip_img/1803151818/clip_00000000/._1803151818-00000000.jpg", "metadata")
    write_file(root, place.format("clip_img", "clip", 0, 9, "jpg"), encode_jpeg(image)[:300])
    write_file(root, place.format("matting", "matting", 0, 9, "png"), cutout)
    return {"train": 3}


def write_p3m10k(root):
    images = ("train/blurred", "validation/P3M-500-P/blurred", "validation/P3M-500-NP/original")
    for number, name in enumerate(images):
        folder = os.path.dirname(name)
        write_pair(root, f"{name}_image/p_{number}.jpg", f"{folder}/mask/p_{number}.png", number)
        write_file(root, f"{folder}/trimap/p_{number}.png", b"")
    return {"train": 1, "P3M-500-P": 1, "P3M-500-NP": 1}


def write_ppm100(root):
    for number in range(2):
        write_pair(root, f"image/{number}_o.jpg", f"matte/{number}_o.jpg", number)
    return {"test": 2}


def write_eg1800(root):
    for number in range(3):
        image, mask = draw_pair(number)
        write_file(root, f"Images/{number:05d}.jpg", encode_jpeg(image))
        write_file(root, f"Labels/{number:05d}.png", encode_png((mask > 127).astype(np.uint8)))
    write_file(root, "eg1800_train.txt", "00000.jpg\n00002.jpg\n")
    write_file(root, "eg1800_test.txt", "00001.jpg\n")
    return {"train": 2, "test": 1}


def bitmap_object(mask, top, left):
    """Return a Supervisely object for the part of a mask below ``top`` and right of ``left``."""
    inside = (mask[top:, left:] > 127).astype(np.uint8) * 255
    data = base64.b64encode(zlib.compress(encode_png(np.dstack([inside] * 4)))).decode()
    return {"classTitle": "person_bmp", "bitmap": {"origin": [left, top], "data": data}}


def write_supervisely(root):
    """Write a bitmap of a person, and a polygon with a hole. A third object is no person."""
    polygon = {
        "classTitle": "person_poly",
        "bitmap": None,
        "points": {
            "exterior": [[10, 20], [50, 20], [50, 79], [10, 79]],
            "interior": [[[20, 30], [40, 30], [40, 40], [20, 40]]],
        },
    }
    neutral = {"classTitle": "neutral", "points": {"exterior": [[0, 0], [5, 0], [5, 5]]}}
    for number in range(2):
        image, mask = draw_pair(number)
        person = bitmap_object(mask, 10, 4) if number == 0 else polygon
        annotation = {"size": {"height": 80, "width": 60}, "objects": [person, neutral]}
        write_file(root, f"ds{number}/img/photo.jpg", encode_jpeg(image))
        write_file(root, f"ds{number}/ann/photo.jpg.json", json.dumps(annotation))
    write_file(root, "meta.json", "{}")
    return {"train": 2}


def write_rgba(root):
    for number in range(2):
        write_file(root, f"{number}.png", encode_png(np.dstack(draw_pair(number))))
        background = encode_jpeg(draw_pair(7 + number)[0][::2])
        write_file(root + "-backgrounds", f"{number}.jpg", background)
    return {"train": 2}


def write_pairs(root):
    for number in range(2):
        write_pair(root, f"left/{number}.jpg", f"right/{number}.png", number)
    rows = "left/0.jpg,right/0.png,train\nleft/1.jpg,right/1.png,x\n"
    write_file(root, "list.csv", "image,mask,split\n" + rows)
    return {"train": 2}


WRITERS = {  # layout -> (writer, flags)
    "dapm": (write_dapm, []),
    "aisegment": (write_aisegment, []),
    "p3m10k": (write_p3m10k, []),
    "ppm100": (write_ppm100, ["--split_ratio", "0.5"]),  # a train split for the training test
    "eg1800": (write_eg1800, []),
    "supervisely": (write_supervisely, []),
    "rgba": (write_rgba, ["--backgrounds_path", "SOURCE-backgrounds"]),
    "pairs": (write_pairs, ["--images", "left", "--masks", "right"]),
}


def convert(layout, source, target, *flags):
    return main(["data", "convert", "--from", layout, str(source), str(target), *flags])


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """layout -> (target, split -> number of pairs)."""
    targets = {}
    for layout, (write, flags) in WRITERS.items():
        folder = tmp_path_factory.mktemp(layout)
        source, target = str(folder / "source folder"), str(folder / "target")
        counts = write(source)
        if layout == "ppm100":
            counts = {"train": 1, "test": 1}
        exit_code = convert(layout, source, target, *(f.replace("SOURCE", source) for f in flags))
        assert exit_code == (1 if layout == "aisegment" else 0)
        targets[layout] = target, counts
    return targets


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_is_converted(converted, layout):
    target, counts = converted[layout]
    datasets = {split: find_dataset(target, split) for split in counts}
    assert {split: len(dataset) for split, dataset in datasets.items()} == counts
    assert not any(dataset.problems for dataset in datasets.values())
    with open(os.path.join(target, "manifest.jsonl")) as file:
        header, *lines = map(json.loads, file)
    assert header["layout"] == layout and header["licence"] and len(lines) == sum(counts.values())

    image, mask = draw_pair(0)
    pairs = [pair for dataset in datasets.values() for pair in dataset.pairs]
    pair = next(pair for pair in pairs if pair.stem.endswith("0") or pair.stem in ("0_o", "photo"))
    expected = mask / 255
    if layout == "eg1800":
        expected = mask > 127
    if layout == "supervisely":
        expected = (mask > 127) & (np.arange(80)[:, None] >= 10) & (np.arange(60) >= 4)
    tolerance = 0.06 if layout == "ppm100" else 0.002  # its mattes are JPEG files
    assert np.abs(load_mask(pair.mask) - expected).max() <= tolerance
    if layout != "rgba":
        assert np.abs(read_image(pair.image).astype(int) - image).mean() < 3


def test_rgba_places_cutout_before_background(converted):
    image, mask = draw_pair(0)
    path = os.path.join(converted["rgba"][0], "train", "image", "0.jpg")
    composed = read_image(path).astype(int)
    assert np.abs(composed - image)[mask == 255].mean() < 5
    assert np.abs(composed - image)[mask == 0].mean() > 20


def test_train_uses_all_layouts_and_warns_of_leaks(converted, tmp_path, caplog):
    command = ["train", "--train_dir", str(tmp_path), "--batch_size", "4", "--cache", "none"]
    command += ["--max_step_from_restore", "3", "--dataset_path"]
    command += [target for target, _ in converted.values()]
    assert main(command + SMALL_FLAGS) == 0
    assert_message(caplog.text, "target/test", "(00001)")  # eg1800 and dapm share this photo


def test_aisegment_reports_unusable_files(tmp_path, capfd, caplog):
    write_aisegment(str(tmp_path / "source"))
    assert convert("aisegment", tmp_path / "source", tmp_path / "target") == 1
    assert_message(caplog.text, "1 unreadable files", "-00000009.jpg")
    assert_message(caplog.text, "1 files that are no images", "._1803151818-00000000.jpg")
    assert_message(capfd.readouterr().out, "3 in train", LAYOUTS["aisegment"].licence)


def test_supervisely_polygons_have_holes(converted):
    pairs = find_dataset(converted["supervisely"][0], "train").pairs
    assert [pair.stem for pair in pairs] == ["ds1_photo", "photo"]  # two datasets, one file name
    mask = load_mask(pairs[0].mask)
    assert mask[50, 30] == 1 and mask[35, 30] == 0 and mask[10, 30] == 0 and mask[2, 2] == 0


def test_supervisely_reports_invalid_annotations(tmp_path):
    write_file(tmp_path, "ds/img/a.jpg", encode_jpeg(draw_pair(0)[0]))
    write_file(tmp_path, "ds/ann/a.jpg.json", json.dumps({"objects": [{"bitmap": {"data": "?"}}]}))
    (item,), _ = find_items("supervisely", str(tmp_path))
    with assert_raises(MmnetError, "a.jpg.json"):
        item.read_mask((80, 60))


def test_eg1800_reads_lists_of_splits(tmp_path):
    write_eg1800(tmp_path)
    items, problems = find_items("eg1800", str(tmp_path))
    assert [item.split for item in items] == ["train", "test", "train"] and problems == {}
    os.unlink(str(tmp_path / "eg1800_train.txt"))
    items, _ = find_items("eg1800", str(tmp_path), LayoutOptions(images="Images"))
    assert [item.split for item in items] == [None, "test", None]


@pytest.mark.parametrize(
    "encode",
    [
        pytest.param(lambda text: b"\xef\xbb\xbf" + text.encode(), id="byte order mark"),
        pytest.param(lambda text: text.replace(",", ";").encode("utf-8-sig"), id="semicolons"),
        pytest.param(lambda text: text.replace(",", "\t").encode("utf-16"), id="utf-16"),
        pytest.param(lambda text: text.replace("\r\n", "\n").encode(), id="unix"),
    ],
)
@pytest.mark.parametrize("stem", ["anna", "a\u2028b\x85c"], ids=ascii)
def test_pairs_reads_csv_of_other_programs(tmp_path, encode, stem):
    write_pair(str(tmp_path), f"{stem}.jpg", f"{stem}.png", 0)
    write_file(tmp_path, "list.csv", encode(f"image,mask\r\n{stem}.jpg,{stem}.png\r\n"))
    ((item,), _) = find_items("pairs", str(tmp_path / "list.csv"))
    assert (item.stem, item.read_mask((80, 60)).shape) == (stem, (80, 60))


def test_pairs_reads_csv_with_names_that_are_no_text(tmp_path):
    name = os.fsdecode(b"\xff")
    write_pair(str(tmp_path), f"{name}.jpg", f"{name}.png", 0)
    write_file(tmp_path, "list.csv", b"image,mask\n\xff.jpg,\xff.png\n")
    assert find_items("pairs", str(tmp_path / "list.csv"))[0][0].stem == name


@pytest.mark.parametrize("layout", ["dapm", "aisegment", "eg1800", "csv"])
def test_layouts_match_names_in_two_normal_forms(tmp_path, layout):
    composed, decomposed = "\xe9t\xe9", "e\u0301te\u0301"
    image, mask, text = {
        "dapm": ("train/image/{}.jpg", "train/mask/{}.png", ""),
        "aisegment": ("clip_img/a/clip_0/{}.jpg", "matting/a/matting_0/{}.png", ""),
        "eg1800": ("Images/{}.jpg", "Labels/{}.png", "{}.jpg\n"),
        "csv": ("{}.jpg", "{}.png", "image,mask\n{}.jpg,{}.png\n"),
    }[layout]
    write_pair(str(tmp_path), image.format(decomposed), mask.format(composed), 0)
    write_file(tmp_path, "train.txt", text.format(composed, decomposed))
    layout, source = ("pairs", "train.txt") if layout == "csv" else (layout, ".")
    (item,), problems = find_items(layout, str(tmp_path / source))
    assert item.stem == decomposed and problems == {}
    assert os.path.isfile(item.image) and os.path.isfile(item.mask)
    assert item.split == {"dapm": "train", "eg1800": "train"}.get(layout)


def test_convert_names_files_with_one_stem(tmp_path, caplog):
    write_pair(str(tmp_path / "a"), "image/0.jpg", "mask/0.png", 0)
    write_pair(str(tmp_path / "a"), "image/0.png", "mask/0.jpg", 1)
    assert convert("pairs", tmp_path / "a", tmp_path / "b") == 1
    assert_message(caplog.text, f"2 {SAME_STEM} (0.png beside 0.jpg")
    assert len(find_dataset(str(tmp_path / "b"), "train")) == 1


def test_pairs_reads_csv_with_splits(tmp_path):
    write_pairs(str(tmp_path / "a"))
    target = tmp_path / "b"
    assert convert("pairs", tmp_path / "a" / "list.csv", target) == 0
    assert len(find_dataset(str(target), "x")) == len(find_dataset(str(target), "train")) == 1


@pytest.mark.parametrize(
    "text, tokens",
    [
        pytest.param("image,mask,split\na.jpg,a.png,../x\n", ["line 2", "../x"], id="split"),
        pytest.param("photo,alpha\na,b\n", ["image,mask"], id="other columns"),
        pytest.param("image,mask\ra.jpg,b.png\r", ["CSV"], id="carriage returns"),
    ],
)
def test_pairs_reports_invalid_csv(tmp_path, text, tokens):
    write_pairs(str(tmp_path))
    (tmp_path / "list.csv").write_text(text)
    with assert_raises(MmnetError, tmp_path / "list.csv", *tokens):
        find_items("pairs", str(tmp_path / "list.csv"))


SPLITS = ["../x", "../../x", "/x", "..", ".", "a/b", "./x", ".lock", "x\0", "n" * 300]


@pytest.mark.parametrize("split", SPLITS, ids=lambda split: ascii(split[:20]))
def test_csv_split_is_the_name_of_one_folder(tmp_path, caplog, split):
    write_pairs(str(tmp_path / "a" / "b"))
    rows = f"left/0.jpg,right/0.png,{split}\nleft/1.jpg,right/1.png,\n"
    write_file(tmp_path, "a/b/list.csv", "image,mask,split\n" + rows)
    target = tmp_path / "a" / "t"
    assert convert("pairs", tmp_path / "a" / "b" / "list.csv", target) == 1
    assert_message(caplog.text, "list.csv line ")
    assert [pair.stem for pair in find_dataset(str(target), "train").pairs] == ["1"]
    assert sorted(os.listdir(str(target))) == [".lock", "manifest.jsonl", "train"]
    assert os.listdir(str(tmp_path)) == ["a"] and len(os.listdir(str(tmp_path / "a"))) == 2


def test_csv_reports_unusable_files_and_long_fields(tmp_path, caplog):
    write_pairs(str(tmp_path))
    os.symlink("loop.jpg", str(tmp_path / "loop.jpg"))
    (tmp_path / "folder.jpg").mkdir()
    bad = ["none.jpg", "loop.jpg", "folder.jpg", "NUL\0.jpg", "x" * 200000 + ".jpg", ""]
    rows = [f"{name},right/1.png" for name in bad] + ["left/0.jpg,none.png", "left/1.jpg"]
    rows += ["left/0.jpg,right/0.png"]
    write_file(tmp_path, "list.csv", "image,mask\n" + "\n".join(rows) + "\n")
    assert convert("pairs", tmp_path / "list.csv", tmp_path / "t") == 1
    assert_message(caplog.text, "none.jpg", "loop.jpg", "folder.jpg", "NUL", "x.jpg", "none.png")
    assert max(map(len, caplog.messages)) < 4000
    assert len(find_dataset(str(tmp_path / "t"), "train")) == 1


@pytest.mark.parametrize("layout", ["pairs", "rgba"])
def test_convert_names_images_of_other_formats(tmp_path, caplog, layout):
    writer, flags = WRITERS[layout]
    source = str(tmp_path / "a")
    writer(source)
    folder = "left/" if layout == "pairs" else ""
    for name in ("a.gif", "b.heic", "notes.txt"):
        write_file(source, folder + name, "x")
    flags = [flag.replace("SOURCE", source) for flag in flags]
    assert convert(layout, source, tmp_path / "t", *flags) == 1
    assert_message(caplog.text, "a.gif", "b.heic")
    assert len(find_dataset(str(tmp_path / "t"), "train")) == 2


@pytest.mark.parametrize("layout", sorted(set(LAYOUTS) - {"dapm", "rgba"}))
def test_find_items_reports_another_layout(tmp_path, layout):
    write_dapm(str(tmp_path))
    with assert_raises(MmnetError, tmp_path, layout, LAYOUTS[layout].expected, "test, train"):
        find_items(layout, str(tmp_path))


def test_find_items_reports_missing_folders(tmp_path):
    with assert_raises(MmnetError, "backgrounds_path"):
        find_items("rgba", str(tmp_path))
    with assert_raises(FileNotFoundError, tmp_path / "none"):
        find_items("pairs", str(tmp_path / "none"))
    with assert_raises(FileNotFoundError, tmp_path / "photos2"):
        find_items("pairs", str(tmp_path), LayoutOptions(images="photos2"))
