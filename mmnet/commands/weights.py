"""`mmnet weights`: list, download, average or convert weights."""

import dataclasses
import json
import math
import os
from typing import Any, Dict, Optional, Tuple

import numpy as np
from humanfriendly import format_size

from mmnet.commands.flag_types import dataset_folder, one_of, positive_float
from mmnet.commands.options import REQUIRED, JsonOptions, flag
from mmnet.datasets.pairs import find_dataset, pick_evenly
from mmnet.export.representative import read_images
from mmnet.inference.open import load_weights
from mmnet.io.errors import MmnetError
from mmnet.io.files import check_writable
from mmnet.networks.network import Network, make_network
from mmnet.weights import registry
from mmnet.weights.batch_norm import measure_batch_norm
from mmnet.weights.convert import convert_weights
from mmnet.weights.source import find_source
from mmnet.weights.values import average_weights
from mmnet.weights.write import write_weights

IMAGES = 320  # per dataset, for the statistics of batch norm
USAGE = {
    "list": "list",
    "get": "get NAME ...",
    "average": "average CHECKPOINT CHECKPOINT ... --output PREFIX",
    "convert": "convert FILE --network NAME --output PREFIX",
}
# action -> lowest and highest number of names
NAMES = {"list": (0, 0), "get": (1, math.inf), "average": (2, math.inf), "convert": (1, 1)}


@dataclasses.dataclass(frozen=True)
class Options(JsonOptions):
    """List, download, average or convert weights.

    list: show the weights with a name. Every command accepts a name instead of a checkpoint and
    downloads the weights if necessary, to $MMNET_HOME (default: mmnet in the user's cache).
    get: download and verify weights by name, and print their checkpoints.
    average: write the mean of several checkpoints. The mean of a training and of the checkpoint
    from which it started often scores better than both (Wortsman et al., "Model soups", ICML 2022).
    convert: write weights of another project as a checkpoint: MODNet (the .ckpt of its authors, or
    an .onnx), or MobileNetV2 for ImageNet (a TensorFlow checkpoint of slim, or the .h5 of Keras) as
    the encoder of deeplab or modnet.
    """

    action: str = flag(REQUIRED, one_of(*USAGE), help="; ".join(USAGE.values()), positional=True)
    names: Tuple[str, ...] = flag(
        (), help="names, checkpoints, or the file to convert", nargs="*", positional=True
    )
    network: Optional[str] = flag(None, help="convert: network for the weights, such as modnet")
    width_multiplier: Optional[float] = flag(
        None, positive_float, help="convert: channel multiplier of the network (default: 1.0)"
    )
    use_ema: bool = flag(
        False, help="average: use the moving averages of checkpoints that contain some"
    )
    dataset_path: Optional[Tuple[str, ...]] = flag(
        None,
        dataset_folder,
        help="average: measure the statistics of batch norm on images of these datasets (split "
        "train); one checkpoint is then enough",
        nargs="+",
    )
    output: Optional[str] = flag(None, help="average, convert: prefix of the checkpoint to write")

    def check(self) -> None:
        writes = self.action in ("average", "convert")
        if writes != (self.output is not None):
            raise MmnetError("--output: is required by average and convert, and only by them")
        if (self.action == "convert") != (self.network is not None):
            raise MmnetError("--network: is required by convert, and only by it")
        if self.dataset_path and self.action != "average":
            raise MmnetError("--dataset_path: applies only to average")
        least, most = NAMES[self.action]
        if self.dataset_path:
            least = 1
        if not least <= len(self.names) <= most:
            raise MmnetError(f"usage: mmnet weights {USAGE[self.action]}")
        for name in self.names:
            if self.action == "get":
                registry.find_entry(name)
            elif self.action == "average" and find_source(name, download=False).kind == "untrained":
                raise MmnetError(f"{name}: average needs checkpoints")


def run(options: Options) -> int:
    if options.output:
        check_writable(os.path.dirname(os.path.abspath(options.output)))
    actions = {"list": run_list, "get": run_get, "average": run_average, "convert": convert_file}
    actions[options.action](options)
    return 0


def run_list(options: Options) -> None:
    for name, entry in registry.read_registry().items():
        if options.json:
            record = dict(entry._asdict(), files=[file._asdict() for file in entry.files])
            print(json.dumps(dict(record, name=name, here=registry.is_downloaded(name))))
        else:
            print(format_entry(name, entry))


def run_get(options: Options) -> None:
    for name in options.names:
        registry.verify(name)
        prefix = find_source(name).path
        print(json.dumps({"name": name, "path": prefix}) if options.json else prefix)


def run_average(options: Options) -> None:
    assert options.output is not None
    checkpoints = [load_weights(name) for name in options.names]
    mean = average_weights(checkpoints, use_ema=options.use_ema)
    if options.dataset_path:
        mean = measure_batch_norm(mean, read_training_images(options.dataset_path, mean.network))
    write_weights(options.output, mean)
    print(json.dumps({"path": options.output}) if options.json else options.output)


def convert_file(options: Options) -> None:
    assert options.output is not None
    fields = {"name": options.network, "width_multiplier": options.width_multiplier}
    network = make_network({name: value for name, value in fields.items() if value is not None})
    converted = convert_weights(options.names[0], network)
    write_weights(options.output, converted.weights)
    count = len(converted.weights.values)
    record = {"path": options.output, "variables": count, "missing": converted.missing}
    print(json.dumps(record) if options.json else format_conversion(record))


def read_training_images(paths: Tuple[str, ...], network: Network) -> np.ndarray:
    """Return float32 [N,H,W,C], 0..255, images of the datasets in alternation."""
    datasets = [find_dataset(path, "train") for path in paths]
    arrays = [read_images(pick_evenly(dataset.pairs, IMAGES), network) for dataset in datasets]
    shortest = min(map(len, arrays))
    images = np.stack([array[:shortest] for array in arrays], axis=1)
    return images.reshape(-1, *images.shape[2:])


def format_conversion(record: Dict[str, Any]) -> str:
    """Return a summary of a conversion as text."""
    path, missing = record["path"], record["missing"]
    text = f"{path}\n  {record['variables']} variables"
    if missing:
        text += f"\n  {len(missing)} variables of the network are missing (first: {missing[0]}); "
        text += f"mmnet train --checkpoint_path {path} --ignore_missing_vars initializes them"
    return text


def format_entry(name: str, entry: registry.Entry) -> str:
    """Return an entry of the registry as text."""
    size = format_size(sum(file.bytes for file in entry.files), binary=True)
    state = "installed" if registry.is_downloaded(name) else "downloaded on first use"
    rows = [("data", entry.data), ("weak on", entry.weak), ("licence", entry.licence)]
    if entry.page:
        rows.append(("page", entry.page))
    for dataset, scores in entry.scores.items():
        values = ", ".join(f"{metric} {value:.4f}" for metric, value in scores.items())
        rows.append(("scores", f"{dataset}: {values}"))
    lines = [f"{name} ({size}, {state})", f"  {entry.description}"]
    return "\n".join(lines + [f"  {label:10} {text}" for label, text in rows])
