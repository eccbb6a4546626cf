"""Process photos and clips, and write their outputs. No TensorFlow."""

import errno
import itertools
import os
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Iterator, Optional, Sequence

from mmnet.inference.predictor import Predictor
from mmnet.io.errors import MmnetError
from mmnet.io.extensions import is_clip
from mmnet.io.files import remove_abandoned
from mmnet.io.images import Photo
from mmnet.io.lazy import lazy_import
from mmnet.io.memory import reuse_memory
from mmnet.io.parallel import parallel_map
from mmnet.io.progress import progress
from mmnet.io.resize import shrink
from mmnet.matting.compose import OutputOptions, render_outputs
from mmnet.matting.files import STANDARD_STREAM, InputFile, Output, Result
from mmnet.matting.load import load_photo
from mmnet.matting.photo import WORKING_SIZE, matte_photo

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
    first: Optional["Future[Photo]"] = None,
) -> Iterator[Result]:
    """Write the outputs of photos, and yield a Result per photo, in order: see process_file.

    ``first``: the first photo, from ``start_loading``.
    """
    reuse_memory()
    if output.path != STANDARD_STREAM:
        os.makedirs(output.folder, exist_ok=True)
        remove_abandoned(output.folder)
    results = parallel_map(
        lambda item: process_file(item[0], predictor, output, options, item[1]),
        itertools.zip_longest(files, [first]),
        threads=threads,
        max_pending=threads,
    )
    yield from progress(results, len(files), "predicting", "photos")


def start_loading(file: InputFile) -> "Future[Photo]":
    """Load a photo in a thread, while the caller opens the network."""
    pool = ThreadPoolExecutor(1)
    loading = pool.submit(_load, file)
    pool.shutdown(wait=False)
    return loading


def _load(file):
    return load_photo(sys.stdin.buffer.read() if file.path == STANDARD_STREAM else file.path)


def process_file(
    file: InputFile,
    predictor: Predictor,
    output: Output,
    options: OutputOptions,
    loading: Optional["Future[Photo]"] = None,
) -> Result:
    """Write the outputs of a photo or clip. The Result of an unreadable one contains the error.

    ``loading``: the photo, from ``start_loading``.

    Raises:
        OSError: the disk is full or read-only, or stdout is closed.
    """
    has_frames = is_clip(file.path)
    try:
        if has_frames:
            outputs = {kind: output.path_of(file, kind) for kind in options.kinds}
            keep_gps = output.keep_gps
            return clips.matte_clip(file.path, predictor, outputs, options, keep_gps=keep_gps)
        photo = _load(file) if loading is None else loading.result()
        small = shrink(photo.image, WORKING_SIZE)
        alpha = matte_photo(photo, predictor, options.matting, small)
        images = render_outputs(
            photo.image, alpha, options, photo.opacity, small, separate_alpha=True
        )
        kinds = {kind: images[kind] for kind in options.kinds}
        outputs = output.write(file, kinds, photo.metadata, images["alpha"])
        return Result(file.path, outputs, float(alpha.mean()))
    except (MmnetError, OSError) as error:
        if isinstance(error, OSError) and error.errno in LASTING_ERRORS:
            raise
        is_missing = file.path != STANDARD_STREAM and not os.path.lexists(file.path)
        frames = 0 if has_frames else None
        return Result(file.path, frames=frames, error=str(error), is_missing=is_missing)
