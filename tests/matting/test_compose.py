"""A photo and its alpha: cut out, or before another background."""

import cv2
import numpy as np
import pytest

from mmnet.matting.compose import BLUR, compose, cut_out, load_background, side_by_side


def test_cut_out_and_composition_by_hand():
    image = np.full((1, 3, 3), 200, np.uint8)
    alpha = np.array([[0, 0.5, 1]], np.float32)
    assert cut_out(image, alpha)[0, :, 3].tolist() == [0, 128, 255]
    assert compose(image, alpha, np.array([0, 0, 100], np.uint8))[0].tolist() == [
        [0, 0, 100],
        [100, 100, 150],
        [200, 200, 200],
    ]


def test_a_background_picture_covers_the_photo_undistorted():
    background = np.zeros((10, 40, 3), np.uint8)
    background[:, 15:25] = 255
    alpha = np.zeros((20, 20), np.float32)
    result = compose(np.zeros((20, 20, 3), np.uint8), alpha, background)
    # Its middle square, twice as large.
    assert result.shape == (20, 20, 3) and result[:, 2:-2].min() == 255


def test_backgrounds(tmp_path):
    assert load_background("#0a0B0c").tolist() == [10, 11, 12]
    assert load_background("White").tolist() == [255, 255, 255]
    assert load_background("blur") == BLUR
    path = str(tmp_path / "beach.png")
    cv2.imwrite(path, np.zeros((2, 3, 3), np.uint8))
    assert load_background(path).shape == (2, 3, 3)
    for wrong in ("#12345", "#gggggg", "beach.jpg"):
        with pytest.raises(ValueError, match="neither a picture or clip that exists nor a colour"):
            load_background(wrong)


def test_the_foregrounds_own_colours():
    image, alpha = np.full((1, 2, 3), 200, np.uint8), np.array([[0.5, 1]], np.float32)
    own = np.full((1, 2, 3), 100, np.uint8)
    assert cut_out(image, alpha, own)[0, :, :3].tolist() == [[100] * 3] * 2
    assert compose(image, alpha, np.zeros(3, np.uint8), own)[0].tolist() == [[50] * 3, [100] * 3]


def test_a_blurred_background_has_nothing_of_the_person_in_it():
    image = np.zeros((200, 300, 3), np.uint8)
    image[:, ::2] = 100  # stripes, which blur to 50
    image[60:140, 100:200] = 255
    alpha = np.zeros((200, 300), np.float32)
    alpha[60:140, 100:200] = 1
    result = compose(image, alpha, BLUR)
    assert (result[60:140, 100:200] == 255).all()
    behind = result[alpha == 0]
    assert behind.min() > 40 and behind.max() < 60
    assert compose(image[:1, :1], alpha[:1, :1], BLUR).shape == (1, 1, 3)


def test_side_by_side():
    image, alpha = np.full((2, 3, 3), 9, np.uint8), np.ones((2, 3), np.float32)
    shorten = side_by_side(image, alpha, image)
    assert shorten.shape == (2, 9, 3) and shorten[0, :, 0].tolist() == [9] * 3 + [255] * 3 + [9] * 3
