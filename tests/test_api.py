"""The public names: mmnet.load, mmnet.matte and mmnet.cutout."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import mmnet
from helpers import ROOT, SMALL
from helpers.lively import need_onnx
from mmnet.inference.predictor import Predictor
from mmnet.io.foreground import estimate_foreground
from mmnet.io.images import read_image

# What a source may differ from the checkpoint by: the formats' bounds; a checkpoint is opened with
# TensorFlow's own optimizers on, which move alphas by up to 1e-5.
SOURCES = {
    "prefix": 1e-5,
    "folder": 1e-5,
    "frozen.pb": 1e-5,
    "savedmodel": 1e-4,
    "mmnet.tflite": 1e-4,
    "mmnet.onnx": 1e-4,
}


@pytest.fixture(scope="module")
def loaded(run_folder, delivered):
    """name of SOURCES -> Predictor, loaded once."""
    known = {}

    def loaded(name):
        if name not in known:
            if name == "mmnet.onnx":
                need_onnx()
            else:
                delivered("frozen.pb", "savedmodel", "mmnet.tflite")
            paths = {"prefix": os.path.join(run_folder, "MMNetModel-5"), "folder": run_folder}
            known[name] = mmnet.load(paths.get(name) or delivered.path(name))
        return known[name]

    return loaded


@pytest.mark.parametrize("name", SOURCES)
def test_load_gives_the_same_alphas(loaded, lively_images, lively_predictor, name):
    predictor = loaded(name)
    assert isinstance(predictor, Predictor)
    assert (predictor.network.name, predictor.network.shape) == ("mmnet", SMALL.shape)
    assert predictor.precision == "float32" and len(predictor.sha256) == 64
    is_checkpoint = name in ("prefix", "folder")
    assert predictor.step == (5 if is_checkpoint else None)
    if is_checkpoint:
        assert predictor.source.endswith("MMNetModel-5")
    alphas = predictor(lively_images)
    assert alphas.dtype == np.float32 and alphas.shape == (4,) + SMALL.shape
    np.testing.assert_allclose(alphas, lively_predictor(lively_images), atol=SOURCES[name])


@pytest.mark.parametrize("name", SOURCES)
def test_matte_and_cutout_of_every_source(
    loaded, lively_images, lively_predictor, portrait_set, name
):
    photo, predictor = portrait_set.pairs[1].image, loaded(name)
    alpha = mmnet.matte(photo, predictor)
    assert alpha.shape == (200, 150) and alpha.dtype == np.float32
    np.testing.assert_allclose(alpha, mmnet.matte(photo, lively_predictor), atol=2 * SOURCES[name])
    rgba = mmnet.cutout(photo, predictor)
    assert rgba.shape == (200, 150, 4) and rgba.dtype == np.uint8
    np.testing.assert_array_equal(rgba[..., 3], np.rint(alpha * 255))
    np.testing.assert_array_equal(rgba[..., :3], estimate_foreground(read_image(photo), alpha))
    plain = mmnet.cutout(photo, predictor, foreground_colours=False)
    np.testing.assert_array_equal(plain[..., :3], read_image(photo))


def test_what_cannot_be_loaded(tmp_path):
    for name in ("none/MMNetModel-1", "none.onnx", "none.pb"):
        with pytest.raises(FileNotFoundError, match=name):
            mmnet.load(str(tmp_path / name))
    (tmp_path / "text.pb").write_text("no graph")
    with pytest.raises(ValueError, match="text.pb is not a frozen graph"):
        mmnet.load(str(tmp_path / "text.pb"))


def test_moving_averages(run_folder):
    with pytest.raises(ValueError, match="holds no moving averages"):
        mmnet.load(run_folder, use_ema=True)


class Photo:
    """What is used of a PIL image."""

    def __init__(self, rgb):
        self.rgb = rgb

    def convert(self, mode):
        assert mode == "RGB"
        return self.rgb

    def getexif(self):
        return {}


def test_whatever_a_photo_comes_as(portrait_set, lively_predictor):
    path = portrait_set.pairs[2].image
    rgb = read_image(path)
    with open(path, "rb") as file:
        data = file.read()
    alpha, rgba = mmnet.matte(path, lively_predictor), mmnet.cutout(path, lively_predictor)
    for photo in (pathlib.Path(path), data, rgb, Photo(rgb)):
        np.testing.assert_array_equal(mmnet.matte(photo, lively_predictor), alpha)
        np.testing.assert_array_equal(mmnet.cutout(photo, lively_predictor), rgba)
    for photo, said in (
        (rgb.astype(np.float32), "uint8"),
        (rgb[..., 0], "uint8"),
        (7, "a photo is a path, bytes, .* not int"),
        (b"no picture", ": not a JPEG"),
    ):
        for function in (mmnet.matte, mmnet.cutout):
            with pytest.raises(ValueError, match=said):
                function(photo, lively_predictor)
    with pytest.raises(FileNotFoundError):
        mmnet.matte("none.jpg", lively_predictor)


def test_a_pil_image(portrait_set, lively_predictor):
    image_module = pytest.importorskip("PIL.Image")
    path = portrait_set.pairs[0].image
    with image_module.open(path) as photo:
        rgb = np.array(photo.convert("RGB"))
        alpha = mmnet.matte(photo, lively_predictor)
        grey = mmnet.cutout(photo.convert("L"), lively_predictor)
    np.testing.assert_array_equal(alpha, mmnet.matte(rgb, lively_predictor))
    assert grey.shape == rgb.shape[:2] + (4,)
    assert (grey[..., 0] == grey[..., 1]).all() and (grey[..., 0] == grey[..., 2]).all()


def test_the_names_of_the_package():
    assert mmnet.__all__ == ["cutout", "load", "matte"]
    assert {"cutout", "load", "matte", "__version__", "__doc__"} <= set(dir(mmnet))
    assert dir(mmnet) == sorted(dir(mmnet))
    assert [mmnet.cutout.__name__, mmnet.load.__name__] == ["cutout", "load"]
    for name in ("foo", "Load", "predict"):
        assert not hasattr(mmnet, name)
        with pytest.raises(AttributeError, match="module 'mmnet' has no attribute '%s'" % name):
            getattr(mmnet, name)
    names = {}
    exec("from mmnet import *", names)
    assert names["load"] is mmnet.load and names["matte"] is mmnet.matte


def test_tensorflow_is_imported_for_load_only():
    code = (
        "import sys, mmnet; before = set(sys.modules); dir(mmnet); "
        "assert not before & {'numpy', 'cv2', 'tensorflow', 'mmnet.api'}; "
        "mmnet.load, mmnet.matte, mmnet.cutout; import mmnet.matting.compose, mmnet.matting.load; "
        "assert 'numpy' in sys.modules and 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
