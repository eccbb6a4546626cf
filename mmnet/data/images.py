"""Pictures in and out of files, and the two resizes that the scores are defined by. numpy and OpenCV only.

Decoding is OpenCV's, which is TensorFlow's ``dct_method="INTEGER_ACCURATE"``; TensorFlow's default decoder differs by
up to five levels, and that alone moves a picture's MAD by up to .0037.
"""
import cv2
import numpy as np

from mmnet.files import write_bytes

EXTENSIONS = (".jpg", ".jpeg", ".png")


def read_image(path, upright=False):
    """Load a picture file as RGB uint8 [H,W,3].

    Grey, palette and 16-bit files come out as 8-bit RGB; an alpha channel is dropped.

    Args:
        upright: turn the picture as its EXIF orientation says. Data sets are read as stored (False), because a mask
            belongs to the stored pixels.

    Raises:
        FileNotFoundError: no such file. ValueError: not a whole JPEG or PNG.
    """
    return decode_image(_read(path), path, upright)


def decode_image(data, source, upright=False):
    """read_image for the bytes of a file; ``source`` is what errors call them."""
    flags = cv2.IMREAD_COLOR if upright else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    return cv2.cvtColor(_decode(data, source, flags), cv2.COLOR_BGR2RGB)


def load_mask(path):
    """Load a mask as alpha: float32 [H,W] in 0..1.

    8-bit masks are divided by 255 and 16-bit masks by 65535; an 8-bit mask without a value above 1 holds labels 0/1. Of
    a file with an alpha channel that varies, that channel is the mask; else colour is taken as grey.

    Raises:
        FileNotFoundError: no such file. ValueError: not a whole JPEG or PNG.
    """
    mask = _decode(_read(path), path, cv2.IMREAD_UNCHANGED)
    if mask.ndim == 3 and mask.shape[2] == 4:
        transparency = mask[..., 3]
        mask = transparency if transparency.min() != transparency.max() else mask[..., :3]
    if mask.ndim == 3:
        mask = cv2.cvtColor(mask, cv2.COLOR_BGR2GRAY)
    if mask.dtype == np.uint16:
        return mask / np.float32(65535)
    return mask.astype(np.float32) if mask.max() <= 1 else mask / np.float32(255)


def save_png(path, picture):
    """Write uint8 [H,W] or RGB(A) [H,W,3 or 4] as PNG, whole or not at all."""
    if picture.ndim == 3:
        picture = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR if picture.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
    write_bytes(path, cv2.imencode(".png", picture)[1].tobytes())


def save_jpeg(path, image):
    """Write RGB uint8 [H,W,3] as JPEG of quality 95, whole or not at all."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    write_bytes(path, cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes())


def resize_bilinear(array, shape, align_corners):
    """Resize [H,W] or [H,W,C] to ``shape`` (height, width) as ``tf.image.resize_bilinear`` of TensorFlow 1 does.

    OpenCV's resize has neither of the two grids: with ``align_corners`` the corner pixels of both pictures coincide,
    without it an output pixel lies at ``index x input / output`` (no half-pixel centres). The result is float32.
    """
    if align_corners and array.shape[:2] == tuple(shape):
        return array.astype(np.float32)
    low, high, weight = _grid(array.shape[0], shape[0], align_corners)
    array = _mix(array.take(low, axis=0), array.take(high, axis=0), weight.reshape((-1,) + (1,) * (array.ndim - 1)))
    low, high, weight = _grid(array.shape[1], shape[1], align_corners)
    return _mix(array.take(low, axis=1), array.take(high, axis=1), weight.reshape((-1,) + (1,) * (array.ndim - 2)))


def _grid(before, after, align_corners):
    """For each output index: the input indices below and above, and the weight of the one above."""
    scale = (before - 1) / (after - 1) if align_corners and after > 1 else before / after
    position = np.arange(after, dtype=np.float32) * np.float32(scale)  # float32, as TensorFlow's kernel rounds
    low = np.minimum(position.astype(np.int64), before - 1)
    return low, np.minimum(low + 1, before - 1), position - low.astype(np.float32)


def _mix(low, high, weight):
    low = low.astype(np.float32, copy=False)
    return low + (high - low) * weight


def _read(path):
    with open(path, "rb") as file:
        return file.read()


def _decode(data, source, flags):
    # Decoders fill a cut-off file up with grey and say nothing; the end marker tells. In a whole JPEG no scan starts
    # behind the last end marker (an embedded preview has its own, further up).
    if data[:2] == b"\xff\xd8":
        whole = data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda")
    elif data[:4] == b"\x89PNG":
        whole = b"IEND" in data[-64:]
    else:
        raise ValueError("%s is not a JPEG or PNG picture" % source)
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if whole else None
    except cv2.error as error:  # more pixels than OpenCV takes
        raise ValueError("%s cannot be decoded: %s" % (source, error)) from None
    if picture is None:
        raise ValueError("%s is damaged or cut off" % source)
    return picture
