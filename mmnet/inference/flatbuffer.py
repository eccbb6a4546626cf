"""Whether the bytes of a .tflite are what they say, before an interpreter reads them.

TensorFlow Lite's Python interpreter trusts every offset in a file, and a damaged one ends the
process. This walks the tables of the TFLite schema (version 3) that a model is made of: every
offset lies inside the file, every index names something that is there, and every constant is as
long as its shape says. No TensorFlow.
"""

import struct

import numpy as np

from mmnet.io.errors import MmnetError

# Kinds of fields: the bytes of a number, a vector of numbers or of tables, a string, a table.
BYTE, INT, LONG = 1, 4, 8
# Table -> {field number: (name, kind)}; a field that is not listed is not followed.
SCHEMA = {
    "Model": {
        1: ("operator_codes", ["OperatorCode"]),
        2: ("subgraphs", ["SubGraph"]),
        3: ("description", "string"),
        4: ("buffers", ["Buffer"]),
        6: ("metadata", ["Metadata"]),
        7: ("signature_defs", ["SignatureDef"]),
    },
    "OperatorCode": {1: ("custom_code", "string"), 3: ("builtin_code", INT)},
    "SubGraph": {
        0: ("tensors", ["Tensor"]),
        1: ("inputs", [INT]),
        2: ("outputs", [INT]),
        3: ("operators", ["Operator"]),
        4: ("name", "string"),
    },
    "Tensor": {
        0: ("shape", [INT]),
        1: ("type", BYTE),
        2: ("buffer", INT),
        3: ("name", "string"),
        4: ("quantization", "Quantization"),
        7: ("shape_signature", [INT]),
    },
    "Quantization": {
        0: ("min", [INT]),
        1: ("max", [INT]),
        2: ("scale", [INT]),
        3: ("zero_point", [LONG]),
        6: ("quantized_dimension", INT),
    },
    "Operator": {
        0: ("opcode_index", INT),
        1: ("inputs", [INT]),
        2: ("outputs", [INT]),
        3: ("builtin_options_type", BYTE),
        4: ("builtin_options", "Options"),
        5: ("custom_options", [BYTE]),
        8: ("intermediates", [INT]),
    },
    "Options": {},
    "Buffer": {0: ("data", [BYTE])},
    "Metadata": {0: ("name", "string"), 1: ("buffer", INT)},
    "SignatureDef": {
        0: ("inputs", ["TensorMap"]),
        1: ("outputs", ["TensorMap"]),
        2: ("signature_key", "string"),
        4: ("subgraph_index", INT),
    },
    "TensorMap": {0: ("name", "string"), 1: ("tensor_index", INT)},
}
TYPE_BYTES = {0: 4, 1: 2, 2: 4, 3: 1, 4: 8, 6: 1, 7: 2, 9: 1}  # float32, float16, int32, uint8, ...
LARGEST = 1 << 31  # bytes; offsets are of 32 bits


def need_sound(data, source):
    """Raise ValueError where the bytes of a .tflite are damaged; errors call them ``source``."""
    try:
        if data[4:8] != b"TFL3":
            raise MmnetError("it does not begin as a TFLite model does")
        reader = Reader(data)
        model = reader.table(reader.number(0, "<I"), "Model")
        _need_consistent(model)
    except (ValueError, struct.error, RecursionError) as error:
        raise MmnetError("%s is not a TFLite model, or damaged (%s)" % (source, error)) from None


class Reader:
    """Reads tables of a flatbuffer: a table is a dict, a vector of tables a list of dicts."""

    def __init__(self, data):
        self._data = data

    def number(self, at, form):
        if not 0 <= at <= len(self._data) - struct.calcsize(form):
            raise MmnetError("an offset of %d in a file of %d bytes" % (at, len(self._data)))
        return struct.unpack_from(form, self._data, at)[0]

    def table(self, at, kind):
        fields = {}
        vtable = at - self.number(at, "<i")
        length, size = self.number(vtable, "<H"), self.number(vtable + 2, "<H")
        if length < 4 or length % 2 or size < 4:
            raise MmnetError("a table of %d bytes whose index has %d" % (size, length))
        self.number(vtable + length - 2, "<H")
        self.number(at + size - 1, "<B")
        for field, (name, inner) in SCHEMA[kind].items():
            position = 4 + 2 * field
            offset = self.number(vtable + position, "<H") if position + 2 <= length else 0
            if offset:
                if offset + (inner if isinstance(inner, int) else 4) > size:
                    raise MmnetError("the field %s lies outside its table" % name)
                fields[name] = self.field(at + offset, inner)
        return fields

    def field(self, at, inner):
        if isinstance(inner, int):
            return self.number(at, {BYTE: "<b", INT: "<i", LONG: "<q"}[inner])
        target = at + self.number(at, "<I")
        if isinstance(inner, list):
            return self.vector(target, inner[0])
        if inner == "string":
            return self.vector(target, BYTE)
        return self.table(target, inner)

    def vector(self, at, inner):
        count = self.number(at, "<I")
        each = inner if isinstance(inner, int) else 4
        if count * each > len(self._data) - at - 4:
            raise MmnetError("a list of %d items in a file of %d bytes" % (count, len(self._data)))
        if isinstance(inner, int):
            dtype = {BYTE: np.uint8, INT: np.int32, LONG: np.int64}[inner]
            return np.frombuffer(self._data, dtype, count, at + 4)
        places = [at + 4 + 4 * number for number in range(count)]
        return [self.table(place + self.number(place, "<I"), inner) for place in places]


def _need_consistent(model):
    """Raise ValueError for an index that names nothing, or a constant of another length."""
    buffers, codes = model.get("buffers", []), model.get("operator_codes", [])
    if not model.get("subgraphs"):
        raise MmnetError("it holds no graph")
    for graph in model["subgraphs"]:
        tensors = graph.get("tensors", [])
        for tensor in tensors:
            _need_constant(tensor, buffers)
        _need_below(graph.get("inputs", ()), len(tensors), "a graph's input")
        _need_below(graph.get("outputs", ()), len(tensors), "a graph's output")
        for operator in graph.get("operators", []):
            _need_below([operator.get("opcode_index", 0)], len(codes), "an operation")
            for name in ("inputs", "outputs", "intermediates"):
                _need_below(operator.get(name, ()), len(tensors), "an operation's " + name, -1)
    for signature in model.get("signature_defs", []):
        _need_below([signature.get("subgraph_index", 0)], len(model["subgraphs"]), "a signature")
        tensors = model["subgraphs"][signature.get("subgraph_index", 0)].get("tensors", [])
        for tensor in signature.get("inputs", []) + signature.get("outputs", []):
            _need_below([tensor.get("tensor_index", 0)], len(tensors), "a signature's tensor")
    for entry in model.get("metadata", []):
        _need_below([entry.get("buffer", 0)], len(buffers), "the metadata")


def _need_constant(tensor, buffers):
    _need_below([tensor.get("buffer", 0)], len(buffers), "a tensor's buffer")
    shape = [int(side) for side in tensor.get("shape", ())]
    if any(side < 0 for side in shape):
        raise MmnetError("a tensor of shape %s" % shape)
    need = TYPE_BYTES.get(tensor.get("type", 0), 0)
    for side in shape:
        need *= side
    if need > LARGEST:
        raise MmnetError("a tensor of shape %s" % shape)
    length = len(buffers[tensor.get("buffer", 0)].get("data", ()))
    if length and need and length != need:
        raise MmnetError("a constant of %d bytes and shape %s" % (length, shape))
    quantization = tensor.get("quantization", {})
    scales, zeros = (len(quantization.get(name, ())) for name in ("scale", "zero_point"))
    if scales > 1:
        dimension = quantization.get("quantized_dimension", 0)
        _need_below([dimension], len(shape), "a quantised dimension")
        if shape[dimension] != scales:
            raise MmnetError("%d scales for a tensor of shape %s" % (scales, shape))
    if scales and zeros not in (scales, 1):
        raise MmnetError("%d scales and %d zero points" % (scales, zeros))


def _need_below(indices, count, what, lowest=0):
    for index in indices:
        if not lowest <= index < count:
            raise MmnetError("%s is number %d of %d" % (what, index, count))
