"""Process photos and clips, and write their outputs. No TensorFlow."""

import errno
import functools
import os
import sys
from typing import Iterator, Sequence

from mmnet.inference.predictor import Predictor
from mmnet.io.errors import MmnetError
from mmnet.io.extensions import is_clip
from mmnet.io.files import remove_abandoned
from mmnet.io.lazy import lazy_import
from mmnet.io.parallel import parallel_map
from mmnet.io.progress import progress
from mmnet.matting.compose import OutputOptions, render_outputs
from mmnet.matting.files import STANDARD_STREAM, InputFile, Output, Result
from mmnet.matting.load import load_photo
from mmnet.matting.photo import matte_photo

clips = lazy_import("mmnet.matting.clip")

# The disk is full or read-only, or stdout is closed: the next photo would fail, too.
LASTING_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EPIPE)


def process_photos(
    files: Sequence[InputFile],
    predictor: Predictor,
    output: Output,
    options: OutputOptions = OutputOptions(),
    *,
    threads: int = 1,
) -> Iterator[Result]:
    """Write the outputs of photos, and yield a Result per photo, in order: see process_file."""
    if output.path != STANDARD_STREAM:
        os.makedirs(output.folder, exist_ok=True)
        remove_abandoned(output.folder)
    process = functools.partial(process_file, predictor=predictor, output=output, options=options)
    results = parallel_map(process, files, threads=threads, max_pending=threads)
    yield from progress(results, len(files), "predicting", "photos")


def process_file(
    file: InputFile, predictor: Predictor, output: Output, options: OutputOptions
) -> Result:
    """Write the outputs of a photo or clip. The Result of an unreadable one contains the error.

    Raises:
        OSError: the disk is full or read-only, or stdout is closed.
    """
    has_frames = is_clip(file.path)
    try:
        if has_frames:
            outputs = {kind: output.path_of(file, kind) for kind in options.kinds}
            keep_gps = output.keep_gps
            return clips.matte_clip(file.path, predictor, outputs, options, keep_gps=keep_gps)
        photo = load_photo(sys.stdin.buffer.read() if file.path == STANDARD_STREAM else file.path)
        alpha = matte_photo(photo, predictor, options.matting)
        images = render_outputs(photo.image, alpha, options, photo.opacity)
        outputs = output.write(file, images, photo.metadata)
        return Result(file.path, outputs, float(alpha.mean()))
    except (MmnetError, OSError) as error:
        if isinstance(error, OSError) and error.errno in LASTING_ERRORS:
            raise
        is_missing = file.path != STANDARD_STREAM and not os.path.lexists(file.path)
        frames = 0 if has_frames else None
        return Result(file.path, frames=frames, error=str(error), is_missing=is_missing)
