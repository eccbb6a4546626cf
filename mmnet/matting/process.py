"""Process photos and clips, and write their outputs. No TensorFlow."""

import errno
import functools
import os
import sys
from typing import Callable, Iterator, Sequence

from mmnet.inference.predictor import Predictor
from mmnet.io.clips import is_clip
from mmnet.io.errors import MmnetError
from mmnet.io.files import remove_abandoned
from mmnet.io.parallel import parallel_map
from mmnet.io.progress import progress
from mmnet.matting.clip import matte_clip
from mmnet.matting.compose import OutputOptions, render_outputs
from mmnet.matting.files import STANDARD_STREAM, InputFile, Output, Result
from mmnet.matting.load import load_photo
from mmnet.matting.photo import matte_photo

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # the next photo would fail, too


def process_photos(
    files: Sequence[InputFile],
    predictor: Predictor,
    output: Output,
    options: OutputOptions = OutputOptions(),
    *,
    threads: int = 1,
) -> Iterator[Result]:
    """Write the outputs of photos, and yield a Result per photo, in order.

    An unreadable photo yields a Result with an error.

    Raises:
        OSError: the disk is full or read-only.
    """
    os.makedirs(output.folder, exist_ok=True)
    remove_abandoned(output.folder)

    process = functools.partial(
        skip_errors, process_photo, predictor=predictor, output=output, options=options
    )
    results = parallel_map(process, files, threads=threads, max_pending=threads)
    yield from progress(results, len(files), "predicting", "photos")


def process_photo(
    file: InputFile, predictor: Predictor, output: Output, options: OutputOptions
) -> Result:
    """Load a photo, compute its alpha, render the outputs and write them."""
    image = load_photo(sys.stdin.buffer.read() if file.path == STANDARD_STREAM else file.path)
    alpha = matte_photo(image, predictor, options.matting)
    outputs = output.write(file, render_outputs(image, alpha, options))
    return Result(file.path, outputs, float(alpha.mean()))


def process_clip(
    file: InputFile, predictor: Predictor, output: Output, options: OutputOptions
) -> Result:
    """Write the outputs of a clip. An unreadable clip returns a Result with an error."""
    outputs = {kind: output.path_of(file, kind) for kind in options.kinds}
    for path in outputs.values():
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    return skip_errors(lambda clip: matte_clip(clip.path, predictor, outputs, options), file)


def skip_errors(process: Callable[..., Result], file: InputFile, **arguments: object) -> Result:
    """Return ``process(file, **arguments)``, or a Result with the error of an unreadable file."""
    try:
        return process(file, **arguments)
    except (MmnetError, OSError) as error:
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            raise
        return Result(file.path, frames=0 if is_clip(file.path) else None, error=str(error))
