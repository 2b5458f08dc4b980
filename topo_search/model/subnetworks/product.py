"""Theorem 3: the product of a positive definite matrix and two positive diagonals, negated: rate 1 exactly."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from topo_search.model.recipes import ProductRecipe
from topo_search.model.subnetworks.area import Vector
from topo_search.model.subnetworks.realised import Realised
from topo_search.model.subnetworks.smooth_maps import bounded, lower_triangle

__all__ = ["draw_product", "realise_product"]

# Of an entry of the factor before it is brought to the recipe's strength, and of a logarithm of P1 or P2.
_ENTRY_BOUND = 4.0
_LOG_GAIN_BOUND = 2.0
_SOFTPLUS_OF_ONE = math.log(math.e - 1)


def draw_product(size: int, recipe: ProductRecipe, rng: np.random.Generator) -> Vector:
    """``(n (n + 1) / 2 + 2 n,)``: the lower triangle of C row by row, then the logarithms of P1 and of P2."""
    factor = rng.normal(size=(size, size)) / math.sqrt(size)
    np.fill_diagonal(factor, _SOFTPLUS_OF_ONE)
    return np.concatenate([factor[np.tril_indices(size)], recipe.gain * rng.normal(size=2 * size)])


def realise_product(raw: Tensor, size: int, recipe: ProductRecipe) -> Realised:
    """``W = -P1 C C^T P2`` as ``W' = -C^T P2`` and ``V = P1 C``: no inverse is taken.

    In the metric ``(P1 Q P1)^-1``, ``Q = C C^T``, ``W' D V = -C^T P1 P2 D C`` is symmetric and not positive for every
    slope, so the rate is 1. The factor C, lower triangular with a positive diagonal, is scaled down where the largest
    eigenvalue of ``C^T P1 P2 C`` would exceed ``recipe.strength``.

    Args:
        raw: ``(..., n (n + 1) / 2 + 2 n)``, float64.
        size: n.
        recipe: the strength.
    """
    entries, log_gains = torch.split(raw, [size * (size + 1) // 2, 2 * size], -1)
    full = lower_triangle(bounded(entries, _ENTRY_BOUND), size, below=0)
    factor = full.tril(-1) + softplus(full.diagonal(dim1=-2, dim2=-1)).diag_embed()
    p1, p2 = bounded(log_gains, _LOG_GAIN_BOUND).exp().chunk(2, -1)
    strength = torch.linalg.matrix_norm((p1 * p2).sqrt()[..., None] * factor, 2, keepdim=True).square()
    factor = factor * (recipe.strength / strength.clamp(min=recipe.strength)).sqrt()
    return Realised(-factor.mT * p2[..., None, :], p1[..., None] * factor)
