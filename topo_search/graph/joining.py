"""Graphs of several assemblies as one graph, with edges between them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate

from topo_search.graph.area import GraphError, as_integer
from topo_search.graph.module_graph import ModuleGraph

__all__ = ["join_graphs"]


def join_graphs(
    graphs: Sequence[ModuleGraph], edges: Iterable[tuple[tuple[int, int], tuple[int, int]]] = ()
) -> ModuleGraph:
    """The areas and edges of all graphs, one graph after another, and the edges between them.

    Args:
        graphs: at least one; areas keep their sizes and roles.
        edges: pairs of ends in either order, each end ``(graph, area)`` with the area counted within its graph.

    Returns:
        Area a of graph g becomes the area ``graphs[0].n_areas + ... + graphs[g - 1].n_areas + a``.

    Raises:
        GraphError: without graphs, on an end that does not exist, an edge within one graph, or an edge given twice.
    """
    if not graphs:
        raise GraphError("expected at least one graph to join, got none")
    first = [0, *accumulate(graph.n_areas for graph in graphs)]
    joined = [(i + first[index], j + first[index]) for index, graph in enumerate(graphs) for i, j in graph.edges]
    for edge in edges:
        (one, area), (other, other_area) = (_end(end, graphs) for end in _ends(edge))
        if one == other:
            raise GraphError(f"an edge between graphs must join two of them, got both ends in graph {one}")
        joined.append((first[one] + area, first[other] + other_area))
    return ModuleGraph([area for graph in graphs for area in graph.areas], joined)


def _ends(edge: tuple[tuple[int, int], tuple[int, int]]) -> tuple[tuple[int, int], tuple[int, int]]:
    try:
        (one, area), (other, other_area) = edge
    except (TypeError, ValueError) as error:
        raise GraphError(f"an edge between graphs must be a pair of (graph, area), got {str(edge)[:80]}") from error
    return (one, area), (other, other_area)


def _end(end: tuple[int, int], graphs: Sequence[ModuleGraph]) -> tuple[int, int]:
    index = as_integer(end[0], "graph index of an edge", low=0, high=len(graphs) - 1)
    return index, as_integer(end[1], "area index of an edge", low=0, high=graphs[index].n_areas - 1)
