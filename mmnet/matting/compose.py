"""Render the outputs of a photo and its alpha: alpha, cutout, composition. No TensorFlow."""

from typing import Dict, NamedTuple, Optional, Tuple

import cv2
import numpy as np

from mmnet.io.foreground import estimate_foreground
from mmnet.io.images import compose_over_grey
from mmnet.io.png import add_alpha
from mmnet.matting.background import Background
from mmnet.matting.photo import MattingOptions

KINDS = ("alpha", "cutout", "composition", "side-by-side")
DEFAULT_BACKGROUND = (128, 128, 128)  # for side-by-side outputs


class OutputOptions(NamedTuple):
    """The outputs of each photo or clip."""

    kinds: Tuple[str, ...] = ("alpha", "cutout")  # from KINDS
    background: Optional[Background] = None
    matting: MattingOptions = MattingOptions()
    temporal_filter: str = "motion"  # name in temporal.FILTERS, for clips


def render_outputs(
    image: np.ndarray,
    alpha: np.ndarray,
    options: OutputOptions,
    opacity: Optional[np.ndarray] = None,
    small: Optional[np.ndarray] = None,
    *,
    separate_alpha: bool = False,
) -> Dict[str, np.ndarray]:
    """Render the outputs of a photo or frame, uint8 [H,W,3], and its alpha, float32 [H,W], 0..1.

    Args:
        image: the photo or frame.
        alpha: the result of ``matte_photo``.
        options: which outputs, and how.
        opacity: uint8 [H,W], the alpha channel of the input, which ``alpha`` already contains;
            None: opaque. Semi-transparent pixels of the input keep their colours.
        small: the image at a smaller size of at least COLOUR_SIZE, if it is known.
        separate_alpha: return the cutout without its alpha channel, and alpha too.

    Returns:
        kind -> uint8 image: [H,W] for alpha, RGBA [H,W,4] for cutout, RGB [H,W,3] for composition,
        RGB [H,3W,3] for side-by-side (photo, alpha and composition in one row).
    """
    colours = image
    if options.matting.estimate_foreground and options.kinds != ("alpha",):
        colours = estimate_foreground(image, alpha, small)
        if opacity is not None:
            cv2.copyTo(image, (opacity < 255).view(np.uint8), colours)
    if opacity is not None:
        image = compose_over_grey(image, opacity)
    mask = cv2.convertScaleAbs(alpha, alpha=255)
    outputs = {"alpha": mask}
    if separate_alpha:
        outputs["cutout"] = colours
    elif "cutout" in options.kinds:
        outputs["cutout"] = add_alpha(colours, mask)
    if "composition" in options.kinds or "side-by-side" in options.kinds:
        background = options.background or Background(DEFAULT_BACKGROUND)
        behind = background.at(image, alpha)
        # blendLinear divides by the sum of the weights plus 1e-5. The error is below half a level.
        outputs["composition"] = cv2.blendLinear(colours, behind, alpha, 1 - alpha)
    if "side-by-side" in options.kinds:
        grey = cv2.cvtColor(mask, cv2.COLOR_GRAY2RGB)
        outputs["side-by-side"] = np.hstack([image, grey, outputs["composition"]])
    kinds = (*options.kinds, "alpha") if separate_alpha else options.kinds
    return {kind: outputs[kind] for kind in kinds}
