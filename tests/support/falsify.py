"""Lower bounds on the factor of a step, by looking for slopes that violate a certificate."""

from __future__ import annotations

from functools import reduce
from itertools import product

import numpy as np

from support.matrices import edge_blocks, edge_units
from topo_search.model import NetworkMatrices


def coupling_of(network: NetworkMatrices) -> np.ndarray:
    if network.stability == "unconstrained":
        return network.coupling
    return network.coupling - network.coupling.T


def rotations(network: NetworkMatrices) -> list[np.ndarray | None]:
    """What the steps that a network takes in turn multiply its state by; nothing for Euler."""
    if network.integrator != "edge_cayley":
        return [network.steps]
    whole = []
    for units, block in zip([edge_units(network.sizes, e) for e in network.edges], edge_blocks(network), strict=True):
        step = np.eye(len(network.area_weights))
        step[np.ix_(units, units)] = block
        whole.append(step)
    identity = np.eye(len(network.area_weights))
    return [reduce(lambda done, step: step @ done, order, identity) for order in (whole, whole[::-1])]


def step_jacobian(network: NetworkMatrices, slopes: np.ndarray, rotation: np.ndarray | None) -> np.ndarray:
    """The Jacobian of one step where unit k has slope ``slopes[k]``, by the definition of the step."""
    h, n = network.dt / network.tau, len(network.area_weights)
    local = (1 - h) * np.eye(n) + h * network.area_weights * slopes
    if network.integrator == "resolvent":
        return np.linalg.solve(np.eye(n) - h * coupling_of(network), local)
    if network.integrator == "imex":
        # In its own metric: coordinates (I - h K / 2) x.
        half = h / 2 * coupling_of(network)
        return (local + half) @ np.linalg.inv(np.eye(n) - half)
    return local + h * coupling_of(network) if rotation is None else local @ rotation


def largest_step_norm(network: NetworkMatrices, *, seed: int = 0, restarts: int = 8) -> float:
    """The largest ``||F(D)||_2`` found over slopes D in {0, 1}^N, of any step that the network takes.

    Exact up to 9 units, where all vertices are tried (the norm is convex in D); beyond, alternating ascent: for fixed D
    take the singular vectors, for fixed vectors the best D, which is a bound from below.
    """
    return max(_largest_norm(network, rotation, seed, restarts) for rotation in rotations(network))


def _largest_norm(network: NetworkMatrices, rotation: np.ndarray | None, seed: int, restarts: int) -> float:
    n = len(network.area_weights)
    if n <= 9:
        vertices = [np.array(vertex) for vertex in product((0.0, 1.0), repeat=n)]
        return max(np.linalg.norm(step_jacobian(network, vertex, rotation), 2) for vertex in vertices)
    rng = np.random.default_rng(seed)
    best = 0.0
    for start in range(restarts):
        slopes = np.full(n, start % 2, dtype=float) if start < 2 else rng.integers(0, 2, n).astype(float)
        for _ in range(50):
            left, values, right = np.linalg.svd(step_jacobian(network, slopes, rotation))
            best = max(best, float(values[0]))
            rotated = right[0] if rotation is None else rotation @ right[0]
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
