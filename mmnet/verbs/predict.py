"""The predict verb: cut the person out of photos and clips.

One photo's way: load_photo -> matte_of -> foreground_of -> cut_out -> encode_png -> write_bytes.
"""

import contextlib
import errno
import json
import logging
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import List, NamedTuple, Optional

from mmnet.data.images import EXTENSIONS, HEIF_EXTENSIONS, encode_png, is_unread_picture
from mmnet.data.pairs import count, list_pictures
from mmnet.data.samples import map_ahead
from mmnet.device import Device, need_device
from mmnet.files import need_writable, read_text, remove_abandoned, write_bytes
from mmnet.inference.open import open_predictor
from mmnet.photos import video
from mmnet.photos.clips import cut_clip
from mmnet.photos.compose import KINDS, Wanted, load_background, results_of
from mmnet.photos.load import load_photo
from mmnet.photos.matte import Care, matte_of
from mmnet.photos.video import is_clip
from mmnet.progress import progress
from mmnet.shards import Shard, Tars
from mmnet.weights.registry import DEFAULT, VIDEO

LIST = ".txt"  # of photos
STANDARD = "-"  # stands for standard input among the photos, and for standard output
PHOTOS = EXTENSIONS + HEIF_EXTENSIONS
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)

log = logging.getLogger(__name__)


class Photo(NamedTuple):
    """A photo, or a clip, that is to be cut out."""

    path: str  # or STANDARD
    stem: str  # what the names of its results begin with, below the output folder


class Prediction(NamedTuple):
    photo: str
    alpha: Optional[str] = None  # paths of what was written
    cutout: Optional[str] = None
    composition: Optional[str] = None
    side_by_side: Optional[str] = None
    person_share: Optional[float] = None  # mean alpha
    error: Optional[str] = None  # why nothing was written


class ClipPrediction(NamedTuple):
    clip: str
    alpha: Optional[str] = None  # paths of what was written
    cutout: Optional[str] = None
    composition: Optional[str] = None
    side_by_side: Optional[str] = None
    person_share: Optional[float] = None  # mean alpha
    frames: int = 0
    frames_per_second: Optional[float] = None  # cut out
    problems: List[str] = []  # what of it could not be read
    error: Optional[str] = None  # why nothing was written


def run(settings):
    single = settings.output == STANDARD or is_one_file(settings.output)
    if settings.output != STANDARD:
        need_writable("--output", folder_of(settings.output))
    found = find_photos(settings.photos, settings.output)
    if settings.shard:
        found = [photo for photo in found if settings.shard.holds(photo.stem)]
    photos = [photo for photo in found if not is_clip(photo.path)]
    clips = [photo for photo in found if is_clip(photo.path)]
    wanted = Wanted(
        kinds_of(settings, single),
        settings.background and load_background(settings.background),
        care_of(settings),
    )
    if settings.output == STANDARD and (len(photos) != 1 or clips or len(wanted.kinds) != 1):
        raise ValueError(
            "--output - writes one picture: give one photo and one kind, such as --write cutout"
        )
    if is_one_file(settings.output):
        if len(found) != 1 or len(wanted.kinds) != 1:
            raise ValueError(
                "--output %s is one file: give one photo or clip and one kind, such as --write "
                "cutout, or a folder for more" % settings.output
            )
        if clips:
            video.need_form(settings.output, wanted.kinds == ("cutout",))
        elif not settings.output.lower().endswith(".png"):
            raise ValueError("--output %s: photos are written as .png" % settings.output)
    if settings.tar and (single or clips):
        raise ValueError("--tar is for photos, and --output then names a folder")
    need_device(Device(settings.device))
    if settings.output == STANDARD:
        predictor = open_source(settings, DEFAULT)
        (picture,) = pictures_of(load(photos[0]), predictor, wanted)[1].values()
        sys.stdout.buffer.write(picture)
        sys.stdout.buffer.flush()
        return 0
    failed = partly = 0
    with tars_of(settings) as tars:
        if settings.resume:
            of_clips, output = kinds_of(settings, True), settings.output
            photos = [one for one in photos if not is_done(one, output, wanted.kinds, tars)]
            clips = [one for one in clips if not is_done(one, output, of_clips)]
            left = len(photos) + len(clips)
            log.info("%d of %d are done, %d are left", len(found) - left, len(found), left)
        for result in predict_all(photos, clips, wanted, settings, tars):
            failed += result.error is not None
            partly += tell(result, settings)
    return 2 if failed and failed == len(photos) + len(clips) else 1 if failed or partly else 0


def tell(result, settings):
    """Print a result; how much of it could not be read."""
    if settings.json:
        print(json.dumps(result._asdict()), flush=True)
    if result.error:
        log.warning("skipped: %s", result.error)
        return 0
    problems = getattr(result, "problems", ())
    for problem in problems:
        log.warning("%s", problem)
    if not settings.json:
        print(line_of(result), flush=True)
    return len(problems)


def tars_of(settings):
    """The Tars that results go to, or a context without any.

    Raises:
        ValueError: those of an earlier run are there, and this one does not go on with it.
    """
    if not settings.tar:
        return contextlib.nullcontext()
    tars = Tars(settings.output, settings.shard or Shard(0, 1), settings.tar)
    if tars.done and not settings.resume:
        raise ValueError(
            "--output %s holds tar files of %d photos: --resume goes on with them, or give another "
            "folder" % (settings.output, len(tars.done))
        )
    return tars


def is_done(photo, output, kinds, tars=None):
    """Whether all kinds of results of a photo are there, and no older than the photo."""
    if tars is not None:
        return photo.stem in tars.done
    try:
        since = os.path.getmtime(photo.path)
        results = [result_path(output, photo, kind) for kind in kinds]
        return all(os.path.getmtime(result) >= since for result in results)
    except OSError:
        return False


def open_source(settings, default):
    """The Predictor that the settings name, or the weights named ``default``."""
    if settings.wanted():  # another network than those in the box, which the settings describe
        default = DEFAULT
    return open_predictor(
        settings.checkpoint_path or default,
        settings.wanted(),
        reading=settings.reading(),
        device=Device(settings.device),
    )


def predict_all(photos, clips, wanted, settings, tars=None):
    """Yield a Prediction for each photo, then a ClipPrediction for each clip."""
    jobs = settings.jobs or min(4, os.cpu_count() or 1)
    if photos:
        predictor = open_source(settings, DEFAULT)
        yield from predict_photos(predictor, photos, settings.output, wanted, jobs=jobs, tars=tars)
    if clips:
        predictor = open_source(settings, VIDEO)
        wanted = wanted._replace(kinds=kinds_of(settings, True))
    for clip in clips:
        outputs = {kind: result_path(settings.output, clip, kind) for kind in wanted.kinds}
        yield predict_clip(predictor, clip, outputs, wanted, settings.temporal_filter)


def line_of(result):
    """What a person reads of a result."""
    written = (result.side_by_side, result.composition, result.cutout, result.alpha)
    share = "person: %.1f %% of the picture" % (100 * result.person_share)
    if isinstance(result, ClipPrediction):
        share += ", %d frames, %.1f frames/s" % (result.frames, result.frames_per_second)
    return "%s -> %s (%s)" % (result[0], next(filter(None, written)), share)


def predict_clip(predictor, clip, outputs, wanted, temporal_filter):
    """The ClipPrediction of one clip, its files written; ``outputs``: kind -> path."""
    for path in outputs.values():
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    try:
        cut = cut_clip(predictor, clip.path, outputs, wanted, temporal_filter)
    except OSError as error:
        if error.errno in FULL:
            raise
        return ClipPrediction(clip.path, error=str(error))
    except ValueError as error:
        return ClipPrediction(clip.path, error=str(error))
    return ClipPrediction(
        clip.path,
        person_share=cut.person_share,
        frames=cut.frames,
        frames_per_second=cut.frames / cut.seconds,
        problems=cut.problems,
        **{kind.replace("-", "_"): path for kind, path in outputs.items()},
    )


def result_path(output, photo, kind):
    """Where a result goes: ``output`` itself, or a file in the folder ``output``."""
    if is_one_file(output):
        return output
    extension = ".png"
    if is_clip(photo.path):
        extension = ".webm" if kind == "cutout" else ".mp4"
    return os.path.join(output, "%s_%s%s" % (photo.stem, kind, extension))


def is_one_file(output):
    """Whether --output names one picture, one clip or the pattern of its frames, and no folder."""
    extension = os.path.splitext(output)[1].lower()
    return extension in video.EXTENSIONS + (video.SEQUENCE,) and not os.path.isdir(output)


def folder_of(output):
    """The folder that holds all results."""
    return os.path.dirname(os.path.abspath(output)) if is_one_file(output) else output


def care_of(settings):
    """The Care that the settings ask for."""
    return Care(
        second_look=not settings.no_second_look,
        refinement=not settings.no_refinement,
        foreground_colours=not settings.no_foreground_colours,
    )


def kinds_of(settings, one):
    """The kinds of results that the settings ask for; one of them where ``one`` is to be made."""
    if settings.write:
        kinds = tuple(dict.fromkeys(settings.write))
        if settings.background is None and "composition" in kinds:
            raise ValueError("--write composition needs --background: a colour, a picture or blur")
        return kinds
    if one:
        return ("cutout",) if settings.background is None else ("composition",)
    return ("alpha", "cutout") + (() if settings.background is None else ("composition",))


def predict_photos(predictor, photos, output, wanted=Wanted(), *, jobs=1, tars=None):
    """Write for each photo what is wanted.

    They are ``<stem>_alpha.png``, ``<stem>_cutout.png`` (RGBA), ``<stem>_composition.png`` and
    ``<stem>_side-by-side.png`` below ``output``, all at the photo's own size; or the one file that
    ``output`` names. A photo that cannot be read is skipped.

    Args:
        photos: list of Photo. wanted: Wanted. jobs: photos at a time. tars: shards.Tars that the
            files go into, or None.

    Yields:
        a Prediction for each photo, in order; of one that was skipped it carries the error.
    """
    os.makedirs(folder_of(output), exist_ok=True)
    remove_abandoned(folder_of(output))

    def predict(photo):
        try:
            return predict_photo(predictor, photo, output, wanted, tars)
        except OSError as error:
            if error.errno in FULL:  # the next photo would fare no better
                raise
            return Prediction(photo.path, error=str(error))
        except ValueError as error:
            return Prediction(photo.path, error=str(error))

    with ThreadPoolExecutor(jobs) as pool:
        results = map_ahead(pool, predict, photos, ahead=jobs)
        yield from progress(results, len(photos), "predicting", "photos")


def predict_photo(predictor, photo, output, wanted, tars=None):
    """The Prediction of one photo, its files written."""
    share, pictures = pictures_of(load(photo), predictor, wanted)
    paths = {kind: result_path(output, photo, kind) for kind in pictures}
    if tars is not None:
        names = {kind: os.path.relpath(path, output) for kind, path in paths.items()}
        added = tars.add(photo.stem, {names[kind]: png for kind, png in pictures.items()})
        paths = {kind: added[name] for kind, name in names.items()}
    else:
        for kind, png in pictures.items():
            os.makedirs(os.path.dirname(paths[kind]) or ".", exist_ok=True)
            write_bytes(paths[kind], png)
    written = {kind.replace("-", "_"): path for kind, path in paths.items()}
    return Prediction(photo.path, person_share=share, **written)


def load(photo):
    """The uint8 [H,W,3] of a Photo."""
    return load_photo(sys.stdin.buffer.read() if photo.path == STANDARD else photo.path)


def pictures_of(image, predictor, wanted):
    """(the person's share of the picture, kind -> the bytes of a PNG)."""
    alpha = matte_of(image, predictor, wanted.care)
    results = results_of(image, alpha, wanted)
    return float(alpha.mean()), {kind: encode_png(picture) for kind, picture in results.items()}


def find_photos(paths, output):
    """The Photos that ``paths`` mean, in order: files, folders with their sub-folders, lists of
    files (LIST), STANDARD.

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
        elif path.endswith(LIST):
            photos.extend(photos_listed(path))
        elif os.path.exists(path):
            photos.append(Photo(path, stem_of(os.path.basename(path))))
        else:
            raise FileNotFoundError("no photo, clip or folder %s" % path)
    by_stem = {}
    for photo in photos:
        other = by_stem.setdefault("" if is_one_file(output) else photo.stem, photo)
        if other is not photo and os.path.abspath(other.path) != os.path.abspath(photo.path):
            raise ValueError(
                "%s and %s would be written to the same files: predict them into two folders"
                % (other.path, photo.path)
            )
    folder = os.path.join(os.path.abspath(output), "")
    for photo in by_stem.values():
        if is_result(photo, output, folder, by_stem):
            raise ValueError("%s is a result of another photo: give another --output" % photo.path)
    return list(by_stem.values())


def is_result(photo, output, folder, by_stem):
    """Whether a photo is what would be written of one of ``by_stem`` (stem -> Photo).

    folder: ``output``'s whole path, with a separator at its end.
    """
    path = os.path.abspath(photo.path)
    if is_one_file(output):
        return path == folder[:-1]
    if not path.startswith(folder):
        return False
    stem, _, kind = stem_of(path[len(folder) :]).rpartition("_")
    other = by_stem.get(stem) if kind in KINDS else None
    return other is not None and os.path.abspath(result_path(output, other, kind)) == path


def photos_listed(path):
    """The Photos that a file lists, one a line, from its own folder on; their results' names have
    the folders that not all of them share.
    """
    lines = [line.strip() for line in read_text(path).splitlines()]
    folder = os.path.dirname(os.path.abspath(path))
    paths = [os.path.normpath(os.path.join(folder, line)) for line in lines if line]
    if not paths:
        raise ValueError("%s lists no photos" % path)
    shared = os.path.join(os.path.commonpath(list({os.path.dirname(one) for one in paths})), "")
    return [Photo(one, stem_of(one[len(shared) :])) for one in paths]


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
        for name in list_pictures(inside, PHOTOS + video.EXTENSIONS):
            path = os.path.join(inside, name)
            photos.append(Photo(path, stem_of(os.path.relpath(path, folder))))
    if not photos:
        raise ValueError(
            "no photos (%s) and no clips (%s) in %s"
            % (", ".join(PHOTOS), ", ".join(video.EXTENSIONS), folder)
        )
    return photos


def stem_of(path):
    """A path without its extension."""
    return os.path.splitext(path)[0]
