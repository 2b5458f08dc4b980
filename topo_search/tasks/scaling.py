"""Down-scaling of images by exact area averaging."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from topo_search.errors import InputError

__all__ = ["area_average"]

_CHUNK = 1024


def area_average(images: NDArray[np.uint8], size: int, *, source: str) -> NDArray[np.uint8]:
    """Scales images down to ``size`` x ``size``; each new pixel is the mean over the area that it covers.

    Pixels that a new pixel covers in part count in part, so any ratio is exact (up to the final rounding, halves up).
    An image that is not square is squeezed, not cropped.

    Args:
        images: ``(n, height, width, colours)``.
        size: New side, at least 1 and at most height and width.
        source: Where the images are from, for the error.

    Returns:
        ``(n, size, size, colours)``.

    Raises:
        InputError: The images are smaller than ``size``.
    """
    count, height, width, colours = images.shape
    if size > min(height, width):
        raise InputError(
            f"image_size: images can only be scaled down; {source} is {height} x {width}, got image_size {size}"
        )
    if (height, width) == (size, size):
        return images
    rows, columns = _overlaps(height, size), _overlaps(width, size)
    area = height * width
    scaled = np.empty((count, size, size, colours), dtype=np.uint8)
    for start in range(0, count, _CHUNK):
        chunk = images[start : start + _CHUNK].transpose(0, 3, 1, 2).astype(np.float64)
        # Whole numbers far below 2**53 so far: the only rounding is the one written here.
        means = np.floor((rows @ chunk @ columns.T + area / 2) / area)
        scaled[start : start + _CHUNK] = means.transpose(0, 2, 3, 1)
    return scaled


@lru_cache(maxsize=64)
def _overlaps(old: int, new: int) -> NDArray[np.float64]:
    """``(new, old)``: how much of each new pixel each old one covers, in units of 1 / old of a new pixel."""
    old_edges = np.arange(old + 1) * new
    new_edges = np.arange(new + 1)[:, None] * old
    overlap = np.minimum(new_edges[1:], old_edges[1:]) - np.maximum(new_edges[:-1], old_edges[:-1])
    shares: NDArray[np.float64] = np.maximum(overlap, 0).astype(np.float64)
    return shares
