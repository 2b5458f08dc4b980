"""Theorem 1: weights whose magnitudes are stable contract in a diagonal metric, found by two linear solves."""

from __future__ import annotations

import math

import numpy as np

from topo_search.errors import InputError
from topo_search.model.subnetworks.area import Matrix, Vector, checked_weights

__all__ = ["schur_norm", "theorem1_metric", "theorem1_rate", "to_metric_coordinates", "weight_magnitudes"]


def weight_magnitudes(weights: Matrix, *, slope: float = 1.0) -> Matrix:
    """The non-negative matrix A of Theorem 1: ``g |W_ij|`` off the diagonal, ``g max(W_ii, 0)`` on it."""
    magnitudes = slope * np.abs(weights)
    np.fill_diagonal(magnitudes, slope * np.maximum(np.diag(weights), 0.0))
    return magnitudes


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


def theorem1_rate(weights: Matrix, v: Vector, w: Vector) -> float:
    """A rate that any positive v and w prove by products alone, in the metric ``diag(w / v)``.

    ``lambda >= min(a + b) / 2`` with ``a = (v - A v) / v`` and ``b = (w - A^T w) / w``, A of :func:`weight_magnitudes`:
    ``S = M (I - A) + (I - A)^T M`` has no positive entry off its diagonal and ``S v = w (a + b)``, so Collatz and
    Wielandt bound its smallest eigenvalue relative to M. It may be negative: then nothing is proved.

    Raises:
        InputError: if v or w is not positive and finite, or of another length than the weights, or
            the weights are not square and finite.
    """
    forward, backward = _products(weights, v, w)
    return float((1.0 - forward + 1.0 - backward).min() / 2)


def schur_norm(weights: Matrix, v: Vector, w: Vector) -> float:
    """The Schur test: ``||A~||_2 <= sqrt(max (Av)_i / v_i * max (A^T w)_i / w_i)`` in the metric ``diag(w / v)``.

    Raises:
        InputError: as :func:`theorem1_rate`.
    """
    forward, backward = _products(weights, v, w)
    return math.sqrt(forward.max() * backward.max())


def _products(weights: Matrix, v: Vector, w: Vector) -> tuple[Vector, Vector]:
    checked_weights(weights)
    for name, vector in (("v", v), ("w", w)):
        if vector.shape != (len(weights),) or not (np.isfinite(vector).all() and (vector > 0).all()):
            raise InputError(f"{name} proves no rate: expected {len(weights)} positive finite numbers")
    magnitudes = weight_magnitudes(weights)
    return (magnitudes @ v) / v, (magnitudes.T @ w) / w
