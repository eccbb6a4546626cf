"""Write a dataset as the .bin files that msame and ais_bench feed to an .om model.

Requires numpy, OpenCV and Pillow only. The command

    python offline_infer/datapre.py --dataset_path DATASET

writes below ``Bin/test``:
    images/<stem>.bin   network input, NHWC [size,size,3], RGB. The folder holds nothing else,
                        because msame feeds every file that it finds.
    masks/<stem>.bin    float32 [size,size], 0..1
    manifest.json       original file name of each stem, and preprocessing; for evaluate.py
"""

import argparse
import hashlib
import logging
import os
import re
import sys
import tempfile
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)  # so the script runs from any folder, with nothing installed

from offline_infer import packages  # noqa: F401

# isort: split
import numpy as np

from mmnet.datasets.pairs import Dataset, DatasetValidator, find_dataset
from mmnet.io.errors import MmnetError
from mmnet.io.files import (
    add_path_to_errors,
    check_name,
    check_writable,
    remove_abandoned,
    replace_folder,
    restore_folder,
    write_json,
)
from mmnet.io.images import to_unit_range
from mmnet.io.parallel import parallel_map
from mmnet.io.progress import progress
from mmnet.io.records import read_record
from mmnet.io.resize import resize_bilinear
from mmnet.io.terminal import escape_output
from mmnet.networks.views import STRIDE

DTYPES, PLACES = ("float32", "uint8"), ("inside", "outside")
INPUT_CHANNELS = 3
MAX_STEM_LENGTH = 200  # <stem>_output_0.bin must fit into the 255 bytes of a file name


class InputFormat(NamedTuple):
    """Input of a model."""

    shape: Tuple[int, int] = (256, 256)  # (height, width)
    dtype: str = "float32"  # or "uint8" (rounded, 0..255) for a model with AIPP
    preprocess: str = "inside"  # division by 255: "inside" the graph, or "outside": in the files

    @property
    def is_divided(self) -> bool:
        """Return whether the files hold 0..1. AIPP divides uint8 files itself."""
        return self.dtype == "float32" and self.preprocess == "outside"


class ManifestEntry(NamedTuple):
    """An image in a manifest."""

    stem: str  # name of the .bin files
    image: str  # file names in the dataset
    mask: str
    height: int  # size of the mask
    width: int
    sha256: str  # hash of the input file


class Manifest(NamedTuple):
    """The manifest.json beside the inputs."""

    dataset_path: str
    split: str
    shape: List[int]  # [height, width]
    dtype: str
    preprocess: str
    pictures: List[ManifestEntry]


def main(argv: Optional[Sequence[str]] = None) -> int:
    flags = parse_flags(argv)
    height, width = flags.shape or (flags.size, flags.size)
    input_format = InputFormat((height, width), flags.dtype, flags.preprocess)
    dataset = find_dataset(flags.dataset_path, flags.dataset_split_name)
    folder = write_inputs(dataset, flags.output, input_format)
    length = np.dtype(input_format.dtype).itemsize * height * width * 3
    value_range = "0..1" if input_format.is_divided else "0..255"
    print(
        f"{len(dataset)} pictures in {os.path.join(folder, 'images')}: {length} bytes each, "
        f"{input_format.dtype} [{height},{width},3], RGB {value_range}"
    )
    return 0


def write_inputs(dataset: Dataset, output: str, input_format: InputFormat = InputFormat()) -> str:
    """Write a split to ``<output>/<split>``, and replace an earlier result. Return that folder.

    Raises:
        MmnetError: pairs are unusable, or the folder holds something else or cannot be written.
    """
    split, output = dataset.split, os.path.abspath(output)
    check_name(split, "dataset_split_name")
    target = os.path.join(output, split)
    restore_folder(target)
    if os.path.lexists(target) and not os.path.isfile(os.path.join(target, "manifest.json")):
        raise MmnetError(
            f"{target}: not written by datapre.py (it has no manifest.json); move it away, or give "
            "another --output"
        )
    check_writable(output)
    os.makedirs(output, exist_ok=True)
    remove_abandoned(output)
    with tempfile.TemporaryDirectory(dir=output, prefix=".building-") as folder:
        new = os.path.join(folder, "new")
        manifest = {
            "dataset_path": os.path.abspath(dataset.path),
            "split": split,
            "shape": list(input_format.shape),
            "dtype": input_format.dtype,
            "preprocess": input_format.preprocess,
            "pictures": write_pairs(dataset, new, input_format),
        }
        write_json(os.path.join(new, "manifest.json"), manifest)
        replace_folder(target, new)
    return target


def read_manifest(path: str) -> Manifest:
    """Read the manifest of datapre.py."""
    if not os.path.lexists(path):
        raise FileNotFoundError(f"{path}: no manifest; run datapre.py, or give --manifest")
    manifest = read_record(path, Manifest)
    for name, choices in (("dtype", DTYPES), ("preprocess", PLACES)):
        if getattr(manifest, name) not in choices:
            raise MmnetError(f"{path}: {name}: expected {' or '.join(choices)}")
    if len(manifest.shape) != 2 or min(manifest.shape) < 1:
        raise MmnetError(f"{path}: shape: {manifest.shape}, expected [height, width]")
    if not manifest.pictures:
        raise MmnetError(f"{path}: pictures: is empty")
    for entry in manifest.pictures:
        if min(entry.height, entry.width) < 1:
            raise MmnetError(f"{path}: pictures: {entry.mask!r} has no pixels")
        for name in (entry.stem, entry.image, entry.mask):
            if os.path.basename(name) != name or not name:
                raise MmnetError(f"{path}: pictures: {name!r} is not the name of one file")
    return manifest


def write_pairs(dataset: Dataset, folder: str, input_format: InputFormat) -> List[Dict[str, Any]]:
    """Write images/ and masks/ to a new folder. Return the manifest's entry of each pair."""
    os.makedirs(os.path.join(folder, "images"))
    os.makedirs(os.path.join(folder, "masks"))
    validator = DatasetValidator(dataset)

    def write(item):
        pair, stem = item
        arrays = validator.read(pair)
        if arrays is None or validator.failed:
            return None
        image, mask = arrays
        data = to_input(image, input_format).tobytes()
        small_mask = resize_bilinear(mask, input_format.shape, align_corners=True).astype("<f4")
        for kind, contents in (("images", data), ("masks", small_mask.tobytes())):
            path = os.path.join(folder, kind, stem + ".bin")
            with add_path_to_errors(path), open(path, "wb") as file:
                file.write(contents)
        return {
            "stem": stem,
            "image": os.path.basename(pair.image),
            "mask": os.path.basename(pair.mask),
            "height": mask.shape[0],
            "width": mask.shape[1],
            "sha256": hashlib.sha256(data).hexdigest(),
        }

    stems = make_safe_stems([pair.stem for pair in dataset.pairs])
    entries = parallel_map(write, zip(dataset.pairs, stems))
    entries = list(progress(entries, len(dataset), "writing"))
    validator.finish()
    return entries


def to_input(image: np.ndarray, input_format: InputFormat) -> np.ndarray:
    """Convert an image uint8 [h,w,3] to a model's input [H,W,3], little-endian."""
    image = resize_bilinear(image, input_format.shape, align_corners=True)
    if input_format.dtype == "uint8":
        return np.rint(image).astype(np.uint8)
    return (to_unit_range(image) if input_format.is_divided else image).astype("<f4")


def make_safe_stems(stems: Sequence[str]) -> List[str]:
    """Return a unique name for each stem that no tool truncates or splits: A-Z a-z 0-9 _ - only.

    A stem that is already safe keeps its name.
    """
    safe = [re.sub("[^A-Za-z0-9_-]", "_", stem)[:MAX_STEM_LENGTH] for stem in stems]
    used = {stem for stem, name in zip(stems, safe) if stem == name}
    names = []
    for stem, name in zip(stems, safe):
        number, unique = 1, name
        while stem != name and unique in used:
            number += 1
            unique = f"{name}_{number}"
        used.add(unique)
        names.append(unique)
    return names


class Parser(argparse.ArgumentParser):
    """Parses the flags of this folder's scripts, and prints one line for a wrong flag."""

    def error(self, message):
        sys.exit(fail(self.prog, message))

    def parse_args(self, *arguments):
        """Parse flags. Refuse empty values: they come from shell variables that are not set."""
        flags = super().parse_args(*arguments)
        for name, value in vars(flags).items():
            if isinstance(value, str) and not value.strip():
                self.error(f"--{name}: is empty; is a shell variable not set?")
        return flags


def run(main: Callable[[], int]) -> int:
    """Run a script's ``main``. Return its exit code, 2 for bad input, or 130 after Ctrl-C."""
    escape_output()
    name = os.path.basename(sys.argv[0])
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format=f"{name}: %(message)s")
    try:
        return main()
    except KeyboardInterrupt:
        return 130
    except MmnetError as error:
        flag = "" if error.parameter is None else f"--{error.parameter}: "
        return fail(name, flag + error.message)
    except OSError as error:
        return fail(name, error)


def fail(name: str, error: object) -> int:
    sys.stderr.write(f"{name}: error: {' '.join(str(error).split())}\n")
    return 2


def network_side(text: str) -> int:
    if not text.isdigit() or int(text) < STRIDE or int(text) % STRIDE:
        raise argparse.ArgumentTypeError(f"{text!r}: must be a multiple of 32, for example 256")
    return int(text)


def parse_flags(argv: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = Parser(description="Write a dataset as inputs of an .om model.", allow_abbrev=False)
    add = parser.add_argument
    add("--dataset_path", required=True, help="folder of the dataset: SPLIT/image and SPLIT/mask")
    add("--dataset_split_name", default="test", help="split of the dataset (default: test)")
    output = "folder in which SPLIT/ is written (default: %(default)s)"
    add("--output", default=os.path.join(ROOT, "Bin"), help=output)
    add("--size", default=256, type=network_side, help="side of a square input (default: 256)")
    add("--shape", nargs=2, type=network_side, help="height and width, if the input is not square")
    add("--dtype", default="float32", choices=DTYPES, help="uint8: for AIPP (default: float32)")
    division = "division by 255: inside the graph (default; files hold 0..255) or outside (0..1)"
    add("--preprocess", default="inside", choices=PLACES, help=division)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(run(main))
