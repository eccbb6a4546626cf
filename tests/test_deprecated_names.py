"""What 0.1's README showed of predicting: it warns, and gives the same numbers."""

import os

import cv2
import numpy as np
import pytest
from conftest import SMALL
from deprecation import DeprecatedWarning, fail_if_not_removed
from test_matte import brightness

import mmnet
from mmnet.data.images import read_image
from mmnet.delivery import predict
from mmnet.delivery.predictor import CheckpointPredictor
from mmnet.inference.open import open_predictor


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
    np.testing.assert_array_equal(alpha, mmnet.matte(image, lively_predictor))
    with warns("matte", "mmnet.matte"):  # with the side of the network, as 0.1 took it
        alpha = predict.matte(lively_predictor, image, 64)
    np.testing.assert_array_equal(alpha, mmnet.matte(image, lively_predictor))


@pytest.mark.parametrize("size", [64, 96])
def test_matte_of_a_function(image, size):
    """0.1 took any function of images [1,size,size,3] to alphas [1,size,size]."""

    def function(images):
        assert images.shape == (1, size, size, 3) and images.dtype == np.float32
        return images.mean(axis=3) / 255

    with warns("matte", "mmnet.matte"):
        alpha = predict.matte(function, image, size)
    np.testing.assert_array_equal(alpha, mmnet.matte(image, brightness((size, size))))


def test_cut_out(image, lively_predictor):
    alpha = mmnet.matte(image, lively_predictor)
    with warns("cut_out", r"mmnet.cutout\(photo, predictor\)"):
        rgba = predict.cut_out(image, alpha)
    np.testing.assert_array_equal(rgba, mmnet.cutout(image, lively_predictor))


def test_open(lively_weights, lively_images):
    flags = {"width_multiplier": 0.25, "size": 64}
    folder = os.path.dirname(lively_weights.source)
    with warns("open", r"mmnet.load\(checkpoint\)"):
        predictor = CheckpointPredictor.open(folder, **flags)
    assert predictor.network == SMALL
    new = open_predictor(folder, {"width_multiplier": 0.25, "shape": (64, 64)})
    np.testing.assert_array_equal(predictor(lively_images), new(lively_images))
    with warns("open", "mmnet.load"), pytest.raises(ValueError, match="no moving averages"):
        CheckpointPredictor.open(folder, use_ema=True, **flags)
    with warns("open", "mmnet.load"), pytest.raises(FileNotFoundError, match="no checkpoint"):
        CheckpointPredictor.open(os.path.join(folder, "none"))


def test_what_the_readme_of_0_1_showed(test_data, tmp_path):
    """As it stood there, but for the paths; and as it is written now."""
    from mmnet.data.photos import load_image

    checkpoints = os.path.join(test_data, "checkpoints")
    photo = str(tmp_path / "anna.jpg")
    cv2.imwrite(photo, np.random.RandomState(0).randint(0, 255, (90, 60, 3)))
    with pytest.warns(DeprecationWarning) as caught:
        image = load_image(photo)
        predictor = CheckpointPredictor.open(checkpoints)
        alpha = predict.matte(predictor, image)
        rgba = predict.cut_out(image, alpha)
    ours = [one for one in caught if isinstance(one.message, DeprecatedWarning)]
    assert [one.message.function for one in ours] == ["load_image", "open", "matte", "cut_out"]
    new = mmnet.load(checkpoints)
    assert new.source == predictor.source
    np.testing.assert_array_equal(mmnet.matte(photo, new), alpha)
    np.testing.assert_array_equal(mmnet.cutout(photo, new), rgba)


@fail_if_not_removed
def test_they_go_with_0_3(image, lively_predictor):
    """This fails as soon as the version says that they should be gone."""
    predict.cut_out(image, predict.matte(lively_predictor, image))
    with pytest.raises(FileNotFoundError):
        CheckpointPredictor.open("none/MMNetModel-1")
