"""Process photos and clips, and write their outputs. No TensorFlow."""

import errno
import os
from typing import Any, Callable, Dict, Iterator, NamedTuple, Optional, Sequence

from mmnet.inference.predictor import Predictor
from mmnet.io.errors import MmnetError
from mmnet.io.files import remove_abandoned
from mmnet.io.parallel import parallel_map
from mmnet.io.progress import progress
from mmnet.matting.clip import matte_clip
from mmnet.matting.compose import OutputOptions, render_outputs
from mmnet.matting.files import InputFile, Output
from mmnet.matting.photo import matte_photo

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # the next photo would fail, too


class Result(NamedTuple):
    """The result of one photo or clip."""

    path: str
    outputs: Dict[str, str] = {}  # kind -> path
    person_fraction: Optional[float] = None  # mean alpha
    frames: Optional[int] = None  # of a clip; None: a photo
    seconds: Optional[float] = None  # processing time of a clip
    error: Optional[str] = None  # why nothing was written
    warnings: Sequence[str] = ()  # unreadable parts of a clip


def process_photos(
    files: Sequence[InputFile],
    predictor: Predictor,
    output: Output,
    options: OutputOptions = OutputOptions(),
    *,
    threads: int = 1,
) -> Iterator[Result]:
    """Write the outputs of photos, and yield a Result per photo, in order.

    Unreadable photos yield a Result with an error.

    Raises:
        OSError: the disk is full or read-only.
    """
    os.makedirs(output.folder, exist_ok=True)
    remove_abandoned(output.folder)

    def process(file):
        return _catch_errors(lambda: process_photo(file, predictor, output, options), file)

    results = parallel_map(process, files, threads=threads, max_pending=threads)
    yield from progress(results, len(files), "predicting", "photos")


def process_photo(
    file: InputFile, predictor: Predictor, output: Output, options: OutputOptions
) -> Result:
    """Load a photo, compute its alpha, render its outputs and write them."""
    image = file.load()
    alpha = matte_photo(image, predictor, options.matting)
    images = render_outputs(image, alpha, options)
    return Result(file.path, output.write(file, images), float(alpha.mean()))


def process_clip(
    file: InputFile,
    predictor: Predictor,
    output: Output,
    options: OutputOptions,
    *,
    temporal_filter: str = "motion",
) -> Result:
    """Write the outputs of a clip. An unreadable clip returns a Result with an error.

    Raises:
        OSError: the disk is full or read-only.
    """
    paths = {kind: output.path_of(file, kind) for kind in options.kinds}
    for path in paths.values():
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)

    def process():
        clip = matte_clip(file.path, predictor, paths, options, temporal_filter=temporal_filter)
        return Result(
            file.path,
            paths,
            clip.person_fraction,
            frames=clip.frames,
            seconds=clip.seconds,
            warnings=clip.warnings,
        )

    return _catch_errors(process, file, frames=0)


def _catch_errors(process: Callable[[], Result], file: InputFile, **fields: Any) -> Result:
    try:
        return process()
    except (MmnetError, OSError) as error:
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            raise
        return Result(file.path, error=str(error), **fields)
