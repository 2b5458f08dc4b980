"""Theorem 1: what conditioning costs. The closed form along its resolvent, and the best conditioned metric."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import LinearConstraint, NonlinearConstraint, minimize
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from topo_search.errors import InputError
from topo_search.model.subnetworks.area import Matrix, Vector, checked_weights
from topo_search.model.subnetworks.diagonal_metric import theorem1_metric, to_metric_coordinates, weight_magnitudes
from topo_search.model.subnetworks.perron import spectral_radius

__all__ = ["exact_metric", "magnitude_rate", "resolvent_for"]

# Relative to 1 - rate. So far out the metric is the identity, but for a millionth.
_LARGEST_RESOLVENT = 2.0**20


def magnitude_rate(weights: Matrix, metric: Vector) -> float:
    """The rate that the magnitudes of weights prove in a diagonal metric: ``1 - lmax(sym A~)``."""
    inner = to_metric_coordinates(weight_magnitudes(weights), metric)
    return 1.0 - float(np.linalg.eigvalsh((inner + inner.T) / 2)[-1])


def resolvent_for(weights: Matrix, rate: float) -> float:
    """The largest resolvent s found whose metric still proves the rate: the best conditioned of the closed forms.

    ``s = 1 - rate`` always proves it, as ``||A~||_2 <= s``; a larger s brings the metric nearer to the identity.

    Args:
        weights: ``(n, n)``, original units.
        rate: below ``1 - rho(A)``, the best that any diagonal metric can prove through the magnitudes.

    Raises:
        InputError: if the rate is not below ``1 - rho(A)``, or the weights are not square and finite.
    """
    best = 1.0 - spectral_radius(weight_magnitudes(checked_weights(weights)))
    if not rate < best:
        raise InputError(f"no diagonal metric proves rate {rate} by Theorem 1: expected a rate below {best:.6g}")

    def proves(resolvent: float) -> bool:
        return magnitude_rate(weights, theorem1_metric(weights, resolvent=resolvent)) >= rate

    low = 1.0 - rate
    if not proves(low):
        raise InputError(
            f"rate {rate} is too near to the best of any diagonal metric: expected it well below {best:.6g}"
        )
    high = 2 * low
    while proves(high) and high < _LARGEST_RESOLVENT * (1.0 - rate):
        low, high = high, 2 * high
    for _ in range(40):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if proves(middle) else (low, middle)
    return low


def exact_metric(weights: Matrix, *, rate: float) -> Vector:
    """The best conditioned diagonal metric that proves a rate by the magnitudes of the weights.

    Minimises ``log(max m / min m)`` under ``lmax(sym(e^x A e^-x)) <= 1 - rate``, ``x = log(m) / 2``: a geometric
    program, convex. One constraint a weakly connected component, where the eigenvalue is simple and so smooth. Starts
    from the closed form at :func:`resolvent_for` and never returns a worse metric than that.

    Args:
        weights: ``(n, n)``, original units.
        rate: below ``1 - rho(A)``.

    Returns:
        ``(n,)``, positive, of geometric mean 1; :func:`magnitude_rate` in it is at least ``rate``.

    Raises:
        InputError: as :func:`resolvent_for`.
    """
    magnitudes = weight_magnitudes(weights)
    start = np.log(theorem1_metric(weights, resolvent=resolvent_for(weights, rate))) / 2
    n = len(weights)
    count, labels = connected_components(csr_matrix(magnitudes), directed=False)
    groups = [units for k in range(count) if len(units := np.flatnonzero(labels == k)) > 1]
    if not groups:
        return np.ones(n)

    def roots(z: Vector) -> Vector:
        return np.array([math.log(_root(magnitudes, z, units)[0]) for units in groups])

    def slopes(z: Vector) -> Matrix:
        rows = np.zeros((len(groups), n + 2))
        for row, units in zip(rows, groups, strict=True):
            value, gradient = _root(magnitudes, z, units)
            row[units] = gradient / value
        return rows

    # z = (x, upper, lower): the spread of x is linear in it.
    inside = np.block(
        [[-np.eye(n), np.ones((n, 1)), np.zeros((n, 1))], [np.eye(n), np.zeros((n, 1)), -np.ones((n, 1))]]
    )
    within = LinearConstraint(inside, 0.0, np.inf)
    proving = NonlinearConstraint(roots, -np.inf, math.log(1 - rate), jac=slopes)
    found = minimize(
        _spread,
        np.concatenate([start, [start.max(), start.min()]]),
        jac=True,
        method="SLSQP",
        constraints=(within, proving),
        options={"maxiter": 300, "ftol": 1e-10},
    )
    metric = _last_that_proves(weights, rate, start, np.asarray(found.x[:n], dtype=np.float64))
    return metric if np.ptp(np.log(metric)) <= 2 * np.ptp(start) else _metric(start)


def _spread(z: Vector) -> tuple[float, Vector]:
    gradient = np.zeros_like(z)
    gradient[-2:] = 1.0, -1.0
    return float(z[-2] - z[-1]), gradient


def _metric(x: Vector) -> Vector:
    metric: Vector = np.exp(2 * (x - x.mean()))
    return metric


def _root(magnitudes: Matrix, z: Vector, units: np.ndarray[tuple[int], np.dtype[np.intp]]) -> tuple[float, Vector]:
    """``lmax(sym(e^x A e^-x))`` of one component and its gradient in x."""
    x = z[units]
    inner = magnitudes[np.ix_(units, units)] * np.exp(x[:, None] - x[None, :])
    values, vectors = np.linalg.eigh((inner + inner.T) / 2)
    top = vectors[:, -1]
    return float(values[-1]), top * (inner @ top) - top * (inner.T @ top)


def _last_that_proves(weights: Matrix, rate: float, start: Vector, end: Vector) -> Vector:
    """The metric nearest to ``end`` on the way from ``start`` that proves the rate: such metrics are a convex set."""
    share = 1.0
    for _ in range(60):
        metric = _metric(start + share * (end - start))
        if np.isfinite(metric).all() and magnitude_rate(weights, metric) >= rate:
            return metric
        # Mostly the end misses the rate by the solver's tolerance: small steps back first.
        share = 1 - 2 * (1 - share) if share < 1 else 1 - 1e-9
        if share < 0:
            break
    return _metric(start)
