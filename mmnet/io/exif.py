"""Read the orientation of an image, and the metadata that its results keep. No TensorFlow."""

import contextlib
from typing import Any, Dict, Mapping, NamedTuple, Optional, Tuple

import cv2
import numpy as np
from PIL import Image

# Tags, and the directories that contain some of them.
ORIENTATION, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 0x112, 0x11A, 0x11B, 0x128
COLOUR_SPACE = 0xA001
EXIF_DIRECTORY, GPS_DIRECTORY, INTEROPERABILITY_DIRECTORY = 0x8769, 0x8825, 0xA005
KEPT_TAGS = (0x132, 0x13B, 0x8298)  # date, artist, copyright
KEPT_DETAILS = (
    *(0x9003, 0x9004),  # dates of the photo and of its digital version
    *(0x9010, 0x9011, 0x9012),  # time zones of the three dates
    *(0x9290, 0x9291, 0x9292),  # fractions of seconds
)
ADOBE_RGB = 2  # value of COLOUR_SPACE
EXIF_PREFIX = b"Exif\0\0"
MAX_DPI = 65536  # limit of JPEG
INCH, CENTIMETRES_PER_INCH = 2, 2.54

# EXIF orientation -> (whether rows and columns are exchanged, axis of cv2.flip after this).
TRANSFORMS = {
    **{2: (False, 1), 3: (False, -1), 4: (False, 0), 5: (True, None)},
    **{6: (True, 1), 7: (True, -1), 8: (True, 0)},
}


class Metadata(NamedTuple):
    """Facts about a photo that its results keep: EXIF tag -> value, by directory."""

    tags: Mapping[int, Any] = {}
    details: Mapping[int, Any] = {}
    gps: Mapping[int, Any] = {}  # written on request only
    dpi: Optional[Tuple[float, float]] = None


class Exif(NamedTuple):
    """The EXIF data of an image."""

    orientation: int
    is_adobe_rgb: bool
    metadata: Metadata


def orient(image: np.ndarray, orientation: int) -> np.ndarray:
    """Rotate and mirror an image or an alpha by an EXIF orientation. Ignore invalid values."""
    is_transposed, flip = TRANSFORMS.get(orientation, (False, None))
    image = cv2.transpose(image) if is_transposed else image
    return image if flip is None else cv2.flip(image, flip)


def read_exif(image: Image.Image) -> Exif:
    """Return the EXIF data of an image. Data after a damaged part is ignored."""
    orientation, is_adobe_rgb, metadata = 1, False, Metadata()
    with contextlib.suppress(Exception):  # Pillow raises many classes for damaged data
        exif = Image.Image.getexif(image)  # the method of a PNG would decode the pixels
        if image.format != "TIFF":  # Pillow rotates a TIFF; old versions keep the value
            orientation = exif.get(ORIENTATION, 1)
        details, gps = exif.get_ifd(EXIF_DIRECTORY), exif.get_ifd(GPS_DIRECTORY)
        unit = 1 if exif.get(RESOLUTION_UNIT, INCH) == INCH else CENTIMETRES_PER_INCH
        exif_dpi = [float(exif.get(tag) or 0) * unit for tag in (X_RESOLUTION, Y_RESOLUTION)]
        dpi = [float(value) for value in image.info.get("dpi") or exif_dpi]
        metadata = Metadata(
            {tag: exif[tag] for tag in KEPT_TAGS if tag in exif},
            {tag: details[tag] for tag in KEPT_DETAILS if tag in details},
            dict(gps),
            (dpi[0], dpi[1]) if 0 < min(dpi) <= max(dpi) < MAX_DPI else None,
        )
        if image.format in ("JPEG", "MPO"):  # cameras mark Adobe RGB without a profile
            is_adobe_rgb = details.get(COLOUR_SPACE) == ADOBE_RGB
            is_adobe_rgb |= exif.get_ifd(INTEROPERABILITY_DIRECTORY).get(1) == "R03"
    return Exif(orientation, is_adobe_rgb, metadata)


def encode_exif(metadata: Metadata, keep_gps: bool = False) -> bytes:
    """Return EXIF data without EXIF_PREFIX, or nothing if there is none."""
    exif = Image.Exif()
    for tag, value in metadata.tags.items():
        # Pillow reads texts as Latin-1, and would write other letters than ASCII as question marks.
        exif[tag] = str(value).encode("latin-1", "replace")
    if metadata.details:
        exif[EXIF_DIRECTORY] = {tag: str(value) for tag, value in metadata.details.items()}
    if metadata.gps and keep_gps:
        exif[GPS_DIRECTORY] = dict(metadata.gps)
    if metadata.dpi is not None:
        exif.update({X_RESOLUTION: metadata.dpi[0], Y_RESOLUTION: metadata.dpi[1]})
        exif[RESOLUTION_UNIT] = INCH
    try:
        return exif.tobytes()[len(EXIF_PREFIX) :] if len(exif) else b""
    except Exception:  # Pillow reads damaged positions, but cannot write them
        return encode_exif(metadata) if keep_gps else b""


def pil_options(metadata: Metadata, keep_gps: bool = False) -> Dict[str, Any]:
    """Return ``exif`` and ``dpi`` for Pillow's ``save``, as far as there are any."""
    exif = encode_exif(metadata, keep_gps)
    options = {"exif": EXIF_PREFIX + exif if exif else b"", "dpi": metadata.dpi}
    return {name: value for name, value in options.items() if value}
