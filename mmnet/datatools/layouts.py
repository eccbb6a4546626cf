"""Layouts of public datasets: find their images and masks. No TensorFlow.

A layout is one row in LAYOUTS, and one function unless its folders are fixed. No image is opened.
"""

import csv
import os
import random
import sys
import unicodedata
from typing import Callable, List, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np

from mmnet.datasets.pairs import NO_MASK, Problems, index_by_stem, match_stems
from mmnet.datatools.supervisely import draw_annotation
from mmnet.io.errors import MmnetError, format_names, summarize_problems
from mmnet.io.extensions import HEIF_EXTENSIONS, IMAGE_EXTENSIONS
from mmnet.io.files import check_name, read_bytes, read_lines, resolve_name
from mmnet.io.images import decode_image, decode_pixels, list_images, read_image
from mmnet.io.masks import load_mask
from mmnet.io.resize import resize_to_cover

TRAIN, TEST = "train", "test"
IMAGE_FOLDERS = ("image", "images", "Images", "img", "photos", "JPEGImages", "clip_img")
MASK_FOLDERS = (
    *("mask", "masks", "Masks", "matte", "alpha", "Labels", "labels", "label", "annotations"),
    *("SegmentationClass", "pixel-level", "annotations/pixel-level"),
)
OTHER_FORMATS = "images of other formats"
BAD_LINES = "unusable lines"


class Item(NamedTuple):
    """An image of a dataset and the source of its mask."""

    split: Optional[str]  # None: the dataset has no splits
    stem: str
    image: str  # path
    mask: str  # path
    # (path, shape of the image) -> alpha float32 [H,W]. None: the file is a mask as it is.
    mask_reader: Optional[Callable[[str, Tuple[int, ...]], np.ndarray]] = None
    # path -> uint8 [H,W,3]. None: the file is an image as it is.
    image_reader: Optional[Callable[[str], np.ndarray]] = None

    def read_image(self) -> np.ndarray:
        """Return the image, uint8 [H,W,3]."""
        return self.image_reader(self.image) if self.image_reader else read_image(self.image)

    def read_mask(self, shape: Tuple[int, ...]) -> np.ndarray:
        """Return the alpha, float32 [h,w], for an image of ``shape``."""
        return self.mask_reader(self.mask, shape) if self.mask_reader else load_mask(self.mask)


class LayoutOptions(NamedTuple):
    """Values that some layouts need. The field names appear in manifests."""

    images: Optional[str] = None  # folder below the source; None looks for IMAGE_FOLDERS
    masks: Optional[str] = None  # folder below the source; None looks for MASK_FOLDERS
    backgrounds: Optional[str] = None  # folder of images for cutouts
    seed: int = 0  # random seed of the backgrounds


class Layout(NamedTuple):
    """A row of LAYOUTS."""

    expected: str  # files of the layout, for error messages
    licence: str  # note for the manifest
    # (source, LayoutOptions, problems) -> List[Item], empty for another layout
    find: Optional[Callable] = None
    folders: Sequence[Tuple[str, str, str]] = ()  # (split, images, masks), instead of ``find``


def find_items(
    layout: str, source: str, options: LayoutOptions = LayoutOptions()
) -> Tuple[List[Item], Problems]:
    """Find the images of a dataset: (items, problems of single files).

    Raises:
        FileNotFoundError: no such source.
        MmnetError: the source has another layout, or no usable pair.
    """
    if not os.path.exists(source):
        raise FileNotFoundError(f"no dataset {source}")
    problems: Problems = {}
    expected, _, find, folders = LAYOUTS[layout]
    items = find(source, options, problems) if find else []
    for split, images, masks in folders:
        paths = os.path.join(source, images), os.path.join(source, masks)
        items += match_folders(split, *paths, problems)
    if not items and problems:
        raise MmnetError(f"{source}: contains no usable pair: {summarize_problems(problems)}")
    if not items:
        names = sorted(os.listdir(source)) if os.path.isdir(source) else []
        visible = format_names([name for name in names if not name.startswith(".")])
        message = f"is not in the layout {layout}; expected {expected}; found "
        raise MmnetError(f"{source}: {message}{visible or 'no files'}")
    return items, problems


def match_folders(
    split: Optional[str],
    images: Optional[str],
    masks: Optional[str],
    problems: Problems,
    mask_extensions: Tuple[str, ...] = IMAGE_EXTENSIONS,
    mask_reader: Optional[Callable] = None,
) -> List[Item]:
    """Match the files of two folders by stem. A mask may be named after the file: ``a.jpg.png``.

    The result is empty if one of the folders does not exist.
    """
    if not images or not masks or not os.path.isdir(images) or not os.path.isdir(masks):
        return []
    report_other_images(images, IMAGE_EXTENSIONS, problems)
    stems = {name: stem_of(name) for name in list_images(images)}
    image_files = index_by_stem(images, stems, problems)
    stems = {name: stem_of(name) for name in list_images(masks, mask_extensions)}
    for name, stem in stems.items():
        if stem.lower().endswith(IMAGE_EXTENSIONS):
            stems[name] = stem_of(stem)
    mask_files = index_by_stem(masks, stems, problems)
    return [
        Item(split, stem, image_files[stem], mask_files[stem], mask_reader)
        for stem in match_stems(image_files, mask_files, problems)
    ]


def report_other_images(folder: str, extensions: Tuple[str, ...], problems: Problems) -> None:
    """Add the images of a folder that have none of the extensions to the problems."""
    others = list_images(folder, IMAGE_EXTENSIONS + HEIF_EXTENSIONS)
    others = [name for name in others if not name.lower().endswith(extensions)]
    if others:
        problems.setdefault(OTHER_FORMATS, []).extend(others)


def stem_of(path: str) -> str:
    """Return the file name of a path without its extension."""
    return os.path.splitext(os.path.basename(path))[0]


def find_dapm(source, options, problems):
    items = []
    for split in sorted(os.listdir(source)) if os.path.isdir(source) else ():
        images, masks = (os.path.join(source, split, kind) for kind in ("image", "mask"))
        items += match_folders(split, images, masks, problems)
    return items


def find_aisegment(source, options, problems):
    """Find clip_img/GROUP/clip_N/STEM.jpg. The masks are cutouts in parallel folders."""
    items, root = [], os.path.join(source, "clip_img")
    for folder, subfolders, names in os.walk(root):
        subfolders.sort()
        group, _, clip = os.path.relpath(folder, root).rpartition(os.sep)
        matting = os.path.join(source, "matting", group, clip.replace("clip_", "matting_"))
        for name in sorted(names):
            if name.startswith("._"):  # metadata of macOS archives
                problems.setdefault("files that are no images", []).append(name)
            if name.startswith(".") or not name.lower().endswith(IMAGE_EXTENSIONS):
                continue
            mask = resolve_name(matting, stem_of(name) + ".png")
            if os.path.isfile(mask):
                image = os.path.join(folder, name)
                items.append(Item(None, stem_of(name), image, mask, read_alpha_channel))
            else:
                problems.setdefault(NO_MASK, []).append(name)
    return items


def find_eg1800(source, options, problems):
    """Find two folders. The lists eg1800_train.txt and eg1800_test.txt, if any, give the splits."""
    items = find_pairs(source, options, problems)
    splits = {}
    for name in sorted(os.listdir(source)) if items else ():
        split = next((split for split in (TRAIN, TEST) if split in name), None)
        if split and name.endswith(".txt"):
            for line in read_lines(os.path.join(source, name)):
                splits[unicodedata.normalize("NFC", stem_of(line.strip()))] = split
    stems = [unicodedata.normalize("NFC", item.stem) for item in items]
    return [item._replace(split=splits.get(stem)) for item, stem in zip(items, stems)]


def find_supervisely(source, options, problems):
    """Find PROJECT/DATASET/{img,ann} of every dataset."""
    items = []
    for folder, subfolders, _ in os.walk(source):
        subfolders.sort()
        images, annotations = os.path.join(folder, "img"), os.path.join(folder, "ann")
        items += match_folders(None, images, annotations, problems, (".json",), draw_annotation)
        if {"img", "ann"} <= set(subfolders):
            subfolders[:] = []
    return items


def find_rgba(source, options, problems):
    """Find cutouts. Each is placed in front of a background chosen by its name and the seed."""
    backgrounds = list_images(options.backgrounds) if options.backgrounds else []
    if not backgrounds:
        raise MmnetError("the layout rgba needs a folder of background images", "backgrounds_path")

    def compose_cutout(path):
        generator = random.Random(f"{options.seed} {os.path.basename(path)}")
        background = read_image(os.path.join(options.backgrounds, generator.choice(backgrounds)))
        colours, alpha = read_cutout(path)
        background = resize_to_cover(background, alpha.shape)
        return cv2.blendLinear(colours, background, alpha, 1 - alpha)

    folder, extensions, names = os.path.join(source, options.images or ""), (".png", ".webp"), []
    if os.path.isdir(folder):
        names = list_images(folder, extensions)
        report_other_images(folder, extensions, problems)
    items = []
    for name in names:
        path = os.path.join(folder, name)
        items.append(Item(None, stem_of(name), path, path, read_alpha_channel, compose_cutout))
    return items


def find_pairs(source, options, problems):
    """Read a CSV file, or find two folders by the names in the options or by the usual names."""
    if os.path.isfile(source):
        return read_csv(os.path.abspath(source), problems)
    folders = []
    for name, usual_names in ((options.images, IMAGE_FOLDERS), (options.masks, MASK_FOLDERS)):
        paths = [os.path.join(source, folder) for folder in ([name] if name else usual_names)]
        folders.append(next(filter(os.path.isdir, paths), None))
        if name and not folders[-1]:
            raise FileNotFoundError(f"no folder {paths[0]}")
    return match_folders(None, *folders, problems)


def read_csv(path: str, problems: Problems) -> List[Item]:
    """Read a CSV with the columns image, mask and optionally split. Paths are relative to it.

    Lines that are no CSV, and splits that are not the name of a folder, become problems.

    Raises:
        MmnetError: a column is missing.
    """
    lines = read_lines(path)
    # Excel writes semicolons in some languages, and tabs in UTF-16.
    delimiter = next((mark for mark in ";\t" if mark in lines[0] and "," not in lines[0]), ",")
    csv.field_size_limit(sys.maxsize)  # a long field is reported as a missing file
    reader, folder = csv.DictReader(lines, delimiter=delimiter), os.path.dirname(path)
    try:
        columns = reader.fieldnames or ()
    except csv.Error as error:
        raise MmnetError(f"{path}: is no CSV ({error})") from None
    if not {"image", "mask"} <= set(columns):
        raise MmnetError(f"{path}: is no CSV with the columns image,mask or image,mask,split")
    items: List[Item] = []
    while True:
        try:
            row = next(reader)
            split = row.get("split") or None
            check_name(split or TRAIN)
            image, mask = (resolve_name(folder, row[name] or "") for name in ("image", "mask"))
            items.append(Item(split, stem_of(image), image, mask))
        except StopIteration:
            return items
        except (csv.Error, ValueError) as error:
            problems.setdefault(BAD_LINES, []).append(f"{path} line {reader.line_num}: {error}")


def read_alpha_channel(path: str, shape: Tuple[int, ...]) -> np.ndarray:
    """Return the alpha channel of a cutout, float32 [H,W], even if it is constant."""
    return read_cutout(path)[1]


def read_cutout(path: str) -> Tuple[np.ndarray, np.ndarray]:
    """Read an image with four channels: (colours uint8 [H,W,3], alpha float32 [H,W], 0..1)."""
    data = read_bytes(path)
    pixels = decode_pixels(data, path, cv2.IMREAD_UNCHANGED)
    if pixels.ndim != 3 or pixels.shape[2] != 4:
        raise MmnetError(f"{path}: has no alpha channel")
    return decode_image(data, path), pixels[..., 3] / np.float32(np.iinfo(pixels.dtype).max)


RESEARCH = "released for research: ask its authors before any other use"
UNKNOWN = "not known to mmnet: see where the data came from"
TWO_FOLDERS = f"images in {'|'.join(IMAGE_FOLDERS)} and masks in {'|'.join(MASK_FOLDERS)}"

LAYOUTS = {
    "dapm": Layout("SPLIT/{image,mask}, the layout of mmnet", UNKNOWN, find_dapm),
    "aisegment": Layout(
        "clip_img/GROUP/clip_N/STEM.jpg and matting/GROUP/matting_N/STEM.png",
        "AISegment matting human half: " + RESEARCH,
        find_aisegment,
    ),
    "p3m10k": Layout(
        "train/{blurred_image,mask} and validation/{P3M-500-P,P3M-500-NP}/{..._image,mask}",
        "P3M-10k: for non-commercial research, by its authors' agreement",
        folders=[
            (TRAIN, "train/blurred_image", "train/mask"),
            ("P3M-500-P", "validation/P3M-500-P/blurred_image", "validation/P3M-500-P/mask"),
            ("P3M-500-NP", "validation/P3M-500-NP/original_image", "validation/P3M-500-NP/mask"),
        ],
    ),
    "ppm100": Layout(
        "image/ and matte/",
        "PPM-100: CC BY-NC-SA 4.0; photos of Flickr under their own",
        folders=[(TEST, "image", "matte")],
    ),
    "eg1800": Layout(TWO_FOLDERS, "EG1800: photos of Flickr, " + RESEARCH, find_eg1800),
    "supervisely": Layout(
        "DATASET/{img,ann} with NAME.jpg and NAME.jpg.json",
        "Supervisely Persons: " + RESEARCH,
        find_supervisely,
    ),
    "rgba": Layout("cutouts with four channels, .png or .webp", UNKNOWN, find_rgba),
    "pairs": Layout(f"{TWO_FOLDERS} (or other folders by name), or a CSV", UNKNOWN, find_pairs),
}
