"""Theorem 1 without rejection: a sparse draw is rescaled to a chosen spectral radius of its magnitudes."""

from __future__ import annotations

import numpy as np

from topo_search.model.recipes import RescaledRecipe
from topo_search.model.subnetworks.area import Matrix
from topo_search.model.subnetworks.perron import spectral_radius
from topo_search.model.subnetworks.sparse import draw_entries

__all__ = ["sample_rescaled"]


def sample_rescaled(size: int, recipe: RescaledRecipe, rng: np.random.Generator) -> Matrix:
    """Draw area weights in original units and set the spectral radius of their magnitudes.

    Rejection keeps mostly graphs without cycles; here every draw is kept, so recurrence inside an area is as frequent
    as its density makes it.

    Args:
        size: units n.
        recipe: density, magnitude and radius.
        rng: source of the draws.

    Returns:
        ``(n, n)``, zero diagonal, spectral radius of magnitudes ``recipe.radius``; 0 where there is no cycle, and then
        the entries are as drawn.
    """
    weights = draw_entries(size, recipe, rng)
    radius = spectral_radius(np.abs(weights))
    return weights * (recipe.radius / radius) if radius > 0 else weights
