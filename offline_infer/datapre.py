"""Write a dataset as the .bin files that msame and ais_bench feed to an .om model.

This needs only numpy and OpenCV. The command

    python offline_infer/datapre.py --dataset_path DATASET

writes, below ``Bin/test``:
    images/<stem>.bin   the network's input, NHWC [size,size,3] RGB. The folder holds nothing else,
                        because msame feeds every file it finds.
    masks/<stem>.bin    float32 [size,size] 0..1
    manifest.json       the picture of each stem and how it was prepared; evaluate.py reads this
"""

import argparse
import hashlib
import logging
import os
import re
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Tuple

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)  # so the script runs from any folder, with nothing installed

from mmnet.datasets.pairs import DatasetValidator, find_dataset  # noqa: E402
from mmnet.io.files import (  # noqa: E402
    Part,
    add_path_to_errors,
    check_writable,
    remove_abandoned,
    replace_folder,
    restore_folder,
    write_json,
)
from mmnet.io.images import to_01  # noqa: E402
from mmnet.io.progress import progress  # noqa: E402
from mmnet.io.resize import resize_bilinear  # noqa: E402
from mmnet.networks.network import STRIDE  # noqa: E402

LONGEST_STEM = 200  # with it, <stem>_output_0.bin stays below the 255 bytes of a file name


class Input(NamedTuple):
    """How a model takes its pictures."""

    shape: Tuple[int, int] = (256, 256)  # (height, width)
    dtype: str = "float32"  # or "uint8" (rounded, 0..255) for a model with AIPP
    preprocess: str = "inside"  # float32 is divided by 255 inside the graph, or "outside": here


def main(argv=None):
    flags = parser().parse_args(argv)
    shape = tuple(getattr(flags, "shape", (flags.size, flags.size)))
    form = Input(shape, flags.dtype, flags.preprocess)
    need_folder_name(flags.dataset_split_name)
    data_set = find_dataset(flags.dataset_path, flags.dataset_split_name)
    folder, pictures = datapre(data_set, flags.output, form)
    length = np.dtype(form.dtype).itemsize * shape[0] * shape[1] * 3
    print(
        "%d pictures in %s: %d bytes each, %s [%d,%d,3], RGB %s"
        % (
            len(pictures),
            os.path.join(folder, "images"),
            length,
            form.dtype,
            shape[0],
            shape[1],
            "0..1" if divides(form) else "0..255",
        )
    )
    return 0


def datapre(data_set, output, form=Input()):
    """Write a dataset's split into ``<output>/<split>``. It replaces an earlier result.

    Args:
        data_set: Dataset. form: Input.

    Returns:
        (path of ``<output>/<split>``, the manifest's list of pictures)

    Raises:
        ValueError: the split is not the name of one folder, ``<output>/<split>`` is no result of
            datapre, ``output`` cannot be written, or pairs cannot be used (all in one message).
    """
    split = data_set.split
    need_folder_name(split)
    output = os.path.abspath(output)
    target = os.path.join(output, split)
    restore_folder(target)
    if os.path.lexists(target) and not os.path.isfile(os.path.join(target, "manifest.json")):
        raise ValueError(
            "%s was not written by datapre (it holds no manifest.json) and stays: move it away or "
            "give another --output" % target
        )
    check_writable("--output", output)
    os.makedirs(output, exist_ok=True)
    remove_abandoned(output)
    with tempfile.TemporaryDirectory(dir=output, prefix=".building-") as folder:
        new = os.path.join(folder, "new")
        pictures = write_pictures(data_set, new, form)
        manifest = {
            "dataset_path": os.path.abspath(data_set.path),
            "split": split,
            "shape": list(form.shape),
            "dtype": form.dtype,
            "preprocess": form.preprocess,
            "pictures": pictures,
        }
        write_json(os.path.join(new, "manifest.json"), manifest)
        replace_folder(target, new)
    return target, pictures


def need_folder_name(split):
    """Raise ValueError for a split that is not the name of one folder."""
    if os.path.basename(split) != split or split in ("", ".", ".."):
        raise ValueError("--dataset_split_name is the name of one folder, not %r" % split)


def name_of(pair, path):
    """A file's name; of a packed pair, which has no files of its own, its stem."""
    return pair.stem if isinstance(path, Part) else os.path.basename(path)


def write_pictures(data_set, folder, form):
    """Write images/ and masks/ of a dataset into a new folder, and check it on the way.

    Returns:
        The manifest's list of pictures.
    """
    os.makedirs(os.path.join(folder, "images"))
    os.makedirs(os.path.join(folder, "masks"))
    check = DatasetValidator(data_set)

    def write(pair, stem):
        read = check.read(pair)
        if read is None or check.failed:
            return None
        image, mask = read
        data = to_input(image, form).tobytes()
        resized_mask = resize_bilinear(mask, form.shape, align_corners=True)
        for kind, values in (("images", data), ("masks", resized_mask.astype("<f4").tobytes())):
            path = os.path.join(folder, kind, stem + ".bin")
            with add_path_to_errors(path), open(path, "wb") as file:
                file.write(values)
        return {
            "stem": stem,
            "image": name_of(pair, pair.image),
            "mask": name_of(pair, pair.mask),
            "height": mask.shape[0],
            "width": mask.shape[1],
            "sha256": hashlib.sha256(data).hexdigest(),
        }

    stems = safe_stems([pair.stem for pair in data_set.pairs])
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        written = pool.map(write, data_set.pairs, stems)
        pictures = list(progress(written, len(stems), "writing"))
    check.finish()
    return pictures


def to_input(image, form):
    """An image uint8 [h,w,3] as an Input takes it: ``dtype`` [H,W,3], little-endian."""
    image = resize_bilinear(image, form.shape, align_corners=True)
    if form.dtype == "uint8":
        return np.rint(image).astype(np.uint8)
    return (to_01(image) if divides(form) else image).astype("<f4")


def divides(form):
    """Tell whether pictures are written as 0..1. Bytes are not: AIPP does any division of them."""
    return form.dtype == "float32" and form.preprocess == "outside"


def safe_stems(stems):
    """Make names that no tool cuts or splits, in the order of ``stems``.

    They are all different, not too long, and hold only A-Z a-z 0-9 _ -. A stem that is safe already
    keeps its name, whatever the others become.
    """
    safe = [re.sub("[^A-Za-z0-9_-]", "_", stem)[:LONGEST_STEM] for stem in stems]
    taken = {stem for stem, name in zip(stems, safe) if stem == name}
    names = []
    for stem, name in zip(stems, safe):
        number, unique = 1, name
        while stem != name and unique in taken:
            number += 1
            unique = "%s_%d" % (name, number)
        taken.add(unique)
        names.append(unique)
    return names


class Parser(argparse.ArgumentParser):
    """Parses the flags of this folder's scripts, and writes one line about a wrong flag."""

    def error(self, message):
        sys.exit(fail(self.prog, message))

    def parse_args(self, *arguments):
        """As ever, but an empty value is an error: mostly a shell variable that is not set."""
        flags = super().parse_args(*arguments)
        for name, value in vars(flags).items():
            if isinstance(value, str) and not value.strip():
                self.error("--%s is empty (a shell variable that is not set?)" % name)
        return flags


def run(main):
    """Run the ``main`` of a script of this folder.

    Returns:
        The exit code: that of ``main``, 2 after one line about bad input, or 130 after Ctrl-C.
    """
    name = os.path.basename(sys.argv[0])
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format=name + ": %(message)s")
    try:
        return main()
    except KeyboardInterrupt:
        return 130
    except (ValueError, OSError) as error:
        return fail(name, error)


def fail(name, error):
    sys.stderr.write("%s: error: %s\n" % (name, " ".join(str(error).split())))
    return 2


def network_side(text):
    if not text.isdigit() or int(text) < STRIDE or int(text) % STRIDE:
        raise argparse.ArgumentTypeError("a multiple of 32 such as 128 or 256, not %r" % text)
    return int(text)


def parser():
    flags = Parser(
        description="Write a dataset as the .bin files that msame and ais_bench feed to an .om "
        "model.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    flags.add_argument(
        "--dataset_path",
        required=True,
        default=argparse.SUPPRESS,
        metavar="FOLDER",
        help="holds SPLIT/image and SPLIT/mask",
    )
    flags.add_argument(
        "--dataset_split_name", default="test", metavar="SPLIT", help="the folder below it"
    )
    flags.add_argument(
        "--output", default=os.path.join(ROOT, "Bin"), metavar="FOLDER", help="SPLIT/ goes into it"
    )
    flags.add_argument(
        "--size",
        default=256,
        type=network_side,
        metavar="PIXELS",
        help="side of a square network input",
    )
    flags.add_argument(
        "--shape",
        nargs=2,
        type=network_side,
        metavar=("HEIGHT", "WIDTH"),
        default=argparse.SUPPRESS,
        help="the network's input, in place of --size",
    )
    flags.add_argument(
        "--dtype", default="float32", choices=("float32", "uint8"), help="uint8: a model with AIPP"
    )
    flags.add_argument(
        "--preprocess",
        default="inside",
        choices=("inside", "outside"),
        help="where pictures are divided by 255: inside the graph (it gets 0..255) or outside "
        "(0..1)",
    )
    return flags


if __name__ == "__main__":
    sys.exit(run(main))
