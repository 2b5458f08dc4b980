"""What a recipe gives: an area that contracts, or the trainable numbers that one is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from topo_search.errors import InputError

__all__ = ["AreaDraw", "Matrix", "StableArea", "Vector", "checked_weights"]

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]


@dataclass(frozen=True)
class StableArea:
    """An area that contracts, ``y' = -y + W phi(V y)``, in coordinates where its metric is the identity.

    Attributes:
        weights: ``(n, n)``, W; with a diagonal metric M it is ``M^(1/2) W_original M^(-1/2)``.
        metric: ``(n,)``, the diagonal of M, positive, of geometric mean 1; ones where the metric is not diagonal.
        gauge: ``(n, n)``, V, of an area whose metric is not diagonal; ``None`` stands for the identity.
    """

    weights: Matrix
    metric: Vector
    gauge: Matrix | None = None


@dataclass(frozen=True)
class AreaDraw:
    """The start of a trainable area: any finite ``raw`` makes an area that meets the theorem of its recipe.

    Attributes:
        raw: ``(k,)``, the numbers to train.
        mask: ``(k,)``, 1 where an entry is trained, 0 where it stays zero.
        metric: ``(n,)``, as of :class:`StableArea`, at the drawn ``raw``: the units' levels of saturation.
    """

    raw: Vector
    mask: Vector
    metric: Vector


def checked_weights(weights: Matrix) -> Matrix:
    """The same weights.

    Raises:
        InputError: if they are not a square matrix of finite numbers.
    """
    if weights.ndim != 2 or weights.shape[0] != weights.shape[1] or not np.isfinite(weights).all():
        raise InputError(f"area weights of shape {weights.shape}: expected a square matrix of finite numbers")
    return weights
