"""A data set as the .bin files that msame and ais_bench feed to an .om model. numpy and OpenCV only.

    python offline_infer/datapre.py --dataset_path DATASET

writes, below ``Bin/test``:
    images/<stem>.bin   the network's input, NHWC [size,size,3] RGB; nothing else, for msame feeds every file it finds
    masks/<stem>.bin    float32 [size,size] 0..1
    manifest.json       which picture each stem is, and what was done to it; evaluate.py reads it
"""
import argparse
import hashlib
import json
import logging
import os
import re
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)  # runs from any folder, with nothing installed

from mmnet.data.images import resize_bilinear  # noqa: E402
from mmnet.data.pairs import load_pairs, read_pair  # noqa: E402
from mmnet.files import is_writable, write_text  # noqa: E402
from mmnet.progress import progress  # noqa: E402

LONGEST_STEM = 200  # so that <stem>_output_0.bin stays below the 255 bytes of a file name


def main(argv=None):
    flags = parser().parse_args(argv)
    folder, pictures = datapre(flags.dataset_path, flags.dataset_split_name, flags.output, flags.size, flags.dtype,
                               flags.preprocess)
    size, values = flags.size, "0..1" if divides(flags.dtype, flags.preprocess) else "0..255"
    print("%d pictures in %s: %d bytes each, %s [%d,%d,3], RGB %s" % (
        len(pictures), os.path.join(folder, "images"), np.dtype(flags.dtype).itemsize * size * size * 3, flags.dtype,
        size, size, values))
    return 0


def datapre(dataset_path, split, output, size=256, dtype="float32", preprocess="inside"):
    """Write a split of a data set into ``<output>/<split>``, in place of what an earlier run left there.

    Args:
        dtype: "float32", or "uint8" (rounded, 0..255) for a model with AIPP.
        preprocess: where float32 is divided by 255: "inside" the graph, or "outside" of it, which is here.

    Returns:
        (path of ``<output>/<split>``, the manifest's list of pictures)

    Raises:
        ValueError: ``<output>/<split>`` is something else; or of load_pairs. FileNotFoundError: of load_pairs.
    """
    if os.path.basename(split) != split or split in ("", ".", ".."):
        raise ValueError("--dataset_split_name is the name of one folder, not %r" % split)
    output = os.path.abspath(output)
    target = os.path.join(output, split)
    if os.path.lexists(target) and not os.path.isfile(os.path.join(target, "manifest.json")):
        raise ValueError("%s was not written by datapre (it holds no manifest.json) and stays: move it away or give "
                         "another --output" % target)
    if not is_writable(output):
        raise ValueError("--output %s cannot be written" % output)
    pairs = load_pairs(dataset_path, split)
    os.makedirs(output, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output, prefix=".building-") as folder:
        new, old = os.path.join(folder, "new"), os.path.join(folder, "old")
        pictures = write_pictures(pairs, new, size, dtype, preprocess)
        manifest = {"dataset_path": os.path.abspath(dataset_path), "split": split, "size": size, "dtype": dtype,
                    "preprocess": preprocess, "pictures": pictures}
        write_text(os.path.join(new, "manifest.json"), json.dumps(manifest, indent=1) + "\n")
        replace_folder(target, new, old)
    return target, pictures


def write_pictures(pairs, folder, size, dtype, preprocess):
    """Write images/ and masks/ of the pairs into a new folder; returns the manifest's list of pictures."""
    os.makedirs(os.path.join(folder, "images"))
    os.makedirs(os.path.join(folder, "masks"))

    def write(pair, stem):
        image, mask = read_pair(pair)
        data = to_input(image, size, dtype, preprocess).tobytes()
        with open(os.path.join(folder, "images", stem + ".bin"), "wb") as file:
            file.write(data)
        with open(os.path.join(folder, "masks", stem + ".bin"), "wb") as file:
            file.write(resize_bilinear(mask, (size, size), align_corners=True).astype("<f4").tobytes())
        return {"stem": stem, "image": os.path.basename(pair.image), "mask": os.path.basename(pair.mask),
                "height": mask.shape[0], "width": mask.shape[1], "sha256": hashlib.sha256(data).hexdigest()}

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        written = pool.map(write, pairs, safe_stems([pair.stem for pair in pairs]))
        return list(progress(written, len(pairs), "writing"))


def to_input(image, size, dtype, preprocess):
    """An image uint8 [H,W,3] as the model takes it: ``dtype`` [size,size,3], little-endian."""
    image = resize_bilinear(image, (size, size), align_corners=True)
    if dtype == "uint8":
        return np.rint(image).astype(np.uint8)
    return (image / np.float32(255) if divides(dtype, preprocess) else image).astype("<f4")


def divides(dtype, preprocess):
    """Whether the pictures leave here as 0..1. Bytes do not: with them AIPP does any division."""
    return dtype == "float32" and preprocess == "outside"


def safe_stems(stems):
    """Names that no tool cuts or splits: only A-Z a-z 0-9 _ -, not too long, all different; in the order of ``stems``.

    A stem that is safe already keeps its name, whatever the others become.
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


def replace_folder(target, new, old):
    """Put the folder ``new`` in the place of ``target``, which, if it is there, becomes ``old``."""
    if os.path.lexists(target):
        os.rename(target, old)
    try:
        os.rename(new, target)
    except BaseException:
        if os.path.lexists(old):
            os.rename(old, target)
        raise


class Parser(argparse.ArgumentParser):
    """Of this folder's scripts: one line for a wrong flag."""

    def error(self, message):
        sys.exit(fail(self.prog, message))


def run(main):
    """Run a script of this folder; returns its exit code: 0, 2 after one line for bad input, 130 for Ctrl-C."""
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


def network_size(text):
    if not text.isdigit() or int(text) < 32 or int(text) % 32:
        raise argparse.ArgumentTypeError("a multiple of 32 such as 128 or 256, not %r" % text)
    return int(text)


def parser():
    flags = Parser(description="Write a data set as the .bin files that msame and ais_bench feed to an .om model.",
                   formatter_class=argparse.ArgumentDefaultsHelpFormatter, allow_abbrev=False)
    flags.add_argument("--dataset_path", required=True, default=argparse.SUPPRESS, metavar="FOLDER",
                       help="holds SPLIT/image and SPLIT/mask")
    flags.add_argument("--dataset_split_name", default="test", metavar="SPLIT", help="the folder below it")
    flags.add_argument("--output", default=os.path.join(ROOT, "Bin"), metavar="FOLDER", help="SPLIT/ goes into it")
    flags.add_argument("--size", default=256, type=network_size, metavar="PIXELS", help="side of the network's input")
    flags.add_argument("--dtype", default="float32", choices=("float32", "uint8"), help="uint8: a model with AIPP")
    flags.add_argument("--preprocess", default="inside", choices=("inside", "outside"),
                       help="where pictures are divided by 255: inside the graph (it gets 0..255) or outside (0..1)")
    return flags


if __name__ == "__main__":
    sys.exit(run(main))
