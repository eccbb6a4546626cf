"""Fault tests of every function that writes files.

Each test lets one system call after another fail, or kills the process there. Afterwards, either
the previous result or the new one must be complete.
"""

import builtins
import errno
import hashlib
import itertools
import os
import shutil
import signal
import sys
import tempfile

import numpy as np
import pytest

from helpers import ROOT, SMALL
from mmnet.datasets.cache import open_samples
from mmnet.datasets.synthetic import synthesize
from mmnet.evaluation import records
from mmnet.export.export import install
from mmnet.inference.card import Card, card_path, read_card
from mmnet.inference.predictor import Predictor
from mmnet.io import checkpoint_files, files, images
from mmnet.io.files import read_bytes, read_json
from mmnet.matting.files import InputFile, Output
from mmnet.matting.process import process_photos
from mmnet.tf import checkpoint
from mmnet.weights.source import SAVED_MODEL

sys.path.append(ROOT)
from offline_infer import datapre  # noqa: E402

WRITE_CALLS = {  # module -> names of its functions
    os: ["replace", "rename", "chmod", "fsync", "mkdir", "unlink", "open"],
    tempfile: ["mkstemp", "mkdtemp"],
    files: ["_exchange"],
    shutil: ["copy"],
    builtins: ["open"],
}

OPENS_FOR_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT  # flags of os.open


class FileOnFullDisk:
    """A file whose disk becomes full in the middle of each write."""

    def __init__(self, file, fail):
        self._file, self._fail = file, fail

    def __getattr__(self, name):
        return getattr(self._file, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()

    def write(self, data):
        self._file.write(data[: len(data) // 2])
        self._file.flush()
        self._fail()
        return self._file.write(data[len(data) // 2 :])


def break_call(monkeypatch, number, act):
    """Run ``act`` at the call of this number among WRITE_CALLS. Return the list of their names."""
    names = []

    def count(name):
        names.append(name)
        if len(names) == number:
            act()

    def wrap(module, name):
        function = getattr(module, name)

        def call(*arguments, **options):
            if module is not builtins:
                if name != "open" or arguments[1] & OPENS_FOR_WRITING:
                    count(name)
                return function(*arguments, **options)
            file = function(*arguments, **options)
            return FileOnFullDisk(file, lambda: count("write")) if file.writable() else file

        monkeypatch.setattr(module, name, call)

    for module, functions in WRITE_CALLS.items():
        for name in functions:
            wrap(module, name)
    return names


# A case writes an older result into a folder. It returns two functions: one writes the new result,
# the other checks that the folder contains a complete result.


def text_case(folder, **_):
    path = str(folder / "a.txt")
    files.write_text(path, "old" * 100)

    def write():
        files.write_text(path, "new" * 100)

    def check():
        assert files.read_text(path) in ("old" * 100, "new" * 100)

    return write, check


def datapre_case(folder, portrait_set, **_):
    output = str(folder / "Bin")
    datapre.write_inputs(portrait_set, output, datapre.InputFormat((32, 32)))

    def write():
        datapre.write_inputs(portrait_set, output, datapre.InputFormat((64, 32)))

    def check():
        manifest = read_json(os.path.join(output, "test", "manifest.json"))
        length = 4 * 3 * manifest["shape"][0] * manifest["shape"][1]
        for picture in manifest["pictures"]:
            path = os.path.join(output, "test", "images", picture["stem"] + ".bin")
            assert os.path.getsize(path) == length

    return write, check


def best_checkpoint_case(folder, write_checkpoints, **_):
    first, second = checkpoint_files.list_checkpoints(write_checkpoints(1, 2))
    best = str(folder / "best")
    records.keep_best(best, records.Best(0.2, first, "p"), first, higher_is_better=False)

    def write():
        score = records.Best(0.1, second, "p")
        records.keep_best(best, score, second, higher_is_better=False)

    def check():
        score = records.read_best(os.path.join(best, "score.json"))
        source = first if score.score == 0.2 else second
        for path in checkpoint_files.files_of(source):
            assert read_bytes(os.path.join(best, os.path.basename(path))) == read_bytes(path)

    return write, check


def cache_case(folder, portrait_set, **_):
    def write():
        return open_samples(portrait_set, (16, 16), "disk", folder=str(folder / "cache"))

    def check():
        cached, decoded = write(), open_samples(portrait_set, (16, 16), "none")
        np.testing.assert_array_equal(cached[3][0], decoded[3][0])

    return write, check


def synthesize_case(folder, **_):
    def write():
        synthesize(str(folder / "portraits"), "test", 2, shape=(48, 36))

    def check():
        for kind in ("image", "mask"):
            read_visible_images(str(folder / "portraits" / "test" / kind))

    return write, check


def predict_case(folder, portrait_set, **_):
    predictor = Predictor(lambda batch: batch[..., :1] / 255, Card(SMALL))
    output, photo = str(folder / "out"), InputFile(portrait_set.pairs[0].image, "photo")

    def write():
        (result,) = process_photos([photo], predictor, Output(output))
        if result.error:
            raise OSError(result.error)

    write()

    def check():
        assert len(read_visible_images(output)) == 2

    return write, check


def read_visible_images(folder):
    """Read all images of a folder except those with temporary names."""
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return [
        images.read_image(os.path.join(folder, name)) for name in names if not name.startswith(".")
    ]


CASES = [text_case, datapre_case, best_checkpoint_case, cache_case, synthesize_case, predict_case]


@pytest.fixture(params=CASES, ids=lambda make_case: make_case.__name__)
def case(request, tmp_path, portrait_set, write_checkpoints):
    return request.param(tmp_path, portrait_set=portrait_set, write_checkpoints=write_checkpoints)


def fail_each_call(monkeypatch, code, write, check, prepare=lambda: None):
    """Let one call of ``write`` after another fail, and check after each.

    Return the number of tries. All calls of the last one work.
    """

    def fail():
        raise OSError(code, os.strerror(code))

    for number in itertools.count(1):
        prepare()
        failed = False
        with monkeypatch.context() as patch:
            calls = break_call(patch, number, fail)
            try:
                write()
            except OSError:
                failed = True
        check()
        if len(calls) < number:
            break
    assert not failed
    return number


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=["full disk", "broken disk"])
def test_failing_calls_keep_complete_results(case, monkeypatch, code):
    write, check = case
    assert fail_each_call(monkeypatch, code, write, check) > 1


def test_killed_processes_keep_complete_results(case, monkeypatch):
    write, check = case
    for number in itertools.count(1):
        child = os.fork()
        if child == 0:
            try:
                break_call(monkeypatch, number, lambda: os.kill(os.getpid(), signal.SIGKILL))
                write()
                os._exit(0)
            finally:
                os._exit(9)
        status = os.waitpid(child, 0)[1]
        check()
        if status != signal.SIGKILL:
            break
    assert status == 0 and number > 1


def write_model(path, kind, data):
    if kind == "savedmodel":
        os.mkdir(path)
        path = os.path.join(path, SAVED_MODEL)
    with open(path, "wb") as file:
        file.write(data)


@pytest.mark.parametrize("kind", ["pb", "savedmodel"])
def test_install_keeps_complete_model(tmp_path, monkeypatch, kind):
    """Either the old or the new model is complete. A card belongs to its model."""
    path = str(tmp_path / "model")
    file = os.path.join(path, SAVED_MODEL) if kind == "savedmodel" else path
    write_model(path, kind, b"old")
    card = Card(SMALL, path=path, format=kind, sha256=hashlib.sha256(b"new").hexdigest())
    building = tmp_path / "building"

    def prepare():
        shutil.rmtree(str(building), ignore_errors=True)
        building.mkdir()
        write_model(str(building / "model"), kind, b"new")

    def write():
        install(str(building / "model"), card)

    def check():
        content = read_bytes(file)
        assert content in (b"old", b"new")
        if os.path.exists(card_path(path)):
            assert read_card(path).sha256 == card.sha256 and content == b"new"

    assert fail_each_call(monkeypatch, errno.ENOSPC, write, check, prepare) > 3
    assert read_card(path).path == path


def test_checkpoint_write_keeps_complete_checkpoint(tmp_path, monkeypatch):
    prefix = str(tmp_path / "MMNetModel-1")
    checkpoint.write(prefix, {"a": np.zeros(1000, "f")})

    def write():
        checkpoint.write(str(tmp_path / "MMNetModel-2"), {"a": np.ones(1000, "f")})

    def check():
        assert checkpoint.read(prefix)["a"].sum() == 0
        latest = checkpoint_files.find_checkpoint(str(tmp_path))
        assert checkpoint.read(latest)["a"].sum() in (0, 1000)

    assert fail_each_call(monkeypatch, errno.ENOSPC, write, check) > 3
