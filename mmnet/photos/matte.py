"""The alpha of a photo of any shape, at its own size. No TensorFlow."""

import cv2

from mmnet.data.images import resize_bilinear

# Limits of height / width, up to which a photo is squeezed into the network's input like the
# training portraits.
TALLEST, WIDEST = 2.0, 1.0
GRAIN = 800  # pixels of a training portrait's longer side


def matte_of(image, predictor):
    """The alpha of a photo at its own size.

    The network learned upright 3:4 portraits squeezed into a square, so a photo between square and
    twice as high as wide goes in the same way. One that is wider or higher is first extended to
    that limit by mirroring it at its borders, which keeps the person's shape and leaves no edge to
    be mistaken for one; the extension is cut off again. (Mirroring everything to a square scored
    worse: MAD .0258 against .0204 on 3:4 portraits.)

    Args:
        image: uint8 [H,W,3] RGB. predictor: Predictor.

    Returns:
        float32 [H,W] 0..1.
    """
    height, width = image.shape[:2]
    scale = GRAIN / max(height, width)
    small = image
    if scale < 1:  # by averaging, so that a large photo does not come as scattered pixels
        small_shape = max(1, round(height * scale)), max(1, round(width * scale))
        small = cv2.resize(image, small_shape[::-1], interpolation=cv2.INTER_AREA)
    rows, columns = small.shape[:2]
    above = (max(0, round(columns * WIDEST) - rows) + 1) // 2
    left = (max(0, round(rows / TALLEST) - columns) + 1) // 2
    extended = cv2.copyMakeBorder(small, above, above, left, left, cv2.BORDER_REFLECT_101)
    seen = resize_bilinear(extended, predictor.network.shape, align_corners=True)
    alpha = resize_bilinear(predictor(seen[None])[0], extended.shape[:2], align_corners=True)
    alpha = alpha[above : above + rows, left : left + columns]
    if scale >= 1:
        return alpha
    return cv2.resize(alpha, (width, height), interpolation=cv2.INTER_LINEAR)
