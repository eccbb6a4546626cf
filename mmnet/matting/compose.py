"""Render the outputs of a photo and its alpha: alpha, cutout, composition. No TensorFlow."""

from typing import Dict, NamedTuple, Optional, Tuple

import cv2
import numpy as np

from mmnet.io.foreground import estimate_foreground
from mmnet.matting.background import Background, ColourBackground
from mmnet.matting.photo import MattingOptions

KINDS = ("alpha", "cutout", "composition", "side-by-side")
DEFAULT_BACKGROUND = ColourBackground(128, 128, 128)  # for side-by-side outputs


class OutputOptions(NamedTuple):
    """The outputs of each photo or clip."""

    kinds: Tuple[str, ...] = ("alpha", "cutout")  # from KINDS
    background: Optional[Background] = None
    matting: MattingOptions = MattingOptions()
    temporal_filter: str = "motion"  # name in temporal.FILTERS, for clips


def render_outputs(
    image: np.ndarray, alpha: np.ndarray, options: OutputOptions
) -> Dict[str, np.ndarray]:
    """Render the outputs of a photo or frame, uint8 [H,W,3], and its alpha, float32 [H,W], 0..1.

    Returns:
        kind -> uint8 [H,W] (alpha), [H,W,4] (cutout), [H,W,3] (composition) or [H,3W,3].
    """
    kinds, foreground = options.kinds, None
    if options.matting.estimate_foreground and kinds != ("alpha",):
        foreground = estimate_foreground(image, alpha)
    outputs = {}
    if "alpha" in kinds:
        outputs["alpha"] = alpha_to_mask(alpha)
    if "cutout" in kinds:
        outputs["cutout"] = make_cutout(image, alpha, foreground)
    if "composition" in kinds or "side-by-side" in kinds:
        background = options.background or DEFAULT_BACKGROUND
        composition = compose(image, alpha, background, foreground)
        if "composition" in kinds:
            outputs["composition"] = composition
        if "side-by-side" in kinds:
            outputs["side-by-side"] = side_by_side(image, alpha, composition)
    return outputs


def alpha_to_mask(alpha: np.ndarray) -> np.ndarray:
    """Convert an alpha, float32 0..1, to uint8 0..255."""
    return np.rint(alpha * 255).astype(np.uint8)


def make_cutout(
    image: np.ndarray, alpha: np.ndarray, foreground: Optional[np.ndarray] = None
) -> np.ndarray:
    """Return the person as RGBA uint8 [H,W,4].

    Args:
        image: uint8 [H,W,3].
        alpha: float32 [H,W], 0..1.
        foreground: uint8 [H,W,3], estimated foreground colours; None: the colours of the image.
    """
    colours = image if foreground is None else foreground
    return np.dstack([colours, alpha_to_mask(alpha)])


def compose(
    image: np.ndarray,
    alpha: np.ndarray,
    background: Background,
    foreground: Optional[np.ndarray] = None,
) -> np.ndarray:
    """Compose the person over a background: uint8 [H,W,3]; arguments as make_cutout."""
    colours = image if foreground is None else foreground
    # blendLinear divides by the sum of the weights plus 1e-5. The error is below half a level.
    return cv2.blendLinear(colours, background.at(image, alpha), alpha, 1 - alpha)


def side_by_side(image: np.ndarray, alpha: np.ndarray, composition: np.ndarray) -> np.ndarray:
    """Return the photo, its alpha and the composition in one row: uint8 [H,3W,3]."""
    grey = cv2.cvtColor(alpha_to_mask(alpha), cv2.COLOR_GRAY2RGB)
    return np.hstack([image, grey, composition])
