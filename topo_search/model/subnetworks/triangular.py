"""Theorem 4: triangular weights with self weights below 1."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from topo_search.model.recipes import TriangularRecipe
from topo_search.model.subnetworks.area import Vector
from topo_search.model.subnetworks.resolvent import LARGEST_RADIUS
from topo_search.model.subnetworks.smooth_maps import lower_triangle

__all__ = ["draw_triangular", "triangular_weights"]


def draw_triangular(size: int, recipe: TriangularRecipe, rng: np.random.Generator) -> tuple[Vector, Vector]:
    """Raw numbers and mask, ``(n (n + 1) / 2,)``: the lower triangle row by row, self weights before their map."""
    raw = rng.normal(size=(size, size)) * (recipe.magnitude / math.sqrt(size))
    np.fill_diagonal(raw, recipe.self_weight * rng.normal(size=size))
    kept = rng.random((size, size)) < recipe.density
    np.fill_diagonal(kept, True)
    lower = np.tril_indices(size)
    mask: Vector = kept[lower].astype(np.float64)
    return raw[lower] * mask, mask


def triangular_weights(raw: Tensor, size: int) -> Tensor:
    """Weights in original units, ``(..., n, n)``: self weights ``0.99 tanh(raw)``, entries below them as they are.

    Their magnitudes have the largest self weight as spectral radius, so Theorem 1 holds and gives the metric: as small
    a norm beyond it as is asked for, at the price of conditioning.
    """
    full = lower_triangle(raw, size, below=0)
    return full.tril(-1) + (LARGEST_RADIUS * full.diagonal(dim1=-2, dim2=-1).tanh()).diag_embed()
