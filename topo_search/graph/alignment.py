"""Renumber the areas of one graph so that it agrees with another as far as possible."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, permutations, product
from math import factorial, prod

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from topo_search.graph.area import GraphError
from topo_search.graph.constraints import GraphConstraints
from topo_search.graph.module_graph import ModuleGraph

__all__ = ["EXACT_ARRANGEMENTS", "align_areas", "interchangeable_areas"]

EXACT_ARRANGEMENTS = 720
"""Up to this many ways to renumber, all are tried."""

_Places = NDArray[np.intp]
_Matrix = NDArray[np.int64]


def interchangeable_areas(constraints: GraphConstraints) -> tuple[tuple[int, ...], ...]:
    """Groups of hidden areas that the rules do not tell apart.

    Two hidden areas are interchangeable when they have the same base size and may be joined to the same other areas.
    Any renumbering within such groups takes valid graphs to valid graphs. Input and output areas are never in a group:
    they may see other channels, and the output reads each area by its own weights.

    Returns:
        The groups of at least two areas, each ascending.
    """
    count = len(constraints.areas)
    partners = [0] * count
    for i, j in constraints.allowed_edges:
        partners[i] |= 1 << j
        partners[j] |= 1 << i
    groups: list[list[int]] = []
    for area in range(count):
        if constraints.areas[area].role != "hidden":
            continue
        for group in groups:
            other = group[0]
            both = ~(1 << area | 1 << other)
            same_rules = partners[area] & both == partners[other] & both
            if same_rules and constraints.areas[area].size == constraints.areas[other].size:
                group.append(area)
                break
        else:
            groups.append([area])
    return tuple(tuple(group) for group in groups if len(group) > 1)


def align_areas(a: ModuleGraph, b: ModuleGraph, groups: Sequence[Sequence[int]]) -> ModuleGraph:
    """Renumber the areas of ``b`` within groups so that it shares as many edges with ``a`` as possible.

    Exact where there are at most ``EXACT_ARRANGEMENTS`` ways to renumber. Beyond that a heuristic of assignments: each
    area of a group goes where its neighbours overlap most with those it would have in ``a``, all at once by the
    Hungarian method, again and again while that helps, and then pairs of areas change places while that helps. It
    starts from the numbers as they are and from the areas' degrees, and keeps the better end.

    Source: the linear assignments are those of Vogelstein et al., "Fast approximate quadratic programming for graph
    matching" (2015) at whole permutations; the exchange of pairs is the local search usual for quadratic assignment.

    Args:
        a: Graph that stays as it is.
        b: Graph with as many areas.
        groups: Areas that may change places with each other, each area in at most one group.

    Returns:
        ``b`` renumbered, sizes included; ``b`` itself where no other numbers share more edges.

    Raises:
        GraphError: If the graphs differ in their number of areas, or the groups overlap, name an area that is not
            there, or hold areas of different roles.
    """
    _check(a, b, groups)
    theirs, ours = b.adjacency().astype(np.int64), a.adjacency().astype(np.int64)
    identity: _Places = np.arange(a.n_areas)
    if prod(factorial(len(group)) for group in groups) <= EXACT_ARRANGEMENTS:
        best = _exact(ours, theirs, groups, identity)
    else:
        starts = (identity, _by_degree(ours, theirs, groups, identity))
        ends = [_climb(ours, theirs, groups, start) for start in starts]
        best = max(ends, key=lambda places: _shared(ours, theirs, places))
    if _shared(ours, theirs, best) <= _shared(ours, theirs, identity):
        return b
    number = np.argsort(best).tolist()
    return ModuleGraph([b.areas[area] for area in best.tolist()], [(number[i], number[j]) for i, j in b.edges])


def _check(a: ModuleGraph, b: ModuleGraph, groups: Sequence[Sequence[int]]) -> None:
    if a.n_areas != b.n_areas:
        raise GraphError(f"graphs to align must have as many areas, got {a.n_areas} and {b.n_areas}")
    named = list(chain.from_iterable(groups))
    if len(set(named)) != len(named) or not set(named) <= set(range(a.n_areas)):
        raise GraphError(f"groups of areas must be disjoint and within 0 to {a.n_areas - 1}, got {str(groups)[:80]}")
    for group in groups:
        roles = {b.areas[area].role for area in group}
        if len(roles) > 1:
            raise GraphError(f"areas that change places must have one role, got {', '.join(sorted(roles))}")


# Places are a permutation: places[k] is the area of b that takes the number k.


def _shared(ours: _Matrix, theirs: _Matrix, places: _Places) -> int:
    return int((ours * theirs[np.ix_(places, places)]).sum()) // 2


def _exact(ours: _Matrix, theirs: _Matrix, groups: Sequence[Sequence[int]], identity: _Places) -> _Places:
    arranged = np.array([*_arrangements(groups)], dtype=np.intp)
    places = np.tile(identity, (len(arranged), 1))
    named = [*chain.from_iterable(groups)]
    if named:
        places[:, named] = arranged
    first, second = np.nonzero(np.triu(ours))
    shared = theirs[places[:, first], places[:, second]].sum(axis=1)
    best: _Places = places[int(np.argmax(shared))]
    return best


def _arrangements(groups: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    for orders in product(*(permutations(group) for group in groups)):
        yield [*chain.from_iterable(orders)]


def _by_degree(ours: _Matrix, theirs: _Matrix, groups: Sequence[Sequence[int]], identity: _Places) -> _Places:
    """Areas that keep their numbers count as neighbours; among equals, like degrees go together."""
    fixed = np.ones(len(ours), dtype=bool)
    fixed[[*chain.from_iterable(groups)]] = False
    overlap = 2.0 * theirs[:, fixed] @ ours[fixed] - np.abs(theirs.sum(axis=1)[:, None] - ours.sum(axis=1)[None])
    return _assigned(overlap, groups, identity)


def _assigned(overlap: NDArray[np.float64], groups: Sequence[Sequence[int]], places: _Places) -> _Places:
    """The assignment of each group's areas (rows: areas of b) to its numbers (columns) of largest overlap."""
    found = places.copy()
    for group in groups:
        members = np.asarray(group)
        row, column = linear_sum_assignment(overlap[np.ix_(members, members)], maximize=True)
        found[members[column]] = members[row]
    return found


def _climb(ours: _Matrix, theirs: _Matrix, groups: Sequence[Sequence[int]], places: _Places) -> _Places:
    shared = _shared(ours, theirs, places)
    while True:
        overlap = (theirs[:, places] @ ours).astype(np.float64)
        found = _exchanged(ours, theirs, groups, _assigned(overlap, groups, places))
        kept = _exchanged(ours, theirs, groups, places)
        better = max(found, kept, key=lambda candidate: _shared(ours, theirs, candidate))
        now = _shared(ours, theirs, better)
        if now <= shared:
            return places
        places, shared = better, now


def _exchanged(ours: _Matrix, theirs: _Matrix, groups: Sequence[Sequence[int]], places: _Places) -> _Places:
    """Let the pair of areas of one group change places that gains most, while any gains."""
    places = places.copy()
    allowed = np.zeros(ours.shape, dtype=bool)
    for group in groups:
        allowed[np.ix_(group, group)] = True
    while True:
        moved = theirs[np.ix_(places, places)]
        overlap = moved @ ours
        own = np.diagonal(overlap)
        # The edge between the two areas themselves is there before and after.
        gain = overlap + overlap.T - own[:, None] - own[None] + 2 * moved * ours
        gain[~allowed] = 0
        k, m = np.unravel_index(int(np.argmax(gain)), gain.shape)
        if gain[k, m] <= 0:
            return places
        places[[k, m]] = places[[m, k]]
