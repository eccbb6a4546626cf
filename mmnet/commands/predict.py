"""The predict verb: cut the person out of photos and clips.

One photo's way: load_photo -> matte_photo -> estimate_foreground -> cut_out -> encode_png -> write_bytes.
"""

import contextlib
import dataclasses
import errno
import json
import logging
import os
import sys
from typing import List, NamedTuple, Optional, Tuple

from mmnet.commands.flag_types import one_of, positive_int, shard, source
from mmnet.commands.options import (
    REQUIRED,
    SOURCE,
    DeviceOptions,
    JsonOptions,
    PhotoOptions,
    SourceOptions,
    flag,
)
from mmnet.inference.open import open_predictor
from mmnet.io import clips as video
from mmnet.io.clips import is_clip
from mmnet.io.errors import MmnetError, summarize_names
from mmnet.io.files import check_writable, read_text, remove_abandoned, write_bytes
from mmnet.io.images import (
    HEIF_EXTENSIONS,
    IMAGE_EXTENSIONS,
    encode_png,
    is_unsupported_image,
    list_images,
)
from mmnet.io.parallel import parallel_map
from mmnet.io.progress import progress
from mmnet.io.tar_shards import Shard, TarShardWriter
from mmnet.matting.clip import cut_clip
from mmnet.matting.compose import KINDS, OutputOptions, load_background, results_of
from mmnet.matting.load import load_photo
from mmnet.matting.photo import MattingOptions, matte_photo
from mmnet.tf.device import Device, check_device
from mmnet.weights.registry import DEFAULT, VIDEO

LIST = ".txt"  # of photos
STANDARD = "-"  # stands for standard input among the photos, and for standard output
PHOTOS = IMAGE_EXTENSIONS + HEIF_EXTENSIONS
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Options(SourceOptions, PhotoOptions, DeviceOptions, JsonOptions):
    """Cut the person out of photos and clips: alpha, RGBA cut-out, composition, at full size.

    A photo whose sides differ by no more than a factor of two is squeezed into the network's input,
    as in training; one that is wider or higher is first extended by mirroring at its borders. A
    second run looks closer at the part that holds the people. EXIF orientation is applied. Folders
    are searched with their sub-folders, which the output mirrors. A clip keeps its time stamps and
    its sound. The exit code is 1 where some photos, or parts of a clip, could not be read, and 2
    where none could.
    """

    photos: Tuple[str, ...] = flag(
        REQUIRED,
        help="photos, clips and folders of them (jpg, png, webp; heic and avif with pillow-heif; mp4, "
        "mov, webm, mkv, avi with PyAV), or .txt files that list them, one a line; - reads one "
        "photo from standard input",
        nargs="+",
        positional=True,
    )
    checkpoint_path: Optional[str] = flag(
        None, source, help="%s (default: %s; of clips %s)" % (SOURCE, DEFAULT, VIDEO), alias="model"
    )
    output: str = flag(
        REQUIRED,
        help="folder to write to (clips: STEM_cutout.webm and so on); of one clip, the file: .webm or "
        ".mov (with alpha), .mp4, or frames/%05d.png; - writes one picture to standard output",
    )
    background: Optional[str] = flag(
        None, help="compose over this: a colour (#rrggbb or a name), a picture, a clip, or blur"
    )
    write: Optional[Tuple[str, ...]] = flag(
        None,
        one_of("alpha", "cutout", "composition", "side-by-side"),
        help="what to write: alpha, cutout, composition, side-by-side (default: alpha, cutout and, with "
        "--background, composition; of a clip cutout or, with --background, composition)",
        nargs="+",
    )
    temporal_filter: str = flag(
        "motion",
        one_of("none", "exponential", "motion"),
        help="how a clip's alphas are made steady: none, exponential (smoothing) or motion (smoothing "
        "along the motion)",
    )
    jobs: Optional[int] = flag(
        None,
        positive_int,
        help="photos at a time, whose network runs take turns (default: one a processor, at most 4)",
    )
    shard: Optional[Shard] = flag(
        None, shard, help="of very many photos take one of N parts, I/N: 0/8 to 7/8, each elsewhere"
    )
    resume: bool = flag(
        False, help="pass over photos whose results are there already, and no older than they"
    )
    tar: Optional[int] = flag(
        None,
        positive_int,
        help="write tar files of the results of so many photos each, in --output",
    )


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


def run(options):
    single = options.output == STANDARD or is_one_file(options.output)
    if options.output != STANDARD:
        check_writable(folder_of(options.output))
    found = find_photos(options.photos, options.output)
    if options.shard:
        found = [photo for photo in found if options.shard.contains(photo.stem)]
    photos = [photo for photo in found if not is_clip(photo.path)]
    clips = [photo for photo in found if is_clip(photo.path)]
    wanted = OutputOptions(
        kinds_of(options, single),
        options.background and load_background(options.background),
        care_of(options),
    )
    if options.output == STANDARD and (len(photos) != 1 or clips or len(wanted.kinds) != 1):
        raise MmnetError(
            "--output - writes one picture: give one photo and one kind, such as --write cutout"
        )
    if is_one_file(options.output):
        if len(found) != 1 or len(wanted.kinds) != 1:
            raise MmnetError(
                "--output %s is one file: give one photo or clip and one kind, such as --write "
                "cutout, or a folder for more" % options.output
            )
        if clips:
            video.check_encoding(options.output, wanted.kinds == ("cutout",))
        elif not options.output.lower().endswith(".png"):
            raise MmnetError("--output %s: photos are written as .png" % options.output)
    if options.tar and (single or clips):
        raise MmnetError("--tar is for photos, and --output then names a folder")
    check_device(Device(options.device))
    if options.output == STANDARD:
        predictor = open_source(options, DEFAULT)
        (picture,) = pictures_of(load(photos[0]), predictor, wanted)[1].values()
        sys.stdout.buffer.write(picture)
        sys.stdout.buffer.flush()
        return 0
    failed = partly = 0
    with tars_of(options) as tars:
        if options.resume:
            of_clips, output = kinds_of(options, True), options.output
            photos = [one for one in photos if not is_done(one, output, wanted.kinds, tars)]
            clips = [one for one in clips if not is_done(one, output, of_clips)]
            left = len(photos) + len(clips)
            log.info("%d of %d are done, %d are left", len(found) - left, len(found), left)
        for result in predict_all(photos, clips, wanted, options, tars):
            failed += result.error is not None
            partly += tell(result, options)
    return 2 if failed and failed == len(photos) + len(clips) else 1 if failed or partly else 0


def tell(result, options):
    """Print a result; how much of it could not be read."""
    if options.json:
        print(json.dumps(result._asdict()), flush=True)
    if result.error:
        log.warning("skipped: %s", result.error)
        return 0
    problems = getattr(result, "problems", ())
    for problem in problems:
        log.warning("%s", problem)
    if not options.json:
        print(line_of(result), flush=True)
    return len(problems)


def tars_of(options):
    """The TarShardWriter that results go to, or a context without any.

    Raises:
        ValueError: those of an earlier run are there, and this one does not go on with it.
    """
    if not options.tar:
        return contextlib.nullcontext()
    tars = TarShardWriter(options.output, options.shard or Shard(0, 1), options.tar)
    if tars.finished_stems and not options.resume:
        raise MmnetError(
            "--output %s holds tar files of %d photos: --resume goes on with them, or give another "
            "folder" % (options.output, len(tars.finished_stems))
        )
    return tars


def is_done(photo, output, kinds, tars=None):
    """Whether all kinds of results of a photo are there, and no older than the photo."""
    if tars is not None:
        return photo.stem in tars.finished_stems
    try:
        since = os.path.getmtime(photo.path)
        results = [result_path(output, photo, kind) for kind in kinds]
        return all(os.path.getmtime(result) >= since for result in results)
    except OSError:
        return False


def open_source(options, default):
    """The Predictor that the options name, or the weights named ``default``."""
    if (
        options.network_fields()
    ):  # another network than those in the box, which the options describe
        default = DEFAULT
    return open_predictor(
        options.checkpoint_path or default,
        options.network_fields(),
        weight_options=options.weight_options(),
        device=Device(options.device),
    )


def predict_all(photos, clips, wanted, options, tars=None):
    """Yield a Prediction for each photo, then a ClipPrediction for each clip."""
    jobs = options.jobs or min(4, os.cpu_count() or 1)
    if photos:
        predictor = open_source(options, DEFAULT)
        yield from predict_photos(predictor, photos, options.output, wanted, jobs=jobs, tars=tars)
    if clips:
        predictor = open_source(options, VIDEO)
        wanted = wanted._replace(kinds=kinds_of(options, True))
    for clip in clips:
        outputs = {kind: result_path(options.output, clip, kind) for kind in wanted.kinds}
        yield predict_clip(predictor, clip, outputs, wanted, options.temporal_filter)


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


def care_of(options):
    """The Care that the options ask for."""
    return MattingOptions(
        second_pass=not options.no_second_pass,
        refinement=not options.no_refinement,
        foreground_colours=not options.no_foreground_colours,
    )


def kinds_of(options, one):
    """The kinds of results that the options ask for; one of them where ``one`` is to be made."""
    if options.write:
        kinds = tuple(dict.fromkeys(options.write))
        if options.background is None and "composition" in kinds:
            raise MmnetError("--write composition needs --background: a colour, a picture or blur")
        return kinds
    if one:
        return ("cutout",) if options.background is None else ("composition",)
    return ("alpha", "cutout") + (() if options.background is None else ("composition",))


def predict_photos(predictor, photos, output, wanted=OutputOptions(), *, jobs=1, tars=None):
    """Write for each photo what is wanted.

    They are ``<stem>_alpha.png``, ``<stem>_cutout.png`` (RGBA), ``<stem>_composition.png`` and
    ``<stem>_side-by-side.png`` below ``output``, all at the photo's own size; or the one file that
    ``output`` names. A photo that cannot be read is skipped.

    Args:
        photos: list of Photo. wanted: Wanted. jobs: photos at a time. tars: shards.TarShardWriter that the
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

    results = parallel_map(predict, photos, threads=jobs, max_pending=jobs)
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
    alpha = matte_photo(image, predictor, wanted.care)
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
            raise MmnetError(
                "%s and %s would be written to the same files: predict them into two folders"
                % (other.path, photo.path)
            )
    folder = os.path.join(os.path.abspath(output), "")
    for photo in by_stem.values():
        if is_result(photo, output, folder, by_stem):
            raise MmnetError("%s is a result of another photo: give another --output" % photo.path)
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
        raise MmnetError("%s lists no photos" % path)
    shared = os.path.join(os.path.commonpath(list({os.path.dirname(one) for one in paths})), "")
    return [Photo(one, stem_of(one[len(shared) :])) for one in paths]


def photos_below(folder, output):
    """The Photos in a folder and its sub-folders, sorted; the output folder is passed over."""
    output, photos = os.path.abspath(output), []
    if os.path.abspath(folder) == output:
        raise MmnetError(
            "the photos' folder %s is the output folder too: give another --output" % folder
        )
    for inside, folders, names in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and os.path.abspath(os.path.join(inside, name)) != output
        )
        others = [name for name in sorted(names) if is_unsupported_image(name)]
        if others:
            log.warning(
                "%s: %s", inside, summarize_names("pictures of formats that are not read", others)
            )
        for name in list_images(inside, PHOTOS + video.EXTENSIONS):
            path = os.path.join(inside, name)
            photos.append(Photo(path, stem_of(os.path.relpath(path, folder))))
    if not photos:
        raise MmnetError(
            "no photos (%s) and no clips (%s) in %s"
            % (", ".join(PHOTOS), ", ".join(video.EXTENSIONS), folder)
        )
    return photos


def stem_of(path):
    """A path without its extension."""
    return os.path.splitext(path)[0]
