"""Read the masks of datasets as alpha. No TensorFlow."""

import cv2
import numpy as np

from mmnet.io.files import read_bytes
from mmnet.io.images import decode_pixels


def load_mask(path: str) -> np.ndarray:
    """Read a mask file as alpha.

    8-bit masks are divided by 255 and 16-bit masks by 65535. An 8-bit mask without a value above 1
    contains the labels 0 and 1, which are kept. If the file has an alpha channel that varies, this
    channel is the mask. Otherwise colours are converted to grey.

    Returns:
        float32 [H,W], 0..1.
    """
    mask = decode_pixels(read_bytes(path), path, cv2.IMREAD_UNCHANGED)
    if mask.ndim == 3 and mask.shape[2] == 4:
        transparency = mask[..., 3]
        mask = mask[..., :3] if transparency.min() == transparency.max() else transparency
    if mask.ndim == 3:
        mask = cv2.cvtColor(mask, cv2.COLOR_BGR2GRAY)
    if mask.dtype == np.uint16:
        return mask / np.float32(65535)
    return mask.astype(np.float32) if mask.max() <= 1 else mask / np.float32(255)
