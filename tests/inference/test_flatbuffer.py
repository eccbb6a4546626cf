import hashlib
import json
import os
import struct
import subprocess
import sys

import numpy as np
import pytest

from helpers import ROOT, SMALL
from mmnet.export.export import ExportSpec, comparison_images, export
from mmnet.inference.flatbuffer import need_sound
from mmnet.inference.open import open_predictor
from mmnet.io.files import read_bytes, write_bytes

RUN_ALL = """
import sys
from mmnet.tf.compat import quiet_converters
from mmnet.inference.tflite import tflite_interpreter
with quiet_converters():
    for path in sys.argv[1:]:
        try:
            interpreter = tflite_interpreter(1)(model_path=path)
            interpreter.allocate_tensors()
            interpreter.invoke()
        except (RuntimeError, ValueError, TypeError, MemoryError):
            pass
"""


@pytest.fixture(scope="module")
def model(lively_weights, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("exported") / "mmnet_float32.tflite")
    export(lively_weights, [ExportSpec("tflite", path)], comparison_images(None, SMALL))
    return path


def test_whole_models(model):
    need_sound(read_bytes(model), model)


@pytest.mark.parametrize("cut", [0, 3, 8, 100, 0.3, 0.5, 0.99])
def test_cut_off(model, cut):
    data = read_bytes(model)
    length = int(cut * len(data)) if isinstance(cut, float) else cut
    with pytest.raises(ValueError, match="x.tflite is not a TFLite model, or damaged"):
        need_sound(data[:length], "x.tflite")


def test_offsets_and_indices_that_lead_nowhere(model):
    data = bytearray(read_bytes(model))
    root = struct.unpack_from("<I", data)[0]
    for at, value in ((0, 1 << 30), (root, -(1 << 30)), (4, 0)):
        damaged = bytearray(data)
        struct.pack_into("<i", damaged, at, value)
        with pytest.raises(ValueError, match="damaged"):
            need_sound(bytes(damaged), "x")


def test_what_is_let_pass_ends_no_process(model, tmp_path):
    """Damaged copies, most of them near the head, where the tables lie."""
    data, passed, refused = read_bytes(model), [], 0
    for seed in range(400):
        random = np.random.RandomState(seed)
        damaged = bytearray(data)
        for _ in range(random.randint(1, 4)):
            end = random.choice([64, 4096, len(data)])
            at = (
                random.randint(8, end)
                if random.rand() < 0.5
                else len(data) - random.randint(1, end)
            )
            damaged[at] ^= 1 << random.randint(8)
        try:
            need_sound(bytes(damaged), "x")
            passed.append(bytes(damaged))
        except ValueError:
            refused += 1
    assert refused > 50 and passed
    paths = []
    for number, damaged in enumerate(passed[:20]):
        paths.append(str(tmp_path / ("%d.tflite" % number)))
        write_bytes(paths[-1], damaged)
    done = subprocess.run([sys.executable, "-c", RUN_ALL] + paths, cwd=ROOT, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr


def test_a_damaged_model_is_one_line_even_where_its_card_fits(model, tmp_path):
    data = bytearray(read_bytes(model))[: os.path.getsize(model) // 2]
    path = str(tmp_path / "a.tflite")
    write_bytes(path, bytes(data))
    with open(model + ".json") as file:
        card = json.load(file)
    (tmp_path / "a.tflite.json").write_text(json.dumps(card))
    with pytest.raises(ValueError, match="is the card of another file"):
        open_predictor(path)
    card["sha256"] = hashlib.sha256(data).hexdigest()
    (tmp_path / "a.tflite.json").write_text(json.dumps(card))
    with pytest.raises(ValueError, match="a.tflite is not a TFLite model, or damaged"):
        open_predictor(path)
