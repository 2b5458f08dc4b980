"""The sparse recipe of Theorem 1: few strong weights, accepted by rejection."""

from __future__ import annotations

import numpy as np

from topo_search.errors import InputError
from topo_search.model.recipes import RescaledRecipe, SparseRecipe
from topo_search.model.subnetworks.area import Matrix, StableArea
from topo_search.model.subnetworks.diagonal_metric import theorem1_metric, to_metric_coordinates

__all__ = ["area_of_norm", "draw_entries", "sample_sparse", "sparse_area"]


def draw_entries(size: int, recipe: SparseRecipe | RescaledRecipe, rng: np.random.Generator) -> Matrix:
    """``(n, n)``: ``round(density * n^2)`` entries, uniform in plus or minus the magnitude, then a zero diagonal."""
    count = round(recipe.density * size * size)
    weights = np.zeros((size, size))
    weights.flat[rng.choice(size * size, count, replace=False)] = rng.uniform(
        -recipe.magnitude, recipe.magnitude, count
    )
    np.fill_diagonal(weights, 0.0)
    return weights


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
    for _ in range(recipe.tries):
        weights = draw_entries(size, recipe, rng)
        if np.abs(np.linalg.eigvals(np.abs(weights))).max() < 1.0:
            return weights
    raise InputError(
        f"no stable area of {size} units was found in {recipe.tries} tries at density {recipe.density} and magnitude "
        f"{recipe.magnitude}: expected a sparser or weaker recipe (network.recipe)"
    )


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

    Raises:
        InputError: as :func:`sample_sparse`.
    """
    weights = sample_sparse(size, recipe, rng)
    return StableArea(weights, np.ones(size)) if norm is None else area_of_norm(weights, norm)


def area_of_norm(weights: Matrix, norm: float) -> StableArea:
    """Weights of Theorem 1 in metric coordinates, rescaled to the spectral norm; all-zero weights stay so.

    Raises:
        InputError: as :func:`theorem1_metric`.
    """
    metric = theorem1_metric(weights)
    scaled = to_metric_coordinates(weights, metric)
    largest = float(np.linalg.norm(scaled, 2))
    return StableArea(scaled * (norm / largest) if largest > 0 else scaled, metric)
