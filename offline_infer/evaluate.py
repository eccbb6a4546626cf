"""Score what an .om model gave, by the code of `mmnet evaluate`. numpy and OpenCV only.

    python offline_infer/evaluate.py

reads ``Bin/test/manifest.json`` of datapre.py and the result files that msame or ais_bench left
below ``output``.
"""

import argparse
import hashlib
import json
import logging
import os
import sys
from typing import List, NamedTuple, Optional

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)  # runs from any folder, with nothing installed

from mmnet.datatools.tfrecords import shards_in  # noqa: E402

from mmnet.datasets.pairs import Dataset, Pair, find_dataset  # noqa: E402
from mmnet.evaluation.evaluate import evaluate  # noqa: E402
from mmnet.evaluation.report import published, report_text, result_of  # noqa: E402
from mmnet.inference.replay import CHANNELS, find_results, latest_change, open_results  # noqa: E402
from mmnet.io.errors import summarize_names  # noqa: E402
from mmnet.io.files import read_bytes  # noqa: E402
from mmnet.io.progress import progress  # noqa: E402
from mmnet.io.records import read_record  # noqa: E402
from offline_infer.datapre import Parser, run  # noqa: E402

OUTPUTS = (
    "output",
    "outputs",
    os.path.join("offline_infer", "output"),
    os.path.join("offline_infer", "outputs"),
)

log = logging.getLogger(__name__)


def main(argv=None):
    flags = parser().parse_args(argv)
    manifest = read_manifest(flags.manifest)
    data_set = data_set_of(manifest, flags.dataset_path or manifest.dataset_path)
    check_inputs(manifest, os.path.dirname(flags.manifest))
    defaults = [os.path.join(ROOT, name) for name in OUTPUTS]
    folder = find_results([flags.output_dir] if flags.output_dir else defaults)
    if latest_change(folder) < os.path.getmtime(flags.manifest):
        log.warning("%s is older than %s: is it of these pictures?", folder, flags.manifest)
    stems = [picture.stem for picture in manifest.pictures]
    predictor = open_results(folder, stems, manifest.shape, flags.output_type)
    evaluation = evaluate(
        predictor, data_set, flags.target_eval_shape, all_metrics=flags.all_metrics
    )
    result = result_of(predictor, evaluation)
    if flags.json:
        print(json.dumps(published(result, data_set.split)))
    else:
        print(report_text(result))
    return 0


class Picture(NamedTuple):
    """A picture in a manifest."""

    stem: str
    image: str
    mask: str
    sha256: str


class Manifest(NamedTuple):
    """What evaluate.py needs of what datapre.py wrote."""

    dataset_path: str
    split: str
    pictures: List[Picture]
    shape: Optional[List[int]] = None  # [H,W]
    size: Optional[int] = None  # the same of a square, as version 0.1 wrote it


def read_manifest(path):
    """The Manifest that datapre.py wrote.

    Raises:
        FileNotFoundError: no such file. ValueError: not a manifest; names the field.
    """
    if not os.path.lexists(path):
        raise FileNotFoundError(
            "no manifest %s: offline_infer/datapre.py writes it, --manifest says where it is" % path
        )
    try:
        manifest = read_record(path, Manifest)
        shape = manifest.shape or [manifest.size or 0] * 2
        if len(shape) != 2 or min(shape) < 1:
            raise ValueError("%s: shape is %s" % (path, shape))
        if not manifest.pictures:
            raise ValueError("%s lacks pictures" % path)
        for picture in manifest.pictures:
            for name in (picture.stem, picture.image, picture.mask):
                if os.path.basename(name) != name or not name:
                    raise ValueError("%s: %r is not the name of one file" % (path, name))
    except ValueError as error:
        raise ValueError("%s (not a manifest of datapre.py)" % error) from None
    return manifest._replace(shape=shape)


def data_set_of(manifest, dataset_path):
    """The original pictures, in the manifest's order, under the names that they have there.

    Raises:
        FileNotFoundError: pictures that are not there.
    """
    folder = os.path.join(dataset_path, manifest.split)
    if shards_in(folder):  # a packed dataset: no files of their own
        packed = {pair.stem: pair for pair in find_dataset(dataset_path, manifest.split).pairs}
        missing = [picture.image for picture in manifest.pictures if picture.image not in packed]
        if missing:
            raise FileNotFoundError(
                summarize_names("original pictures not found in " + folder, missing)
            )
        pairs = [packed[picture.image] for picture in manifest.pictures]
        return Dataset(dataset_path, manifest.split, pairs)
    pairs = [
        Pair(
            os.path.splitext(picture.image)[0],
            os.path.join(folder, "image", picture.image),
            os.path.join(folder, "mask", picture.mask),
        )
        for picture in manifest.pictures
    ]
    missing = [
        path for pair in pairs for path in (pair.image, pair.mask) if not os.path.isfile(path)
    ]
    if missing:
        raise FileNotFoundError(
            "%s: say with --dataset_path where the dataset is now"
            % summarize_names("original pictures not found", missing)
        )
    return Dataset(dataset_path, manifest.split, pairs)


def check_inputs(manifest, folder):
    """Raise ValueError for an images/<stem>.bin that is there, but is not what datapre.py wrote."""
    changed = []
    for picture in progress(manifest.pictures, len(manifest.pictures), "checking the inputs"):
        path = os.path.join(folder, "images", picture.stem + ".bin")
        if os.path.isfile(path) and hashlib.sha256(read_bytes(path)).hexdigest() != picture.sha256:
            changed.append(picture.stem + ".bin")
    if changed:
        raise ValueError(
            "%s: %s: run datapre.py and the inference again"
            % (
                os.path.join(folder, "images"),
                summarize_names("inputs changed since datapre.py", changed),
            )
        )


def positive(text):
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError("a whole number above 0, not %r" % text)
    return int(text)


def parser():
    flags = Parser(
        description="Score what an .om model gave, by the code of `mmnet evaluate`.",
        allow_abbrev=False,
    )
    flags.add_argument(
        "--output_dir",
        metavar="FOLDER",
        help="what msame or ais_bench wrote, or the folder around it "
        "(default: the newest in output or outputs, of the project or of offline_infer)",
    )
    flags.add_argument(
        "--manifest",
        default=os.path.join(ROOT, "Bin", "test", "manifest.json"),
        metavar="FILE",
        help="what datapre.py wrote (default: %(default)s)",
    )
    flags.add_argument(
        "--target_eval_shape",
        nargs=2,
        type=positive,
        default=(800, 600),
        metavar=("HEIGHT", "WIDTH"),
        help="second shape to score at (default: 800 600)",
    )
    flags.add_argument(
        "--all_metrics",
        action="store_true",
        help="also SAD, MSE, Grad, Conn and mIoU at that shape, as P3M's evaluation",
    )
    flags.add_argument(
        "--output_type",
        choices=sorted(CHANNELS),
        default="probabilities",
        help="what the model's output holds: probabilities (channel 1 is alpha), alpha, or logits "
        "(default: %(default)s)",
    )
    flags.add_argument(
        "--dataset_path", metavar="FOLDER", help="where the dataset is now (default: where it was)"
    )
    flags.add_argument(
        "--json", action="store_true", help="print one JSON object instead of the table"
    )
    return flags


if __name__ == "__main__":
    sys.exit(run(main))
