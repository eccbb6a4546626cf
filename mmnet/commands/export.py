"""`mmnet export`: write a checkpoint as SavedModel, TFLite, ONNX or frozen graph."""

import dataclasses
import os
import sys
from functools import partial
from typing import Any, Dict, List, Optional, Sequence, Tuple

from mmnet import export as export_folder
from mmnet.commands.flag_types import existing_folder, one_of, positive_int, split_name
from mmnet.commands.options import REQUIRED, CheckpointOptions, DatasetOptions, JsonOptions, flag
from mmnet.datasets.pairs import find_dataset
from mmnet.export import rembg
from mmnet.export.comparison import comparison_images
from mmnet.export.export import ExportMismatch, ExportSpec, check_spec, export
from mmnet.export.formats import CAN_REPLACE
from mmnet.export.representative import RepresentativeImages, read_representative_images
from mmnet.inference.card import FIELD_VALUES, card_path, card_to_dict
from mmnet.io.errors import MmnetError, format_shape
from mmnet.io.files import TEMPORARY_PREFIXES, check_writable, read_bytes, write_bytes
from mmnet.networks.network import Network, with_views
from mmnet.weights.values import Weights

HELD_OUT_SPLITS = ("test", "val", "validation")
PAGE_SOURCE = os.path.join(os.path.dirname(export_folder.__file__), "web")
PAGE_MODEL = "network.onnx"  # file of the network beside the page

output_type_flag = partial(
    flag,
    parse=one_of(*FIELD_VALUES["output_type"]),
    help="content of the output: probabilities (channel 1 is alpha), alpha or logits",
)


@dataclasses.dataclass(frozen=True)
class ModelOptions(CheckpointOptions, DatasetOptions, JsonOptions):
    """Options that ``mmnet export`` and ``mmnet freeze`` share."""

    dataset_path: Optional[str] = flag(  # type: ignore[assignment]
        None, existing_folder, help="images to compare on (default: synthetic images)", group="data"
    )
    preprocess: str = flag(
        "inside",
        one_of(*FIELD_VALUES["preprocess"]),
        help="division by 255: inside the model (input 0..255) or outside (input 0..1)",
    )


@dataclasses.dataclass(frozen=True)
class Options(ModelOptions):
    """Write a checkpoint as SavedModel, TFLite, ONNX or frozen graph, each with a card (.json).

    Batch norm is folded into the weights. Each model is run and compared with the checkpoint. The
    alphas must agree: float32 to 1e-4 at every pixel, float16 to 1e-3 on average, dynamic and int8
    to 1e-2 on average. If one model differs more, nothing is written and the exit code is 1.
    """

    format: Tuple[str, ...] = flag(
        REQUIRED,
        one_of("savedmodel", "tflite", "onnx", "pb", "web"),
        help="one or several formats; web is a page that runs the network in the browser",
        nargs="+",
    )
    output: str = flag(
        REQUIRED, help="folder for savedmodel/, NETWORK_PRECISION.tflite, NETWORK.onnx, .pb, web/"
    )
    precision: Tuple[str, ...] = flag(
        ("float32",),
        one_of(*FIELD_VALUES["precision"]),
        help="precisions of tflite; dynamic: 8-bit weights, int8: also 8-bit activations",
        nargs="+",
    )
    io: str = flag(
        "float", one_of("float", "uint8"), help="number format of an int8 model's input and output"
    )
    calibration_dataset: Optional[str] = flag(
        None, existing_folder, help="int8: dataset on which the ranges of activations are measured"
    )
    calibration_split: str = flag(
        "train", split_name, help="split of that dataset, with training images"
    )
    calibration_pictures: int = flag(
        100, positive_int, help="number of images, evenly spread over the split"
    )
    calibration_method: str = flag(
        "minmax", one_of("minmax", "entropy"), help="entropy clips rare values (Kullback-Leibler)"
    )
    output_type: str = output_type_flag("alpha")
    views: Optional[Tuple[str, ...]] = flag(
        None, nargs="+", help="average several views: sizes, f: mirrored, for example 256 320f"
    )
    target: Optional[str] = flag(
        None, one_of("rembg"), help="program that runs the .onnx; rembg takes images of 320x320"
    )

    def check(self) -> None:
        super().check()
        for name, value in (("calibration_dataset", self.calibration_dataset), ("io", self.io)):
            if value not in (None, "float") and "int8" not in self.precision:
                precisions = " ".join(self.precision)
                raise MmnetError(f"--{name} {value} needs --precision int8, not {precisions}")
        if self.views and (self.size or self.shape):
            raise MmnetError("--views excludes --size and --shape")
        if self.calibration_split.lower() in HELD_OUT_SPLITS:
            raise MmnetError(
                f"--calibration_split {self.calibration_split}: is reserved for evaluation; use "
                "training images"
            )
        is_plain = self.output_type == "alpha" and self.preprocess == "inside"
        if "web" in self.format and not is_plain:
            raise MmnetError("--format web needs --output_type alpha and --preprocess inside")
        if self.target and not (is_plain and set(self.format) == {"onnx"}):
            raise MmnetError(
                f"--target {self.target} needs --format onnx, --output_type alpha and --preprocess "
                "inside"
            )

    def network_fields(self) -> Dict[str, Any]:
        fields = super().network_fields()
        return {"shape": rembg.SHAPE, **fields} if self.target else fields


def run(options: Options) -> int:
    check_writable(options.output)
    if "web" in options.format:
        check_page_folder(os.path.join(options.output, "web"))
    weights = options.load_weights()
    if options.views:
        weights = weights._replace(network=with_views(weights.network, options.views))
    network = weights.network
    if ("web" in options.format or options.target) and network.channels != 3:
        raise MmnetError("--format web and --target need a network with 3 input channels")
    if options.target and network.shape != rembg.SHAPE:
        shapes = f"{format_shape(rembg.SHAPE)}, not {format_shape(network.shape)}"
        raise MmnetError(f"--target {options.target} takes images of {shapes}")
    specs = make_specs(options, network)
    for spec in specs:  # before images are read
        check_spec(spec, weights, is_calibrated=options.calibration_dataset is not None)
    representative = None
    if options.calibration_dataset:
        dataset = find_dataset(options.calibration_dataset, options.calibration_split)
        representative = read_representative_images(
            dataset, network, options.calibration_pictures, method=options.calibration_method
        )
    exit_code = export_and_print(options, weights, specs, representative)
    if exit_code == 0 and "web" in options.format:
        write_page(os.path.join(options.output, "web"))
    if exit_code == 0 and options.target:
        sys.stderr.write(rembg.run_commands(specs[0].path) + "\n")
    return exit_code


def make_specs(options: Options, network: Network) -> List[ExportSpec]:
    """Return a specification per format, and for tflite per precision."""
    name = network.name + (f"_{len(network.views)}views" if network.views else "")
    name += f"_{options.target}" if options.target else ""
    names = {"savedmodel": "savedmodel", "web": os.path.join("web", PAGE_MODEL)}
    specs = []
    for format in dict.fromkeys(options.format):
        precisions = dict.fromkeys(options.precision)
        if format != "tflite" and "float32" in precisions:
            precisions = {"float32": None}
        for precision in precisions:
            stem = f"{name}_{precision}" if format == "tflite" else name
            spec = ExportSpec(
                format="onnx" if format == "web" else format,
                path=os.path.join(options.output, names.get(format, f"{stem}.{format}")),
                precision=precision,
                preprocess=options.preprocess,
                output_type=options.output_type,
                io=options.io if precision == "int8" else "float",
                views=network.views,
                target=options.target,
            )
            specs.append(spec)
    return specs


def export_and_print(
    options: ModelOptions,
    weights: Weights,
    specs: Sequence[ExportSpec],
    representative: Optional[RepresentativeImages] = None,
) -> int:
    """Export, print the cards and return the exit code."""
    dataset = None
    if options.dataset_path is not None:
        dataset = find_dataset(options.dataset_path, options.dataset_split_name)
    images = comparison_images(dataset, weights.network)
    try:
        cards = export(weights, specs, images, representative)
    except ExportMismatch as error:
        sys.stderr.write(f"mmnet: error: {error}\n")
        return 1
    for card in cards:
        options.print_record(card_to_dict(card))
    return 0


def check_page_folder(folder: str) -> None:
    """Raise MmnetError unless the folder is new, empty, or has the card of an earlier export.

    A link to a folder, and links in place of the files of the page, are refused.
    """
    if not os.path.lexists(folder):
        return
    names = [name for name in os.listdir(folder) if not name.startswith(TEMPORARY_PREFIXES)]
    model = os.path.join(folder, PAGE_MODEL)
    card = card_path(model)
    is_own = os.path.isfile(card) and CAN_REPLACE["card"](read_bytes(card))
    page = [os.path.join(folder, name) for name in os.listdir(PAGE_SOURCE)]
    has_links = any(map(os.path.islink, [folder, model, card, *page]))
    if has_links or (names and not is_own):
        raise MmnetError(f"{folder} was not created by mmnet; use another folder", "output")


def write_page(folder: str) -> None:
    """Write the files of the web page beside its PAGE_MODEL."""
    for name in sorted(os.listdir(PAGE_SOURCE)):
        write_bytes(os.path.join(folder, name), read_bytes(os.path.join(PAGE_SOURCE, name)))
