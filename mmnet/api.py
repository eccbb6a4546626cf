"""The public functions of ``import mmnet``: load, matte, cutout and cutout_image."""

import functools
import os
import warnings
from typing import Any, Callable, Optional, Sequence, TypeVar, Union, cast

import numpy as np
from deprecation import DeprecatedWarning
from PIL import Image

from mmnet.inference.open import open_for_photos, open_predictor
from mmnet.inference.predictor import Predictor
from mmnet.io.colour import srgb_profile
from mmnet.io.errors import MmnetError
from mmnet.io.exif import pil_options
from mmnet.io.files import SEPARATOR
from mmnet.matting.compose import OutputOptions, render_outputs
from mmnet.matting.load import load_photo
from mmnet.matting.photo import MattingOptions, matte_photo
from mmnet.tf.device import Device, check_device
from mmnet.weights.registry import DEFAULT, is_name
from mmnet.weights.values import WeightOptions

Function = TypeVar("Function", bound=Callable[..., Any])
NetworkSource = Union[Predictor, str, "os.PathLike[str]", Sequence[str], None]


OLD_KEYWORDS = {  # keyword in 0.2 -> in 0.3
    "temperature": "logit_scale",
    "second_look": "second_pass",
    "refinement": "refine_edges",
    "foreground_colours": "estimate_foreground",
}


def accept_old_keywords(function: Function) -> Function:
    """Accept the keywords of 0.2 with a DeprecationWarning. Delete this in 0.4."""

    @functools.wraps(function)
    def call(*arguments, **keywords):
        for old in OLD_KEYWORDS.keys() & keywords.keys():
            name, details = f"{function.__name__}({old}=)", f"Use {OLD_KEYWORDS[old]}= instead."
            warnings.warn(DeprecatedWarning(name, "0.3", "0.4", details), stacklevel=2)
            keywords[OLD_KEYWORDS[old]] = keywords.pop(old)
        return function(*arguments, **keywords)

    return cast(Function, call)


@accept_old_keywords
def load(
    source: Union[str, "os.PathLike[str]", Sequence[str]] = DEFAULT,
    *,
    views: Optional[int] = None,
    use_ema: bool = False,
    logit_scale: float = 1.0,
    device: Optional[str] = None,
    threads: Optional[int] = None,
) -> Predictor:
    """Open a trained network.

    Args:
        source: weights by name (``mmnet weights list``), a checkpoint prefix, a folder of
            checkpoints (its latest), a .pb, .tflite or .onnx file, or a SavedModel folder. A list:
            the mean of the logits of several sources.
        views: number of views of a photo whose logits are averaged, 1 to 3: 1 is the fastest, 3
            the best. None: one view; a model file as it is.
        use_ema: use the moving averages of a checkpoint's weights.
        logit_scale: factor of a checkpoint's logits.
        device: "cpu", "gpu" or "npu"; None: the choice of the runtime. A .tflite or .onnx runs on
            the CPU.
        threads: CPU threads; None: the choice of the runtime.

    Returns:
        A Predictor. Call it with images, float32 [N,H,W,3], 0..255, of its ``network.shape`` to get
        alphas, float32 [N,H,W], 0..1, or pass it to ``matte`` and ``cutout``.

    Raises:
        FileNotFoundError: the source does not exist.
        MmnetError: the source is damaged, its runtime is not installed, or it cannot apply an
            argument.
    """
    source = _join_sources(source)
    target = Device(device, threads=threads)
    check_device(target)
    weight_options = WeightOptions(use_ema, logit_scale)
    return open_predictor(source, views=views, weight_options=weight_options, device=target)


@accept_old_keywords
def matte(
    photo: Any,
    predictor: NetworkSource = None,
    *,
    views: Optional[int] = None,
    second_pass: bool = True,
    clean_alpha: bool = True,
    refine_edges: bool = True,
) -> np.ndarray:
    """Compute the alpha of a photo at its own size: float32 [H,W], 0..1.

    Args:
        photo: a path, bytes, a file object, a PIL image, or a uint8 array: RGB [H,W,3], RGBA
            [H,W,4] or grey [H,W]. Files and PIL images are converted to sRGB, and rotated by their
            EXIF orientation. The alpha channel of a photo is multiplied into the result.
        predictor: a Predictor from ``load``, or a source; None: the bundled weights. Weights by
            name are opened once, with the default number of views of ``mmnet predict``.
        views: another number of views, if ``predictor`` is a source.
        second_pass: run the network again on the box that contains the people.
        clean_alpha: remove smudges, islands and holes.
        refine_edges: refine the edges with the photo.

    Raises:
        FileNotFoundError: the photo does not exist.
        MmnetError: the photo is unreadable or has an unsupported type.
    """
    options = MattingOptions(second_pass, refine_edges, clean_alpha=clean_alpha)
    return matte_photo(load_photo(photo), _find_predictor(predictor, views), options)


@accept_old_keywords
def cutout(
    photo: Any,
    predictor: NetworkSource = None,
    *,
    views: Optional[int] = None,
    second_pass: bool = True,
    clean_alpha: bool = True,
    refine_edges: bool = True,
    estimate_foreground: bool = True,
) -> np.ndarray:
    """Cut the person out of a photo: RGBA uint8 [H,W,4]; arguments as ``matte``.

    estimate_foreground: replace background colours in semi-transparent pixels.
    """
    loaded = load_photo(photo)
    options = MattingOptions(second_pass, refine_edges, estimate_foreground, clean_alpha)
    alpha = matte_photo(loaded, _find_predictor(predictor, views), options)
    output_options = OutputOptions(("cutout",), matting=options)
    return render_outputs(loaded.image, alpha, output_options, loaded.opacity)["cutout"]


def cutout_image(photo: Any, predictor: NetworkSource = None, **options: Any) -> Image.Image:
    """Cut the person out of a photo: PIL image (RGBA); arguments as ``cutout``.

    Its ``info`` contains the sRGB profile, and ``exif`` and ``dpi``, which ``save`` accepts.
    """
    loaded = load_photo(photo)
    image = Image.fromarray(cutout(loaded, predictor, **options))
    image.info.update(pil_options(loaded.metadata), icc_profile=srgb_profile().tobytes())
    return image


def _find_predictor(predictor: NetworkSource, views: Optional[int]) -> Predictor:
    if isinstance(predictor, Predictor):
        if views not in (None, max(1, len(predictor.network.views))):
            raise MmnetError("applies to a source; give it to mmnet.load", "views")
        return predictor
    source = _join_sources(predictor or DEFAULT)
    if is_name(source):
        return _open_once(source, views, os.getpid())
    return open_for_photos(source, views=views)


def _join_sources(source: Union[str, "os.PathLike[str]", Sequence[str]]) -> str:
    """Return the text of one or several sources."""
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    return SEPARATOR.join(map(os.fspath, source))


@functools.lru_cache(maxsize=None)
def _open_once(source: str, views: Optional[int], process: int) -> Predictor:
    """Open weights by name once per process, because some runtimes do not work after a fork."""
    return open_for_photos(source, views=views)
