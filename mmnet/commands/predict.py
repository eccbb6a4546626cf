"""`mmnet predict`: cut people out of photos and clips."""

import contextlib
import dataclasses
import json
import logging
import os
import sys
import time
from typing import Any, Dict, Iterator, List, Optional, Tuple

from mmnet.commands.flag_types import job_number, one_of, positive_int, shard
from mmnet.commands.options import REQUIRED, CutoutOptions, JsonOptions, flag
from mmnet.io.errors import MAX_NAMES, MmnetError, summarize_names
from mmnet.io.extensions import is_clip
from mmnet.io.files import SEPARATOR, check_writable
from mmnet.io.images import check_image_format
from mmnet.io.lazy import lazy_import
from mmnet.io.tar_shards import Shard, TarShardWriter
from mmnet.io.terminal import escape_controls
from mmnet.matting.background import load_background
from mmnet.matting.compose import KINDS, OutputOptions
from mmnet.matting.files import STANDARD_STREAM, InputFile, Output, Result, find_photos
from mmnet.matting.process import process_file, process_photos, start_loading
from mmnet.matting.temporal import FILTERS
from mmnet.tf.device import Device, check_device

clip_writer = lazy_import("mmnet.io.clip_writer")

MAX_DEFAULT_JOBS = 4

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Options(CutoutOptions, JsonOptions):
    """Cut people out of photos and clips: alpha, RGBA cutout or composition, at full size.

    The command searches folders with their subfolders, also linked ones, and names the other files
    in them. It applies the EXIF orientation of photos. Clips keep their time stamps and their
    audio. The exit code is 1 if some photos or parts of a clip are unreadable, and 2 if all photos
    and clips are unreadable.
    """

    photos: Tuple[str, ...] = flag(
        REQUIRED,
        help="photos, clips, folders, or .txt files with a path per line; -: one photo from stdin",
        nargs="+",
        positional=True,
    )
    output: str = flag(
        REQUIRED,
        help="folder; or one file: .png, .webp, .jpg (no alpha channel); .webm, .mov, .mp4 (no "
        "alpha channel) or frames/%05d.png for clips; - writes one image to standard output",
    )
    background: Optional[str] = flag(
        None, help="background: a CSS colour (#00b140, teal), an image, a clip, or blur"
    )
    write: Optional[Tuple[str, ...]] = flag(
        None,
        one_of(*KINDS),
        help="default: alpha and cutout, with --background also composition; for clips and single "
        "files cutout, or composition with --background",
        nargs="+",
    )
    temporal_filter: str = flag(
        "motion", one_of(*FILTERS), help="filter that reduces the flicker of alphas in clips"
    )
    jobs: Optional[int] = flag(
        None,
        job_number,
        help=f"photos in parallel (default: one per core, at most {MAX_DEFAULT_JOBS})",
    )
    keep_gps: bool = flag(False, help="keep the GPS position of photos and clips")
    shard: Optional[Shard] = flag(
        None, shard, help="process one of N parts of the photos: I/N, for example 0/8 to 7/8"
    )
    resume: bool = flag(False, help="skip photos whose outputs are up to date")
    tar: Optional[int] = flag(
        None, positive_int, help="write tar files with the outputs of N photos each into --output"
    )


def run(options: Options) -> int:
    output = Output(options.output, keep_gps=options.keep_gps)
    to_stdout = output.path == STANDARD_STREAM
    if not to_stdout:
        check_writable(output.folder)
    sources = (options.checkpoint_path or "").split(SEPARATOR)
    other_inputs = [path for path in (options.background, *sources) if path]
    files = find_photos(options.photos, output, other_inputs)
    if options.shard:
        files = [file for file in files if options.shard.contains(file.stem)]
    photos = [file for file in files if not is_clip(file.path)]
    clips = [file for file in files if is_clip(file.path)]
    photo_options = OutputOptions(
        select_kinds(options, only_one=output.is_one_file or to_stdout),
        load_background(options.background) if options.background else None,
        options.matting_options(),
        options.temporal_filter,
    )
    check_output(options, output, photos, clips, photo_options.kinds)
    check_device(Device(options.device))
    with contextlib.ExitStack() as stack:
        if options.tar:
            output.tar = TarShardWriter(options.output, options.shard or Shard(0, 1), options.tar)
            if output.tar.finished_stems and not options.resume:
                raise MmnetError(
                    f"--output {options.output}: contains results of "
                    f"{len(output.tar.finished_stems)} photos; give --resume or another folder"
                )
            stack.enter_context(output.tar)
        return print_results(process(options, output, photos, clips, photo_options), options)


def select_kinds(options: Options, only_one: bool) -> Tuple[str, ...]:
    """Return the kinds of outputs; by default only one for clips and single files."""
    if options.write:
        if "composition" in options.write and options.background is None:
            raise MmnetError("--write composition: needs --background")
        return tuple(dict.fromkeys(options.write))
    if options.background is None:
        return ("cutout",) if only_one else ("alpha", "cutout")
    return ("composition",) if only_one else ("alpha", "cutout", "composition")


def check_output(
    options: Options,
    output: Output,
    photos: List[InputFile],
    clips: List[InputFile],
    kinds: Tuple[str, ...],
) -> None:
    """Raise MmnetError if the outputs cannot be written to --output."""
    to_stdout = output.path == STANDARD_STREAM
    if options.tar and (clips or output.is_one_file or to_stdout):
        raise MmnetError("--tar: needs photos, and a folder as --output")
    if not output.is_one_file and not to_stdout:
        return
    if len(photos) + len(clips) != 1 or len(kinds) != 1:
        raise MmnetError(
            f"--output {output.path}: needs one photo or clip and one kind, for example --write "
            "cutout; give a folder for more"
        )
    if clips and to_stdout:
        raise MmnetError("--output -: needs photos; clips are written to files")
    if to_stdout and sys.stdout.isatty():
        raise MmnetError("--output -: is a terminal; redirect it to a file or a program")
    if clips:
        clip_writer.check_encoding(output.path, has_alpha=kinds == ("cutout",))
    elif not to_stdout:
        check_image_format(output.path, has_alpha=kinds == ("cutout",))


def process(
    options: Options,
    output: Output,
    photos: List[InputFile],
    clips: List[InputFile],
    photo_options: OutputOptions,
) -> Iterator[Result]:
    """Yield a Result per photo, then per clip. Open a network only if it is needed."""
    clip_options = photo_options._replace(kinds=select_kinds(options, only_one=True))
    if options.resume:
        total = len(photos) + len(clips)
        photos = [file for file in photos if not output.is_complete(file, photo_options.kinds)]
        clips = [file for file in clips if not output.is_complete(file, clip_options.kinds)]
        remaining = len(photos) + len(clips)
        log.info("%d of %d are done, %d remain", total - remaining, total, remaining)
    if photos:
        threads = options.jobs or min(MAX_DEFAULT_JOBS, os.cpu_count() or 1)
        is_file = photos[0].path != STANDARD_STREAM  # standard input may end late
        first = start_loading(photos[0]) if is_file else None
        predictor = options.open_network(options.checkpoint_path, for_photos=True)
        yield from process_photos(
            photos, predictor, output, photo_options, threads=threads, first=first
        )
    if clips:
        predictor = options.open_network(options.checkpoint_path, for_photos=False)
        for clip in clips:
            yield process_file(clip, predictor, output, clip_options)


def print_results(results: Iterator[Result], options: Options) -> int:
    """Print outputs to stdout, errors and warnings to stderr, and return the exit code.

    A summary follows the results of several photos and clips.
    """
    start = time.monotonic()
    total = failed = partial = clips = 0
    missing = []
    for result in results:
        total += 1
        clips += result.error is None and result.frames is not None
        if result.is_missing:
            missing.append(result.path)
        elif result.error is not None:
            failed += 1
            log.warning("skipped: %s", result.error)
        if result.person_found is False:
            log.warning("%s: no person found", result.path)
        partial += len(result.warnings)
        for message in (*result.warnings, *result.notes):
            log.warning("%s", message)
        if options.output == STANDARD_STREAM:
            sys.stdout.buffer.flush()
        elif options.json:
            print(json.dumps(result_record(result)), flush=True)
        elif result.error is None:
            path = [result.outputs[kind] for kind in KINDS if kind in result.outputs][-1]
            details = f"person: {100 * (result.person_fraction or 0):.1f} % of the image"
            if result.frames is not None and result.seconds:
                rate = result.frames / result.seconds
                details += f", {result.frames} frames, {rate:.1f} frames/s"
            print(f"{escape_controls(f'{result.path} -> {path}')} ({details})", flush=True)
    if missing:
        failed += len(missing)
        text = summarize_names("files that do not exist", missing, MAX_NAMES)
        log.warning("skipped: %s", text)
    if total > 1:
        counts = {"photos": total - failed - clips, "clips": clips, "skipped": failed}
        print_summary(counts, time.monotonic() - start, options)
    if failed and failed == total:
        return 2
    return 1 if failed or partial else 0


def print_summary(counts: Dict[str, int], seconds: float, options: Options) -> None:
    """Print a JSON record, or log ``20 photos, 1 skipped, 1.9 s`` without the zeros."""
    if options.json:
        print(json.dumps({**counts, "seconds": round(seconds, 3)}), flush=True)
        return
    words = [f"{count} {name}" for name, count in counts.items() if count]
    log.info("%s, %.1f s", ", ".join(words), seconds)


def result_record(result: Result) -> Dict[str, Any]:
    """Return the JSON record of a result, with the keys of 0.2."""
    record: Dict[str, Any] = {"photo" if result.frames is None else "clip": result.path}
    for kind in KINDS:
        record[kind.replace("-", "_")] = result.outputs.get(kind)
    record["person_share"] = result.person_fraction
    record["person_found"] = result.person_found
    if result.frames is not None:
        record["frames"] = result.frames
        record["frames_per_second"] = result.frames / result.seconds if result.seconds else None
        record["problems"] = list(result.warnings)
        record["notes"] = list(result.notes)
    record["error"] = result.error
    return record
