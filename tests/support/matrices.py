"""Networks as their certificate sees them, straight in float64."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from topo_search.model import NetworkMatrices


def cayley_of(coupling: np.ndarray, h: float) -> np.ndarray:
    """``(I - h K / 2)^-1 (I + h K / 2)``, as the notes write it."""
    identity = np.eye(len(coupling))
    return np.linalg.solve(identity - h / 2 * coupling, identity + h / 2 * coupling)


def edge_units(sizes: tuple[int, ...], edge: tuple[int, int]) -> np.ndarray:
    """Units of the two areas of an edge, the first area's first."""
    ends = np.cumsum([0, *sizes])
    return np.concatenate([np.arange(ends[area], ends[area + 1]) for area in edge])


def steps_of(network: NetworkMatrices) -> np.ndarray | None:
    """The steps that a network with this coupling executes, as they are stored."""
    skew, h = network.coupling - network.coupling.T, network.dt / network.tau
    if network.integrator == "cayley":
        return cayley_of(skew, h)
    if network.integrator == "edge_cayley":
        pairs = [edge_units(network.sizes, edge) for edge in network.edges]
        return np.concatenate([np.zeros(0), *(cayley_of(skew[np.ix_(u, u)], h).reshape(-1) for u in pairs)])
    return None


def edge_blocks(network: NetworkMatrices) -> list[np.ndarray]:
    """Views of packed edge steps, one a matrix."""
    blocks, first = [], 0
    for i, j in network.edges:
        width = network.sizes[i] + network.sizes[j]
        blocks.append(network.steps[first : first + width * width].reshape(width, width))
        first += width * width
    return blocks


def random_matrices(
    rng: np.random.Generator,
    sizes: tuple[int, ...],
    edges: tuple[tuple[int, int], ...],
    *,
    area_norm: float,
    coupling_norm: float,
    h: float,
    integrator: str,
    stability: str = "certified",
    aligned: bool = False,
    **others: Any,
) -> NetworkMatrices:
    """Dense random areas, each of the norm, and a random skew coupling of the norm (0 where no edge is).

    Aligned areas are symmetric and positive semidefinite: with all units active a local step then has the norm
    ``1 - h (1 - s)`` exactly, so that no certificate can give less.
    """
    n, ends = sum(sizes), np.cumsum([0, *sizes])
    weights, lower = np.zeros((n, n)), np.zeros((n, n))
    for a, size in enumerate(sizes):
        block = rng.normal(size=(size, size))
        if aligned:
            block = block @ block.T
        weights[ends[a] : ends[a + 1], ends[a] : ends[a + 1]] = block * area_norm / np.linalg.norm(block, 2)
    for i, j in edges:
        lower[ends[j] : ends[j + 1], ends[i] : ends[i + 1]] = rng.normal(size=(sizes[j], sizes[i]))
    norm = np.linalg.norm(lower - lower.T, 2)
    if norm > 0:
        lower *= coupling_norm / norm
    network = NetworkMatrices(
        sizes=sizes,
        edges=edges,
        area_weights=weights,
        coupling=lower,
        steps=None,
        integrator=integrator,
        stability=stability,
        **{"dt": h, "tau": 1.0, **others},
    )
    return replace(network, steps=steps_of(network))
