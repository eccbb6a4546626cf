"""The predict verb: cut the person out of photos.

One photo's way: load_photo -> matte_of -> cut_out -> save_png.
"""

import errno
import json
import logging
import os
from typing import NamedTuple, Optional

import numpy as np

from mmnet.data.images import EXTENSIONS, HEIF_EXTENSIONS, is_unread_picture, save_png
from mmnet.data.pairs import count, list_pictures
from mmnet.device import Device, need_device
from mmnet.files import need_writable
from mmnet.inference.open import open_predictor
from mmnet.photos.compose import compose, cut_out, load_background
from mmnet.photos.load import load_photo
from mmnet.photos.matte import matte_of
from mmnet.progress import progress

ENDINGS = ("_alpha.png", "_cutout.png", "_composition.png")  # of the files of one photo
PHOTOS = EXTENSIONS + HEIF_EXTENSIONS
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)

log = logging.getLogger(__name__)


class Prediction(NamedTuple):
    photo: str
    alpha: Optional[str] = None  # paths of what was written
    cutout: Optional[str] = None
    composition: Optional[str] = None
    person_share: Optional[float] = None  # mean alpha
    error: Optional[str] = None  # why nothing was written


def run(settings):
    need_writable("--output", settings.output)
    photos = find_photos(settings.photos, settings.output)
    background = settings.background and load_background(settings.background)
    device = Device(settings.device)
    need_device(device)
    if settings.checkpoint_path is None:
        raise ValueError(
            "--checkpoint_path is needed: a checkpoint or a model file; untrained weights find "
            "nobody"
        )
    predictor = open_predictor(
        settings.checkpoint_path, settings.wanted(), use_ema=settings.use_ema, device=device
    )
    failed = 0
    for result in predict_photos(predictor, photos, settings.output, background):
        failed += result.error is not None
        if settings.json:
            print(json.dumps(result._asdict()), flush=True)
        elif result.error:
            log.warning("skipped: %s", result.error)
        else:
            written = result.composition or result.cutout
            share = 100 * result.person_share
            print("%s -> %s (person: %.1f %% of the picture)" % (result.photo, written, share))
    return 0 if not failed else 2 if failed == len(photos) else 1


def predict_photos(predictor, photos, output, background=None):
    """Write for each photo its alpha, its cut-out and, with a background, its composition.

    They are ``<stem>_alpha.png``, ``<stem>_cutout.png`` (RGBA) and ``<stem>_composition.png`` below
    ``output``, all at the photo's own size. A photo that cannot be read is skipped.

    Args:
        photos: paths, as find_photos gives them. background: of load_background.

    Yields:
        a Prediction for each photo; of one that was skipped it carries the error.
    """
    os.makedirs(output, exist_ok=True)
    for photo in progress(photos, len(photos), "predicting", "photos"):
        try:
            yield predict_photo(predictor, photo, output, background)
        except OSError as error:
            if error.errno in FULL:  # the next photo would fare no better
                raise
            yield Prediction(photo, error=str(error))
        except ValueError as error:
            yield Prediction(photo, error=str(error))


def predict_photo(predictor, photo, output, background):
    """The Prediction of one photo, its files written."""
    image = load_photo(photo)
    alpha = matte_of(image, predictor)
    stem = stem_of(photo, output)
    result = Prediction(
        photo, stem + "_alpha.png", stem + "_cutout.png", person_share=float(alpha.mean())
    )
    save_png(result.alpha, np.rint(alpha * 255).astype(np.uint8))
    save_png(result.cutout, cut_out(image, alpha))
    if background is not None:
        result = result._replace(composition=stem + "_composition.png")
        save_png(result.composition, compose(image, alpha, background))
    return result


def stem_of(photo, output):
    """What the paths of a photo's results begin with."""
    return os.path.join(output, os.path.splitext(os.path.basename(photo))[0])


def find_photos(paths, output):
    """The photos that ``paths`` (files and folders, not searched deeper) mean, in order.

    Raises:
        FileNotFoundError: a path that does not exist. ValueError: a folder without photos, two
            photos that would be written to the same file, or a folder that is the output folder
            too.
    """
    photos = []
    for path in paths:
        if os.path.isdir(path):
            if os.path.abspath(path) == os.path.abspath(output):
                raise ValueError(
                    "the photos' folder %s is the output folder too: give another --output" % path
                )
            names = list_pictures(path, PHOTOS)
            others = [name for name in sorted(os.listdir(path)) if is_unread_picture(name)]
            if others:
                log.warning("%s: %s", path, count("pictures of formats that are not read", others))
            if not names:
                raise ValueError("no photos (%s) in %s" % (", ".join(PHOTOS), path))
            photos.extend(os.path.join(path, name) for name in names)
        elif os.path.exists(path):
            photos.append(path)
        else:
            raise FileNotFoundError("no photo or folder %s" % path)
    by_stem = {}
    for photo in photos:
        stem = os.path.splitext(os.path.basename(photo))[0]
        other = by_stem.setdefault(stem, photo)
        if other != photo:
            raise ValueError(
                "%s and %s would be written to the same files: predict them into two folders"
                % (other, photo)
            )
    results = {os.path.abspath(stem_of(photo, output) + end) for photo in photos for end in ENDINGS}
    for photo in photos:
        if os.path.abspath(photo) in results:
            raise ValueError("%s is a result of another photo: give another --output" % photo)
    return list(dict.fromkeys(photos))
