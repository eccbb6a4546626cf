"""Tests of mmnet.export.tflite_metadata."""

import glob
import os
import struct

import pytest

from helpers import ROOT
from helpers.models import SPECS
from mmnet.export.tflite_metadata import add_metadata, segmenter_metadata
from mmnet.inference.card import read_card


class Table:
    """A table of a flatbuffer, read with the fewest rules that the format has."""

    def __init__(self, data, position=0):
        self.data = data
        self.position = position + self.number("<I", position)

    def number(self, form, position):
        return struct.unpack_from(form, self.data, position)[0]

    def field(self, slot):
        """Return the position of a field, or None."""
        vtable = self.position - self.number("<i", self.position)
        if self.number("<H", vtable) <= 4 + 2 * slot:
            return None
        offset = self.number("<H", vtable + 4 + 2 * slot)
        return self.position + offset if offset else None

    def vector(self, slot):
        """Return (position of the first element, number of elements)."""
        start = self.field(slot) + self.number("<I", self.field(slot))
        return start + 4, self.number("<I", start)

    def bytes(self, slot):
        start, count = self.vector(slot)
        return self.data[start : start + count]

    def floats(self, slot):
        start, count = self.vector(slot)
        return list(struct.unpack_from(f"<{count}f", self.data, start))

    def tables(self, slot):
        start, count = self.vector(slot)
        return [Table(self.data, start + 4 * index) for index in range(count)]

    def table(self, slot):
        return Table(self.data, self.field(slot))


def read_metadata(model):
    """Return the metadata in a TFLite model, or None."""
    root = Table(model)
    for entry in root.tables(6) if root.field(6) else []:
        if entry.bytes(0) == b"TFLITE_METADATA":
            return root.tables(4)[entry.number("<I", entry.field(1))].bytes(0)
    return None


@pytest.mark.parametrize(
    "preprocess, output_type, std, activation",
    [("inside", "alpha", 1, 0), ("outside", "probabilities", 255, 0), ("inside", "logits", 1, 2)],
)
def test_metadata_describe_input_and_output(preprocess, output_type, std, activation):
    data = segmenter_metadata(preprocess, output_type)
    metadata = Table(data)
    assert data[4:8] == b"M001" and metadata.bytes(7) == b"1.5.0"
    (subgraph,) = metadata.tables(3)
    (image,), (output,) = subgraph.tables(2), subgraph.tables(3)
    assert (image.bytes(0), output.bytes(0)) == (b"image", b"alpha")
    content = image.table(3)
    assert content.number("<B", content.field(0)) == 2  # ImageProperties
    assert content.table(1).number("<B", content.table(1).field(0)) == 1  # RGB
    (process,) = image.tables(4)
    assert process.number("<B", process.field(0)) == 1  # NormalizationOptions
    assert (process.table(1).floats(0), process.table(1).floats(1)) == ([0], [std])
    assert (image.table(5).floats(0), image.table(5).floats(1)) == ([255 / std], [0])
    (custom,) = subgraph.tables(9)
    options = custom.bytes(1)
    assert custom.bytes(0) == b"SEGMENTER_METADATA" and options[4:8] == b"V001"
    field = Table(options).field(0)
    assert (Table(options).number("<B", field) if field else 0) == activation


def test_export_adds_metadata(exported_models):
    for card in exported_models(*(name for name in SPECS if name.endswith(".tflite"))):
        with open(card.path, "rb") as file:
            model = file.read()
        assert read_metadata(model) == segmenter_metadata(card.preprocess, card.output_type)


def test_bundled_models_have_metadata():
    folder = os.path.join(ROOT, "mmnet", "weights")
    for path in glob.glob(os.path.join(folder, "*", "*.tflite")):
        with open(path, "rb") as file:
            metadata = read_metadata(file.read())
        has_rgb_input = read_card(path).network.channels == 3
        assert metadata == (segmenter_metadata("inside", "alpha") if has_rgb_input else None), path


def test_model_is_not_changed(exported_models):
    """A second entry does not change the network, the first entry or the alignment."""
    with open(exported_models.path("mmnet.tflite"), "rb") as file:
        model = file.read()
    changed = add_metadata(model, b"metadata")
    assert changed.rstrip(b"\0").endswith(model.rstrip(b"\0"))
    before, after = Table(model), Table(changed)
    assert after.number("<I", after.field(0)) == before.number("<I", before.field(0)) == 3
    for slot in (1, 2):  # operator codes and subgraphs
        start, count = before.vector(slot)
        assert after.vector(slot) == (start + len(changed) - len(model), count)
    assert [table.bytes(0) for table in after.tables(6)[:-1]] == [
        table.bytes(0) for table in before.tables(6)
    ]
    *buffers, last = after.tables(4)
    assert last.bytes(0) == b"metadata" and last.vector(0)[0] % 16 == 0
    for buffer, old in zip(buffers, before.tables(4)):
        assert (buffer.field(0) is None) == (old.field(0) is None)
        if old.field(0):
            assert buffer.bytes(0) == old.bytes(0)
            assert buffer.vector(0)[0] % 16 == old.vector(0)[0] % 16
