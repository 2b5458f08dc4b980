"""A child of two graphs."""

from __future__ import annotations

import numpy as np

from topo_search.graph.area import GraphError
from topo_search.graph.constraints import GraphConstraints
from topo_search.graph.module_graph import ModuleGraph
from topo_search.graph.repair import repair, shuffled

__all__ = ["crossover"]


def crossover(a: ModuleGraph, b: ModuleGraph, constraints: GraphConstraints, rng: np.random.Generator) -> ModuleGraph:
    """Mix two parents: edges that both have, and a random choice of the edges that one has.

    The number of edges lies between the parents' (binomial). Each area takes its size from either parent. Repair
    connects inputs to outputs over the parents' edges where it can, and gives up shared edges last.

    Args:
        a: Valid graph.
        b: Valid graph.
        constraints: What parents and child must respect.
        rng: Source of randomness.

    Returns:
        A valid graph; it may equal a parent.

    Raises:
        GraphError: If a parent is not valid.
    """
    constraints.check(a)
    constraints.check(b)
    shared, union = set(a.edges) & set(b.edges), set(a.edges) | set(b.edges)
    fewest = min(a.n_edges, b.n_edges)
    count = fewest + int(rng.binomial(abs(a.n_edges - b.n_edges), 0.5))
    drawn = shared | set(shuffled(union - shared, rng)[: count - len(shared)])
    sides = rng.integers(2, size=a.n_areas).tolist()
    areas = [(first, second)[side] for first, second, side in zip(a.areas, b.areas, sides, strict=True)]
    try:
        edges = repair(drawn, constraints, rng, budget=count, keep=shared, prefer=union)
    except GraphError:
        # With many input and output areas the search for a connection is approximate; the leaner parent has one.
        edges = a.edges if a.n_edges == fewest else b.edges
    return ModuleGraph(areas, edges)
