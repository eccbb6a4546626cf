"""What 0.1's README showed of predicting: it warns, and gives the same numbers."""

import os

import cv2
import numpy as np
import pytest
from deprecation import DeprecatedWarning, fail_if_not_removed

import mmnet
from conftest import SMALL
from mmnet.data.images import read_image
from mmnet.delivery import predict
from mmnet.delivery.predictor import CheckpointPredictor
from test_matte import brightness

ONE_LOOK = {"second_look": False, "refinement": False}  # all that 0.1 had
PLAIN = dict(ONE_LOOK, foreground_colours=False)


def warns(name, instead):
    """Expect the warning of the package ``deprecation``, which says what to use."""
    said = r"^%s is deprecated as of 0.2 and will be removed in 0.3. Use %s" % (name, instead)
    return pytest.warns(DeprecatedWarning, match=said)


def test_they_are_deprecation_warnings():
    """Silent where nobody asked for them, and shown by test runners."""
    assert issubclass(DeprecatedWarning, DeprecationWarning)


@pytest.fixture(scope="module")
def image(portrait_set):
    return read_image(portrait_set.pairs[0].image)


def test_matte(image, lively_predictor):
    with warns("matte", r"mmnet.matte\(image, predictor\)"):
        alpha = predict.matte(lively_predictor, image)
    np.testing.assert_array_equal(alpha, mmnet.matte(image, lively_predictor, **ONE_LOOK))
    with warns("matte", "mmnet.matte"):  # with the side of the network, as 0.1 took it
        alpha = predict.matte(lively_predictor, image, 64)
    np.testing.assert_array_equal(alpha, mmnet.matte(image, lively_predictor, **ONE_LOOK))


@pytest.mark.parametrize("size", [64, 96])
def test_matte_of_a_function(image, size):
    """0.1 took any function of images [1,size,size,3] to alphas [1,size,size]."""

    def function(images):
        assert images.shape == (1, size, size, 3) and images.dtype == np.float32
        return images.mean(axis=3) / 255

    with warns("matte", "mmnet.matte"):
        alpha = predict.matte(function, image, size)
    np.testing.assert_array_equal(alpha, mmnet.matte(image, brightness((size, size)), **ONE_LOOK))


def test_cut_out(image, lively_predictor):
    alpha = mmnet.matte(image, lively_predictor, **ONE_LOOK)
    with warns("cut_out", r"mmnet.cutout\(photo, predictor\)"):
        rgba = predict.cut_out(image, alpha)
    np.testing.assert_array_equal(rgba, mmnet.cutout(image, lively_predictor, **PLAIN))


FLAGS = {"width_multiplier": 0.25, "size": 64}


def test_what_the_readme_of_0_1_showed(run_folder, lively_images, tmp_path):
    """As it stood there, but for the network's size; and as it is written now."""
    from mmnet.data.photos import load_image

    path = str(tmp_path / "anna.jpg")
    cv2.imwrite(path, np.random.RandomState(0).randint(0, 255, (90, 60, 3)))
    with pytest.warns(DeprecationWarning) as caught:
        predictor = CheckpointPredictor.open(os.path.join(run_folder, "MMNetModel-5"), **FLAGS)
        photo = load_image(path, True)
        alpha = predict.matte(predictor, photo)
        rgba = predict.cut_out(photo, alpha)
    ours = [one for one in caught if isinstance(one.message, DeprecatedWarning)]
    assert [one.message.function for one in ours] == ["open", "load_image", "matte", "cut_out"]
    assert "Use mmnet.load(checkpoint)." in str(ours[0].message)
    assert predictor.network == SMALL
    new = mmnet.load(run_folder)
    assert (new.source, new.network) == (predictor.source, predictor.network)
    np.testing.assert_array_equal(new(lively_images), predictor(lively_images))
    np.testing.assert_array_equal(mmnet.matte(path, new, **ONE_LOOK), alpha)
    np.testing.assert_array_equal(mmnet.cutout(path, new, **PLAIN), rgba)


def test_open_refuses_what_load_refuses(run_folder):
    with warns("open", "mmnet.load"), pytest.raises(ValueError, match="no moving averages"):
        CheckpointPredictor.open(run_folder, use_ema=True, **FLAGS)
    with warns("open", "mmnet.load"), pytest.raises(FileNotFoundError, match="no checkpoint"):
        CheckpointPredictor.open(os.path.join(run_folder, "none"))


@fail_if_not_removed
def test_they_go_with_0_3(image, lively_predictor):
    """This fails as soon as the version says that they should be gone."""
    predict.cut_out(image, predict.matte(lively_predictor, image))
    with pytest.raises(FileNotFoundError):
        CheckpointPredictor.open("none/MMNetModel-1")
