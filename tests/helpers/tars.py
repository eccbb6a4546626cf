"""Tar files of results: a valid one, and damaged or foreign ones."""

import bz2
import io
import os
import tarfile
import tempfile

from mmnet.io.tar_shards import Shard, TarShardWriter


def tar_of_results(*stems):
    """Return the bytes of a tar file that contains two results per photo."""
    with tempfile.TemporaryDirectory() as folder:
        with TarShardWriter(folder, Shard(0, 1), len(stems)) as writer:
            for stem in stems:
                writer.add(stem, {f"{stem}_{kind}.png": b"png" for kind in ("alpha", "cutout")})
        with open(os.path.join(folder, "results-0of1-000000.tar"), "rb") as file:
            return file.read()


def foreign_tar(**options):
    """Return the bytes of a tar file of another program that contains the file a_alpha.png."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", **options) as tar:
        tar.addfile(tarfile.TarInfo("a_alpha.png"))
    return data.getvalue()


def damaged_tars():
    """Return name -> bytes of files that are no complete tar files of results."""
    data = tar_of_results("a", "b")

    def flip(position):
        flipped = bytearray(data)
        flipped[position] ^= 4
        return bytes(flipped)

    # A result fills 4 blocks: its pax header with one block of data, and its header with one.
    return {
        "empty": b"",
        "text": b"no tar file",
        "noise": bytes(range(1, 256)) * 100,
        "zeros": bytes(10240),
        "truncated to one block": data[:512],
        "truncated in a result": data[:2500],
        "without its end": data[: 8 * 2048 // 2],
        "with half of its end": data[: 8 * 2048 // 2 + 1024],
        "first header": flip(100),
        "name in a later header": flip(2 * 2048 + 1024),
        "size in a later header": flip(2048 + 130),
        "stem": flip(2048 + 512 + 11),
        "of another program": foreign_tar(),
        "with a comment for all": foreign_tar(pax_headers={"comment": "x"}),
        "compressed": bz2.compress(data),
        "followed by text": data + b"text",
    }
