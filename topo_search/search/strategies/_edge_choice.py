"""Choosing edges by score: the best ones that keep the terminals joined."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from topo_search.graph import Edge, GraphConstraints

__all__ = ["best_edges", "workspace_edges"]


def best_edges(scores: Mapping[Edge, float], constraints: GraphConstraints, count: int) -> tuple[Edge, ...] | None:
    """The best edges by score that keep what must be joined together.

    Where the best alone do not connect, a spanning tree of greatest scores does, without the branches that lead nowhere
    (its worst edge is as good as that of any connection can be); the best others fill up.

    Args:
        scores: of the edges to choose from; of equals the lower edge is better.
        constraints: what must be joined; their budget is not looked at.
        count: edges in all, if there are so many.

    Returns:
        Edges, ascending; ``None`` where the edges cannot connect within ``count``, or were not found to.
    """
    order = sorted(scores, key=lambda edge: (-scores[edge], edge))
    best = order[:count]
    if constraints.connects(best):
        return tuple(sorted(best))
    tree = _connection(order, constraints)
    if tree is None or len(tree) > count:
        return None
    filling = [edge for edge in order if edge not in tree]
    return tuple(sorted([*tree, *filling[: count - len(tree)]]))


def _connection(order: Iterable[Edge], constraints: GraphConstraints) -> set[Edge] | None:
    """The edges of a greedy spanning tree, the first in order first, that terminals need; ``None`` if there is none."""
    root = list(range(len(constraints.areas)))

    def find(area: int) -> int:
        while root[area] != area:
            root[area] = root[root[area]]
            area = root[area]
        return area

    tree: set[Edge] = set()
    for i, j in order:
        if find(i) != find(j):
            root[find(i)] = find(j)
            tree.add((i, j))
    terminals = set(constraints.terminals)
    if len({find(area) for area in terminals}) > 1:
        return None
    while True:
        ends = [area for edge in tree for area in edge]
        leaves = {area for area in ends if ends.count(area) == 1} - terminals
        loose = {edge for edge in tree if leaves & set(edge)}
        # What is joined to no terminal falls away leaf by leaf too, its last edge with both ends.
        if not loose:
            return tree
        tree -= loose


def workspace_edges(
    scores: Mapping[Edge, float], constraints: GraphConstraints, hub: int, count: int
) -> tuple[Edge, ...] | None:
    """A global workspace around a hub: its allowed edges, the best first, and what else inputs and outputs need.

    Args:
        scores: of edges; allowed ones without a score count as zero.
        constraints: what must be joined; their budget is not looked at.
        hub: the area in the middle.
        count: edges at most.

    Returns:
        Edges, ascending; ``None`` where they cannot connect within ``count``, or were not found to.
    """
    allowed = sorted(constraints.allowed_edges, key=lambda edge: (hub not in edge, -scores.get(edge, 0.0), edge))
    tree = _connection(allowed, constraints)
    if tree is None or len(tree) > count:
        return None
    star = [edge for edge in allowed if hub in edge and edge not in tree]
    return tuple(sorted([*tree, *star[: count - len(tree)]]))
