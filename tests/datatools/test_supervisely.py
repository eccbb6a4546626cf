"""Tests of mmnet.datatools.supervisely: annotations of another type or size."""

import base64
import json
import time
import zlib

import numpy as np
import pytest

from helpers import assert_message, assert_raises
from helpers.images import make_empty_png
from helpers.layouts import draw_pair, write_file
from mmnet.cli import main
from mmnet.datasets.pairs import find_dataset
from mmnet.datatools.supervisely import draw_annotation
from mmnet.io.errors import MmnetError
from mmnet.io.images import encode_jpeg, encode_png

CORNERS = [[5, 5], [40, 5], [40, 60]]
POLYGON = {"classTitle": "person", "points": {"exterior": CORNERS, "interior": []}}


def with_size(height, width=60):
    return {"size": {"height": height, "width": width}, "objects": [POLYGON]}


def with_object(**values):
    return {"objects": [dict(classTitle="person", **values)]}


def with_bitmap(png, origin=(0, 0), **values):
    data = base64.b64encode(zlib.compress(png, 9)).decode()
    return with_object(bitmap={"data": data, "origin": origin, **values})


def with_corners(*corners, interior=()):
    return with_object(points={"exterior": corners, "interior": interior})


BAD_ANNOTATIONS = {
    "size is a list": {"size": [80, 60], "objects": []},
    "size is text": {"size": "80", "objects": []},
    "size is a number": {"size": 80, "objects": []},
    "height is text": with_size("80"),
    "height is null": with_size(None),
    "height is a fraction": with_size(80.5),
    "height is a bool": with_size(True),
    "height is a list": with_size([80]),
    "height is 0": with_size(0),
    "height is negative": with_size(-80),
    "height has 30 digits": with_size(10**30),
    "large size": with_size(10**6, 10**6),
    "objects are text": {"objects": "abc"},
    "objects are a dict": {"objects": {}},
    "object is null": {"objects": [None]},
    "object is a list": {"objects": [[1]]},
    "title is a number": {"objects": [{"classTitle": 4}]},
    "points are a list": with_object(points=CORNERS),
    "points are null": with_object(points=None),
    "corners are text": with_object(points={"exterior": "abc"}),
    "corner is a number": with_corners(1, 2, 3),
    "corner has three values": with_corners([1, 2, 3], [4, 5, 6], [7, 8, 9]),
    "corner of texts": with_corners(["1", "2"], ["4", "5"]),
    "corner is far": with_corners([2e9, 5], [40, 2e9], [-2e9, -2e9]),
    "corner is infinite": with_corners([float("inf"), 5], [40, 2], [2, 2]),
    "corner has 400 digits": with_corners([10**400, 5], [40, 2], [2, 2]),
    "hole is empty": with_corners(*CORNERS, interior=[[]]),
    "bitmap is text": with_object(bitmap="x"),
    "bitmap data is a number": with_bitmap(b"", data=4),
    "bitmap is no zlib stream": with_bitmap(b"", data="aaaa"),
    "bitmap is truncated": with_bitmap(b"", data="eJwr"),
    "bitmap is no image": with_bitmap(b"hello"),
    "bitmap has no pixels": with_bitmap(make_empty_png(5, 5)[:-40]),
    "bitmap is large": with_bitmap(make_empty_png(9000, 9000)),
    "bitmap of zeros": with_bitmap(bytes(1 << 27)),
    "origin is text": with_bitmap(make_empty_png(5, 5), "ab"),
    "origin is negative": with_bitmap(make_empty_png(5, 5), [-3, -3]),
    "origin is outside": with_bitmap(make_empty_png(5, 5), [60, 80]),
    "brackets": "[" * 100000,
    "no object": "[]",
}


def to_text(annotation):
    return annotation if isinstance(annotation, str) else json.dumps(annotation)


@pytest.mark.parametrize("name", BAD_ANNOTATIONS)
def test_bad_annotation_is_refused(tmp_path, name):
    path, start = tmp_path / "a.json", time.monotonic()
    path.write_text(to_text(BAD_ANNOTATIONS[name]))
    with assert_raises(MmnetError, path):
        draw_annotation(str(path), (80, 60))
    assert time.monotonic() - start < 5


def test_annotation_without_size_or_with_other_objects_is_drawn(tmp_path):
    cuboid = {"classTitle": "neutral", "points": CORNERS, "bitmap": 3}
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"objects": [POLYGON, cuboid], "tags": [1]}))
    mask = draw_annotation(str(path), (80, 60))
    assert (mask.shape, mask.dtype, mask[10, 35], mask[50, 5]) == ((80, 60), np.float32, 1, 0)
    bitmap = np.full((20, 90), 255, np.uint8)[:, :60]
    path.write_text(json.dumps(with_bitmap(encode_png(np.ascontiguousarray(bitmap)), [50, 70])))
    mask = draw_annotation(str(path), (80, 60))
    assert mask[70:, 50:].min() == 1 and mask.sum() == 100  # the rest is outside


def test_convert_keeps_good_pairs_beside_bad_annotations(tmp_path, caplog):
    annotations = [with_size(80), *BAD_ANNOTATIONS.values()][:20]
    for number, annotation in enumerate(annotations):
        write_file(tmp_path, f"s/img/{number}.jpg", encode_jpeg(draw_pair(number)[0]))
        write_file(tmp_path, f"s/ann/{number}.jpg.json", to_text(annotation))
    target = str(tmp_path / "t")
    assert main(["data", "convert", "--layout", "supervisely", str(tmp_path / "s"), target]) == 1
    assert [pair.stem for pair in find_dataset(target, "train").pairs] == ["0"]
    assert_message(caplog.text, "19 unreadable", *(f"/{n}.jpg.json" for n in range(1, 20)))
