"""Theorem 1, differentiable: any matrix is scaled into the theorem and brought to the coordinates of its metric."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from topo_search.model.subnetworks.perron import perron_root

__all__ = ["LARGEST_RADIUS", "theorem1_weights"]

LARGEST_RADIUS = 0.99
"""Spectral radius of the magnitudes, in original units, that trained weights are held to."""

# The recipes' own limit on a magnitude; far beyond it nothing but overflow is to be had.
_LARGEST_ENTRY = 1e3
# Weak weights are not blown up to the area norm by more than this: all-zero weights stay zero.
_LARGEST_GAIN = 10.0
# Of a resolvent vector. Products of two of them stay finite in the gradient.
_LARGEST_RESOLVENT = 1e100


def theorem1_weights(weights: Tensor, norm: float) -> tuple[Tensor, Tensor]:
    """Weights in the coordinates of their own Theorem 1 metric, rescaled to the spectral norm ``norm``.

    With ``A = |t W|`` the result is ``c M^(1/2) t W M^(-1/2)``, M the metric of the resolvent at 1:
    ``m = (I - A^T)^-1 1 / (I - A)^-1 1``, in which ``||A~||_2 <= 1``. The scale t is 1 unless the spectral radius of
    the magnitudes is above :data:`LARGEST_RADIUS`, to which it is then brought; the scale c makes the norm s, or is 10
    where that leaves it below s. The gradient passes through the two solves, the Perron root of one strong component
    and the largest singular value, never through eigenvectors. Self weights count by their magnitude, whatever their
    sign: it is the norm that is bounded, not only the rate.

    Args:
        weights: ``(..., n, n)``, float64, any finite numbers.
        norm: s, in (0, 1).

    Returns:
        Weights ``(..., n, n)`` and the logarithm of the metric's diagonal, ``(..., n)``, of mean 0.
    """
    limited = weights.clamp(-_LARGEST_ENTRY, _LARGEST_ENTRY)
    magnitudes = limited.abs()
    scale = _radius_scale(magnitudes)
    v, w = _resolvents(scale * magnitudes)
    while (wild := ~(_tame(v) & _tame(w))).any():
        # A long chain of strong weights: stable, but its metric spans more than floating point does.
        scale = torch.where(wild[..., None, None], scale / 2, scale)
        v, w = _resolvents(scale * magnitudes)
    log_metric = w.log() - v.log()
    root = (log_metric - log_metric.mean(-1, keepdim=True)) / 2
    inner = scale * limited * (root[..., :, None] - root[..., None, :]).exp()
    largest = torch.linalg.matrix_norm(inner, 2, keepdim=True)
    return inner * (norm / largest.clamp(min=norm / _LARGEST_GAIN)), 2 * root


def _radius_scale(magnitudes: Tensor) -> Tensor:
    """``min(1, LARGEST_RADIUS / rho)``, ``(..., 1, 1)``, differentiable where rho is."""
    batch, n = magnitudes.shape[:-2], magnitudes.shape[-1]
    fixed = magnitudes.detach()
    roots = [perron_root(block) for block in fixed.cpu().numpy().reshape(-1, n, n)]

    def tensor(parts: list[float] | list[np.ndarray[tuple[int], np.dtype[np.float64]]], *shape: int) -> Tensor:
        return torch.as_tensor(np.array(parts)).reshape(*batch, *shape).to(magnitudes)

    radius = tensor([root.radius for root in roots], 1, 1)
    left = tensor([root.left for root in roots], 1, n)
    right = tensor([root.right for root in roots], n, 1)
    moving = radius + left @ (magnitudes - fixed) @ right
    return LARGEST_RADIUS / moving.clamp(min=LARGEST_RADIUS)


def _resolvents(magnitudes: Tensor) -> tuple[Tensor, Tensor]:
    """``(I - A)^-1 1`` and ``(I - A^T)^-1 1``, ``(..., n)``; not positive where A is too large or singular."""
    matrix = torch.eye(magnitudes.shape[-1], dtype=magnitudes.dtype, device=magnitudes.device) - magnitudes
    ones = torch.ones_like(matrix[..., :1])
    v, w = (torch.linalg.solve_ex(side, ones)[0].squeeze(-1) for side in (matrix, matrix.mT))
    return v, w


def _tame(vector: Tensor) -> Tensor:
    # Each entry is at least 1 where the spectral radius is below 1. A comparison with NaN is false.
    return ((vector > 0) & (vector < _LARGEST_RESOLVENT) & (vector < math.inf)).all(-1)
