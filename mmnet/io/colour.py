"""Convert colours to sRGB: ICC profiles, PNG chunks, CICP codes and EXIF. No TensorFlow.

The rendering intent is relative colorimetric. HDR images are mapped to SDR as clips are.
"""

import functools
import io
import logging
from typing import Any, Mapping, NamedTuple, Optional, Tuple, Union

import cv2
import numpy as np
from PIL import Image

from mmnet.io.lazy import lazy_import

ImageCms = lazy_import("PIL.ImageCms")

log = logging.getLogger(__name__)

# Chromaticities x, y of white, red, green and blue, by CICP code (ITU-T H.273).
D65 = (0.3127, 0.3290)
BT709, BT2020 = 1, 9
PRIMARIES = {
    BT709: (*D65, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060),
    4: (0.310, 0.316, 0.670, 0.330, 0.210, 0.710, 0.140, 0.080),
    5: (*D65, 0.640, 0.330, 0.290, 0.600, 0.150, 0.060),
    6: (*D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (*D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    BT2020: (*D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    22: (*D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
}
ADOBE_PRIMARIES = (*D65, 0.640, 0.330, 0.210, 0.710, 0.150, 0.060)
ADOBE_GAMMA = 2.19921875
SRGB_GAMMA = (2.19, 2.21)  # PNG writers store sRGB as the gamma 1 / 2.2
GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0, 17: 2.6}  # by CICP code of the transfer function
BT1886 = 2.4  # gamma of clips
SRGB, PQ, HLG = 13, 16, 18  # other codes of transfer functions are read as sRGB
SDR_WHITE = 100  # cd/m2
HDR_PEAK = 1000 / SDR_WHITE  # of HDR without metadata

# From BT.709 RGB to YCbCr, and the values that 8 bits of the range 16..235 store.
TO_YCBCR = np.array([[0.2126, 0.7152, 0.0722], [-0.1146, -0.3854, 0.5], [0.5, -0.4542, -0.0458]])
YCBCR_MIN = np.array([-16 / 219, -128 / 224, -128 / 224], np.float32)
YCBCR_MAX = np.array([239 / 219, 127 / 224, 127 / 224], np.float32)
BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
STRIP_ROWS = 64  # rows that are converted at once; fits the processor's cache
MIN_AREA = 0.001  # double area of the triangle of the primaries
LINEAR_LEVELS = 1 << 20  # levels of linear light that are encoded by a table

# Metadata that may define a colour space without a profile, as Pillow and pillow-heif name them.
SPACE_KEYS = {"cicp", "nclx_profile", "gamma", "chromaticity"}


class ColourSpace(NamedTuple):
    """A colour space without an ICC profile."""

    primaries: Tuple[float, ...]  # chromaticities in the order of PRIMARIES
    transfer: Union[int, float]  # SRGB, PQ, HLG, or a gamma (float)


def convert_to_srgb(
    values: np.ndarray, info: Mapping[str, Any], source: str, *, is_adobe_rgb: bool = False
) -> np.ndarray:
    """Convert the values of an image to sRGB, uint8 [H,W,3].

    The first of these defines the colours: CICP codes, an ICC profile, PNG chunks, EXIF.

    Args:
        values: uint8 or uint16: grey [H,W], RGB [H,W,3] or CMYK [H,W,4].
        info: metadata as Pillow and pillow-heif name them; and cicp, the codes of the primaries and
            of the transfer function, two bytes.
        source: name for messages.
        is_adobe_rgb: the EXIF data defines Adobe RGB.
    """
    profile = None if info.get("cicp") else info.get("icc_profile")
    space = None
    if not profile and (is_adobe_rgb or info.keys() & SPACE_KEYS):
        space = find_colour_space(info, is_adobe_rgb)
    if space is not None and (values.ndim == 2 or values.shape[2] == 3):
        rgb = cv2.cvtColor(values, cv2.COLOR_GRAY2RGB) if values.ndim == 2 else values
        return convert_space(rgb, space)
    if values.dtype == np.uint16:
        values = (values >> 8).astype(np.uint8)
    if values.ndim == 3 and profile and profile[16:20] == b"GRAY":
        first = values[..., 0]  # OpenCV decodes grey with alpha as RGBA
        values = first if (values == first[..., None]).all() else values
    if values.ndim == 2 and (not profile or profile[16:20] == b"RGB "):
        values = cv2.cvtColor(values, cv2.COLOR_GRAY2RGB)
    mode = "L" if values.ndim == 2 else {3: "RGB", 4: "CMYK"}[values.shape[2]]
    try:
        transform = make_transform(profile, mode) if profile else None
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        log.warning("%s: unusable colour profile ignored (%s)", source, error)
        transform = None
    if transform is None and mode == "RGB":
        return values
    size = values.shape[1], values.shape[0]
    image = Image.frombuffer(mode, size, np.ascontiguousarray(values), "raw", mode, 0, 1)
    if transform is None:
        return np.array(image.convert("RGB"))
    return np.array(ImageCms.applyTransform(image, transform))


def find_colour_space(info: Mapping[str, Any], is_adobe_rgb: bool) -> Optional[ColourSpace]:
    """Return the colour space of an image without an ICC profile, or None for sRGB."""
    cicp, nclx = info.get("cicp"), info.get("nclx_profile")
    if nclx:
        cicp = [nclx["color_primaries"], nclx["transfer_characteristics"]]
    primaries: Tuple[float, ...] = PRIMARIES[BT709]
    transfer: Union[int, float] = SRGB
    if cicp:
        primaries = PRIMARIES.get(cicp[0], primaries)
        transfer = GAMMAS.get(cicp[1], cicp[1] if cicp[1] in (PQ, HLG) else SRGB)
    elif is_adobe_rgb:
        primaries, transfer = ADOBE_PRIMARIES, ADOBE_GAMMA
    elif "srgb" not in info:
        primaries = info.get("chromaticity", primaries)
        is_srgb = np.allclose(primaries, PRIMARIES[BT709], atol=0.002)
        gamma = 1 / (info.get("gamma") or 1 / 2.2)
        if not (is_srgb and SRGB_GAMMA[0] < gamma < SRGB_GAMMA[1]):
            transfer = float(gamma) if "gamma" in info else SRGB
        elif is_srgb:
            primaries = PRIMARIES[BT709]
    _, white_y, red_x, red_y, green_x, green_y, blue_x, blue_y = primaries
    area = (red_x - blue_x) * (green_y - blue_y) - (green_x - blue_x) * (red_y - blue_y)
    if min(white_y, red_y, green_y, blue_y) <= 0 or abs(area) < MIN_AREA:  # invalid
        primaries = PRIMARIES[BT709]
    space = ColourSpace(tuple(primaries), transfer)
    return None if space == ColourSpace(PRIMARIES[BT709], SRGB) else space


def convert_space(
    image: np.ndarray, space: ColourSpace, *, is_video: bool = False, peak: float = HDR_PEAK
) -> np.ndarray:
    """Convert RGB, uint8 or uint16 [H,W,3], to the primaries of sRGB and BT.709, uint8 [H,W,3].

    HDR is tone-mapped as by FFmpeg's filter tonemap=hable:desat=0.

    Args:
        image: the image.
        space: its colour space.
        is_video: encode the result as BT.709 video. HDR always is.
        peak: the largest luminance of HDR, in units of SDR_WHITE.
    """
    is_hdr = space.transfer in (PQ, HLG)
    linear_levels = make_linear_table(space.transfer, np.iinfo(image.dtype).max)
    codes = make_encoding_table()
    matrix = make_matrix(space.primaries)
    result = np.empty(image.shape, np.uint8)
    for top in range(0, len(image), STRIP_ROWS):
        linear = cv2.transform(np.take(linear_levels, image[top : top + STRIP_ROWS]), matrix)
        if is_hdr:
            channels = cv2.split(linear)
            level = np.maximum(functools.reduce(cv2.max, channels), 1e-6)
            ratio = _hable(level) / (_hable(peak) * level)
            linear = cv2.merge([channel * ratio for channel in channels])
        if is_video or is_hdr:
            encoded = _encode_video(linear)
        else:
            levels = np.rint(linear.clip(0, 1) * LINEAR_LEVELS).astype(np.int32)
            encoded = np.take(codes, levels)
        result[top : top + STRIP_ROWS] = encoded
    return result


def _encode_video(linear):
    """Encode linear RGB, float32, as BT.709 video, uint8. YCbCr limits colours outside BT.709."""
    encoded = np.copysign(cv2.pow(np.abs(linear), 1 / BT1886), linear)
    ycbcr = np.clip(cv2.transform(encoded, TO_YCBCR), YCBCR_MIN, YCBCR_MAX)
    encoded = cv2.transform(ycbcr, np.linalg.inv(TO_YCBCR))
    return cv2.convertScaleAbs(encoded.clip(0, 1), alpha=255)


@functools.lru_cache(maxsize=8)
def make_linear_table(transfer: Union[int, float], levels: int) -> np.ndarray:
    """Return the linear light, float32 [levels + 1], of each code. HDR: in units of SDR_WHITE."""
    codes = np.arange(levels + 1) / levels
    if transfer == PQ:  # SMPTE ST 2084
        root = codes ** (1 / 78.84375)
        light = np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)
        linear = 10000 / SDR_WHITE * light ** (1 / 0.1593017578125)
    elif transfer == HLG:  # ITU-R BT.2100, system gamma 1.2
        high = (np.exp((codes - 0.55991073) / 0.17883277) + 0.28466892) / 12
        linear = HDR_PEAK * np.where(codes <= 0.5, codes**2 / 3, high) ** 1.2
    elif transfer == SRGB:
        linear = np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)
    else:
        linear = codes**transfer
    return linear.astype(np.float32)


@functools.lru_cache()
def make_encoding_table() -> np.ndarray:
    """Return the sRGB code, uint8, of each of LINEAR_LEVELS + 1 levels."""
    linear = np.arange(LINEAR_LEVELS + 1) / LINEAR_LEVELS
    codes = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(255 * codes).astype(np.uint8)


@functools.lru_cache(maxsize=8)
def make_matrix(primaries: Tuple[float, ...]) -> np.ndarray:
    """Return the matrix from linear RGB with these primaries to linear sRGB."""
    matrices = []
    for chromaticities in (primaries, PRIMARIES[BT709]):
        x, y = np.reshape(chromaticities, (4, 2)).T
        white, *colours = (np.stack([x, y, 1 - x - y]) / y).T
        rgb = np.stack(colours, axis=1)
        # Relative colorimetric: white stays white (Bradford).
        adapt = np.diag(1 / (BRADFORD @ white)) @ BRADFORD
        matrices.append(adapt @ rgb * np.linalg.solve(rgb, white))
    return np.linalg.solve(matrices[1], matrices[0])


def _hable(level):
    """Map a luminance with the curve of John Hable, as FFmpeg's tonemap does."""
    return (level * (0.15 * level + 0.05) + 0.004) / (level * (0.15 * level + 0.5) + 0.06) - 1 / 15


@functools.lru_cache(maxsize=None)
def srgb_profile() -> Any:
    """Return the ICC profile of sRGB, an ImageCmsProfile."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


@functools.lru_cache(maxsize=8)
def make_transform(profile: bytes, mode: str) -> Any:
    """Return the transform from an ICC profile to sRGB, or None if it changes no level by 2."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    transform = ImageCms.buildTransform(
        source, srgb_profile(), mode, "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC
    )
    if mode == "RGB":
        levels = np.stack(np.meshgrid(*3 * [np.arange(0, 256, 17)]), axis=-1).astype(np.uint8)
        samples = Image.fromarray(levels.reshape(16, -1, 3))
        change = np.array(ImageCms.applyTransform(samples, transform), int) - np.array(samples)
        return transform if np.abs(change).max() > 1 else None
    return transform
