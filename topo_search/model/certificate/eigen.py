"""Norms and eigenvalues that a Cholesky factorisation has confirmed, in float64."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.sparse.linalg import ArpackError, eigsh

__all__ = [
    "MARGIN",
    "Matrix",
    "Vector",
    "largest_eigenvalue",
    "largest_eigenvalue_bound",
    "norm_bound",
    "positive_definite",
    "symmetric_part",
    "weight_magnitudes",
]

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]

MARGIN = 1e-9
"""A claim about an eigenvalue counts when a Cholesky factorisation with this relative margin succeeds."""

# Above this size the largest eigenvalue is sought by Lanczos iteration. A Cholesky factorisation confirms it anyway.
LANCZOS_SIZE = 256


def positive_definite(symmetric: Matrix) -> bool:
    """Whether a Cholesky factorisation of a symmetric matrix succeeds."""
    try:
        factor = linalg.cholesky(symmetric, lower=True, check_finite=False)
    except linalg.LinAlgError:
        return False
    # Some libraries go on with NaN.
    return bool(np.isfinite(np.diagonal(factor)).all())


def largest_eigenvalue(symmetric: Matrix) -> float:
    """``lmax`` of a symmetric matrix, as computed."""
    if len(symmetric) > LANCZOS_SIZE:
        start = np.random.default_rng(0).normal(size=len(symmetric))
        try:
            found = eigsh(symmetric, k=1, which="LA", v0=start, tol=1e-10, maxiter=300, return_eigenvectors=False)
            return float(found[0])
        except ArpackError:
            pass
    # NumPy's solver: SciPy's default, asked for one eigenvalue, fails on the identity with rounding errors.
    return float(np.linalg.eigvalsh(symmetric)[-1])


def norm_bound(matrix: Matrix) -> float:
    """An upper bound of ``||X||_2`` that a Cholesky factorisation of ``c^2 I - X^T X`` has confirmed.

    It exceeds the computed norm by a relative ``1e-9``, more only if the factorisation asks for it.
    """
    if matrix.size == 0 or not matrix.any():
        return 0.0
    scale = float(np.abs(matrix).max())
    scaled = matrix / scale
    gram = scaled.T @ scaled
    bound = math.sqrt(largest_eigenvalue(gram))
    margin = MARGIN
    while not positive_definite((bound * (1 + margin)) ** 2 * np.eye(len(gram)) - gram):
        margin *= 4
    return bound * (1 + margin) * scale


def largest_eigenvalue_bound(symmetric: Matrix) -> float:
    """An upper bound of ``lmax`` of a symmetric matrix, confirmed by Cholesky."""
    scale = max(float(np.abs(symmetric).max()), float(np.finfo(float).tiny))
    bound = largest_eigenvalue(symmetric)
    margin = MARGIN * scale
    while not positive_definite((bound + margin) * np.eye(len(symmetric)) - symmetric):
        margin *= 4
    return bound + margin


def symmetric_part(matrix: Matrix) -> Matrix:
    """``(X + X^T) / 2``."""
    return 0.5 * (matrix + matrix.T)


def weight_magnitudes(weights: Matrix) -> Matrix:
    """The non-negative matrix of Theorem 1: ``|W_ij|`` off the diagonal, ``max(W_ii, 0)`` on it.

    Written apart from the recipes' own: what judges an area shares no code with what makes it.
    """
    magnitudes = np.abs(weights)
    np.fill_diagonal(magnitudes, np.maximum(np.diag(weights), 0.0))
    return magnitudes
