"""Small random changes of a graph. Each keeps the graph valid, or returns None where it cannot apply.

The *hub* of a graph is its area of highest degree; among equals one is drawn at random.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from topo_search.graph.area import Edge, GraphError
from topo_search.graph.constraints import GraphConstraints
from topo_search.graph.module_graph import ModuleGraph
from topo_search.graph.repair import shuffled

__all__ = [
    "OPERATORS",
    "Mutation",
    "Operator",
    "add_edge",
    "grow_hub",
    "move_hub_edge",
    "mutate",
    "remove_edge",
    "rewire_edge",
    "shrink_hub",
    "swap_edges",
]

Operator = Callable[[ModuleGraph, GraphConstraints, np.random.Generator], ModuleGraph | None]
"""``operator(graph, constraints, rng)``: a valid graph other than ``graph``, or None."""


@dataclass(frozen=True)
class Mutation:
    """What ``mutate`` made.

    Attributes:
        graph: The new graph, valid and different from its parent.
        operator: Name of the operator that made it.
    """

    graph: ModuleGraph
    operator: str


def add_edge(graph: ModuleGraph, constraints: GraphConstraints, rng: np.random.Generator) -> ModuleGraph | None:
    """Add one allowed edge; None at the budget."""
    missing = _missing(graph, constraints)
    if graph.n_edges >= constraints.edge_budget:
        return None
    return graph.with_edges([*graph.edges, missing[rng.integers(len(missing))]])


def remove_edge(graph: ModuleGraph, constraints: GraphConstraints, rng: np.random.Generator) -> ModuleGraph | None:
    """Remove one edge; None when inputs and outputs need every edge."""
    present = set(graph.edges)
    for edge in shuffled(present, rng):
        if constraints.connects(present - {edge}):
            return graph.with_edges(present - {edge})
    return None


def rewire_edge(graph: ModuleGraph, constraints: GraphConstraints, rng: np.random.Generator) -> ModuleGraph | None:
    """Replace one edge: half of the time by one that shares an end with it, else by any allowed edge."""
    present = set(graph.edges)
    missing = shuffled(_missing(graph, constraints), rng)
    move_end = bool(rng.integers(2))
    for shares_end in (move_end, not move_end):
        for old in shuffled(present, rng):
            rest = present - {old}
            for new in missing:
                if shares_end and not set(old) & set(new):
                    continue
                if constraints.connects(rest | {new}):
                    return graph.with_edges(rest | {new})
    return None


def swap_edges(graph: ModuleGraph, constraints: GraphConstraints, rng: np.random.Generator) -> ModuleGraph | None:
    """Replace edges (a, b) and (d, c) by (a, d) and (b, c); every area keeps its degree."""
    present = set(graph.edges)
    missing = shuffled(_missing(graph, constraints), rng)
    absent = set(missing)
    for a, d in missing:
        for b, c in shuffled([(b, c) for b in graph.neighbors(a) for c in graph.neighbors(d)], rng):
            other = _edge(b, c)
            if other not in absent:
                continue
            swapped = present - {_edge(a, b), _edge(d, c)} | {_edge(a, d), other}
            if constraints.connects(swapped):
                return graph.with_edges(swapped)
    return None


def move_hub_edge(graph: ModuleGraph, constraints: GraphConstraints, rng: np.random.Generator) -> ModuleGraph | None:
    """Move one edge of the hub: to another partner, or its hub end to the next hub (the highest degree but one)."""
    present = set(graph.edges)
    missing = set(_missing(graph, constraints))
    for hub in _hubs(graph, rng):
        others = [area for area in range(graph.n_areas) if area != hub]
        top = max((graph.degree(area) for area in others), default=0)
        next_hubs = [area for area in others if graph.degree(area) == top]
        partners = graph.neighbors(hub)
        repartner = [(_edge(hub, x), _edge(hub, y)) for x in partners for y in others]
        hand_over = [(_edge(hub, x), _edge(hub_2, x)) for x in partners for hub_2 in next_hubs]
        kinds = [repartner, hand_over] if rng.integers(2) else [hand_over, repartner]
        for moves in kinds:
            possible = [(old, new) for old, new in moves if new in missing]
            for index in rng.permutation(len(possible)):
                old, new = possible[index]
                if constraints.connects(present - {old} | {new}):
                    return graph.with_edges(present - {old} | {new})
    return None


def grow_hub(graph: ModuleGraph, constraints: GraphConstraints, rng: np.random.Generator) -> ModuleGraph | None:
    """Give the hub the next larger size; None when it has the largest."""
    return _resize_hub(graph, constraints, rng, step=1)


def shrink_hub(graph: ModuleGraph, constraints: GraphConstraints, rng: np.random.Generator) -> ModuleGraph | None:
    """Give the hub the next smaller size; None when it has the smallest."""
    return _resize_hub(graph, constraints, rng, step=-1)


OPERATORS: Mapping[str, Operator] = {
    operator.__name__: operator
    for operator in (add_edge, remove_edge, rewire_edge, swap_edges, move_hub_edge, grow_hub, shrink_hub)
}
"""Every operator by its name."""


def mutate(
    graph: ModuleGraph,
    constraints: GraphConstraints,
    rng: np.random.Generator,
    *,
    weights: Mapping[str, float] | None = None,
) -> Mutation:
    """Change the graph by one operator.

    Operators are tried in random order until one applies.

    Args:
        graph: Valid parent.
        constraints: What parent and child must respect.
        rng: Source of randomness.
        weights: How often each operator comes first, as non-negative numbers of any sum; operators that are not named
            have weight 0 and are never tried. Default: all equal.

    Returns:
        The child and the operator's name.

    Raises:
        GraphError: If the parent is not valid, a weight is not valid, or no operator applies.
    """
    constraints.check(graph)
    shares = dict.fromkeys(OPERATORS, 1.0) if weights is None else _checked_weights(weights)
    names = [name for name in OPERATORS if shares.get(name, 0.0) > 0]
    chances = np.array([shares[name] for name in names])
    for index in rng.choice(len(names), size=len(names), replace=False, p=chances / chances.sum()):
        child = OPERATORS[names[index]](graph, constraints, rng)
        if child is not None and child != graph:
            return Mutation(child, names[index])
    raise GraphError(f"no mutation applies to graph {graph.key}, tried {', '.join(names)}")


def _checked_weights(weights: Mapping[str, float]) -> dict[str, float]:
    for name, weight in weights.items():
        if name not in OPERATORS:
            raise GraphError(f"unknown mutation {str(name)[:80]!r}, expected one of {', '.join(OPERATORS)}")
        is_number = isinstance(weight, (int, float, np.number)) and not isinstance(weight, bool)
        if not is_number or not math.isfinite(weight) or weight < 0:
            raise GraphError(f"weight of mutation {name!r} must be a number of at least 0, got {weight!r}")
    if not any(weights.values()):
        raise GraphError("weights of mutations must hold a positive number, got none")
    # Scaled by the largest first: the sum of huge weights must not overflow.
    top = max(weights.values())
    return {name: float(weight / top) for name, weight in weights.items()}


def _edge(i: int, j: int) -> Edge:
    return (i, j) if i < j else (j, i)


def _missing(graph: ModuleGraph, constraints: GraphConstraints) -> list[Edge]:
    present = set(graph.edges)
    return [edge for edge in constraints.allowed_edges if edge not in present]


def _hubs(graph: ModuleGraph, rng: np.random.Generator) -> list[int]:
    """Areas of highest degree in random order; none in a graph without edges."""
    if not graph.n_edges:
        return []
    degrees = [graph.degree(area) for area in range(graph.n_areas)]
    return [int(area) for area in rng.permutation(np.flatnonzero(np.array(degrees) == max(degrees)))]


def _resize_hub(
    graph: ModuleGraph, constraints: GraphConstraints, rng: np.random.Generator, *, step: int
) -> ModuleGraph | None:
    for hub in _hubs(graph, rng):
        sizes = constraints.sizes_of(hub)
        place = sizes.index(graph.areas[hub].size) + step
        if 0 <= place < len(sizes):
            areas = list(graph.areas)
            areas[hub] = replace(areas[hub], size=sizes[place])
            return graph.with_areas(areas)
    return None
