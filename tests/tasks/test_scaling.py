"""Area averaging."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from topo_search.errors import InputError
from topo_search.tasks.scaling import area_average


def slow(image: np.ndarray, size: int) -> np.ndarray:
    """One image by exact fractions, pixel by pixel."""
    height, width, colours = image.shape

    def shares(old: int, place: int):
        low, high = Fraction(place * old, size), Fraction((place + 1) * old, size)
        return [max(Fraction(0), min(high, i + 1) - max(low, Fraction(i))) / (high - low) for i in range(old)]

    scaled = np.empty((size, size, colours), dtype=np.uint8)
    for row in range(size):
        for column in range(size):
            for colour in range(colours):
                mean = sum(
                    a * b * int(image[i, j, colour])
                    for i, a in enumerate(shares(height, row))
                    for j, b in enumerate(shares(width, column))
                    if a and b
                )
                scaled[row, column, colour] = int(mean + Fraction(1, 2))
    return scaled


@pytest.mark.parametrize(("shape", "size"), [((8, 8, 1), 4), ((7, 7, 2), 3), ((5, 9, 3), 4), ((6, 4, 1), 1)])
def test_equals_exact_fractions(shape, size):
    images = np.random.default_rng(0).integers(0, 256, (3, *shape), dtype=np.uint8)
    expected = np.stack([slow(image, size) for image in images])
    np.testing.assert_array_equal(area_average(images, size, source="here"), expected)


def test_many_images_go_in_chunks():
    images = np.random.default_rng(0).integers(0, 256, (2500, 4, 4, 1), dtype=np.uint8)
    blocks = images.reshape(-1, 2, 2, 2, 2).transpose(0, 1, 3, 2, 4).reshape(-1, 2, 2, 4).sum(-1, dtype=np.int64)
    np.testing.assert_array_equal(area_average(images, 2, source="here")[..., 0], (blocks + 2) // 4)


def test_the_extremes_stay():
    for value in (0, 255):
        images = np.full((1, 7, 7, 1), value, dtype=np.uint8)
        assert (area_average(images, 3, source="here") == value).all()


def test_same_size_is_left_alone_and_larger_is_refused():
    images = np.zeros((1, 4, 6, 1), dtype=np.uint8)
    assert area_average(images, 4, source="here").shape == (1, 4, 4, 1)
    assert area_average(images[:, :, :4], 4, source="here").base is images
    with pytest.raises(InputError, match="here is 4 x 6, got image_size 5"):
        area_average(images, 5, source="here")
