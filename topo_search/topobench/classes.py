"""Every connected graph of six areas, up to the order of the hidden ones, as numbers of 13 bits.

Areas 0 and 1 see the input, each its own channels; 2, 3 and 4 are hidden; 5 is read out. No edge joins an input area to
the output area, so 13 edges are allowed. Bit i of a *mask* says whether a graph has the i-th of them, in ascending
order. Graphs that differ only in how the hidden areas are numbered are one *class*: hidden areas are alike, so the
graphs of a class differ in their draws alone. A class is named by the least mask among its graphs. There are 1,054
classes; they are numbered by edges, then by mask.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import combinations, permutations

import numpy as np
from numpy.typing import NDArray

from topo_search.errors import InputError
from topo_search.graph import Edge

__all__ = ["ALLOWED_EDGES", "N_AREAS", "N_CLASSES", "ROLES", "GraphClasses", "edges_of", "graph_classes", "mask_of"]

ROLES = ("input", "input", "hidden", "hidden", "hidden", "output")
"""Role of each area."""

N_AREAS = len(ROLES)
HIDDEN = tuple(area for area, role in enumerate(ROLES) if role == "hidden")

ALLOWED_EDGES: tuple[Edge, ...] = tuple(
    (i, j) for i, j in combinations(range(N_AREAS), 2) if {ROLES[i], ROLES[j]} != {"input", "output"}
)
"""The 13 allowed edges, ascending; the i-th is bit i of a mask."""

N_CLASSES = 1054
"""Classes of connected graphs."""

_BIT = {edge: 1 << index for index, edge in enumerate(ALLOWED_EDGES)}


def mask_of(edges: Iterable[Edge]) -> int:
    """The mask of a set of edges.

    Args:
        edges: pairs (i, j) with i < j.

    Raises:
        InputError: if an edge is not one of the 13.
    """
    mask = 0
    for edge in edges:
        if edge not in _BIT:
            raise InputError(f"edge {edge} is not one of the {len(ALLOWED_EDGES)} that TopoBench-6 allows")
        mask |= _BIT[edge]
    return mask


def edges_of(mask: int) -> tuple[Edge, ...]:
    """The edges of a mask in ``[0, 8192)``, ascending."""
    return tuple(edge for index, edge in enumerate(ALLOWED_EDGES) if mask >> index & 1)


@dataclass(frozen=True, eq=False)
class GraphClasses:
    """Tables over all masks and all classes. Arrays are read-only.

    Attributes:
        canonical: ``(8192,)`` the least mask among the renumberings of each mask, connected or not.
        index: ``(8192,)`` number of each mask's class; -1 where the graph is not connected.
        masks: ``(1054,)`` canonical mask of each class.
        edges: ``(1054,)`` number of edges of each class, ascending.
        orbit_sizes: ``(1054,)`` how many labelled graphs each class has: 1, 2, 3 or 6.
        labelled: masks of all connected labelled graphs, ascending.
    """

    canonical: NDArray[np.int64]
    index: NDArray[np.int64]
    masks: NDArray[np.int64]
    edges: NDArray[np.int64]
    orbit_sizes: NDArray[np.int64]
    labelled: NDArray[np.int64]

    def members(self, number: int) -> NDArray[np.int64]:
        """Masks of the labelled graphs of a class, ascending."""
        return np.flatnonzero(self.index == number)

    def within(self, max_edges: int | None) -> int:
        """How many classes have at most so many edges: the first so many."""
        return len(self.edges) if max_edges is None else int(np.searchsorted(self.edges, max_edges, side="right"))


def _canonical(masks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Least of the six renumberings of each mask."""
    least = masks
    for order in permutations(HIDDEN):
        place = {**{area: area for area in range(N_AREAS)}, **dict(zip(HIDDEN, order, strict=True))}
        moved = np.zeros_like(masks)
        for index, (i, j) in enumerate(ALLOWED_EDGES):
            a, b = place[i], place[j]
            moved |= np.where(masks >> index & 1, _BIT[min(a, b), max(a, b)], 0)
        least = np.minimum(least, moved)
    return least


def _connected(masks: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether all areas can be reached from area 0."""
    reached = np.ones_like(masks)
    for _ in range(N_AREAS - 1):
        for index, (i, j) in enumerate(ALLOWED_EDGES):
            touched = (masks >> index & 1) & ((reached >> i | reached >> j) & 1)
            reached |= touched << i | touched << j
    joined: NDArray[np.bool_] = reached == (1 << N_AREAS) - 1
    return joined


@cache
def graph_classes() -> GraphClasses:
    """The tables; made at the first call, in milliseconds."""
    every = np.arange(1 << len(ALLOWED_EDGES), dtype=np.int64)
    canonical, connected = _canonical(every), _connected(every)
    count = np.array([mask.bit_count() for mask in range(len(every))])
    masks = every[connected & (canonical == every)]
    masks = masks[np.lexsort((masks, count[masks]))]
    number = np.full(len(every), -1, dtype=np.int64)
    number[masks] = np.arange(len(masks))
    index = np.where(connected, number[canonical], -1)
    labelled = every[connected]
    tables = GraphClasses(
        canonical=canonical,
        index=index,
        masks=masks,
        edges=count[masks].astype(np.int64),
        orbit_sizes=np.bincount(index[labelled], minlength=len(masks)),
        labelled=labelled,
    )
    for array in (tables.canonical, tables.index, tables.masks, tables.edges, tables.orbit_sizes, tables.labelled):
        array.flags.writeable = False
    return tables
