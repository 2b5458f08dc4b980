"""Random graphs with the degrees of a given one: the control that keeps hubs but loses every other structure."""

from __future__ import annotations

import numpy as np

from topo_search.graph.area import as_integer
from topo_search.graph.constraints import GraphConstraints
from topo_search.graph.module_graph import ModuleGraph

__all__ = ["degree_preserving_rewire"]


def degree_preserving_rewire(
    graph: ModuleGraph, constraints: GraphConstraints, rng: np.random.Generator, *, swaps: int | None = None
) -> ModuleGraph:
    """Shuffle the edges by many double edge swaps; every area keeps its degree and the graph stays valid.

    A Markov chain over graphs with these degrees (Milo et al., "On the uniform generation of random graphs with
    prescribed degree sequences", 2003). Proposals that are refused count as steps, so the chain favours no graph that
    it can reach; forbidden edges and the paths from inputs to outputs may keep it from reaching all.

    Args:
        graph: Valid graph to start from.
        constraints: What every step must respect.
        rng: Source of randomness.
        swaps: Number of proposed swaps. Default: 100 for each edge.

    Returns:
        A graph with the same degrees; equal to ``graph`` where no swap is possible, as in a star.

    Raises:
        GraphError: If ``graph`` is not valid, or ``swaps`` is negative.
    """
    constraints.check(graph)
    count = 100 * graph.n_edges if swaps is None else as_integer(swaps, "swaps", low=0)
    if graph.n_edges < 2:
        return graph
    edges = list(graph.edges)
    present = set(edges)
    picks = rng.integers(len(edges), size=(count, 2)).tolist()
    crossed = rng.integers(2, size=count).tolist()
    for (first, second), cross in zip(picks, crossed, strict=True):
        (a, b), (c, d) = edges[first], edges[second]
        if cross:
            c, d = d, c
        if len({a, b, c, d}) < 4:
            continue
        new_first, new_second = (min(a, d), max(a, d)), (min(c, b), max(c, b))
        if present & {new_first, new_second} or constraints.forbidden & {new_first, new_second}:
            continue
        swapped = present - {edges[first], edges[second]} | {new_first, new_second}
        if constraints.connects(swapped):
            present = swapped
            edges[first], edges[second] = new_first, new_second
    return graph.with_edges(edges)
