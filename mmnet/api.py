"""The public functions behind ``mmnet.load``, ``mmnet.matte`` and ``mmnet.cutout``."""

from functools import lru_cache

from mmnet.inference.open import open_predictor
from mmnet.io.foreground import estimate_foreground
from mmnet.matting.compose import cut_out
from mmnet.matting.load import load_photo
from mmnet.matting.photo import MattingOptions, matte_photo
from mmnet.weights.registry import DEFAULT
from mmnet.weights.values import WeightOptions


def load(source=DEFAULT, *, use_ema=False, logit_scale=1.0):
    """Open a trained network.

    Args:
        source: weights by name (``mmnet weights list``; by default those that come with mmnet), a
            checkpoint's prefix, a folder of checkpoints (its latest), a .pb, a .tflite, an .onnx or
            a SavedModel's folder.
        use_ema: take a checkpoint's moving averages of the weights.
        logit_scale: what a checkpoint's log odds of alpha are multiplied by.

    Returns:
        Predictor: call it with images float32 [N,H,W,3] 0..255 of its ``network.shape`` to get
        alphas float32 [N,H,W] 0..1; or give it to ``matte`` and ``cutout``.

    Raises:
        FileNotFoundError: nothing there. ValueError: damaged, or what runs it is not installed.
    """
    return open_predictor(source, weight_options=WeightOptions(use_ema, logit_scale))


def matte(photo, predictor=None, *, second_pass=True, refinement=True):
    """The alpha of a photo at its own size: float32 [H,W] in 0..1.

    Args:
        photo: a path, the bytes of a file, a uint8 array [H,W,3] RGB or a PIL image; files and PIL
            images are turned as their EXIF orientation says.
        predictor: of ``load``; None: of the weights that come with mmnet, opened once.
        second_pass: run the network again on the part of the photo that holds the people.
        refinement: bring the alpha to the photo's own edges.

    Raises:
        FileNotFoundError: no such file. ValueError: no picture.
    """
    care = MattingOptions(second_pass, refinement)
    return matte_photo(load_photo(photo), predictor or in_the_box(), care)


def cutout(photo, predictor=None, *, second_pass=True, refinement=True, foreground_colours=True):
    """The person cut out of a photo: RGBA uint8 [H,W,4]; arguments as ``matte``.

    foreground_colours: estimate the person's own colours at soft edges, where the photo's are mixed
    with the old background's.
    """
    image = load_photo(photo)
    care = MattingOptions(second_pass, refinement)
    alpha = matte_photo(image, predictor or in_the_box(), care)
    return cut_out(image, alpha, estimate_foreground(image, alpha) if foreground_colours else None)


@lru_cache(maxsize=1)
def in_the_box():
    """The Predictor of the weights that come with mmnet."""
    return load()
