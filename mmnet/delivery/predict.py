"""What the README of version 0.1 showed of predicting photos, for one version more."""

from deprecation import deprecated

from mmnet import __version__
from mmnet.inference.card import Card
from mmnet.inference.predictor import Predictor
from mmnet.network import Network
from mmnet.photos import compose
from mmnet.photos.matte import Care, matte_of

ONE_LOOK = Care(second_look=False, refinement=False)  # all that 0.1 had


@deprecated("0.2", "0.3", __version__, "Use mmnet.matte(image, predictor).")
def matte(predict, image, size=256):
    """The alpha of a photo uint8 [H,W,3] at its own size: float32 [H,W] 0..1.

    size: where ``predict`` is a plain function, [1,size,size,3] -> [1,size,size].
    """
    if hasattr(predict, "network"):
        return matte_of(image, predict, ONE_LOOK)
    card = Card(Network(shape=(size, size)))
    return matte_of(image, Predictor(lambda images: predict(images)[..., None], card), ONE_LOOK)


@deprecated("0.2", "0.3", __version__, "Use mmnet.cutout(photo, predictor).")
def cut_out(image, alpha):
    """RGBA uint8 [H,W,4] of an image uint8 [H,W,3] and its alpha [H,W] 0..1."""
    return compose.cut_out(image, alpha)
