"""How public datasets lie on disk: every layout's pictures as Items. No TensorFlow.

A layout is a function and a row in LAYOUTS. It opens no picture while it looks for them.
"""

import base64
import csv
import os
import random
import zlib
from typing import Callable, Dict, List, NamedTuple, Optional

import cv2
import numpy as np

from mmnet.io.errors import MmnetError
from mmnet.io.files import read_bytes, read_json, read_text
from mmnet.io.images import IMAGE_EXTENSIONS, decode_pixels, list_images, load_mask, read_image
from mmnet.io.resize import resize_to_cover

TRAIN, TEST = "train", "test"
IMAGE_FOLDERS = ("image", "images", "Images", "img", "photos", "JPEGImages", "clip_img")
MASK_FOLDERS = ("mask", "masks", "Masks", "matte", "alpha", "Labels", "labels", "label")
MASK_FOLDERS += ("annotations", "SegmentationClass", "pixel-level", "annotations/pixel-level")
MAT_KEYS = ("groundtruth", "labels", "label", "mask")  # of the array in a .mat, tried in order
PALETTE = b"\x03"  # a PNG's colour type, at byte 25
PERSON_CLASS = "person"  # Supervisely's class titles of persons begin so


class Item(NamedTuple):
    """A picture of a dataset, with what its mask is made of."""

    split: Optional[str]  # None where the dataset has none
    stem: str
    image: str  # path
    mask: str  # path
    mask_of: Optional[Callable] = None  # (path, shape) -> alpha float32 [H,W]; None: as load_mask
    image_of: Optional[Callable] = None  # path -> uint8 [H,W,3]; None: the file as it is


class Options(NamedTuple):
    """What some layouts need to know."""

    images: Optional[str] = None  # folder below the source, in place of those that are looked for
    masks: Optional[str] = None
    ids: Optional[tuple] = None  # labels that are the person; None: all but 0
    backgrounds: Optional[str] = None  # folder of pictures, for cut-outs
    seed: int = 0


class Source(NamedTuple):
    """What a layout found."""

    items: List[Item]
    problems: Dict[str, List[str]]  # what is wrong -> names of files


class Layout(NamedTuple):
    looked_for: str  # what it takes, for whoever gave something else
    licence: str  # note, for the manifest
    find: Callable  # (source, Options, problems) -> list of Items, empty where it is another layout


def find_items(layout, source, options=Options()):
    """The Source of a dataset in the layout of that name.

    Raises:
        FileNotFoundError: no such source. ValueError: no pictures in that layout; says what was
            looked for and what lies there.
    """
    if not os.path.exists(source):
        raise FileNotFoundError("no source %s" % source)
    problems = {}
    items = LAYOUTS[layout].find(source, options, problems)
    if not items:
        raise MmnetError(
            "%s is not %s: looked for %s; found %s"
            % (source, layout, LAYOUTS[layout].looked_for, said_of(source))
        )
    return Source(items, problems)


def said_of(source):
    """What lies at a source, in a few names."""
    if not os.path.isdir(source):
        return "a file"
    names = [
        name + "/" if os.path.isdir(os.path.join(source, name)) else name
        for name in sorted(os.listdir(source))
        if not name.startswith(".")
    ]
    return ", ".join(names[:6]) + (", ... (%d names)" % len(names) if len(names) > 6 else "") or (
        "an empty folder"
    )


def matched(images, masks, problems, endings=IMAGE_EXTENSIONS):
    """Yield (stem, image path, mask path) of two folders, by stem; what lacks the other is said.

    A mask may also be called as the whole image file is (``a.jpg.png``).
    """
    image_of = {os.path.splitext(name)[0]: name for name in list_images(images)}
    mask_of = {}
    for name in list_images(masks, endings):
        stem = os.path.splitext(name)[0]
        mask_of[os.path.splitext(stem)[0] if stem.lower().endswith(IMAGE_EXTENSIONS) else stem] = name
    for stem in sorted(image_of.keys() & mask_of.keys()):
        yield stem, os.path.join(images, image_of[stem]), os.path.join(masks, mask_of[stem])
    for problem, stems, names in (
        ("images without a mask", image_of.keys() - mask_of.keys(), image_of),
        ("masks without an image", mask_of.keys() - image_of.keys(), mask_of),
    ):
        problems.setdefault(problem, []).extend(names[stem] for stem in sorted(stems))
        if not problems[problem]:
            del problems[problem]


def first_folder(source, names):
    """The first of the folders below ``source`` that is there, or None."""
    there = [os.path.join(source, name) for name in names]
    return next((path for path in there if os.path.isdir(path)), None)


def folders_of(source, options):
    """(images, masks): what the options name, else what is usual; None for one that is missing."""
    found = []
    for given, usual in ((options.images, IMAGE_FOLDERS), (options.masks, MASK_FOLDERS)):
        if given is None:
            found.append(first_folder(source, usual))
            continue
        path = os.path.join(source, given)
        if not os.path.isdir(path):
            raise FileNotFoundError("no folder %s" % path)
        found.append(path)
    return found


def find_dapm(source, options, problems):
    items = []
    for split in sorted(os.listdir(source)) if os.path.isdir(source) else ():
        folders = [os.path.join(source, split, name) for name in ("image", "mask")]
        if all(map(os.path.isdir, folders)):
            items += [Item(split, *found) for found in matched(*folders, problems)]
    return items


def find_aisegment(source, options, problems):
    """Photos of the same person lie in one group, whose number begins their names."""
    items = []
    root = os.path.join(source, "clip_img")
    for inside, folders, names in os.walk(root):
        folders.sort()
        group, _, clip = os.path.relpath(inside, root).rpartition(os.sep)
        matting = os.path.join(source, "matting", group, clip.replace("clip_", "matting_"))
        for name in sorted(names):
            if name.startswith(".") or not name.lower().endswith(IMAGE_EXTENSIONS):
                if name.startswith("._"):  # a Mac's archive leaves them
                    problems.setdefault("files that are no pictures", []).append(name)
                continue
            mask = os.path.join(matting, os.path.splitext(name)[0] + ".png")
            if not os.path.isfile(mask):
                problems.setdefault("images without a mask", []).append(name)
                continue
            stem = os.path.splitext(name)[0]
            items.append(Item(None, stem, os.path.join(inside, name), mask, transparency))
    return items


def find_p3m10k(source, options, problems):
    items = []
    for split, folder, images in (
        (TRAIN, "train", "blurred_image"),
        ("P3M-500-P", "validation/P3M-500-P", "blurred_image"),
        ("P3M-500-NP", "validation/P3M-500-NP", "original_image"),
    ):
        folders = [os.path.join(source, folder, name) for name in (images, "mask")]
        if all(map(os.path.isdir, folders)):
            items += [Item(split, *found) for found in matched(*folders, problems)]
    return items


def find_ppm100(source, options, problems):
    folders = [os.path.join(source, name) for name in ("image", "matte")]
    if not all(map(os.path.isdir, folders)):
        return []
    return [Item(TEST, *found) for found in matched(*folders, problems)]


def find_eg1800(source, options, problems):
    """Its lists (eg1800_train.txt, eg1800_test.txt) give the splits, where they are there."""
    images, masks = folders_of(source, options)
    if images is None or masks is None:
        return []
    split_of = {}
    for name in sorted(os.listdir(source)):
        split = next((split for split in (TRAIN, TEST) if split in name), None)
        if split and name.endswith(".txt"):
            for line in read_text(os.path.join(source, name)).split():
                split_of[os.path.splitext(os.path.basename(line))[0]] = split
    return [
        Item(split_of.get(stem), stem, image, mask)
        for stem, image, mask in matched(images, masks, problems)
    ]


def find_supervisely(source, options, problems):
    """Project/dataset/{img,ann}: of every dataset; a picture without a person is left out."""
    items = []
    for inside, folders, _ in os.walk(source):
        folders.sort()
        if not {"img", "ann"} <= set(folders):
            continue
        found = matched(
            *(os.path.join(inside, name) for name in ("img", "ann")), problems, (".json",)
        )
        items += [Item(None, stem, image, mask, drawn_objects) for stem, image, mask in found]
        folders[:] = []
    return items


def find_labels(source, options, problems):
    images, masks = folders_of(source, options)
    if images is None or masks is None:
        return []

    def person(path, shape):
        labels = read_labels(path)
        inside = labels != 0 if options.ids is None else np.isin(labels, options.ids)
        return inside.astype(np.float32)

    found = matched(images, masks, problems, IMAGE_EXTENSIONS + (".mat",))
    return [Item(None, stem, image, mask, person) for stem, image, mask in found]


def find_rgba(source, options, problems):
    """Cut-outs, each before a background that its name and the seed choose."""
    if options.backgrounds is None:
        raise MmnetError("--from rgba needs --backgrounds_path, a folder of pictures")
    names = list_images(options.backgrounds)
    if not names:
        raise MmnetError("no pictures in --backgrounds_path %s" % options.backgrounds)
    folder = source if options.images is None else os.path.join(source, options.images)

    def composed(path):
        chosen = random.Random("%d %s" % (options.seed, os.path.basename(path))).choice(names)
        background = read_image(os.path.join(options.backgrounds, chosen))
        colours, alpha = read_cutout(path)
        background = resize_to_cover(background, alpha.shape)
        return cv2.blendLinear(colours, background, alpha, 1 - alpha)

    items = []
    for name in list_images(folder, (".png", ".webp")) if os.path.isdir(folder) else ():
        path = os.path.join(folder, name)
        stem = os.path.splitext(name)[0]
        items.append(Item(None, stem, path, path, transparency, composed))
    return items


def find_pairs(source, options, problems):
    """Two folders, or a CSV with the columns image, mask and, if there is one, split."""
    if os.path.isfile(source):
        return listed(source)
    images, masks = folders_of(source, options)
    if images is None or masks is None:
        return []
    return [Item(None, *found) for found in matched(images, masks, problems)]


def listed(path):
    """The Items of a CSV, whose paths count from its folder.

    Raises:
        ValueError: no such columns; files that are missing, all of them in one message.
    """
    rows = list(csv.DictReader(read_text(path).splitlines()))
    if not rows or not {"image", "mask"} <= set(rows[0]):
        raise MmnetError(
            "%s is no CSV with a first line such as image,mask or image,mask,split" % path
        )
    folder, items, missing = os.path.dirname(os.path.abspath(path)), [], []
    for row in rows:
        image, mask = (os.path.join(folder, row[name] or "") for name in ("image", "mask"))
        missing += [each for each in (image, mask) if not os.path.isfile(each)]
        stem = os.path.splitext(os.path.basename(image))[0]
        items.append(Item(row.get("split") or None, stem, image, mask))
    if missing:
        raise MmnetError(
            "%s names %d files that are not there: %s"
            % (path, len(missing), ", ".join(missing[:3]) + (", ..." if missing[3:] else ""))
        )
    return items


def transparency(path, shape):
    """The alpha of a file whose fourth channel it is, whatever the channel holds."""
    return read_cutout(path)[1]


def read_cutout(path):
    """(colours uint8 [H,W,3], alpha float32 [H,W]) of a picture of four channels."""
    picture = decode_pixels(read_bytes(path), path, cv2.IMREAD_UNCHANGED)
    if picture.ndim != 3 or picture.shape[2] != 4:
        raise MmnetError("%s has no alpha channel" % path)
    if picture.dtype == np.uint16:
        picture = np.rint(picture / 257).astype(np.uint8)
    return cv2.cvtColor(picture, cv2.COLOR_BGRA2RGB), picture[..., 3] / np.float32(255)


def drawn_objects(path, shape):
    """The persons of Supervisely's annotation: bitmaps (zlib, base64) and polygons, drawn."""
    annotation = read_json(path)
    size = annotation.get("size") or {}
    shape = size.get("height", shape[0]), size.get("width", shape[1])
    mask = np.zeros(shape, np.uint8)
    try:
        for drawn in annotation["objects"]:
            if not drawn.get("classTitle", PERSON_CLASS).lower().startswith(PERSON_CLASS):
                continue
            if drawn.get("bitmap"):
                _draw_bitmap(mask, drawn["bitmap"])
            elif drawn.get("points", {}).get("exterior"):
                polygons = [drawn["points"]["exterior"]] + drawn["points"].get("interior", [])
                cv2.fillPoly(
                    mask, [np.rint(np.array(each)).astype(np.int32) for each in polygons], 1
                )
    except (KeyError, TypeError, ValueError, zlib.error, cv2.error) as error:
        raise MmnetError("%s is no annotation of Supervisely (%r)" % (path, error)) from None
    return mask.astype(np.float32)


def _draw_bitmap(mask, bitmap):
    png = zlib.decompress(base64.b64decode(bitmap["data"]))
    drawn = decode_pixels(png, "a bitmap", cv2.IMREAD_UNCHANGED)
    inside = drawn[..., -1] if drawn.ndim == 3 else drawn
    left, top = bitmap["origin"]
    part = mask[top : top + inside.shape[0], left : left + inside.shape[1]]
    part |= (inside[: part.shape[0], : part.shape[1]] > 0).astype(np.uint8)


def read_labels(path):
    """Part labels: whole numbers [H,W] of a PNG (of a palette, Pillow) or a .mat (SciPy)."""
    if path.lower().endswith(".mat"):
        return _read_mat(path)
    data = read_bytes(path)
    if data[25:26] == PALETTE:  # OpenCV gives its colours
        return _palette_numbers(path)
    labels = decode_pixels(data, path, cv2.IMREAD_UNCHANGED)
    if labels.ndim == 3:
        raise MmnetError("%s has colours: labels are numbers, grey or of a palette" % path)
    return labels


def _palette_numbers(path):
    try:
        from PIL import Image
    except ImportError:
        raise MmnetError(
            "%s: labels of a palette need Pillow (pip install pillow)" % path
        ) from None
    try:
        with Image.open(path) as picture:
            return np.array(picture)
    except OSError as error:
        raise MmnetError("%s is damaged (%s)" % (path, error)) from None


def _read_mat(path):
    try:
        from scipy.io import loadmat
    except ImportError:
        raise MmnetError("%s: .mat files need SciPy (pip install scipy)" % path) from None
    try:
        arrays = {name: value for name, value in loadmat(path).items() if name[:2] != "__"}
    except Exception as error:  # SciPy raises errors of many kinds for a damaged file
        raise MmnetError("%s is no .mat file that SciPy reads (%s)" % (path, error)) from None
    named = [arrays[name] for name in MAT_KEYS if name in arrays]
    pictures = [array for array in named or arrays.values() if np.ndim(array) == 2]
    if not pictures:
        raise MmnetError("%s holds no array [H,W]: %s" % (path, ", ".join(arrays) or "nothing"))
    return pictures[0]


def image_of(item):
    """The image of an Item: uint8 [H,W,3]."""
    return item.image_of(item.image) if item.image_of else read_image(item.image)


def mask_of(item, shape):
    """The alpha of an Item, float32 [H,W]; ``shape``: that of its image."""
    return item.mask_of(item.mask, shape) if item.mask_of else load_mask(item.mask)


RESEARCH = "released for research: ask its authors before any other use"
UNKNOWN = "not known to mmnet: see where the data came from"

LAYOUTS = {
    "dapm": Layout("SPLIT/{image,mask}, as mmnet's own", UNKNOWN, find_dapm),
    "aisegment": Layout(
        "clip_img/GROUP/clip_N/STEM.jpg and matting/GROUP/matting_N/STEM.png",
        "AISegment matting human half: " + RESEARCH,
        find_aisegment,
    ),
    "p3m10k": Layout(
        "train/{blurred_image,mask} and validation/{P3M-500-P,P3M-500-NP}/{..._image,mask}",
        "P3M-10k: for non-commercial research, by its authors' agreement",
        find_p3m10k,
    ),
    "ppm100": Layout(
        "image/ and matte/",
        "PPM-100: CC BY-NC-SA 4.0; photos of Flickr under their own",
        find_ppm100,
    ),
    "eg1800": Layout(
        "a folder of images (%s) and one of masks (%s)"
        % (", ".join(IMAGE_FOLDERS[:4]), ", ".join(MASK_FOLDERS[:4])),
        "EG1800: photos of Flickr, " + RESEARCH,
        find_eg1800,
    ),
    "supervisely": Layout(
        "DATA_SET/{img,ann}, NAME.jpg with NAME.jpg.json",
        "Supervisely Persons: " + RESEARCH,
        find_supervisely,
    ),
    "labels": Layout(
        "a folder of images (%s) and one of part labels, .png or .mat (%s), or --images and --masks"
        % (", ".join(IMAGE_FOLDERS), ", ".join(MASK_FOLDERS)),
        UNKNOWN,
        find_labels,
    ),
    "rgba": Layout("cut-outs of four channels, .png or .webp", UNKNOWN, find_rgba),
    "pairs": Layout(
        "two folders (--images and --masks, or %s with %s), or a CSV"
        % (", ".join(IMAGE_FOLDERS), ", ".join(MASK_FOLDERS)),
        UNKNOWN,
        find_pairs,
    ),
}
