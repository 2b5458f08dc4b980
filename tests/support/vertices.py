"""Areas at every vertex of their slopes: exact, as the largest eigenvalue and the norm are convex in the slopes."""

from __future__ import annotations

import numpy as np


def vertices(n: int) -> np.ndarray:
    """All D in {0, 1}^n, ``(2^n, n)``."""
    return ((np.arange(2**n)[:, None] >> np.arange(n)) & 1).astype(float)


def recurrences(weights: np.ndarray, gauge: np.ndarray | None, slope: float = 1.0) -> np.ndarray:
    """``W D V`` at every vertex, ``(2^n, n, n)``."""
    n = len(weights)
    return slope * np.einsum("ij,dj,jk->dik", weights, vertices(n), np.eye(n) if gauge is None else gauge)


def area_rate(weights: np.ndarray, gauge: np.ndarray | None = None, slope: float = 1.0) -> float:
    """The contraction rate of ``y' = -y + W phi(V y)`` in the identity metric."""
    inner = recurrences(weights, gauge, slope)
    return 1.0 - float(np.linalg.eigvalsh((inner + inner.transpose(0, 2, 1)) / 2).max())


def area_factor(weights: np.ndarray, gauge: np.ndarray | None, h: float) -> float:
    """The largest norm of the step ``y + h (-y + W phi(V y))``."""
    steps = (1 - h) * np.eye(len(weights)) + h * recurrences(weights, gauge)
    return float(np.linalg.norm(steps, 2, axis=(1, 2)).max())


def rate_in_metric(weights: np.ndarray, metric: np.ndarray) -> float:
    """The rate of ``x' = -x + W phi(x)`` in any metric M, ``(n, n)``, straight from ``M J + J^T M <= -2 lambda M``."""
    root = np.linalg.cholesky(metric).T
    inverse = np.linalg.inv(root)
    return area_rate(root @ weights, inverse)
