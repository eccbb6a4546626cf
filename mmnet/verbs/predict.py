"""The predict verb: cut the person out of photos.

One photo's way: load_photo -> matte_of -> foreground_of -> cut_out -> encode_png -> write_bytes.
"""

import errno
import json
import logging
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Optional

import numpy as np

from mmnet.data.foreground import foreground_of
from mmnet.data.images import EXTENSIONS, HEIF_EXTENSIONS, encode_png, is_unread_picture
from mmnet.data.pairs import count, list_pictures
from mmnet.data.samples import map_ahead
from mmnet.device import Device, need_device
from mmnet.files import need_writable, remove_abandoned, write_bytes
from mmnet.inference.open import open_predictor
from mmnet.photos.compose import compose, cut_out, load_background, side_by_side
from mmnet.photos.load import load_photo
from mmnet.photos.matte import Care, matte_of
from mmnet.progress import progress

STANDARD = "-"  # stands for standard input among the photos, and for standard output
KINDS = ("alpha", "cutout", "composition", "side-by-side")  # of results, as --write names them
GREY = np.full(3, 128, np.uint8)  # side by side, where no background is given
PHOTOS = EXTENSIONS + HEIF_EXTENSIONS
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)

log = logging.getLogger(__name__)


class Photo(NamedTuple):
    """A photo that is to be cut out."""

    path: str  # or STANDARD
    stem: str  # what the names of its results begin with, below the output folder


class Wanted(NamedTuple):
    """What is made of every photo."""

    kinds: tuple = ("alpha", "cutout")
    background: object = None  # of load_background
    care: Care = Care()


class Prediction(NamedTuple):
    photo: str
    alpha: Optional[str] = None  # paths of what was written
    cutout: Optional[str] = None
    composition: Optional[str] = None
    side_by_side: Optional[str] = None
    person_share: Optional[float] = None  # mean alpha
    error: Optional[str] = None  # why nothing was written


def run(settings):
    to_stdout = settings.output == STANDARD
    if not to_stdout:
        need_writable("--output", settings.output)
    photos = find_photos(settings.photos, settings.output)
    wanted = Wanted(
        kinds_of(settings),
        settings.background and load_background(settings.background),
        care_of(settings),
    )
    if to_stdout and (len(photos) != 1 or len(wanted.kinds) != 1):
        raise ValueError(
            "--output - writes one picture: give one photo and one kind, such as --write cutout"
        )
    device = Device(settings.device)
    need_device(device)
    predictor = open_predictor(
        settings.checkpoint_path, settings.wanted(), reading=settings.reading(), device=device
    )
    if to_stdout:
        (picture,) = pictures_of(load(photos[0]), predictor, wanted)[1].values()
        sys.stdout.buffer.write(picture)
        sys.stdout.buffer.flush()
        return 0
    failed, jobs = 0, settings.jobs or min(4, os.cpu_count() or 1)
    for result in predict_photos(predictor, photos, settings.output, wanted, jobs=jobs):
        failed += result.error is not None
        if settings.json:
            print(json.dumps(result._asdict()), flush=True)
        elif result.error:
            log.warning("skipped: %s", result.error)
        else:
            written = (result.side_by_side, result.composition, result.cutout, result.alpha)
            share = 100 * result.person_share
            where = next(filter(None, written))
            print("%s -> %s (person: %.1f %% of the picture)" % (result.photo, where, share))
    return 0 if not failed else 2 if failed == len(photos) else 1


def care_of(settings):
    """The Care that the settings ask for."""
    return Care(
        second_look=not settings.no_second_look,
        refinement=not settings.no_refinement,
        foreground_colours=not settings.no_foreground_colours,
    )


def kinds_of(settings):
    """The kinds of results that the settings ask for."""
    if settings.write:
        kinds = tuple(dict.fromkeys(settings.write))
        if settings.background is None and "composition" in kinds:
            raise ValueError("--write composition needs --background: a colour, a picture or blur")
        return kinds
    if settings.output == STANDARD:
        return ("cutout",) if settings.background is None else ("composition",)
    return ("alpha", "cutout") + (() if settings.background is None else ("composition",))


def predict_photos(predictor, photos, output, wanted=Wanted(), *, jobs=1):
    """Write for each photo what is wanted.

    They are ``<stem>_alpha.png``, ``<stem>_cutout.png`` (RGBA), ``<stem>_composition.png`` and
    ``<stem>_side-by-side.png`` below ``output``, all at the photo's own size. A photo that cannot
    be read is skipped.

    Args:
        photos: list of Photo. wanted: Wanted. jobs: photos at a time.

    Yields:
        a Prediction for each photo, in order; of one that was skipped it carries the error.
    """
    os.makedirs(output, exist_ok=True)
    remove_abandoned(output)

    def predict(photo):
        try:
            return predict_photo(predictor, photo, output, wanted)
        except OSError as error:
            if error.errno in FULL:  # the next photo would fare no better
                raise
            return Prediction(photo.path, error=str(error))
        except ValueError as error:
            return Prediction(photo.path, error=str(error))

    with ThreadPoolExecutor(jobs) as pool:
        results = map_ahead(pool, predict, photos, ahead=jobs)
        yield from progress(results, len(photos), "predicting", "photos")


def predict_photo(predictor, photo, output, wanted):
    """The Prediction of one photo, its files written."""
    share, pictures = pictures_of(load(photo), predictor, wanted)
    stem = os.path.join(output, photo.stem)
    os.makedirs(os.path.dirname(stem), exist_ok=True)
    written = {}
    for kind, png in pictures.items():
        written[kind.replace("-", "_")] = path = "%s_%s.png" % (stem, kind)
        write_bytes(path, png)
    return Prediction(photo.path, person_share=share, **written)


def load(photo):
    """The uint8 [H,W,3] of a Photo."""
    return load_photo(sys.stdin.buffer.read() if photo.path == STANDARD else photo.path)


def pictures_of(image, predictor, wanted):
    """(the person's share of the picture, kind -> the bytes of a PNG)."""
    alpha = matte_of(image, predictor, wanted.care)
    coloured = wanted.care.foreground_colours and wanted.kinds != ("alpha",)
    foreground = foreground_of(image, alpha) if coloured else None
    background = GREY if wanted.background is None else wanted.background
    composition = None
    if {"composition", "side-by-side"} & set(wanted.kinds):
        composition = compose(image, alpha, background, foreground)
    makers = {
        "alpha": lambda: np.rint(alpha * 255).astype(np.uint8),
        "cutout": lambda: cut_out(image, alpha, foreground),
        "composition": lambda: composition,
        "side-by-side": lambda: side_by_side(image, alpha, composition),
    }
    return float(alpha.mean()), {kind: encode_png(makers[kind]()) for kind in wanted.kinds}


def find_photos(paths, output):
    """The Photos that ``paths`` (files, folders with their sub-folders, STANDARD) mean, in order.

    Raises:
        FileNotFoundError: a path that does not exist. ValueError: a folder without photos, two
            photos that would be written to the same file, or a folder that is the output folder
            too.
    """
    photos = []
    for path in paths:
        if path == STANDARD:
            photos.append(Photo(STANDARD, "photo"))
        elif os.path.isdir(path):
            photos.extend(photos_below(path, output))
        elif os.path.exists(path):
            photos.append(Photo(path, stem_of(os.path.basename(path))))
        else:
            raise FileNotFoundError("no photo or folder %s" % path)
    by_stem = {}
    for photo in photos:
        other = by_stem.setdefault(photo.stem, photo)
        if os.path.abspath(other.path) != os.path.abspath(photo.path):
            raise ValueError(
                "%s and %s would be written to the same files: predict them into two folders"
                % (other.path, photo.path)
            )
    if output != STANDARD:
        results = {
            os.path.abspath(os.path.join(output, "%s_%s.png" % (photo.stem, kind)))
            for photo in photos
            for kind in KINDS
        }
        for photo in photos:
            if os.path.abspath(photo.path) in results:
                raise ValueError(
                    "%s is a result of another photo: give another --output" % photo.path
                )
    return list(by_stem.values())


def photos_below(folder, output):
    """The Photos in a folder and its sub-folders, sorted; the output folder is passed over."""
    output, photos = os.path.abspath(output), []
    if os.path.abspath(folder) == output:
        raise ValueError(
            "the photos' folder %s is the output folder too: give another --output" % folder
        )
    for inside, folders, names in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and os.path.abspath(os.path.join(inside, name)) != output
        )
        others = [name for name in sorted(names) if is_unread_picture(name)]
        if others:
            log.warning("%s: %s", inside, count("pictures of formats that are not read", others))
        for name in list_pictures(inside, PHOTOS):
            path = os.path.join(inside, name)
            photos.append(Photo(path, stem_of(os.path.relpath(path, folder))))
    if not photos:
        raise ValueError("no photos (%s) in %s" % (", ".join(PHOTOS), folder))
    return photos


def stem_of(path):
    """A path without its extension."""
    return os.path.splitext(path)[0]
