"""Stable areas: the sparse recipe of Theorem 1, its diagonal metric, and the change to metric coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from topo_search.errors import InputError
from topo_search.model.config import SparseRecipe

__all__ = [
    "StableArea",
    "sample_sparse",
    "sparse_area",
    "theorem1_metric",
    "to_metric_coordinates",
    "weight_magnitudes",
]

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]


@dataclass(frozen=True)
class StableArea:
    """An area that contracts in a diagonal metric.

    Attributes:
        weights: ``(n, n)``, in metric coordinates ``W~ = M^(1/2) W M^(-1/2)``: there the metric is the identity.
        metric: ``(n,)``, the diagonal of M, positive, of geometric mean 1.
    """

    weights: Matrix
    metric: Vector


def weight_magnitudes(weights: Matrix, *, slope: float = 1.0) -> Matrix:
    """The non-negative matrix A of Theorem 1: ``g |W_ij|`` off the diagonal, ``g max(W_ii, 0)`` on it."""
    magnitudes = slope * np.abs(weights)
    np.fill_diagonal(magnitudes, slope * np.maximum(np.diag(weights), 0.0))
    return magnitudes


def sample_sparse(size: int, recipe: SparseRecipe, rng: np.random.Generator) -> Matrix:
    """Draw area weights in original units until the spectral radius of their magnitudes is below 1.

    Args:
        size: units n.
        recipe: density, magnitude and the largest number of tries.
        rng: source of the draws.

    Returns:
        ``(n, n)``, zero diagonal.

    Raises:
        InputError: if no draw was accepted in ``recipe.tries``.

    Source: Theorem 1 of Kozachkov, Ennis and Slotine, "RNNs of RNNs", with the sampling of Ennis et al., section S.3.
    """
    count = round(recipe.density * size * size)
    for _ in range(recipe.tries):
        weights = np.zeros((size, size))
        weights.flat[rng.choice(size * size, count, replace=False)] = rng.uniform(
            -recipe.magnitude, recipe.magnitude, count
        )
        np.fill_diagonal(weights, 0.0)
        if np.abs(np.linalg.eigvals(np.abs(weights))).max() < 1.0:
            return weights
    raise InputError(
        f"no stable area of {size} units was found in {recipe.tries} tries at density {recipe.density} and magnitude "
        f"{recipe.magnitude}: expected a sparser or weaker recipe (network.recipe)"
    )


def theorem1_metric(weights: Matrix, *, resolvent: float = 1.0) -> Vector:
    """The diagonal metric ``m = w / v`` with ``v = (sI - A)^-1 1`` and ``w = (sI - A^T)^-1 1``, s the resolvent.

    A is :func:`weight_magnitudes`. In this metric ``||A~||_2 <= s``, so at the default 1 every slope in [0, 1]
    contracts at a positive rate. It is never made from eigenvectors: a sparse A is mostly reducible and its Perron
    vectors have zeros.

    Args:
        weights: ``(n, n)``, original units.
        resolvent: s, above the spectral radius of A.

    Returns:
        ``(n,)``, positive, scaled to geometric mean 1 (any positive multiple is as good).

    Raises:
        InputError: if the condition of Theorem 1 does not hold: spectral radius of A not below s.
    """
    magnitudes = weight_magnitudes(weights)
    identity = np.eye(len(weights))
    ones = np.ones(len(weights))
    try:
        v = np.linalg.solve(resolvent * identity - magnitudes, ones)
        w = np.linalg.solve(resolvent * identity - magnitudes.T, ones)
    except np.linalg.LinAlgError:
        v = w = -ones
    # (sI - A)^-1 is non-negative exactly when s exceeds the spectral radius; then v, w >= 1/s.
    if not (np.isfinite(v).all() and np.isfinite(w).all() and v.min() > 0 and w.min() > 0):
        raise InputError(
            f"area weights do not meet Theorem 1: expected the spectral radius of their magnitudes below {resolvent}"
        )
    log_metric = np.log(w) - np.log(v)
    metric: Vector = np.exp(log_metric - log_metric.mean())
    return metric


def to_metric_coordinates(weights: Matrix, metric: Vector) -> Matrix:
    """``M^(1/2) W M^(-1/2)``, ``(n, n)``.

    For ReLU the network in coordinates ``y = M^(1/2) x`` is the same network exactly; for tanh each unit then saturates
    at its own level ``m^(1/2)``. Without the change a metric that spans ten orders of magnitude overflows
    ``L = B - M^-1 B^T M`` in float32.
    """
    root = np.sqrt(metric)
    return (root[:, None] * weights) / root[None, :]


def sparse_area(size: int, recipe: SparseRecipe, rng: np.random.Generator, *, norm: float | None) -> StableArea:
    """A stable area of the sparse recipe.

    Args:
        size: units n.
        recipe: the sparse recipe.
        rng: source of the draws.
        norm: s, the spectral norm to rescale the weights to in metric coordinates; ``None`` leaves the weights in
            original units with the identity as metric, as the published code runs them.

    Returns:
        Weights and metric. An area whose weights are all zero stays so.
    """
    weights = sample_sparse(size, recipe, rng)
    if norm is None:
        return StableArea(weights, np.ones(size))
    metric = theorem1_metric(weights)
    scaled = to_metric_coordinates(weights, metric)
    largest = float(np.linalg.norm(scaled, 2))
    return StableArea(scaled * (norm / largest) if largest > 0 else scaled, metric)
