"""Tests of mmnet.io.masks."""

import cv2
import numpy as np
import pytest

from mmnet.io.masks import load_mask

GREY = np.arange(30, dtype=np.uint8).reshape(6, 5) * 8
PERSON = GREY > 100


def write(path, image):
    assert cv2.imwrite(str(path), image)
    return str(path)


@pytest.mark.parametrize(
    "mask",
    [
        pytest.param(GREY, id="grey"),
        pytest.param(np.dstack([GREY] * 3), id="colour"),
        pytest.param(np.dstack([np.full_like(GREY, 90)] * 3 + [GREY]), id="alpha channel"),
        pytest.param(np.dstack([GREY] * 3 + [np.full_like(GREY, 255)]), id="opaque"),
        pytest.param(GREY.astype(np.uint16) * 257, id="16 bits"),
    ],
)
def test_load_mask_scales_to_alpha(tmp_path, mask):
    alpha = load_mask(write(tmp_path / "mask.png", mask))
    assert alpha.dtype == np.float32
    np.testing.assert_allclose(alpha, GREY / np.float32(255), atol=1e-6)


def test_load_mask_keeps_labels_0_and_1(tmp_path):
    labels = load_mask(write(tmp_path / "labels.png", PERSON.astype(np.uint8)))
    np.testing.assert_array_equal(labels, PERSON)
