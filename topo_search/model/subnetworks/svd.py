"""Theorem 5: weights by their singular values, in metric coordinates."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from topo_search.model.recipes import SvdRecipe
from topo_search.model.subnetworks.area import Vector
from topo_search.model.subnetworks.realised import Realised
from topo_search.model.subnetworks.smooth_maps import rotation

__all__ = ["draw_svd", "realise_svd"]


def draw_svd(size: int, recipe: SvdRecipe, rng: np.random.Generator) -> Vector:
    """``(n^2,)``: entries of the skew matrices that turn into U and V, then q."""
    return np.concatenate([recipe.rotation * rng.normal(size=size * (size - 1)), recipe.spread * rng.normal(size=size)])


def realise_svd(raw: Tensor, size: int, norm: float) -> Realised:
    """``W~ = s U diag(exp(-q^2)) V^T``: spectral norm at most s whatever ``raw`` is, so rate ``1 - s`` at least.

    The diagonal metric of Theorem 5 is a choice of units and is not a parameter here. U and V are rotations, so the
    determinant of W~ is positive.

    Args:
        raw: ``(..., n^2)``, float64.
        size: n.
        norm: s.
    """
    left, right, q = torch.split(raw, [size * (size - 1) // 2] * 2 + [size], -1)
    values = norm * torch.exp(-q.square())
    return Realised(rotation(left, size) * values[..., None, :] @ rotation(right, size).mT, None)
