"""Smallest trees that connect a set of areas (Steiner trees) over weighted edges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import minimum_spanning_tree, shortest_path

from topo_search.graph.area import Edge

__all__ = ["EXACT_TERMINALS", "steiner_tree"]

EXACT_TERMINALS = 10
"""Up to this many terminals trees are exact: time grows as 3 to the number of terminals."""


def steiner_tree(n_areas: int, weights: Mapping[Edge, float], terminals: Sequence[int]) -> list[Edge] | None:
    """Find a tree of least weight that connects all terminals.

    Exact up to ``EXACT_TERMINALS`` terminals (Dreyfus and Wagner, "The Steiner problem in graphs", 1971). Beyond that
    at most twice the least weight (Kou, Markowsky and Berman, "A fast algorithm for Steiner trees", 1981), and mostly
    far closer, since areas are then added and removed one by one while that helps.

    Args:
        n_areas: Number of areas p.
        weights: Positive weight of each edge that may be used, keys (i, j) with i < j.
        terminals: Areas to connect.

    Returns:
        The edges of the tree in ascending order, or None if the terminals cannot be connected.
    """
    terminals = sorted(set(terminals))
    if len(terminals) < 2:
        return []
    dense = np.zeros((n_areas, n_areas))
    for (i, j), weight in weights.items():
        dense[i, j] = dense[j, i] = weight
    distance, before = shortest_path(dense, directed=False, return_predecessors=True)
    if not np.isfinite(distance[terminals[0], terminals]).all():
        return None
    if len(terminals) > EXACT_TERMINALS:
        return _approximate_tree(dense, distance, before, terminals)
    return _dreyfus_wagner(distance, before, terminals)


def _dreyfus_wagner(distance: NDArray[np.float64], before: NDArray[np.int32], terminals: list[int]) -> list[Edge]:
    """Tree from shortest distances ``(p, p)`` and, on the path from i to j, the area before j, ``(p, p)``."""
    *others, root = terminals
    full = (1 << len(others)) - 1
    cost = np.full((full + 1, len(distance)), np.inf)
    joint = np.zeros((full + 1, len(distance)), dtype=np.intp)
    half = np.zeros((full + 1, len(distance)), dtype=np.intp)
    for index, terminal in enumerate(others):
        cost[1 << index] = distance[terminal]
        joint[1 << index] = terminal
    for subset in range(1, full + 1):
        if subset & (subset - 1) == 0:
            continue
        # Two subtrees meet at an area v; the lowest terminal stays in the first half, so each split is seen once.
        low = subset & -subset
        merged = np.full(len(distance), np.inf)
        part = (subset - 1) & subset
        while part:
            if part & low:
                total = cost[part] + cost[subset ^ part]
                half[subset] = np.where(total < merged, part, half[subset])
                merged = np.minimum(total, merged)
            part = (part - 1) & subset
        reach = merged[:, None] + distance
        joint[subset] = np.argmin(reach, axis=0)
        cost[subset] = np.min(reach, axis=0)

    edges: set[Edge] = set()
    pending = [(full, root)]
    while pending:
        subset, area = pending.pop()
        meeting = int(joint[subset, area])
        while area != meeting:
            previous = int(before[meeting, area])
            edges.add((min(previous, area), max(previous, area)))
            area = previous
        if subset & (subset - 1):
            part = int(half[subset, meeting])
            pending += [(part, meeting), (subset ^ part, meeting)]
    return sorted(edges)


def _approximate_tree(
    weights: NDArray[np.float64], distance: NDArray[np.float64], before: NDArray[np.int32], terminals: list[int]
) -> list[Edge]:
    """Tree from the shortest paths of a least tree between terminals; arguments as in :func:`_dreyfus_wagner`."""
    component = np.flatnonzero(np.isfinite(distance[terminals[0]])).tolist()
    areas = set(terminals)
    between = minimum_spanning_tree(distance[np.ix_(terminals, terminals)]).tocoo()
    for i, j in zip(between.row.tolist(), between.col.tolist(), strict=True):
        start, area = terminals[i], terminals[j]
        while area != start:
            area = int(before[start, area])
            areas.add(area)
    weight, edges = _spanning_tree(weights, areas)
    improved = True
    while improved:
        improved = False
        for area in sorted(set(component) - set(terminals)):
            trial_weight, trial_edges = _spanning_tree(weights, areas ^ {area})
            if trial_weight < weight:
                areas, weight, edges, improved = areas ^ {area}, trial_weight, trial_edges, True
    return edges


def _spanning_tree(weights: NDArray[np.float64], areas: set[int]) -> tuple[float, list[Edge]]:
    """Weight and edges of the least tree that spans the areas; infinite weight when they are not connected."""
    chosen = sorted(areas)
    tree = minimum_spanning_tree(weights[np.ix_(chosen, chosen)]).tocoo()
    if tree.nnz < len(chosen) - 1:
        return np.inf, []
    ends = zip(tree.row.tolist(), tree.col.tolist(), strict=True)
    edges = sorted((chosen[min(i, j)], chosen[max(i, j)]) for i, j in ends)
    # Summed in a fixed order: a tree must not look better than itself.
    return float(sum(weights[edge] for edge in edges)), edges
