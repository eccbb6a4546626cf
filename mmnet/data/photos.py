"""What the README of version 0.1 showed of loading photos, for one version more."""

from deprecation import deprecated

from mmnet import __version__
from mmnet.data.images import check_image, decode_image, read_image


@deprecated("0.2", "0.3", __version__, "Use mmnet.cutout or mmnet.matte, which load photos.")
def load_image(source, upright=False):
    """Load a picture as RGB uint8 [H,W,3] from a path, the bytes of a file, or an array."""
    if isinstance(source, bytes):
        return decode_image(source, "the picture's bytes", upright)
    if hasattr(source, "shape"):
        return check_image(source)
    return read_image(source, upright)
