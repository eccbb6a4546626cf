"""Tests of mmnet.io.resize."""

import tracemalloc

import numpy as np
import pytest

from mmnet.io.resize import resize_bilinear, resize_to_cover, shrink
from mmnet.tf.compat import tf


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize(
    "input_shape, shape",
    [((13, 17), (32, 8)), ((5, 7, 3), (5, 7)), ((40, 30, 3), (16, 16)), ((3, 4), (1, 1))],
)
def test_resize_bilinear_equals_tensorflow(input_shape, shape, align_corners):
    array = np.random.RandomState(0).uniform(0, 255, input_shape).astype(np.float32)
    with tf.Graph().as_default(), tf.Session() as session:
        batch = array[None] if array.ndim == 3 else array[None, ..., None]
        resized = tf.image.resize_bilinear(batch, shape, align_corners=align_corners)
        expected = session.run(resized)[0]
    expected = expected if array.ndim == 3 else expected[..., 0]
    result = resize_bilinear(array, shape, align_corners)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, atol=1e-4)  # a few float32 roundings of 255


def test_shrink_limits_longer_side():
    image = np.zeros((30, 60, 3), np.uint8)
    assert shrink(image, 20).shape == (10, 20, 3)
    assert shrink(image, 60) is image


@pytest.mark.parametrize("shape", [(20, 20), (10, 50), (90, 10)])
def test_resize_to_cover_crops_at_centre(shape):
    image = np.zeros((30, 60, 3), np.uint8)
    image[14:16, 28:32] = 255
    result = resize_to_cover(image, shape)
    assert result.shape == shape + (3,)
    assert result[shape[0] // 2, shape[1] // 2, 0] > 100


@pytest.mark.parametrize("shape", [(1, 500), (500, 1), (10, 1000)])
def test_resize_to_cover_needs_little_memory_for_narrow_images(shape):
    image = np.zeros((*shape, 3), np.uint8)
    image[(shape[0] - 1) // 2 :, (shape[1] - 1) // 2 :] = 200
    tracemalloc.start()
    result = resize_to_cover(image, (300, 300))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert result.shape == (300, 300, 3) and peak < 10 << 20
    assert result[-1, -1, 0] == 200
