"""Metadata that MediaPipe Tasks requires in a .tflite file.

A .tflite file is a flatbuffer: tables that refer to objects behind them by their distance. The
metadata and a new root table are written in front of a finished model. The root refers to the
objects of the model, whose bytes do not change.

Schemas: schema.fbs of TensorFlow Lite (Model, Metadata, Buffer); metadata_schema.fbs of MediaPipe
(ModelMetadata) and its image_segmenter_metadata_schema.fbs (ImageSegmenterOptions).
"""

import struct
from typing import Any, List, NamedTuple

from mmnet.io.optional import import_optional

ALIGNMENT = 16  # bytes, for weights and metadata
VERSION, BUFFERS, METADATA = 0, 4, 6  # positions in the table Model
MODEL_FIELDS = 8
PARSER_VERSION = "1.5.0"  # the first that reads custom metadata
IMAGE_PROPERTIES, RGB, NORMALIZATION = 2, 1, 1  # values in metadata_schema.fbs
ACTIVATIONS = {"alpha": 0, "probabilities": 0, "logits": 2}  # 0: none, 2: softmax


class Existing(NamedTuple):
    """An object that is written already."""

    distance: int  # from its first byte to the end of the file


def segmenter_metadata(preprocess: str, output_type: str) -> bytes:
    """Return the metadata of a model with an RGB image as input, for MediaPipe's ImageSegmenter.

    A tuple is a table: its fields in the order of the schema, None if absent.
    """
    std = 255.0 if preprocess == "outside" else 1.0  # the input is (image - mean) / std
    normalization = (NORMALIZATION, ([0.0], [std]))
    stats = ([255.0 / std], [0.0])  # highest and lowest value
    image = ("image", None, None, (IMAGE_PROPERTIES, (RGB,)), [normalization], stats)
    options = write_flatbuffer("V001", (ACTIVATIONS[output_type], PARSER_VERSION))
    custom = ("SEGMENTER_METADATA", options)
    subgraph = (None, None, [image], [("alpha",)], None, None, None, None, None, [custom])
    return write_flatbuffer("M001", ("mmnet", *[None] * 2, [subgraph], *[None] * 3, PARSER_VERSION))


def add_metadata(model: bytes, metadata: bytes) -> bytes:
    """Return a TFLite model with this metadata. Its network is not changed."""
    model += bytes(-len(model) % ALIGNMENT)
    root = _follow(model, 0)
    vtable = root - struct.unpack_from("<i", model, root)[0]
    size = struct.unpack_from("<H", model, vtable)[0]
    offsets = struct.unpack_from(f"<{(size - 4) // 2}H", model, vtable + 4)
    fields: List[Any] = [None] * MODEL_FIELDS
    for slot, offset in enumerate(offsets):
        if offset and slot == VERSION:  # a number
            fields[slot] = struct.unpack_from("<I", model, root + offset)[0]
        elif offset:
            fields[slot] = Existing(len(model) - _follow(model, root + offset))
    buffers, entries = (_elements(model, fields[slot]) for slot in (BUFFERS, METADATA))
    fields[BUFFERS] = [*buffers, (metadata,)]
    fields[METADATA] = [*entries, ("TFLITE_METADATA", len(buffers))]
    return write_flatbuffer("TFL3", tuple(fields), model)


def _follow(data, position):
    """Return the position of the object to which the data at ``position`` refer."""
    return position + struct.unpack_from("<I", data, position)[0]


def _elements(model, vector):
    """Return the tables in a vector, which may be None."""
    if vector is None:
        return []
    start = len(model) - vector.distance
    count = struct.unpack_from("<I", model, start)[0]
    positions = range(start + 4, start + 4 + 4 * count, 4)
    return [Existing(len(model) - _follow(model, position)) for position in positions]


def write_flatbuffer(identifier: str, root: tuple, tail: bytes = b"") -> bytes:
    """Write a root table, and everything that it contains, in front of ``tail``."""
    flatbuffers = import_optional("flatbuffers", "writing a .tflite", "train")
    builder = flatbuffers.Builder(len(tail) + 1024)
    builder.head -= len(tail)  # the builder writes from the end to the front
    builder.Bytes[builder.head :] = tail
    builder.Finish(_write(builder, root), identifier.encode())
    return bytes(builder.Output())


def _write(builder, value):
    """Write a text, a vector (bytes or list) or a table (tuple). Return its distance."""
    if isinstance(value, Existing):
        return value.distance
    if isinstance(value, str):
        return builder.CreateString(value)
    if isinstance(value, bytes):
        return _write_vector(builder, builder.PrependByte, value, 1, ALIGNMENT)
    if isinstance(value, list) and isinstance(value[0], float):
        return _write_vector(builder, builder.PrependFloat32, value, 4, 4)
    # Everything that a vector or table refers to is written first.
    items = [_write(builder, item) if _is_reference(item) else item for item in value]
    if isinstance(value, list):
        return _write_vector(builder, builder.PrependUOffsetTRelative, items, 4, 4)
    builder.StartObject(len(value))
    for slot, item in enumerate(items):
        if _is_reference(value[slot]):
            builder.PrependUOffsetTRelativeSlot(slot, item, 0)
        elif item is not None:
            builder.PrependInt32Slot(slot, item, 0)
    return builder.EndObject()


def _is_reference(value):
    return value is not None and not isinstance(value, int)


def _write_vector(builder, prepend, items, size, alignment):
    builder.StartVector(size, len(items), alignment)
    for item in reversed(items):
        prepend(item)
    return builder.EndVector()
