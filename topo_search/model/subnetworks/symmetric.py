"""Theorem 2: symmetric weights with eigenvalues below 1, in a metric that is not diagonal."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from topo_search.model.recipes import SymmetricRecipe
from topo_search.model.subnetworks.area import Vector
from topo_search.model.subnetworks.realised import Realised
from topo_search.model.subnetworks.smooth_maps import rotation

__all__ = ["draw_symmetric", "realise_symmetric"]


def draw_symmetric(size: int, recipe: SymmetricRecipe, rng: np.random.Generator) -> Vector:
    """``(n (n + 1) / 2,)``: entries of the skew matrix that turns into U, then one number an eigenvalue."""
    return np.concatenate([recipe.rotation * rng.normal(size=size * (size - 1) // 2), rng.normal(size=size)])


def realise_symmetric(raw: Tensor, size: int, recipe: SymmetricRecipe, norm: float) -> Realised:
    """``W' = U diag(e / theta) U^T`` and ``V = U diag(theta) U^T``: rate ``1 - s`` whatever ``raw`` is.

    With ``theta = 1 + p``, ``p = sqrt(1 - e / s)`` in (0, sqrt(1 + lowest / s)), the eigenvalues are
    ``e = s (1 - p^2)`` and the metric is ``M = U diag(theta^-2) U^T`` (Theorem 2 with b = s): p itself is the smooth
    parameter, so there is no root to differentiate at ``e = s``.

    Args:
        raw: ``(..., n (n + 1) / 2)``, float64.
        size: n.
        recipe: the lowest eigenvalue.
        norm: s.
    """
    turned = rotation(raw[..., : size * (size - 1) // 2], size)
    p = math.sqrt(1 + recipe.lowest / norm) * torch.sigmoid(raw[..., size * (size - 1) // 2 :])
    theta = 1 + p
    eigenvalues = norm * (1 - p.square())
    return Realised(turned * (eigenvalues / theta)[..., None, :] @ turned.mT, turned * theta[..., None, :] @ turned.mT)
