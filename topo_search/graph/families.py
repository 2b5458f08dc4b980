"""Families of graphs. Each makes one valid graph: forbidden edges are dropped and the rest is repaired.

Repair (see ``repair``) connects inputs to outputs with as few further edges as possible and removes random edges above
the budget, so a small budget leaves only a sample of a dense family.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import combinations
from typing import Any

import networkx as nx
import numpy as np

from topo_search.graph.area import Area, Edge, GraphError, as_integer
from topo_search.graph.constraints import GraphConstraints
from topo_search.graph.module_graph import ModuleGraph
from topo_search.graph.parameters import check_parameters, in_range
from topo_search.graph.positions import area_distances
from topo_search.graph.repair import repair
from topo_search.graph.rewiring import degree_preserving_rewire

__all__ = [
    "FAMILIES",
    "Family",
    "all_to_all",
    "distance_lattice",
    "global_workspace",
    "make_family",
    "random_density",
    "random_regular",
    "ring",
    "small_world",
    "stochastic_block",
]

Family = Callable[..., ModuleGraph]
"""``family(constraints, rng, *, ...) -> ModuleGraph``."""

_REJECTION_TRIES = 1000


def all_to_all(constraints: GraphConstraints, rng: np.random.Generator, *, ignore_budget: bool = False) -> ModuleGraph:
    """Every allowed edge.

    Args:
        constraints: What the graph must respect.
        rng: Source of randomness for trimming.
        ignore_budget: Keep all allowed edges even above ``max_edges``: the control "all edges". The graph is then
            valid but for the budget.
    """
    if ignore_budget:
        return ModuleGraph(constraints.areas, constraints.allowed_edges)
    return _valid(constraints.allowed_edges, constraints, rng)


def random_density(
    constraints: GraphConstraints,
    rng: np.random.Generator,
    *,
    density: float | None = None,
    edges: int | None = None,
) -> ModuleGraph:
    """Exactly so many random edges.

    Uniform among the valid graphs with that number of edges, by rejection. When 1000 draws in a row are not valid, the
    last one is repaired, which is close to uniform only.

    Args:
        constraints: What the graph must respect.
        rng: Source of randomness.
        density: Share of the allowed edges, 0 to 1, rounded to a number of edges.
        edges: Number of edges, from ``constraints.min_edges`` to ``constraints.edge_budget``. Default: the budget.

    Raises:
        GraphError: If both ``density`` and ``edges`` are given, or no valid graph has that number of edges.
    """
    allowed = constraints.allowed_edges
    if density is not None and edges is not None:
        raise GraphError("random_density takes density or edges, got both")
    name = "edges"
    if density is not None:
        edges = round(in_range(density, "density") * len(allowed))
        name = f"edges (density {density:g} of {len(allowed)} allowed edges)"
    if edges is None:
        edges = constraints.edge_budget
    count = as_integer(edges, name, low=constraints.min_edges, high=constraints.edge_budget)
    drawn: list[Edge] = []
    for _ in range(_REJECTION_TRIES):
        drawn = [allowed[index] for index in rng.choice(len(allowed), count, replace=False)] if count else []
        if constraints.connects(drawn):
            return ModuleGraph(constraints.areas, drawn)
    return ModuleGraph(constraints.areas, repair(drawn, constraints, rng, budget=count))


def global_workspace(
    constraints: GraphConstraints,
    rng: np.random.Generator,
    *,
    hub: int | None = None,
    hubs: int = 1,
    join_hubs: bool = True,
    hub_size: int | None = None,
    spread: bool = False,
) -> ModuleGraph:
    """Hubs that are joined to every other area, and no edge between the other areas.

    Named after Baars' global workspace theory, in which specialists communicate through a shared workspace. With
    ``spread`` the workspace is a small assembly: each other area is joined to one hub alone.

    Args:
        constraints: What the graph must respect.
        rng: Source of randomness for repair.
        hub: The first hub. Default: the first hidden area, or area 0 when there is none.
        hubs: Number of hubs; after the first come the next hidden areas, then all other areas, in cyclic order.
        join_hubs: Whether hubs are joined to each other.
        hub_size: Units of each hub, its base size or one of ``constraints.hub_sizes``. Default: the base size.
        spread: Whether each other area has one hub instead of all: in label order, the hub with the fewest so far
            among those that it may be joined to.

    Raises:
        GraphError: If ``hub`` or ``hubs`` is out of range, or a hub may not take ``hub_size``.
    """
    count = len(constraints.areas)
    hidden = [i for i, area in enumerate(constraints.areas) if area.role == "hidden"]
    first = (hidden or [0])[0] if hub is None else as_integer(hub, "hub", low=0, high=count - 1)
    as_integer(hubs, "hubs", low=1, high=count)
    cyclic = [(first + step) % count for step in range(count)]
    chosen = sorted(cyclic, key=lambda i: (i != first, i not in hidden))[:hubs]
    areas = list(constraints.areas)
    if hub_size is not None:
        for i in chosen:
            if hub_size not in constraints.sizes_of(i):
                sizes = ", ".join(map(str, constraints.sizes_of(i)))
                raise GraphError(f"hub_size must be one of {sizes} (area {i}), got {hub_size}")
            areas[i] = Area(hub_size, is_input=areas[i].is_input, is_output=areas[i].is_output)
    edges = [*combinations(sorted(chosen), 2)] if join_hubs else []
    others = [i for i in range(count) if i not in chosen]
    if spread:
        edges += _dealt(others, chosen, constraints)
    else:
        edges += [(i, j) for i in others for j in chosen]
    return _valid(edges, constraints, rng).with_areas(areas)


def _dealt(others: Sequence[int], hubs: Sequence[int], constraints: GraphConstraints) -> list[Edge]:
    """One edge from each of the other areas to a hub, so that the hubs' loads are as equal as the rules let them be."""
    load = dict.fromkeys(hubs, 0)
    edges: list[Edge] = []
    for area in others:
        open_hubs = [hub for hub in hubs if (min(area, hub), max(area, hub)) not in constraints.forbidden]
        if open_hubs:
            hub = min(open_hubs, key=lambda hub: load[hub])
            load[hub] += 1
            edges.append((area, hub))
    return edges


def ring(constraints: GraphConstraints, rng: np.random.Generator) -> ModuleGraph:
    """Each area joined to the next one in label order, the last to the first."""
    return _valid(nx.cycle_graph(len(constraints.areas)).edges(), constraints, rng)


def small_world(
    constraints: GraphConstraints,
    rng: np.random.Generator,
    *,
    neighbours: int | None = None,
    rewire: float = 0.1,
) -> ModuleGraph:
    """A ring of near neighbours with some edges rewired (Watts and Strogatz 1998).

    Args:
        constraints: What the graph must respect.
        rng: Source of randomness.
        neighbours: Areas that each area is joined to, even, below the number of areas. Default: 4, or less where there
            are too few areas.
        rewire: Probability that an edge gets another end, 0 to 1.

    Raises:
        GraphError: If a parameter is out of range.
    """
    count = len(constraints.areas)
    if neighbours is None:
        neighbours = min(4, (count - 1) // 2 * 2)
    if as_integer(neighbours, "neighbours", low=0, high=count - 1) % 2:
        raise GraphError(f"neighbours must be even, got {neighbours}")
    graph = nx.watts_strogatz_graph(count, neighbours, in_range(rewire, "rewire"), seed=_seed(rng))
    return _valid(graph.edges(), constraints, rng)


def distance_lattice(
    constraints: GraphConstraints,
    rng: np.random.Generator,
    *,
    radius: float = 1.0,
    positions: Sequence[Sequence[float]] | None = None,
) -> ModuleGraph:
    """Areas in space, joined when they are near each other (as in locality-masked networks, Khona et al.).

    Args:
        constraints: What the graph must respect.
        rng: Source of randomness for repair.
        radius: Largest distance that is joined, in the unit of the positions. On the grid 1 joins four neighbours and
            1.5 joins eight.
        positions: ``(p, d)`` coordinates. Default: a 2-d grid of unit spacing, filled row by row.

    Raises:
        GraphError: If the radius is negative or the positions are not ``(p, d)`` finite numbers.
    """
    in_range(radius, "radius", high=np.inf)
    distances = area_distances(len(constraints.areas), positions)
    # Rounding must not decide whether a neighbour at exactly the radius counts.
    limit = radius * (1 + 1e-9)
    return _valid([edge for edge in constraints.allowed_edges if distances[edge] <= limit], constraints, rng)


def stochastic_block(
    constraints: GraphConstraints,
    rng: np.random.Generator,
    *,
    blocks: int | None = None,
    within: float = 0.5,
    between: float = 0.1,
) -> ModuleGraph:
    """Blocks of areas, dense inside and sparse between (Holland et al. 1983).

    Args:
        constraints: What the graph must respect.
        rng: Source of randomness.
        blocks: Number of blocks of consecutive areas, sizes as equal as possible, 1 to the number of areas. Default:
            2, or 1 for a single area.
        within: Probability of an edge inside a block, 0 to 1.
        between: Probability of an edge between blocks, 0 to 1.

    Raises:
        GraphError: If a parameter is out of range.
    """
    count = len(constraints.areas)
    if blocks is None:
        blocks = min(2, count)
    as_integer(blocks, "blocks", low=1, high=count)
    block = np.arange(count) * blocks // count
    inside, across = in_range(within, "within"), in_range(between, "between")
    allowed = constraints.allowed_edges
    draws = rng.random(len(allowed))
    edges = [
        (i, j)
        for (i, j), draw in zip(allowed, draws, strict=True)
        if draw < (inside if block[i] == block[j] else across)
    ]
    return _valid(edges, constraints, rng)


def random_regular(
    constraints: GraphConstraints, rng: np.random.Generator, *, degree: int | None = None
) -> ModuleGraph:
    """Every area with the same number of edges, at random, before forbidden edges are dropped.

    Args:
        constraints: What the graph must respect.
        rng: Source of randomness.
        degree: Edges of each area, below the number of areas; where areas times degree is odd, one random area has
            one edge less. Default: 3, or less where there are too few areas.

    Raises:
        GraphError: If the degree is out of range.
    """
    count = len(constraints.areas)
    if degree is None:
        degree = min(3, count - 1)
    as_integer(degree, "degree", low=0, high=count - 1)
    if count * degree % 2 == 0:
        return _valid(nx.random_regular_graph(degree, count, seed=_seed(rng)).edges(), constraints, rng)
    degrees = [int(d) for d in rng.permutation([degree - 1] + [degree] * (count - 1))]
    free = GraphConstraints(tuple(Area(area.size) for area in constraints.areas))
    start = ModuleGraph(free.areas, nx.havel_hakimi_graph(degrees).edges())
    return _valid(degree_preserving_rewire(start, free, rng).edges, constraints, rng)


FAMILIES: Mapping[str, Family] = {
    family.__name__: family
    for family in (
        all_to_all,
        random_density,
        global_workspace,
        ring,
        small_world,
        distance_lattice,
        stochastic_block,
        random_regular,
    )
}
"""Every family by its name."""


def make_family(name: str, constraints: GraphConstraints, rng: np.random.Generator, **parameters: Any) -> ModuleGraph:
    """Make a graph of the family called ``name``.

    Raises:
        GraphError: If the family or a parameter is unknown, or a parameter has the wrong type or range.
    """
    if name not in FAMILIES:
        raise GraphError(f"unknown family {str(name)[:80]!r}, expected one of {', '.join(sorted(FAMILIES))}")
    family = FAMILIES[name]
    check_parameters(family, parameters, f"family {name!r}")
    try:
        return family(constraints, rng, **parameters)
    except GraphError as error:
        raise GraphError(f"family {name!r}: {error}") from error


def _valid(edges: Collection[Edge], constraints: GraphConstraints, rng: np.random.Generator) -> ModuleGraph:
    pairs = {(min(i, j), max(i, j)) for i, j in edges if i != j}
    return ModuleGraph(constraints.areas, repair(pairs, constraints, rng))


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))
