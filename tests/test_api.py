"""Tests of the public functions of mmnet: load, matte, cutout and cutout_image."""

import io
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import mmnet
from helpers import ROOT, SMALL, assert_message, assert_raises
from helpers.images import draw_scene, make_exif, save
from helpers.matting import brightness_predictor
from helpers.models import need_onnx
from mmnet import api
from mmnet.inference.predictor import Predictor
from mmnet.io.errors import MmnetError
from mmnet.io.foreground import estimate_foreground
from mmnet.io.images import read_image

# Source -> largest difference from the checkpoint. TensorFlow's graph optimizers change alphas of a
# checkpoint by up to 1e-5.
SOURCES = {
    "prefix": 1e-5,
    "folder": 1e-5,
    "frozen.pb": 1e-5,
    "savedmodel": 1e-4,
    "mmnet.tflite": 1e-4,
    "mmnet.onnx": 1e-4,
}


@pytest.fixture(scope="module")
def open_source(run_folder, exported_models):
    """Function: name in SOURCES -> Predictor, opened once."""
    predictors = {}

    def open_source(name):
        if name not in predictors:
            if name == "mmnet.onnx":
                need_onnx()
            else:
                exported_models("frozen.pb", "savedmodel", "mmnet.tflite")
            paths = {"prefix": os.path.join(run_folder, "MMNetModel-5"), "folder": run_folder}
            predictors[name] = mmnet.load(paths.get(name) or exported_models.path(name))
        return predictors[name]

    return open_source


@pytest.fixture
def photo(portrait_set):
    return portrait_set.pairs[1].image


@pytest.mark.parametrize("name", SOURCES)
def test_load_opens_every_source(open_source, small_images, small_predictor, name):
    predictor = open_source(name)
    assert isinstance(predictor, Predictor)
    assert predictor.network.shape == SMALL.shape
    assert predictor.precision == "float32" and len(predictor.sha256) == 64
    is_checkpoint = name in ("prefix", "folder")
    assert predictor.step == (5 if is_checkpoint else None)
    if is_checkpoint:
        assert predictor.network == SMALL and predictor.source.endswith("MMNetModel-5")
    alphas = predictor(small_images)
    assert alphas.dtype == np.float32 and alphas.shape == (4,) + SMALL.shape
    np.testing.assert_allclose(alphas, small_predictor(small_images), atol=SOURCES[name])


@pytest.mark.parametrize("name", SOURCES)
def test_matte_and_cutout_agree_for_every_source(open_source, small_predictor, photo, name):
    predictor = open_source(name)
    alpha = mmnet.matte(photo, predictor)
    assert alpha.shape == (200, 150) and alpha.dtype == np.float32
    np.testing.assert_allclose(alpha, mmnet.matte(photo, small_predictor), atol=2 * SOURCES[name])
    rgba = mmnet.cutout(photo, predictor)
    assert rgba.shape == (200, 150, 4) and rgba.dtype == np.uint8
    np.testing.assert_array_equal(rgba[..., 3], np.rint(alpha * 255))
    np.testing.assert_array_equal(rgba[..., :3], estimate_foreground(read_image(photo), alpha))
    rgba = mmnet.cutout(photo, predictor, estimate_foreground=False)
    np.testing.assert_array_equal(rgba[..., :3], read_image(photo))


def test_load_reports_unusable_sources(tmp_path, run_folder):
    for name in ("none/MMNetModel-1", "none.onnx", "none.pb"):
        with assert_raises(FileNotFoundError, name):
            mmnet.load(str(tmp_path / name))
    (tmp_path / "text.pb").write_text("no graph")
    with assert_raises(MmnetError, "text.pb"):
        mmnet.load(str(tmp_path / "text.pb"))
    with assert_raises(MmnetError, "moving averages"):
        mmnet.load(run_folder, use_ema=True)


@pytest.mark.parametrize(
    "options",
    [
        *({"device": "tpu"}, {"threads": 0}, {"threads": 1.5}),
        *({"logit_scale": 0}, {"logit_scale": -1}, {"logit_scale": float("nan")}),
    ],
    ids=str,
)
def test_load_reports_invalid_options(run_folder, options):
    with assert_raises(MmnetError) as caught:
        mmnet.load(run_folder, **options)
    assert caught.value.parameter in options


def test_load_passes_device_and_threads(run_folder, monkeypatch):
    devices = []
    monkeypatch.setattr(api, "open_predictor", lambda *_, device, **__: devices.append(device))
    mmnet.load(run_folder, device="cpu", threads=3)
    assert (devices[0].kind, devices[0].threads) == ("cpu", 3)


def test_matte_and_cutout_accept_every_form_of_photo(photo):
    predictor, rgb = brightness_predictor(), read_image(photo)
    with open(photo, "rb") as file:
        data = file.read()
    alpha, rgba = mmnet.matte(photo, predictor), mmnet.cutout(photo, predictor)
    for form in (data, rgb, np.dstack([rgb, np.full_like(rgb[..., 0], 255)])):
        np.testing.assert_array_equal(mmnet.matte(form, predictor), alpha)
        np.testing.assert_array_equal(mmnet.cutout(photo=form, predictor=predictor), rgba)
    with assert_raises(MmnetError, "photo", "int"):
        mmnet.matte(7, predictor)
    with assert_raises(FileNotFoundError, "none.jpg"):
        mmnet.cutout("none.jpg", predictor)


def test_predictor_by_name_is_opened_once(photo, run_folder, monkeypatch):
    sources = []

    def open_for_photos(source, **_):
        sources.append(source)
        return brightness_predictor()

    monkeypatch.setattr(api, "open_for_photos", open_for_photos)
    api._open_once.cache_clear()
    for _ in range(2):
        mmnet.cutout(photo, "mmnet-fast")
        mmnet.matte(photo)
    mmnet.matte(photo, run_folder)
    monkeypatch.setattr(os, "getpid", lambda: -1)  # a forked child
    mmnet.matte(photo)
    api._open_once.cache_clear()
    assert sources == ["mmnet-fast", "mmnet-persons", run_folder, "mmnet-persons"]


def test_views_of_an_open_predictor_cannot_change(photo):
    predictor = brightness_predictor()
    assert mmnet.matte(photo, predictor, views=1).ndim == 2
    with assert_raises(MmnetError, "views", "mmnet.load"):
        mmnet.matte(photo, predictor, views=3)


def test_cutout_image_returns_a_pil_image(photo):
    predictor = brightness_predictor()
    image = mmnet.cutout_image(photo, predictor, refine_edges=False)
    assert isinstance(image, Image.Image) and image.mode == "RGBA"
    expected = mmnet.cutout(photo, predictor, refine_edges=False)
    np.testing.assert_array_equal(np.array(image), expected)
    with Image.open(photo) as opened:
        assert mmnet.cutout_image(opened, predictor).size == opened.size


def test_cutout_image_keeps_metadata():
    exif = make_exif({0x132: "2024:05:06 10:00:00", 0x112: 6}, gps={1: "N"})
    data = save(draw_scene(), "jpeg", exif=exif, dpi=(300, 300))
    image = mmnet.cutout_image(data, brightness_predictor())
    stored = save(image, "png", exif=image.info["exif"], dpi=image.info["dpi"])
    with Image.open(io.BytesIO(stored)) as cutout:
        assert cutout.size == (48, 64) and "icc_profile" in cutout.info
        exif = cutout.getexif()
        assert exif[0x132] == "2024:05:06 10:00:00" and not exif.get_ifd(0x8825)
        assert cutout.info["dpi"] == pytest.approx((300, 300), abs=0.1) and 0x112 not in exif


@pytest.mark.parametrize(
    "function, old, new",
    [
        ("matte", "second_look", "second_pass"),
        ("matte", "refinement", "refine_edges"),
        ("cutout", "foreground_colours", "estimate_foreground"),
    ],
)
def test_keywords_of_0_2_give_the_same_numbers(photo, function, old, new):
    function, predictor = getattr(mmnet, function), brightness_predictor()
    with pytest.warns(DeprecationWarning) as warnings:
        result = function(photo, predictor, **{old: False})
    assert_message(str(warnings[0].message), old, new)
    np.testing.assert_array_equal(result, function(photo, predictor, **{new: False}))


def test_temperature_is_logit_scale(run_folder, small_images):
    with pytest.warns(DeprecationWarning):
        old = mmnet.load(run_folder, temperature=2.0)
    new = mmnet.load(run_folder, logit_scale=2.0)
    np.testing.assert_array_equal(old(small_images), new(small_images))
    assert np.abs(new(small_images) - mmnet.load(run_folder)(small_images)).max() > 0.01


def test_package_lists_its_public_names():
    assert mmnet.__all__ == ["cutout", "cutout_image", "load", "matte"]
    assert {*mmnet.__all__, "__version__", "__doc__"} <= set(dir(mmnet))
    assert dir(mmnet) == sorted(dir(mmnet))
    assert mmnet.cutout.__name__ == "cutout" and mmnet.load.__name__ == "load"
    for name in ("foo", "Load", "predict"):
        with assert_raises(AttributeError, "mmnet", name):
            getattr(mmnet, name)
    names = {}
    exec("from mmnet import *", names)
    assert names["load"] is mmnet.load and names["matte"] is mmnet.matte


def test_import_loads_nothing_heavy():
    code = (
        "import sys, mmnet; before = set(sys.modules); dir(mmnet); "
        "assert not before & {'numpy', 'cv2', 'tensorflow', 'mmnet.api'}; "
        "mmnet.load, mmnet.matte, mmnet.cutout; import mmnet.matting.process; "
        "assert 'numpy' in sys.modules and 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
