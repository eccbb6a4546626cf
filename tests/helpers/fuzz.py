"""Fuzz the readers of files with damaged contents.

A reader must return a value, or raise MmnetError or OSError with a message of one line.

    python tests/helpers/fuzz.py SECONDS FOLDER [KIND ...]     (sh scripts/fuzz.sh SECONDS)

runs with new seeds for this time, and writes every input with another result into the folder.
"""

import base64
import contextlib
import io
import json
import logging
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
import traceback
import zlib
from importlib.util import find_spec
from typing import Any, Callable, NamedTuple
from unittest import mock

import cv2
import numpy as np
from PIL import Image

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [ROOT, os.path.join(ROOT, "tests")]

from helpers.foreign_weights import small_files  # noqa: E402
from helpers.results import make_identity  # noqa: E402
from helpers.tars import tar_of_results  # noqa: E402
from mmnet.commands.presets import read_preset, resolve  # noqa: E402
from mmnet.datasets.pairs import Dataset, Pair  # noqa: E402
from mmnet.datasets.synthetic import draw_portrait  # noqa: E402
from mmnet.datatools.convert import MANIFEST, ConversionPlan, resume_manifest  # noqa: E402
from mmnet.datatools.layouts import read_csv  # noqa: E402
from mmnet.datatools.supervisely import draw_annotation  # noqa: E402
from mmnet.distributed.connection import HELLO_SECONDS, Peer  # noqa: E402
from mmnet.evaluation.records import read_best, read_evaluation, record_path  # noqa: E402
from mmnet.inference.card import Card, card_to_dict, parse_card  # noqa: E402
from mmnet.inference.replay import read_alpha  # noqa: E402
from mmnet.io.errors import MmnetError  # noqa: E402
from mmnet.io.files import read_bytes, read_json  # noqa: E402
from mmnet.io.images import read_image  # noqa: E402
from mmnet.io.masks import load_mask  # noqa: E402
from mmnet.io.tar_shards import read_stems  # noqa: E402
from mmnet.matting.files import Output, find_photos  # noqa: E402
from mmnet.networks.network import Network  # noqa: E402
from mmnet.training.lineage import read_lineage  # noqa: E402
from offline_infer.evaluate import read_manifest  # noqa: E402

SPLICES = (b"", b"\0", b"\xff" * 4, b"[" * 3000, b"{}", b"null", b"nan", b"-1", b'""', b"1e999")
CHALLENGE = "0" * 64
HELLO = {"rank": 1, "identity": "same"}
ALPHA = np.full((8, 6), 0.5, np.float32)
DATASET = Dataset("d", "test", [Pair("a", "a.jpg", "a.png")])
IDENTITY = make_identity(network={"shape": [64, 64]}, source=None)
CARD = Card(Network(shape=(64, 64)), precision="int8", sha256="ab", operations={"CONV_2D": 3})
MANIFEST_ENTRY = {"stem": "a", "image": "a.jpg", "mask": "a.png", "height": 8, "width": 6}
MANIFEST_ENTRY["sha256"] = "ab"
JSON_RECORDS = {
    "best": {"score": 0.5, "checkpoint": "run/MMNetModel-1", "pictures": "ab"},
    "card": card_to_dict(CARD),
    "scores": {
        "identity": IDENTITY._asdict(),
        "scores": {"MAD/test": 0.25, "pictures": 1, "global_step": 3},
        "stems": ["a"],
        "image_scores": {"MAD/test": [0.25]},
    },
    "lineage": {
        "global_step": 1,
        "step_from_restore": 1,
        "data_sets": [
            {"path": "d", "split": "s", "pictures": 1, "manifest_sha256": "a", "steps": 2}
        ],
        "parent": None,
    },
    "manifest": {
        "dataset_path": "d",
        "split": "test",
        "shape": [64, 64],
        "dtype": "float32",
        "preprocess": "inside",
        "pictures": [MANIFEST_ENTRY],
    },
}
LIST = "a.jpg\r\nfolder/b.jpg\n/x/\u2028é.png\n".encode("utf-8-sig")
MAX_SECONDS = 20  # per file
PRESET = b"size: 128\nlearning_rate: 1e-4\ntarget_eval_shape: [800, 600]\n"


PILLOW_FORMATS = {".gif": "GIF", ".tif": "TIFF", ".bmp": "BMP", ".ppm": "PPM", ".jp2": "JPEG2000"}
CLIP_EXTENSIONS = (".mp4", ".mkv", ".avi", ".ts", ".gif")
CLIP_CODECS = {".mp4": ("libx264", "yuv420p"), ".gif": ("gif", "rgb8")}


BITMAP = base64.b64encode(zlib.compress(cv2.imencode(".png", np.eye(9))[1].tobytes())).decode()
POLYGON = {"exterior": [[1, 2], [30.5, 2], [9, 40]], "interior": [[[9, 9], [12, 9], [9, 12]]]}
ANNOTATION = json.dumps(
    {
        "size": {"height": 48, "width": 36},
        "objects": [
            {"classTitle": "person", "bitmap": {"data": BITMAP, "origin": [3, 4]}},
            {"classTitle": "person_poly", "bitmap": None, "points": POLYGON},
        ],
    }
).encode()
CSV = b'image,mask,split\na.jpg,a.png,train\n"b,c.jpg",c.png,test\n'
PLAN = ConversionPlan("pairs", "/source", "licence")
PAIR_ENTRY = {"split": "train", "stem": "a", "image": "a.jpg", "mask": "a.png", "more": 1}


class FileKind(NamedTuple):
    """A kind of files, with a valid example."""

    extension: str
    data: bytes
    read: Callable[[str], Any]  # path -> value


def file_kinds():
    """Return name -> FileKind."""
    kinds = {"preset": FileKind(".yaml", PRESET, read_and_resolve_preset)}
    image, alpha = draw_portrait(np.random.RandomState(0), (48, 36))
    for extension in (".jpg", ".png", ".webp"):
        data = cv2.imencode(extension, image)[1].tobytes()
        kinds["image" + extension] = FileKind(extension, data, read_image)
    mask = cv2.imencode(".png", np.rint(alpha * 255).astype(np.uint8))[1].tobytes()
    kinds["mask"] = FileKind(".png", mask, load_mask)

    def remove_extension(path):
        return os.path.splitext(path)[0]

    readers = {
        "best": read_best,
        "scores": read_scores,
        "card": lambda path: parse_card(read_json(path), path),
        "lineage": lambda path: read_lineage(remove_extension(path)),
        "manifest": read_manifest,
    }
    for name, record in JSON_RECORDS.items():
        kinds[name] = FileKind(".json", json.dumps(record).encode(), readers[name])

    tar = tar_of_results("a", "folder/b")
    kinds["tar"] = FileKind(".tar", tar, read_stems)
    kinds["list"] = FileKind(".txt", LIST, lambda path: find_photos([path], Output("output")))

    for extension, file_format in PILLOW_FORMATS.items():
        stream = io.BytesIO()
        Image.fromarray(image[..., ::-1]).save(stream, file_format)
        kinds["image" + extension] = FileKind(extension, stream.getvalue(), read_image)
    if find_spec("av"):
        for extension in CLIP_EXTENSIONS:
            kinds["clip" + extension] = FileKind(extension, make_clip(extension), copy_clip)

    kinds["annotation"] = FileKind(
        ".json", ANNOTATION, lambda path: draw_annotation(path, (48, 36))
    )
    kinds["csv"] = FileKind(".csv", CSV, lambda path: read_csv(path, {}))
    lines = [json.dumps(value).encode() for value in (PLAN._asdict(), PAIR_ENTRY, PAIR_ENTRY)]
    kinds["pairs"] = FileKind(".jsonl", b"\n".join([*lines, b""]), read_pairs)

    npy = io.BytesIO()
    np.save(npy, ALPHA)
    text = " ".join(["0.5"] * ALPHA.size).encode()
    results = {"npy": npy.getvalue(), "bin": ALPHA.tobytes(), "txt": text}
    for name, data in results.items():
        kinds[name] = FileKind("." + name, data, read_result)
    kinds["messages"] = FileKind(".bin", write_messages(), read_messages)
    for name, file in small_files().items():
        kinds[name] = FileKind(*file)
    return kinds


def read_annotation(path):
    return draw_annotation(path, (48, 36))


def read_pairs(path):
    """Read the manifest of a conversion, whose name is fixed."""
    manifest = os.path.join(os.path.dirname(path), MANIFEST)
    shutil.copy(path, manifest)
    with contextlib.suppress(MmnetError):
        resume_manifest(os.path.dirname(path), PLAN, {})
    return read_bytes(manifest)


def read_messages(path):
    """Return the messages that rank 0 of a training accepts from a connection."""
    messages, (own, other) = [], socket.socketpair()
    sender = threading.Thread(target=send_file, args=(path, other))
    sender.start()
    peer = Peer(own)
    with mock.patch("secrets.token_hex", return_value=CHALLENGE):
        try:
            peer.exchange_challenges("secret", is_rank_0=True)
            while True:
                messages.append(peer.receive(HELLO_SECONDS))
        except (OSError, ValueError) as error:
            messages.append(error)
    peer.close()
    sender.join()
    assert all(message == HELLO for message in messages[:-1])
    return messages


def send_file(path, connection):
    with open(path, "rb") as file, connection, contextlib.suppress(OSError):
        connection.sendall(file.read())


def write_messages():
    """Return what a process of a training sends to rank 0."""
    own, other = socket.socketpair()
    other.sendall(CHALLENGE.encode() + b"\n")
    peer = Peer(own)
    with mock.patch("secrets.token_hex", return_value=CHALLENGE):
        peer.exchange_challenges("secret", is_rank_0=False)
    peer.send(HELLO)
    data = other.recv(1000)
    peer.close()
    other.close()
    return data


def make_clip(extension):
    """Return the bytes of a clip of 4 frames with audio, except in GIF files."""
    from helpers.clips import video_frames, write_frames

    codec, pixel_format = CLIP_CODECS.get(extension, ("mpeg4", "yuv420p"))
    with tempfile.TemporaryDirectory() as folder:
        path, tone = os.path.join(folder, "a" + extension), 0 if extension == ".gif" else 0.1
        write_frames(path, video_frames(4, pixel_format), codec, tone=tone)
        with open(path, "rb") as file:
            return file.read()


def copy_clip(path):
    """Read a clip and write it again. Return the name of its format."""
    from mmnet.io.clip_writer import create_clip
    from mmnet.io.clips import open_clip, read_frames

    with open_clip(path) as source, create_clip(path + ".mp4", source) as write:
        for frame in read_frames(source):
            write(frame)
        return source.container.format.name


def read_result(path):
    return read_alpha(path, ALPHA.shape, "alpha")


def read_and_resolve_preset(path):
    read_preset(path)
    return resolve("train", {"dataset_path": [ROOT], "train_dir": "never created"}, path)


def read_scores(path):
    folder = os.path.dirname(path)
    record = record_path(folder, DATASET, IDENTITY.target_eval_shape, None)
    os.makedirs(os.path.dirname(record), exist_ok=True)
    shutil.copy(path, record)
    return read_evaluation(folder, DATASET, None, IDENTITY)


def mutate(data, random):
    """Return the bytes with up to four changes: flipped, deleted, repeated or replaced parts."""
    data = bytearray(data)
    for _ in range(random.randint(1, 4)):
        position = random.randint(0, max(1, len(data)))
        change = random.randint(5)
        if change == 0 and data:
            data[position % len(data)] ^= 1 << random.randint(8)
        elif change == 1:
            del data[position:]
        elif change == 2:
            del data[position : position + random.randint(1, 64)]
        elif change == 3:
            data[position:position] = data[position : position + random.randint(1, 64)]
        else:
            splice = SPLICES[random.randint(len(SPLICES))]
            data[position : position + random.randint(8)] = splice
    return bytes(data)


def find_problem(folder, kind, data):
    """Return a description of a reader's wrong behaviour on these contents, or None."""
    path = os.path.join(folder, "case" + kind.extension)
    with open(path, "wb") as file:
        file.write(data)
    start = time.monotonic()
    try:
        kind.read(path)
    except (MmnetError, OSError) as error:
        if "\n" in str(error).strip():
            return f"a message of several lines: {error}"
    except Exception:
        return traceback.format_exc()
    seconds = time.monotonic() - start
    return f"took {seconds:.0f} s" if seconds > MAX_SECONDS else None


def main(seconds, findings_folder, *names):
    logging.disable(logging.CRITICAL)
    kinds = file_kinds()
    kinds = {name: kinds[name] for name in names or kinds}
    findings = inputs = 0
    end, seed = time.monotonic() + seconds, int(time.time())
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < end:
            seed += 1
            for name, kind in kinds.items():
                data = mutate(kind.data, np.random.RandomState(seed % (1 << 32)))
                problem = find_problem(folder, kind, data)
                inputs += 1
                if problem is None:
                    continue
                findings += 1
                os.makedirs(findings_folder, exist_ok=True)
                path = os.path.join(findings_folder, f"{name}-{seed}{kind.extension}")
                with open(path, "wb") as file:
                    file.write(data)
                print(f"{name}, seed {seed}: {problem.strip().splitlines()[-1]}")
    print(f"{inputs} inputs of {len(kinds)} kinds, {findings} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), *sys.argv[2:]))
