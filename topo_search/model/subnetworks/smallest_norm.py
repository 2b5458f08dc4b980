"""Theorem 5: the diagonal metric in which the spectral norm of given weights is least."""

from __future__ import annotations

import numpy as np
from scipy.optimize import Bounds, minimize

from topo_search.errors import InputError
from topo_search.model.subnetworks.area import Matrix, Vector, checked_weights
from topo_search.model.subnetworks.diagonal_metric import theorem1_metric, to_metric_coordinates, weight_magnitudes
from topo_search.model.subnetworks.perron import spectral_radius

__all__ = ["find_diagonal_metric"]

# Half the logarithm of a metric is kept within this: the least norm need not be attained.
_LARGEST_LOG = 16.0
_ORDERS = (8.0, 32.0, 128.0, 512.0)


def find_diagonal_metric(weights: Matrix) -> Vector:
    """A diagonal metric in which the spectral norm of the weights is least: the condition of Theorem 5.

    Minimises ``log ||e^x W e^-x||``, convex in x, through Schatten norms of rising order, which are smooth. Starts from
    the resolvent metric of the magnitudes.

    Args:
        weights: ``(n, n)``, original units.

    Returns:
        ``(n,)``, positive, of geometric mean 1.

    Raises:
        InputError: if the norm found is not below 1: Theorem 5 does not hold, as far as the search could see. Also
            if the weights are not square and finite.
    """
    radius = spectral_radius(weight_magnitudes(checked_weights(weights)))
    above = max(1.05 * radius, 1e-3 * float(np.abs(weights).max(initial=0.0)), 1e-300)
    best = np.log(theorem1_metric(weights, resolvent=above)).clip(-2 * _LARGEST_LOG, 2 * _LARGEST_LOG) / 2
    identity = np.zeros(len(weights))
    best = min((best, identity), key=lambda x: _norm(weights, x))
    for order in _ORDERS:
        if _norm(weights, best) == 0:
            break
        found = minimize(
            _log_schatten,
            best,
            args=(weights, order),
            jac=True,
            method="L-BFGS-B",
            bounds=Bounds(-_LARGEST_LOG, _LARGEST_LOG),
            options={"maxiter": 500},
        )
        best = min((best, found.x), key=lambda x: _norm(weights, x))
    norm = _norm(weights, best)
    if not norm < 1:
        raise InputError(
            f"area weights do not meet Theorem 5: expected a norm below 1 in some diagonal metric, found {norm:.6g}"
        )
    metric: Vector = np.exp(2 * (best - best.mean()))
    return metric


def _norm(weights: Matrix, x: Vector) -> float:
    return float(np.linalg.norm(to_metric_coordinates(weights, np.exp(2 * x)), 2))


def _log_schatten(x: Vector, weights: Matrix, order: float) -> tuple[float, Vector]:
    left, values, right = np.linalg.svd(weights * np.exp(x[:, None] - x[None, :]))
    relative = (values / values[0]) ** order
    total = relative.sum()
    shares = relative / total
    gradient: Vector = (left**2 - right.T**2) @ shares
    return float(np.log(values[0]) + np.log(total) / order), gradient
