"""The public functions behind ``mmnet.load``, ``mmnet.matte`` and ``mmnet.cutout``."""

from mmnet.inference.open import open_predictor
from mmnet.photos.compose import cut_out
from mmnet.photos.load import load_photo
from mmnet.photos.matte import matte_of


def load(source, *, use_ema=False):
    """Open a trained network.

    Args:
        source: a checkpoint's prefix, a folder of checkpoints (its latest), a .pb, a .tflite, an
            .onnx or a SavedModel's folder. use_ema: a checkpoint's moving averages of the weights.

    Returns:
        Predictor: call it with images float32 [N,H,W,3] 0..255 of its ``network.shape`` to get
        alphas float32 [N,H,W] 0..1; or give it to ``matte`` and ``cutout``.

    Raises:
        FileNotFoundError: nothing there. ValueError: damaged, or what runs it is not installed.
    """
    return open_predictor(source, use_ema=use_ema)


def matte(photo, predictor):
    """The alpha of a photo at its own size: float32 [H,W] in 0..1.

    Args:
        photo: a path, the bytes of a file, a uint8 array [H,W,3] RGB or a PIL image; files and PIL
            images are turned as their EXIF orientation says. predictor: of ``load``.

    Raises:
        FileNotFoundError: no such file. ValueError: no picture.
    """
    return matte_of(load_photo(photo), predictor)


def cutout(photo, predictor):
    """The person cut out of a photo: RGBA uint8 [H,W,4]; arguments as ``matte``."""
    image = load_photo(photo)
    return cut_out(image, matte_of(image, predictor))
