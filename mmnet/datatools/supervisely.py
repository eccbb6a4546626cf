"""Draw the masks of Supervisely's annotations. No TensorFlow."""

import base64
import zlib
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np

from mmnet.io.containers import PNG, detect_format
from mmnet.io.errors import MmnetError, format_shape, shorten
from mmnet.io.files import read_json
from mmnet.io.images import decode_pixels
from mmnet.io.records import to_record

PERSON_CLASS = "person"  # prefix of the class titles of people
MAX_MASK_PIXELS = 1 << 25  # unless the image is larger
MAX_PIXEL_BYTES = 8  # in a PNG
MAX_OVERHANG = 10  # sides of the mask between it and a corner of a polygon

Point = Tuple[float, float]


class Size(NamedTuple):
    """Size of an annotated image in pixels."""

    height: int
    width: int


class Bitmap(NamedTuple):
    """A mask of a part of the image."""

    data: str  # a PNG, compressed with zlib, in base64
    origin: Tuple[int, int]  # (left, top)


class Polygon(NamedTuple):
    """An outline with holes."""

    exterior: List[Point] = []
    interior: List[List[Point]] = []


class Annotation(NamedTuple):
    """The JSON file of an image."""

    objects: List[dict]
    size: Optional[Size] = None  # None: the size of the image


def draw_annotation(path: str, shape: Sequence[int]) -> np.ndarray:
    """Draw the people of an annotation (bitmaps and polygons): float32 [H,W], 0 or 1.

    Args:
        path: the JSON file.
        shape: shape of the image.

    Raises:
        MmnetError: a value has another type, or does not fit into the image.
    """
    annotation = to_record(read_json(path), Annotation, path)
    size = annotation.size or Size(*shape[:2])
    if min(size) < 1 or size.height * size.width > max(MAX_MASK_PIXELS, shape[0] * shape[1]):
        raise MmnetError(f"{path}: size: {shorten(tuple(size))} for an image of {shape[:2]}")
    mask = np.zeros(size, np.uint8)
    for index, values in enumerate(annotation.objects):
        where = f"{path}: objects[{index}]"
        title = values.get("classTitle", PERSON_CLASS)
        if not isinstance(title, str):
            raise MmnetError(f"{where}: classTitle: expected str, not {shorten(title)}")
        if title.lower().startswith(PERSON_CLASS):
            _draw_object(mask, values, where)
    return mask.astype(np.float32)


def _draw_object(mask: np.ndarray, values: Dict[str, Any], where: str) -> None:
    """Draw the bitmap or the polygon of an object into the mask."""
    if values.get("bitmap") not in (None, {}):
        _draw_bitmap(mask, to_record(values["bitmap"], Bitmap, f"{where}: bitmap"), where)
    elif "points" in values:
        polygon = to_record(values["points"], Polygon, f"{where}: points")
        if not polygon.exterior:
            return
        limit = MAX_OVERHANG * max(mask.shape)
        corners = [np.rint(np.array(ring)) for ring in [polygon.exterior, *polygon.interior]]
        if not all(len(ring) and (np.abs(ring) <= limit).all() for ring in corners):
            raise MmnetError(f"{where}: points: empty, or outside of {format_shape(mask.shape)}")
        cv2.fillPoly(mask, [ring.astype(np.int32) for ring in corners], 1)


def _draw_bitmap(mask: np.ndarray, bitmap: Bitmap, where: str) -> None:
    """Draw a bitmap. It may end outside of the mask."""
    left, top = bitmap.origin
    decompressor, limit = zlib.decompressobj(), MAX_PIXEL_BYTES * mask.size + (1 << 20)
    try:
        png = decompressor.decompress(base64.b64decode(bitmap.data), limit)
    except (ValueError, zlib.error) as error:
        raise MmnetError(f"{where}: bitmap: {error}") from None
    width, height = (int.from_bytes(png[start : start + 4], "big") for start in (16, 20))
    fits = 0 <= left < mask.shape[1] and 0 <= top < mask.shape[0]
    fits = fits and width <= mask.shape[1] and height <= mask.shape[0]
    if not decompressor.eof or detect_format(png) != PNG or not fits:
        raise MmnetError(f"{where}: bitmap: no complete PNG inside of {format_shape(mask.shape)}")
    inside = decode_pixels(png, f"{where}: bitmap", cv2.IMREAD_UNCHANGED)
    inside = inside[..., -1] if inside.ndim == 3 else inside
    part = mask[top : top + inside.shape[0], left : left + inside.shape[1]]
    part |= (inside[: part.shape[0], : part.shape[1]] > 0).astype(np.uint8)
