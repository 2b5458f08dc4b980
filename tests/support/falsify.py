"""Lower bounds on the factor of a step, by looking for slopes that violate a certificate."""

from __future__ import annotations

from itertools import product

import numpy as np

from topo_search.model import NetworkMatrices


def coupling_of(network: NetworkMatrices) -> np.ndarray:
    if network.stability == "unconstrained":
        return network.coupling
    return network.coupling - network.coupling.T


def step_jacobian(network: NetworkMatrices, slopes: np.ndarray) -> np.ndarray:
    """The Jacobian of one step where unit k has slope ``slopes[k]``, by the definition of the step."""
    h, n = network.dt / network.tau, len(network.area_weights)
    local = (1 - h) * np.eye(n) + h * network.area_weights * slopes
    return local + h * coupling_of(network) if network.steps is None else local @ network.steps


def largest_step_norm(network: NetworkMatrices, *, seed: int = 0, restarts: int = 8) -> float:
    """The largest ``||F(D)||_2`` found over slopes D in {0, 1}^N.

    Exact up to 9 units, where all vertices are tried (the norm is convex in D); beyond, alternating ascent: for fixed D
    take the singular vectors, for fixed vectors the best D, which is a bound from below.
    """
    n = len(network.area_weights)
    if n <= 9:
        return max(np.linalg.norm(step_jacobian(network, np.array(d)), 2) for d in product((0.0, 1.0), repeat=n))
    rng = np.random.default_rng(seed)
    best = 0.0
    for start in range(restarts):
        slopes = np.full(n, start % 2, dtype=float) if start < 2 else rng.integers(0, 2, n).astype(float)
        for _ in range(50):
            left, values, right = np.linalg.svd(step_jacobian(network, slopes))
            best = max(best, float(values[0]))
            rotated = right[0] if network.steps is None else network.steps @ right[0]
            following = ((network.area_weights.T @ left[:, 0]) * rotated > 0).astype(float)
            if np.array_equal(following, slopes):
                break
            slopes = following
    return best


def exact_rate(weights: np.ndarray, coupling: np.ndarray | float = 0.0) -> float:
    """The contraction rate of ``x' = -x + W phi(x) + L x`` in the identity metric: the worst vertex, so exact."""
    n = len(weights)

    def rate(slopes: tuple[float, ...]) -> float:
        jacobian = -np.eye(n) + weights * np.array(slopes) + coupling
        return -float(np.linalg.eigvalsh((jacobian + jacobian.T) / 2)[-1])

    return min(rate(slopes) for slopes in product((0.0, 1.0), repeat=n))
