"""Where areas lie in space, for families and costs that know distance."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from topo_search.graph.area import GraphError

__all__ = ["area_distances", "grid_positions"]


def grid_positions(n_areas: int) -> NDArray[np.float64]:
    """Positions on a 2-d grid of unit spacing, row by row, as square as possible.

    Returns:
        ``(n_areas, 2)`` column and row of each area.
    """
    columns = math.ceil(math.sqrt(n_areas))
    index = np.arange(n_areas)
    return np.stack([index % columns, index // columns], axis=1).astype(np.float64)


def area_distances(n_areas: int, positions: ArrayLike | None) -> NDArray[np.float64]:
    """Euclidean distances between areas.

    Args:
        n_areas: Number of areas p.
        positions: ``(p, d)`` coordinates in any unit; None for ``grid_positions``.

    Returns:
        ``(p, p)`` distances in the unit of the positions.

    Raises:
        GraphError: If the positions have another shape or are not finite numbers.
    """
    if positions is None:
        points = grid_positions(n_areas)
    else:
        try:
            points = np.asarray(positions, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise GraphError("positions must be numbers, one row an area") from error
        if points.ndim != 2 or points.shape[0] != n_areas or points.shape[1] == 0:
            raise GraphError(f"positions must have shape ({n_areas}, d), one row an area, got {points.shape}")
        if not np.isfinite(points).all():
            raise GraphError("positions must be finite numbers, got NaN or infinity")
    distances: NDArray[np.float64] = np.linalg.norm(points[:, None] - points[None], axis=-1)
    return distances
