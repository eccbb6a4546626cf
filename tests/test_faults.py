"""Every function that writes, with each of its calls to the system failing in turn, or the process
killed there: what was there before is still whole, or what is new is."""

import builtins
import contextlib
import errno
import hashlib
import os
import shutil
import signal
import sys
import tempfile

import numpy as np
import pytest

from helpers import ROOT, SMALL
from mmnet.datasets import cache as samples
from mmnet.datasets import synthetic
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

# Calls that write, and what they are looked up in.
CALLS = [
    (os, "replace"),
    (os, "rename"),
    (os, "chmod"),
    (os, "fsync"),
    (os, "mkdir"),
    (os, "unlink"),
    (tempfile, "mkstemp"),
    (tempfile, "mkdtemp"),
    (files, "_exchange"),
    (shutil, "copy"),
    (builtins, "open"),
    (os, "fdopen"),
]


class Full:
    """A file on a disk that is full after some bytes."""

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


def break_at(monkeypatch, number, act):
    """Let ``act`` happen at the ``number``-th call that writes; the list of calls seen."""
    seen = []

    def happen(name):
        seen.append(name)
        if len(seen) == number:
            act()

    def broken(function, name):
        def call(*arguments, **options):
            if name in ("open", "fdopen"):
                mode = options.get("mode", arguments[1] if len(arguments) > 1 else "r")
                file = function(*arguments, **options)
                writes = set(mode) & set("wxa+")
                return Full(file, lambda: happen("write")) if writes else file
            happen(name)
            return function(*arguments, **options)

        return call

    for place, name in CALLS:
        monkeypatch.setattr(place, name, broken(getattr(place, name), name))
    return seen


def fail(code):
    def act():
        raise OSError(code, os.strerror(code))

    return act


# A case prepares a folder with an older result and gives (write the new one, check what is there).


def case_bytes(folder, **_):
    path = str(folder / "a.txt")
    files.write_text(path, "old" * 100)

    def check():
        assert files.read_text(path) in ("old" * 100, "new" * 100)

    return lambda: files.write_text(path, "new" * 100), check


def case_datapre(folder, portrait_set):
    output = str(folder / "Bin")
    datapre.write_inputs(portrait_set, output, datapre.InputFormat((32, 32)))

    def check():
        manifest = read_json(os.path.join(output, "test", "manifest.json"))
        length = 4 * 3 * manifest["shape"][0] * manifest["shape"][1]
        for picture in manifest["pictures"]:
            path = os.path.join(output, "test", "images", picture["stem"] + ".bin")
            assert os.path.getsize(path) == length

    return lambda: datapre.write_inputs(portrait_set, output, datapre.InputFormat((64, 32))), check


def case_best(folder, checkpoints):
    first, second = (os.path.join(checkpoints, "MMNetModel-%d" % step) for step in (1, 2))
    best = str(folder / "best")
    records.keep_best(best, records.Best(0.2, first, "p"), first, higher_is_better=False)

    def check():
        score = records.read_best(os.path.join(best, "score.json"))
        held = os.path.join(best, os.path.basename(score.checkpoint))
        source = first if score.score == 0.2 else second
        for path in checkpoint_files.files_of(source):
            ending = path[len(source) :]
            assert read_bytes(held + ending) == read_bytes(path)

    def replace():
        score = records.Best(0.1, second, "p")
        records.keep_best(best, score, second, higher_is_better=False)

    return replace, check


def case_samples(folder, portrait_set):
    cache = str(folder / "cache")

    def check():
        opened = samples.open_samples(portrait_set, (16, 16), "disk", folder=cache)
        plain = samples.open_samples(portrait_set, (16, 16), "none")
        np.testing.assert_array_equal(opened[3][0], plain[3][0])

    return lambda: samples.open_samples(portrait_set, (16, 16), "disk", folder=cache), check


def case_synthesize(folder, **_):
    def check():
        for kind in ("image", "mask"):
            place = folder / "made" / "test" / kind
            for name in os.listdir(str(place)) if place.exists() else ():
                if not name.startswith("."):
                    images.read_image(str(place / name))

    return lambda: synthetic.synthesize(str(folder / "made"), "test", 2, shape=(48, 36)), check


def case_predict(folder, portrait_set):
    predictor = Predictor(lambda batch: batch[..., :1] / 255, Card(SMALL))
    output, photo = str(folder / "out"), InputFile(portrait_set.pairs[0].image, "photo")

    def write():
        problems = [one.error for one in process_photos([photo], predictor, Output(output))]
        if problems[0]:
            raise OSError(problems[0])

    write()

    def check():
        for name in os.listdir(output):
            if not name.startswith("."):
                images.read_image(os.path.join(output, name))
        assert len([name for name in os.listdir(output) if not name.startswith(".")]) == 2

    return write, check


CASES = {
    "bytes": case_bytes,
    "datapre": case_datapre,
    "best": case_best,
    "samples": case_samples,
    "synthesize": case_synthesize,
    "predict": case_predict,
}


@pytest.fixture
def case(request, tmp_path, portrait_set, write_checkpoints):
    needs = {"portrait_set": portrait_set}
    if request.param == "best":
        needs = {"checkpoints": write_checkpoints(1, 2)}
    return CASES[request.param](tmp_path, **needs)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=["full", "broken"])
@pytest.mark.parametrize("case", sorted(CASES), indirect=True)
def test_each_call_fails(case, monkeypatch, code):
    write, check = case
    number = 0
    while True:
        number += 1
        with monkeypatch.context() as patch:
            seen = break_at(patch, number, fail(code))
            failed = False
            try:
                write()
            except OSError:
                failed = True
        check()
        if len(seen) < number:
            break
    assert not failed and number > 1


@pytest.mark.parametrize("case", sorted(CASES), indirect=True)
def test_killed_at_each_call(case, monkeypatch):
    write, check = case
    number, ended = 0, None
    while ended != 0:
        number += 1
        child = os.fork()
        if child == 0:
            try:
                break_at(monkeypatch, number, lambda: os.kill(os.getpid(), signal.SIGKILL))
                write()
                os._exit(0)
            finally:
                os._exit(9)
        ended = os.waitpid(child, 0)[1]
        assert ended in (0, signal.SIGKILL)
        check()
    assert number > 1


def write_model(path, kind, data):
    if kind == "savedmodel":
        os.mkdir(path)
        path = os.path.join(path, SAVED_MODEL)
    with open(path, "wb") as file:
        file.write(data)


@pytest.mark.parametrize("kind", ["pb", "savedmodel"])
def test_handing_over_an_export(tmp_path, monkeypatch, kind):
    """The older model, or the new one, is there whole; a card that does not fit is refused."""
    path, number = str(tmp_path / "model"), 0
    file = os.path.join(path, SAVED_MODEL) if kind == "savedmodel" else path
    write_model(path, kind, b"old")
    card = Card(SMALL, path=path, format=kind, sha256=hashlib.sha256(b"new").hexdigest())
    while True:
        number += 1
        building = tmp_path / ("building %d" % number)
        building.mkdir()
        write_model(str(building / "model"), kind, b"new")
        with monkeypatch.context() as patch:
            seen = break_at(patch, number, fail(errno.ENOSPC))
            with contextlib.suppress(OSError):
                install(str(building / "model"), card)
        content = read_bytes(file)
        assert content in (b"old", b"new")
        if os.path.exists(card_path(path)):
            assert read_card(path).sha256 == card.sha256 and content == b"new"
        if len(seen) < number:
            break
    assert number > 3 and read_card(path).path == path


def test_checkpoint_write(tmp_path, monkeypatch):
    prefix = str(tmp_path / "MMNetModel-1")
    checkpoint.write(prefix, {"a": np.zeros(1000, "f")})
    number = 0
    while True:
        number += 1
        with monkeypatch.context() as patch:
            seen = break_at(patch, number, fail(errno.ENOSPC))
            with contextlib.suppress(OSError):
                checkpoint.write(str(tmp_path / "MMNetModel-2"), {"a": np.ones(1000, "f")})
        assert checkpoint.read(prefix)["a"].sum() == 0
        newest = checkpoint_files.find_checkpoint(str(tmp_path))
        assert checkpoint.read(newest)["a"].sum() in (0, 1000)
        if len(seen) < number:
            break
    assert number > 3
