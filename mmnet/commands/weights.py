"""`mmnet weights`: list, download, average or convert weights."""

import dataclasses
from typing import Optional, Tuple

import numpy as np
from humanfriendly import format_size

from mmnet.commands.card import write_card
from mmnet.commands.flag_types import existing_folder, one_of, positive_float
from mmnet.commands.info import ENTRY_FIELDS
from mmnet.commands.options import REQUIRED, JsonOptions, flag
from mmnet.datasets.pairs import find_dataset, pick_evenly
from mmnet.export.representative import read_images
from mmnet.inference.foreign import has_signature
from mmnet.inference.open import load_weights
from mmnet.io.errors import MmnetError
from mmnet.networks.network import Network, make_network
from mmnet.weights import registry
from mmnet.weights.batch_norm import measure_batch_norm
from mmnet.weights.convert import convert_weights
from mmnet.weights.source import find_source
from mmnet.weights.values import average_weights
from mmnet.weights.write import check_prefix, write_weights

IMAGES = 320  # per dataset, for the statistics of batch norm
USAGE = {
    "list": "list",
    "get": "get NAME ...",
    "average": "average CHECKPOINT CHECKPOINT ... --output PREFIX",
    "convert": "convert FILE --network NAME --output PREFIX",
}


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
    width_multiplier: float = flag(
        1.0, positive_float, help="convert: channel multiplier of the network"
    )
    use_ema: bool = flag(
        False, help="average: use the moving averages of checkpoints that contain some"
    )
    dataset_path: Optional[Tuple[str, ...]] = flag(
        None, existing_folder, nargs="+", help="average: measure batch norm on these datasets"
    )
    trust: bool = flag(
        False, help="get: keep files whose size and SHA-256 the registry does not know"
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
        is_complete = {
            "list": not self.names,
            "get": bool(self.names),
            "average": len(self.names) > (0 if self.dataset_path else 1),
            "convert": len(self.names) == 1,
        }
        if not is_complete[self.action]:
            raise MmnetError(f"usage: mmnet weights {USAGE[self.action]}")
        for name in self.names:
            if self.action == "get":
                registry.find_entry(name)
            elif self.action == "average" and find_source(name, download=False).kind == "untrained":
                raise MmnetError(f"{name}: average needs checkpoints")


def run(options: Options) -> int:
    actions = {"list": run_list, "get": run_get, "average": run_average, "convert": convert_file}
    actions[options.action](options)
    return 0


def run_list(options: Options) -> None:
    for name, entry in registry.read_registry().items():
        is_here = registry.is_downloaded(name)
        files = [file._asdict() for file in entry.files]
        record = dict(entry._asdict(), files=files, views=entry.view_texts())
        if options.json:
            options.print_record(dict(record, name=name, here=is_here))
            continue
        size = format_size(sum(file.bytes or 0 for file in entry.files), binary=True)
        state = "installed" if is_here else "downloaded on first use"
        if not is_here and not all(file.sha256 for file in entry.files):
            state = f"downloaded by mmnet weights get {name} --trust"
        fields = {field: record[field] for field in (*ENTRY_FIELDS, "views", "scores")}
        options.print_record({"name": name, "size": size, "state": state, **fields})


def run_get(options: Options) -> None:
    for name in options.names:
        registry.verify(name, trust=options.trust)
        source, like = find_source(name), registry.find_entry(name).like
        path = source.path
        if like and not has_signature(path):
            write_card(source, like)
        options.print_record({"name": name, "path": path}, path)


def run_average(options: Options) -> None:
    assert options.output is not None
    checkpoints = [load_weights(name) for name in options.names]
    check_prefix(options.output, [weights.source or "" for weights in checkpoints])
    mean = average_weights(checkpoints, use_ema=options.use_ema)
    if options.dataset_path:
        mean = measure_batch_norm(mean, read_training_images(options.dataset_path, mean.network))
    write_weights(options.output, mean)
    options.print_record({"path": options.output}, options.output)


def convert_file(options: Options) -> None:
    assert options.output is not None
    check_prefix(options.output, options.names)
    network = make_network({"name": options.network, "width_multiplier": options.width_multiplier})
    weights, missing = convert_weights(options.names[0], network)
    write_weights(options.output, weights)
    count = len(weights.values)
    text = f"{options.output}\n  {count} variables"
    if missing:
        text += f"\n  {len(missing)} variables of the network are missing (first: {missing[0]}); "
        text += f"mmnet train --checkpoint_path {options.output} --ignore_missing_vars "
        text += "initializes them"
    record = {"path": options.output, "variables": count, "missing": missing}
    options.print_record(record, text)


def read_training_images(paths: Tuple[str, ...], network: Network) -> np.ndarray:
    """Return float32 [N,H,W,C], 0..255, images of the datasets in alternation."""
    datasets = [find_dataset(path, "train") for path in paths]
    arrays = [read_images(pick_evenly(dataset.pairs, IMAGES), network) for dataset in datasets]
    shortest = min(map(len, arrays))
    images = np.stack([array[:shortest] for array in arrays], axis=1)
    return images.reshape(-1, *images.shape[2:])
