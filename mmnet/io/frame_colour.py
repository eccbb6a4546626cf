"""Convert decoded frames to upright 8-bit RGB (BT.709) and alpha. No TensorFlow.

HDR frames (PQ, HLG) are tone-mapped as these filters of FFmpeg do: zscale=t=linear:npl=100,
zscale=p=bt709, tonemap=hable:desat=0, zscale=t=bt709.
"""

from typing import Any, Optional, Tuple

import numpy as np

from mmnet.io.colour import (
    BT709,
    BT1886,
    BT2020,
    GAMMAS,
    HDR_PEAK,
    HLG,
    PQ,
    PRIMARIES,
    SDR_WHITE,
    ColourSpace,
    convert_space,
)

# Numbers of ISO/IEC 23091-2, as FFmpeg uses them.
BT601 = 5
MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}  # matrix -> the equal one of swscale

HD_HEIGHT = 720  # pixels; a clip without a matrix is BT.709 from this height on


def convert_frame(frame: Any) -> Tuple[np.ndarray, Optional[np.ndarray]]:
    """Return the image uint8 [H,W,3] and the alpha uint8 [H,W] (None: opaque) of a PyAV frame."""
    matrix = MATRICES.get(frame.colorspace)
    if matrix is None:
        matrix = BT709 if frame.height >= HD_HEIGHT else BT601
    is_hdr = frame.color_trc in (PQ, HLG)
    default_primaries = PRIMARIES[BT2020 if is_hdr else BT709]
    space = ColourSpace(
        PRIMARIES.get(frame.color_primaries, default_primaries),
        frame.color_trc if is_hdr else GAMMAS.get(frame.color_trc, BT1886),
    )
    is_converted = space != ColourSpace(PRIMARIES[BT709], BT1886)
    pixel_format = frame.format
    has_alpha = pixel_format.name == "pal8" or any(
        part.is_alpha for part in pixel_format.components
    )
    # Some versions of FFmpeg convert to rgb48le wrongly.
    formats = ("gbrp16le", "gbrap16le") if is_converted else ("rgb24", "rgba")
    # FFmpeg converts yuva420p to rgba without the last columns of some widths.
    has_alpha_plane = pixel_format.name == "yuva420p"
    output_format = formats[has_alpha and not has_alpha_plane]
    pixels = frame.to_ndarray(format=output_format, src_colorspace=matrix)
    opacity = None
    if has_alpha_plane:
        opacity = alpha_plane(frame).copy()
    elif has_alpha:
        opacity = pixels[..., 3]
        if is_converted:
            opacity = (opacity >> 8).astype(np.uint8)
    image = pixels[..., :3]
    if is_converted:
        image = convert_space(image, space, is_video=True, peak=_find_peak(frame))
    image = _rotate_upright(image, frame)
    if opacity is None or opacity.min() == 255:
        return image, None
    return image, _rotate_upright(opacity, frame)


def alpha_plane(frame: Any) -> np.ndarray:
    """Return the alpha of a PyAV frame in yuva420p, uint8 [H,W], as a view."""
    return np.frombuffer(frame.planes[3], np.uint8).reshape(frame.height, -1)[:, : frame.width]


def _find_peak(frame):
    """Return the largest luminance in the metadata of a frame. The white of SDR is 1."""
    light = frame.side_data.get("CONTENT_LIGHT_LEVEL")
    peak = 0 if light is None else np.frombuffer(light, np.uint32)[0]  # MaxCLL
    mastering = frame.side_data.get("MASTERING_DISPLAY_METADATA")
    if not peak and mastering is not None:
        numbers = np.frombuffer(mastering, np.int32)  # fractions; the tenth is the luminance
        peak = numbers[18] / numbers[19] if numbers[19] else 0
    return peak / SDR_WHITE or HDR_PEAK


def is_transposed(frame: Any) -> bool:
    """Return whether a PyAV frame is displayed with its rows as columns."""
    a, b, c, d = _display_matrix(frame)
    return abs(b) + abs(c) > abs(a) + abs(d)


def _display_matrix(frame):
    """Return a, b, c, d. The pixel (x, y) is displayed at (a x + c y, b x + d y)."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return 1, 0, 0, 1
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].tolist()
    return a, b, c, d


def _rotate_upright(image, frame):
    """Rotate and mirror an image as the frame's display matrix defines."""
    a, b, c, d = _display_matrix(frame)
    if is_transposed(frame):
        image = image.swapaxes(0, 1)
        a, d = c, b
    return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])
