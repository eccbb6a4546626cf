"""Pairs packed into TFRecord shards: SPLIT/*.tfrecord. No TensorFlow for reading them.

A record is a tf.train.Example with the features ``stem``, ``image`` and ``mask``: a name, and the
bytes of two picture files. (Both formats: TensorFlow's tf_record.md and example.proto.) A pair's
files are Parts of a shard: the index of a shard holds where each begins, and the rest is the same
as for files.
"""

import glob
import mmap
import os
import struct

from mmnet.files import Part

EXTENSION = ".tfrecord"
HEAD, FOOT = 12, 4  # bytes of a record before and behind its data: length and checksums
STEM, IMAGE, MASK = "stem", "image", "mask"
BYTES = 2  # protobuf's wire type of what has a length
FIXED = {1: 8, 5: 4}  # wire type -> bytes


def shards_in(folder):
    """The shards of a split's folder, sorted."""
    return sorted(glob.glob(os.path.join(glob.escape(folder), "*" + EXTENSION)))


def shard_name(number, count):
    """``pairs-00003-of-00008.tfrecord``."""
    return "pairs-%05d-of-%05d%s" % (number, count, EXTENSION)


def read_shard(path):
    """(stem, image, mask) of every record, the latter two as Parts.

    Raises:
        ValueError: no such file of whole records.
    """
    if os.path.getsize(path) == 0:
        return []
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return [_pair_in(path, data, start, end) for start, end in _records_in(data)]
        except (IndexError, KeyError, ValueError, struct.error):
            raise ValueError(
                "%s is damaged, cut off, or holds no pairs: mmnet data pack writes them" % path
            ) from None


def _records_in(data):
    """Yield where the data of each record begins and ends."""
    at = 0
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        end = at + HEAD + length
        if end + FOOT > len(data):
            raise IndexError("cut off")
        yield at + HEAD, end
        at = end + FOOT


def _pair_in(path, data, start, end):
    """The features of an Example: Features in field 1, whose entries (field 1) are key, value."""
    places = {}
    for _, features in _fields_in(data, start, end):
        for _, entry in _fields_in(data, *features):
            key, value = (place for _, place in _fields_in(data, *entry))
            ((_, listed),) = _fields_in(data, *value)  # Feature.bytes_list
            ((_, place),) = _fields_in(data, *listed)  # BytesList.value
            places[data[slice(*key)].decode("utf-8")] = place
    parts = [Part(path, start, end - start) for start, end in (places[IMAGE], places[MASK])]
    return (data[slice(*places[STEM])].decode("utf-8"), *parts)


def _fields_in(data, start, end):
    """Yield (number, (start, end)) of each field of a protobuf message that has a length."""
    while start < end:
        tag, start = _varint_at(data, start)
        if tag & 7 in FIXED:
            start += FIXED[tag & 7]
            continue
        value, start = _varint_at(data, start)
        if tag & 7 == BYTES:
            if start + value > end:
                raise IndexError("beyond its message")
            yield tag >> 3, (start, start + value)
            start += value


def _varint_at(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
