"""Networks as their certificate sees them, straight in float64."""

from __future__ import annotations

from typing import Any

import numpy as np

from topo_search.model import NetworkMatrices


def cayley_of(coupling: np.ndarray, h: float) -> np.ndarray:
    """``(I - h K / 2)^-1 (I + h K / 2)``, as the notes write it."""
    identity = np.eye(len(coupling))
    return np.linalg.solve(identity - h / 2 * coupling, identity + h / 2 * coupling)


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
    **others: Any,
) -> NetworkMatrices:
    """Dense random areas, each of the norm, and a random skew coupling of the norm (0 where no edge is)."""
    n, ends = sum(sizes), np.cumsum([0, *sizes])
    weights, lower = np.zeros((n, n)), np.zeros((n, n))
    for a, size in enumerate(sizes):
        block = rng.normal(size=(size, size))
        weights[ends[a] : ends[a + 1], ends[a] : ends[a + 1]] = block * area_norm / np.linalg.norm(block, 2)
    for i, j in edges:
        lower[ends[j] : ends[j + 1], ends[i] : ends[i + 1]] = rng.normal(size=(sizes[j], sizes[i]))
    norm = np.linalg.norm(lower - lower.T, 2)
    if norm > 0:
        lower *= coupling_norm / norm
    return NetworkMatrices(
        sizes=sizes,
        edges=edges,
        area_weights=weights,
        coupling=lower,
        steps=cayley_of(lower - lower.T, h) if integrator == "cayley" else None,
        integrator=integrator,
        stability=stability,
        **{"dt": h, "tau": 1.0, **others},
    )
