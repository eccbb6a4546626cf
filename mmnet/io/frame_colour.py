"""Convert decoded frames to upright 8-bit RGB (BT.709) and alpha. No TensorFlow.

HDR frames (PQ, HLG) are tone-mapped as these filters of FFmpeg do: zscale=t=linear:npl=100,
zscale=p=bt709, tonemap=hable:desat=0, zscale=t=bt709.
"""

import functools
from typing import Any, Optional, Tuple

import cv2
import numpy as np

# Numbers of ISO/IEC 23091-2, as FFmpeg uses them.
BT601, BT709, BT2020 = 5, 1, 9
MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}  # matrix -> the equal one of swscale
PQ, HLG = 16, 18
PRIMARIES = {  # -> x and y of red, green and blue; white is D65
    1: (0.64, 0.33, 0.30, 0.60, 0.15, 0.06),  # BT.709
    5: (0.64, 0.33, 0.29, 0.60, 0.15, 0.06),  # BT.601 with 625 lines
    6: (0.63, 0.34, 0.31, 0.595, 0.155, 0.07),  # BT.601 with 525 lines
    7: (0.63, 0.34, 0.31, 0.595, 0.155, 0.07),  # SMPTE 240M
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046),  # BT.2020
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060),  # Display P3
}
D65 = (0.3127, 0.3290)

HD_HEIGHT = 720  # pixels; a clip without a matrix is BT.709 from this height on
SDR_GAMMA = 2.4  # BT.1886
SDR_WHITE = 100  # cd/m2; the linear value 1
HDR_PEAK = 1000  # cd/m2 of a clip without metadata
ROWS = 64  # rows per step of the conversion; limits the memory


def convert_frame(frame: Any) -> Tuple[np.ndarray, Optional[np.ndarray]]:
    """Return the image uint8 [H,W,3] and the alpha uint8 [H,W] (None: opaque) of a PyAV frame."""
    matrix = MATRICES.get(frame.colorspace)
    if matrix is None:
        matrix = BT709 if frame.height >= HD_HEIGHT else BT601
    transfer, primaries = frame.color_trc, frame.color_primaries
    if transfer in (PQ, HLG) and primaries not in PRIMARIES:
        primaries = BT2020
    is_converted = transfer in (PQ, HLG) or primaries in set(PRIMARIES) - {BT709}
    pixel_format = frame.format
    has_alpha = pixel_format.name == "pal8" or any(
        part.is_alpha for part in pixel_format.components
    )
    # Some versions of FFmpeg convert to rgb48le wrongly.
    formats = ("gbrp16le", "gbrap16le") if is_converted else ("rgb24", "rgba")
    pixels = frame.to_ndarray(format=formats[has_alpha], src_colorspace=matrix)
    opacity = None
    if has_alpha:
        opacity = pixels[..., 3]
        if is_converted:
            opacity = (opacity >> 8).astype(np.uint8)
    image = pixels[..., :3]
    if is_converted:
        image = _convert_colours(image, transfer, primaries, _find_peak(frame))
    image = _rotate_upright(image, frame)
    if opacity is None or opacity.min() == 255:
        return image, None
    return image, _rotate_upright(opacity, frame)


def _convert_colours(image, transfer, primaries, peak):
    """Convert uint16 RGB to uint8 BT.709. The largest luminance of HDR is ``peak`` (1: white)."""
    table, matrix = _linear_table(transfer), _matrix_to_bt709(primaries)
    result = np.empty(image.shape, np.uint8)
    for top in range(0, len(image), ROWS):
        linear = cv2.transform(np.take(table, image[top : top + ROWS]), matrix)
        if transfer in (PQ, HLG):
            channels = cv2.split(linear)
            level = np.maximum(functools.reduce(cv2.max, channels), 1e-6)
            ratio = _hable(level) / (_hable(peak) * level)
            linear = cv2.merge([channel * ratio for channel in channels])
        encoded = cv2.pow(linear.clip(0, 1), 1 / SDR_GAMMA)
        result[top : top + ROWS] = cv2.convertScaleAbs(encoded, alpha=255)
    return result


@functools.lru_cache()
def _linear_table(transfer):
    """Return the linear values float32 [65536] of 16-bit values; 1 is the white of SDR."""
    values = np.linspace(0, 1, 65536)
    if transfer == PQ:  # SMPTE ST 2084
        power = values ** (32 / 2523)
        ratio = np.maximum(power - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * power)
        linear = 10000 / SDR_WHITE * ratio ** (16384 / 2610)
    elif transfer == HLG:  # ARIB STD-B67, system gamma 1.2
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(values <= 0.5, values**2 / 3, (np.exp((values - c) / a) + b) / 12)
        linear = HDR_PEAK / SDR_WHITE * scene**1.2
    else:
        linear = values**SDR_GAMMA
    return linear.astype(np.float32)


@functools.lru_cache()
def _matrix_to_bt709(primaries):
    """Return the matrix [3,3] from linear RGB with other primaries to BT.709."""

    def to_xyz(number):
        xy = np.reshape(PRIMARIES[number] + D65, (4, 2))
        xyz = np.column_stack([xy, 1 - xy.sum(axis=1)]).T / xy[:, 1]
        return xyz[:, :3] * np.linalg.solve(xyz[:, :3], xyz[:, 3])

    return np.linalg.solve(to_xyz(BT709), to_xyz(primaries)).astype(np.float32)


def _hable(level):
    """Map a luminance with the curve of John Hable, as FFmpeg's tonemap does."""
    return (level * (0.15 * level + 0.05) + 0.004) / (level * (0.15 * level + 0.5) + 0.06) - 1 / 15


def _find_peak(frame):
    """Return the largest luminance in the metadata of a frame. The white of SDR is 1."""
    light = frame.side_data.get("CONTENT_LIGHT_LEVEL")
    peak = 0 if light is None else np.frombuffer(light, np.uint32)[0]  # MaxCLL
    mastering = frame.side_data.get("MASTERING_DISPLAY_METADATA")
    if not peak and mastering is not None:
        numbers = np.frombuffer(
            mastering, np.int32
        )  # ten fractions; the last is the largest luminance
        peak = numbers[18] / numbers[19] if numbers[19] else 0
    return (peak or HDR_PEAK) / SDR_WHITE


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
