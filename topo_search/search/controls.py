"""The graphs that a winner must beat."""

from __future__ import annotations

import statistics
from dataclasses import replace

from topo_search.graph import GraphConstraints, ModuleGraph, degree_preserving_rewire, make_family
from topo_search.search.space import SearchSpace
from topo_search.seeds import generator

__all__ = ["control_graphs", "parameter_matched_edges"]


def parameter_matched_edges(constraints: GraphConstraints, winner: ModuleGraph) -> int:
    """How many edges a random graph needs to have about as many trained coupling entries as a winner.

    An edge between areas of n and m units has n m entries (or a fixed multiple of it). A random graph of k edges has k
    times the mean over allowed edges, of areas of their base sizes. Where all areas are of one size this is the
    winner's own number of edges; a winner with a grown hub has more entries than its number of edges says.

    Input weights, readout and what areas train themselves are not counted: they follow the sizes of areas, not edges.

    Returns:
        The nearest number of edges, from ``constraints.min_edges`` to that of all allowed edges: the edge budget counts
        edges and would make the match impossible for the winners that need it.
    """
    if not constraints.allowed_edges:
        return winner.n_edges
    base = [area.size for area in constraints.areas]
    entries = sum(winner.sizes[i] * winner.sizes[j] for i, j in winner.edges)
    mean = statistics.fmean(base[i] * base[j] for i, j in constraints.allowed_edges)
    return min(max(round(entries / mean), constraints.min_edges), len(constraints.allowed_edges))


def control_graphs(space: SearchSpace, winner: ModuleGraph, *, seed: int) -> list[tuple[str, ModuleGraph]]:
    """The graphs that a winner must beat: ``(kind, graph)``.

    Random graphs have the winner's number of edges. Where that does not give them as many parameters, since areas
    differ in size, there are others that are matched in parameters, see :func:`parameter_matched_edges`. Rewires have
    the winner's degrees. Those matched in parameters and all edges ignore the edge budget.
    """
    constraints, after = space.constraints, space.after

    unbounded = replace(constraints, max_edges=None)

    def random(name: str, index: int, edges: int) -> ModuleGraph:
        return make_family("random_density", unbounded, generator(seed, name, index), edges=edges)

    rng = generator(seed, "controls")
    matched = parameter_matched_edges(constraints, winner)
    n_matched = after.parameter_controls if matched != winner.n_edges else 0
    return [
        *(("random", random("random control", index, winner.n_edges)) for index in range(after.random_controls)),
        *(("random_parameters", random("parameter control", index, matched)) for index in range(n_matched)),
        *(
            ("rewired", degree_preserving_rewire(winner, constraints, generator(seed, "rewired control", index)))
            for index in range(after.rewired_controls)
        ),
        ("global_workspace", make_family("global_workspace", constraints, rng)),
        ("all_edges", make_family("all_to_all", constraints, rng, ignore_budget=True)),
    ]
