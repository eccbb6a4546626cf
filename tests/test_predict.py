import os

import cv2
import numpy as np
import pytest

from mmnet.data.images import load_mask
from mmnet.data.pairs import load_pairs
from mmnet.data.photos import load_image
from mmnet.delivery import predict
from mmnet.delivery.predictor import CheckpointPredictor


def brightness(images):
    """A Predict that needs no network."""
    return np.asarray(images).mean(axis=3) / 255


@pytest.mark.parametrize("shape", [(80, 60), (300, 300), (40, 200), (200, 40), (1000, 1600), (7, 500), (1, 1)])
def test_matte_lies_on_the_photo_in_every_shape(shape):
    y, x = np.mgrid[0:shape[0], 0:shape[1]]
    image = np.dstack([np.rint(255 * (0.5 * y / max(1, shape[0] - 1) + 0.5 * x / max(1, shape[1] - 1)))] * 3).astype(np.uint8)
    alpha = predict.matte(brightness, image, 256)
    assert alpha.shape == shape and alpha.dtype == np.float32
    # Two resizes of a smooth ramp: a shift or a stretch of one pixel in twenty would show.
    np.testing.assert_allclose(alpha, image[..., 0] / 255, atol=0.05)


def test_what_the_network_sees():
    seen = []

    def look(images):
        seen.append(images)
        return brightness(images)
    predict.matte(look, np.zeros((80, 60, 3), np.uint8), 64)
    assert seen[0].shape == (1, 64, 64, 3) and seen[0].dtype == np.float32
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:10] = 255
    predict.matte(look, wide, 60)  # mirrored to 60x60: dark, bright | bright, dark | dark, bright, no black bars
    rows = seen[1][0, :, 30, 0]
    assert rows[25] == 255 and rows[35] == 0 and rows[15] == 255 and rows[5] == 0 and rows[45] == 0 and rows[55] == 255


def test_cut_out_and_composition_by_hand():
    image = np.full((1, 3, 3), 200, np.uint8)
    alpha = np.array([[0, 0.5, 1]], np.float32)
    assert predict.cut_out(image, alpha)[0, :, 3].tolist() == [0, 128, 255]
    assert predict.compose(image, alpha, np.array([0, 0, 100], np.uint8))[0].tolist() == [
        [0, 0, 100], [100, 100, 150], [200, 200, 200]]


def test_a_background_picture_covers_the_photo_undistorted():
    background = np.zeros((10, 40, 3), np.uint8)
    background[:, 15:25] = 255
    result = predict.compose(np.zeros((20, 20, 3), np.uint8), np.zeros((20, 20), np.float32), background)
    assert result.shape == (20, 20, 3) and result[:, 2:-2].min() == 255  # its middle square, twice as large


def test_backgrounds(tmp_path):
    assert predict.load_background("#0a0B0c").tolist() == [10, 11, 12]
    assert predict.load_background("White").tolist() == [255, 255, 255]
    path = str(tmp_path / "beach.png")
    cv2.imwrite(path, np.zeros((2, 3, 3), np.uint8))
    assert predict.load_background(path).shape == (2, 3, 3)
    for wrong in ("#12345", "#gggggg", "beach.jpg"):
        with pytest.raises(ValueError, match="neither a picture that exists nor a colour"):
            predict.load_background(wrong)


def test_photos_are_found_once_and_never_overwrite_each_other(tmp_path):
    folder = tmp_path / "my photos"
    folder.mkdir()
    for name in ("b.JPG", "a.png", "notes.txt"):
        (folder / name).write_bytes(b"")
    out = str(tmp_path / "out")
    found = predict.find_photos([str(folder), str(folder / "a.png")], out)
    assert [os.path.basename(path) for path in found] == ["a.png", "b.JPG"]
    (folder / "a.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match="same files"):
        predict.find_photos([str(folder)], out)
    with pytest.raises(ValueError, match="output folder too"):
        predict.find_photos([str(folder)], str(folder))
    with pytest.raises(FileNotFoundError, match="no photo or folder .*none"):
        predict.find_photos([str(tmp_path / "none")], out)


def test_a_broken_file_among_many_is_skipped(portraits, tmp_path):
    good = load_pairs(portraits, "test")[0].image
    broken = tmp_path / "broken.jpg"
    broken.write_text("no picture")
    out = str(tmp_path / "out")
    first, second = predict.predict_photos(brightness, [str(broken), good], out, np.zeros(3, np.uint8), 64)
    assert "broken.jpg is not a JPEG" in first.error and first.alpha is None
    image = load_image(good)
    assert second.error is None
    assert cv2.imread(second.cutout, cv2.IMREAD_UNCHANGED).shape == image.shape[:2] + (4,)
    assert load_image(second.composition).shape == image.shape
    alpha = load_mask(second.alpha)
    assert alpha.shape == image.shape[:2]
    assert second.person_share == pytest.approx(alpha.mean(), abs=0.01)
    assert len(os.listdir(out)) == 3


def test_real_portraits(test_data):
    """At its own size a photo scores nearly as at 800x600 in numbers.md (.0205): the way there and back is sound."""
    predictor = CheckpointPredictor.open(os.path.join(test_data, "checkpoints"))
    pairs = load_pairs(os.path.join(test_data, "soft"), "test")
    errors = [np.abs(predict.matte(predictor, load_image(pair.image)) - load_mask(pair.mask)).mean() for pair in pairs]
    assert np.mean(errors) == pytest.approx(0.0205, abs=0.001)
