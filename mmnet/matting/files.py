"""Find photos and clips, and decide where their outputs are written. No TensorFlow."""

import contextlib
import logging
import os
import pathlib
import re
import sys
from typing import Dict, List, NamedTuple, Optional, Sequence

import numpy as np

from mmnet.io.errors import MAX_NAMES, MmnetError, format_names
from mmnet.io.exif import Metadata
from mmnet.io.extensions import CLIP_EXTENSIONS, HEIF_EXTENSIONS, IMAGE_EXTENSIONS, is_clip
from mmnet.io.files import file_id, read_lines, resolve_name, write_bytes
from mmnet.io.images import encode_image
from mmnet.io.tar_shards import TarShardWriter
from mmnet.matting.compose import KINDS

LIST_EXTENSION = ".txt"  # marks a file that lists photos
MIN_PERSON_FRACTION = 0.002  # of a result; docs/benchmarks.md, "Photos without people"
STANDARD_STREAM = "-"  # standard input among the photos, standard output as the output
MEDIA_EXTENSIONS = IMAGE_EXTENSIONS + HEIF_EXTENSIONS + CLIP_EXTENSIONS

log = logging.getLogger(__name__)


class InputFile(NamedTuple):
    """A photo or clip to process."""

    path: str  # or STANDARD_STREAM
    stem: str  # start of the names of its outputs, relative to the output folder


class Result(NamedTuple):
    """The result of one photo or clip."""

    path: str
    outputs: Dict[str, str] = {}  # kind -> path
    person_fraction: Optional[float] = None  # mean alpha
    frames: Optional[int] = None  # number of frames; None: not a clip
    seconds: Optional[float] = None  # processing time of a clip
    error: Optional[str] = None  # why nothing was written
    is_missing: bool = False  # the photo or clip does not exist
    warnings: Sequence[str] = ()  # unreadable parts of a clip
    notes: Sequence[str] = ()  # contents of a clip that the outputs cannot store

    @property
    def person_found(self) -> Optional[bool]:
        """Return whether the outputs contain a person. None: there are no outputs."""
        fraction = self.person_fraction
        return None if fraction is None else fraction >= MIN_PERSON_FRACTION


class Output:
    """Where outputs are written.

    Attributes:
        path: a folder, one file, or STANDARD_STREAM.
        tar: writes the outputs of photos into tar files in the folder, or None.
        is_one_file: whether ``path`` is one image, one clip or the pattern of its frames.
        folder: the folder that contains all outputs.
        keep_gps: whether the outputs of a photo or clip keep its position.
    """

    def __init__(self, path: str, tar: Optional[TarShardWriter] = None, *, keep_gps: bool = False):
        extension = os.path.splitext(path)[1].lower()
        self.path, self.tar, self.keep_gps = path, tar, keep_gps
        self.is_one_file = extension in MEDIA_EXTENSIONS and not os.path.isdir(path)
        self.folder = os.path.dirname(os.path.abspath(path)) if self.is_one_file else path

    def path_of(self, file: InputFile, kind: str) -> str:
        """Return the path of an output."""
        if self.is_one_file:
            return self.path
        extension = ".png"
        if is_clip(file.path):
            extension = ".webm" if kind == "cutout" else ".mp4"
        return os.path.join(self.path, f"{file.stem}_{kind}{extension}")

    def replaceable_paths(self, file: InputFile) -> List[str]:
        """Return the paths that the outputs of a photo or clip may replace."""
        folder, name = os.path.split(self.path)
        if not self.is_one_file or "%" not in name or not is_clip(file.path):
            return [self.path_of(file, kind) for kind in KINDS]
        frame = re.compile(re.sub("%[0-9]*d", "[ 0-9]+", re.escape(name)))
        names = os.listdir(folder or ".") if os.path.isdir(folder or ".") else []
        return [os.path.join(folder, name) for name in filter(frame.fullmatch, names)]

    def write(
        self,
        file: InputFile,
        images: Dict[str, np.ndarray],
        metadata: Metadata = Metadata(),
        alpha: Optional[np.ndarray] = None,
    ) -> Dict[str, str]:
        """Write the outputs of a photo (kind -> image). Return kind -> path.

        ``alpha``: the alpha channel of the cutout, if it is separate.
        """
        paths, data = {kind: self.path_of(file, kind) for kind in images}, {}
        for kind, image in images.items():
            channel = alpha if kind == "cutout" else None
            data[kind] = encode_image(
                image, paths[kind], metadata, keep_gps=self.keep_gps, alpha=channel
            )
        if self.path == STANDARD_STREAM:
            sys.stdout.buffer.write(b"".join(data.values()))
            return dict.fromkeys(data, self.path)
        if self.tar is not None:
            names = {kind: f"{file.stem}_{kind}.png" for kind in data}
            members = self.tar.add(file.stem, {names[kind]: data[kind] for kind in data})
            return {kind: members[names[kind]] for kind in data}
        for kind, path in paths.items():
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
            write_bytes(path, data[kind])
        return paths

    def is_complete(self, file: InputFile, kinds: Sequence[str]) -> bool:
        """Return whether all outputs exist and are not older than the photo or clip."""
        if self.tar is not None:
            return file.stem in self.tar.finished_stems
        try:
            input_time = os.path.getmtime(file.path)
            return all(os.path.getmtime(self.path_of(file, kind)) >= input_time for kind in kinds)
        except OSError:
            return False


def find_photos(
    paths: Sequence[str], output: Output, other_inputs: Sequence[str] = ()
) -> List[InputFile]:
    """Find the photos and clips that paths name: files, folders, lists (.txt), standard input.

    Folders are searched with their subfolders, also with linked ones. Hidden files and the output
    folder are skipped. A warning names every other file that is no photo and no clip.

    Raises:
        FileNotFoundError: a path does not exist.
        MmnetError: a folder or list without photos, photos with the same outputs, or an output that
            would replace a photo, a clip, a list or one of ``other_inputs``.
    """
    files: List[InputFile] = []
    for path in paths:
        if path == STANDARD_STREAM:
            files.append(InputFile(path, "photo"))
        elif os.path.isdir(path):
            files.extend(_search_folder(path, output))
        elif path.lower().endswith(LIST_EXTENSION):
            files.extend(_read_list(path))
        elif os.path.exists(path):
            files.append(InputFile(path, os.path.splitext(os.path.basename(path))[0]))
        else:
            raise FileNotFoundError(f"{path}: no such photo, clip or folder")
    files = _check_distinct(files, output)
    _check_inputs_stay([*(file.path for file in files), *paths, *other_inputs], files, output)
    return files


def _search_folder(folder, output):
    if os.path.exists(output.path) and os.path.samefile(folder, output.path):
        raise MmnetError(f"{folder}: contains the photos; give another folder", "output")
    files, ignored = [], []
    for parent, names in _walk(folder, output.path):
        for name in names:
            path = os.path.join(parent, name)
            relative_path = os.path.relpath(path, folder)
            if name.lower().endswith(MEDIA_EXTENSIONS) and not _is_other_file(path):
                files.append(InputFile(path, os.path.splitext(relative_path)[0]))
            elif os.path.isfile(path):
                ignored.append(relative_path)
    if not files:
        found = f"; found {format_names(ignored, MAX_NAMES)}" if ignored else ""
        raise MmnetError(f"{folder}: no photos and no clips{found}")
    if ignored:
        names = format_names(ignored, MAX_NAMES)
        log.warning("%s: %d not read, neither photo nor clip: %s", folder, len(ignored), names)
    return files


def _walk(folder, output_folder):
    """Yield (path, names of the files) of a folder and its subfolders, without hidden ones.

    Linked folders are searched last. Every folder is visited once, because links may form a loop.
    The folders above ``folder`` and the output folder are never visited.
    """
    parents = pathlib.Path(os.path.realpath(folder)).parents
    visited = {os.path.realpath(output_folder), *map(str, parents)}
    pending = [folder]

    def log_error(error):
        log.warning("skipped: %s", error)

    for start in pending:
        for parent, subfolders, names in os.walk(start, onerror=log_error):
            real_path = os.path.realpath(parent)
            is_new = real_path not in visited
            visited.add(real_path)
            subfolders[:] = sorted(name for name in subfolders if is_new and name[0] != ".")
            paths = [os.path.join(parent, name) for name in subfolders]
            pending += filter(os.path.islink, paths)
            if is_new:
                yield parent, sorted(name for name in names if name[0] != ".")


def _is_other_file(path):
    """Return whether a file .ts contains text (TypeScript), or a file .ogg only audio."""
    extension, start = os.path.splitext(path)[1].lower(), b""
    if extension in (".ts", ".ogg") and os.path.isfile(path):
        with contextlib.suppress(OSError), open(path, "rb") as file:
            start = file.read(4096)
    if extension == ".ogg":
        return not any(codec in start for codec in (b"theora", b"OVP80"))
    return bool(start) and b"\0" not in start


def _read_list(path):
    """Return the files of a list, one path per line, relative to the list.

    Stems contain the folders below the deepest folder that contains all files.
    """
    folder = os.path.dirname(os.path.abspath(path))
    lines = [line.strip(" \t") for line in read_lines(path)]
    if not any(lines) or "\0" in "".join(lines):
        raise MmnetError(f"{path}: must list photos, one path per line")
    paths = [os.path.normpath(resolve_name(folder, line)) for line in lines if line]
    common_folder = os.path.commonpath([os.path.dirname(path) for path in paths])
    stems = [os.path.splitext(os.path.relpath(path, common_folder))[0] for path in paths]
    return [InputFile(path, stem) for path, stem in zip(paths, stems)]


def _check_distinct(files, output):
    """Return each file once. Raise MmnetError if two files have the same outputs."""
    unique: Dict[str, Dict[str, InputFile]] = {}  # path of an output -> path -> file
    for file in files:
        # Two files have the same outputs of every kind, or of no kind.
        path = os.path.abspath(output.path_of(file, KINDS[0]))
        unique.setdefault(path, {}).setdefault(os.path.abspath(file.path), file)
    conflicts = [group.values() for group in unique.values() if len(group) > 1]
    if conflicts:
        names = format_names([file.path for group in conflicts for file in group], MAX_NAMES)
        remedy = "give a folder as output" if output.is_one_file else "give separate folders"
        raise MmnetError(f"{names}: would have the same outputs; {remedy}")
    return [file for group in unique.values() for file in group.values()]


def _check_inputs_stay(inputs, files, output):
    """Raise MmnetError if an output would replace an input, also through a link."""
    inputs = ["/dev/stdin" if path == STANDARD_STREAM else path for path in inputs]
    inputs_by_id = {file_id(path): path for path in inputs if os.path.isfile(path)}
    outputs = {file_id(path) for file in files for path in output.replaceable_paths(file)}
    replaced = sorted(inputs_by_id[file] for file in inputs_by_id.keys() & outputs)
    if replaced:
        names = format_names(replaced, MAX_NAMES)
        raise MmnetError(f"{names}: inputs and outputs; give another output", "output")
