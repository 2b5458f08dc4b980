"""The graph between the areas of a modular network, as an immutable value."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import ArrayLike, NDArray

from topo_search.graph import serialization
from topo_search.graph.area import MAX_AREA_SIZE, ROLES, Area, Edge, GraphError, as_integer
from topo_search.graph.canonical import canonical_order

__all__ = ["MAX_AREAS", "MAX_AREA_SIZE", "ROLES", "Area", "Edge", "GraphError", "ModuleGraph"]

MAX_AREAS = 4096


@dataclass(frozen=True, init=False, repr=False)
class ModuleGraph:
    """Areas and the undirected edges between them. Immutable and hashable; equal when areas and edges are equal.

    Attributes:
        areas: The p areas, in label order.
        edges: The edges, each as (i, j) with i < j, in ascending order.
    """

    areas: tuple[Area, ...]
    edges: tuple[Edge, ...]

    def __init__(self, areas: Sequence[Area], edges: Iterable[tuple[int, int]]) -> None:
        """Check and store the graph.

        Args:
            areas: 1 to ``MAX_AREAS`` areas.
            edges: Pairs of area indices in either order, each pair once.

        Raises:
            GraphError: On no area, a self-loop, an index out of range, or a pair given twice.
        """
        areas = tuple(areas)
        if not 1 <= len(areas) <= MAX_AREAS:
            raise GraphError(f"a graph must have 1 to {MAX_AREAS} areas, got {len(areas)}")
        for index, area in enumerate(areas):
            if not isinstance(area, Area):
                raise GraphError(f"area {index} must be an Area, got {type(area).__name__}")
        object.__setattr__(self, "areas", areas)
        object.__setattr__(self, "edges", _checked_edges(edges, len(areas)))

    def __repr__(self) -> str:
        return f"ModuleGraph({self.n_areas} areas, {self.n_edges} edges, {self.n_units} units, key={self.key!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Caches stay out of pickles and copies; what comes back is checked like any other graph.
        return ModuleGraph, (self.areas, self.edges)

    @cached_property
    def graph(self) -> nx.Graph[int]:
        """The same graph for networkx: frozen, nodes 0..p-1 with attributes ``size`` (int) and ``role`` (str)."""
        graph: nx.Graph[int] = nx.Graph()
        graph.add_nodes_from((i, {"size": area.size, "role": area.role}) for i, area in enumerate(self.areas))
        graph.add_edges_from(self.edges)
        nx.freeze(graph)
        return graph

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Units of each area, ``(p,)``."""
        return tuple(area.size for area in self.areas)

    @cached_property
    def input_areas(self) -> tuple[int, ...]:
        """Indices of the areas that receive input."""
        return tuple(i for i, area in enumerate(self.areas) if area.is_input)

    @cached_property
    def output_areas(self) -> tuple[int, ...]:
        """Indices of the areas that are read out."""
        return tuple(i for i, area in enumerate(self.areas) if area.is_output)

    @cached_property
    def hidden_areas(self) -> tuple[int, ...]:
        """Indices of the areas that are neither input nor output."""
        return tuple(i for i, area in enumerate(self.areas) if not (area.is_input or area.is_output))

    @property
    def n_areas(self) -> int:
        """Number of areas p."""
        return len(self.areas)

    @property
    def n_edges(self) -> int:
        """Number of edges."""
        return len(self.edges)

    @property
    def n_units(self) -> int:
        """Units of all areas together."""
        return sum(self.sizes)

    @cached_property
    def _neighbours(self) -> tuple[tuple[int, ...], ...]:
        lists: list[list[int]] = [[] for _ in self.areas]
        for i, j in self.edges:
            lists[i].append(j)
            lists[j].append(i)
        return tuple(tuple(sorted(found)) for found in lists)

    def has_edge(self, i: int, j: int) -> bool:
        """Whether areas i and j are joined; the order does not matter."""
        return j in self.neighbors(i)

    def neighbors(self, i: int) -> tuple[int, ...]:
        """Areas joined to area i, ascending.

        Raises:
            GraphError: If there is no area i.
        """
        return self._neighbours[as_integer(i, "area index", low=0, high=self.n_areas - 1)]

    def degree(self, i: int) -> int:
        """Number of edges of area i."""
        return len(self.neighbors(i))

    def with_edges(self, edges: Iterable[tuple[int, int]]) -> ModuleGraph:
        """The same areas with other edges."""
        return ModuleGraph(self.areas, edges)

    def with_areas(self, areas: Sequence[Area]) -> ModuleGraph:
        """The same edges between other areas."""
        return ModuleGraph(areas, self.edges)

    @cached_property
    def key(self) -> str:
        """Hash of the labelled graph, 16 hexadecimal digits: equal for equal graphs, cheap."""
        return _digest(self.areas, self.edges, n_bytes=8)

    @cached_property
    def isomorphism_key(self) -> str:
        """Hash of the canonical form, 32 hexadecimal digits.

        Equal if and only if the graphs are isomorphic by a map that keeps the size and role of every area (a collision
        of the 128-bit hash aside).
        """
        kinds = [(area.size, ROLES.index(area.role)) for area in self.areas]
        number = {kind: index for index, kind in enumerate(sorted(set(kinds)))}
        masks = [sum(1 << j for j in found) for found in self._neighbours]
        order = canonical_order(masks, [number[kind] for kind in kinds])
        place = {area: index for index, area in enumerate(order)}
        edges = sorted((min(place[i], place[j]), max(place[i], place[j])) for i, j in self.edges)
        return _digest([self.areas[i] for i in order], edges, n_bytes=16)

    def adjacency(self) -> NDArray[np.int8]:
        """Symmetric 0/1 matrix ``(p, p)`` with a zero diagonal; a new array each time."""
        matrix = np.zeros((self.n_areas, self.n_areas), dtype=np.int8)
        for i, j in self.edges:
            matrix[i, j] = matrix[j, i] = 1
        return matrix

    @classmethod
    def from_adjacency(cls, matrix: ArrayLike, areas: Sequence[Area]) -> ModuleGraph:
        """Make a graph from a symmetric 0/1 matrix ``(p, p)`` with a zero diagonal.

        Raises:
            GraphError: If the matrix has another shape, another value (NaN included), or is not symmetric.
        """
        try:
            array = np.asarray(matrix)
        except ValueError as error:
            raise GraphError("adjacency must be a square 0/1 matrix, got rows of different lengths") from error
        expected = (len(areas), len(areas))
        if array.shape != expected:
            raise GraphError(f"adjacency must have shape {expected}, one row an area, got {array.shape}")
        if array.dtype.kind not in "biuf" or not np.isin(array, (0, 1)).all():
            raise GraphError("adjacency must hold only 0 and 1, got another value")
        if not np.array_equal(array, array.T):
            i, j = np.argwhere(array != array.T)[0].tolist()
            raise GraphError(f"adjacency must be symmetric, but entries ({i}, {j}) and ({j}, {i}) differ")
        if np.diagonal(array).any():
            raise GraphError(
                f"adjacency must have a zero diagonal, but area {int(np.argmax(np.diagonal(array)))} has 1"
            )
        return cls(areas, ((int(i), int(j)) for i, j in np.argwhere(np.triu(array))))

    @classmethod
    def from_networkx(cls, graph: nx.Graph[Any]) -> ModuleGraph:
        """Make a graph from a networkx graph with nodes 0..p-1 that carry ``size`` and ``role``; the rest is ignored.

        Raises:
            GraphError: If the graph is directed or a multigraph, or its nodes or attributes are not as said.
        """
        return cls(*serialization.parse_networkx(graph))

    def to_json(self) -> str:
        """The graph as JSON text, format ``topo_search.graph/1``."""
        return serialization.format_json(self.areas, self.edges)

    @classmethod
    def from_json(cls, text: str) -> ModuleGraph:
        """Read what ``to_json`` wrote.

        Raises:
            GraphError: If the text is no JSON, has unknown, missing or repeated keys, or a value of the wrong type.
        """
        return cls(*serialization.parse_json(text))

    def to_graphml(self) -> str:
        """The graph as GraphML text with node attributes ``size`` and ``role``."""
        return serialization.format_graphml(self.graph)

    @classmethod
    def from_graphml(cls, text: str) -> ModuleGraph:
        """Read GraphML with nodes "0".."p-1" that carry ``size`` and ``role``; other attributes are ignored.

        Raises:
            GraphError: If the text has a DTD or entities, is directed, has parallel edges, or is not as said.
        """
        return cls(*serialization.parse_graphml(text))

    def save(self, path: str | Path) -> None:
        """Write to ``path`` (.json or .graphml) in one step: the file is either the old one or the whole new one.

        Raises:
            GraphError: If the suffix is another, or the file cannot be written.
        """
        suffix = serialization.checked_suffix(path)
        serialization.write_text(Path(path), self.to_json() if suffix == ".json" else self.to_graphml())

    @classmethod
    def load(cls, path: str | Path) -> ModuleGraph:
        """Read a .json or .graphml file.

        Raises:
            GraphError: If the suffix is another, the file cannot be read, or its content is not a graph.
        """
        suffix = serialization.checked_suffix(path)
        text = serialization.read_text(Path(path))
        try:
            return cls.from_json(text) if suffix == ".json" else cls.from_graphml(text)
        except GraphError as error:
            raise GraphError(f"{path}: {error}") from error


def _checked_edges(edges: Iterable[tuple[int, int]], n_areas: int) -> tuple[Edge, ...]:
    seen: set[Edge] = set()
    for edge in edges:
        try:
            first, second = edge
        except (TypeError, ValueError) as error:
            raise GraphError(f"an edge must be a pair of area indices, got {str(edge)[:80]}") from error
        i = as_integer(first, "area index of an edge", low=0, high=n_areas - 1)
        j = as_integer(second, "area index of an edge", low=0, high=n_areas - 1)
        if i == j:
            raise GraphError(f"an edge must join two areas, got the self-loop ({i}, {j})")
        pair = (min(i, j), max(i, j))
        if pair in seen:
            raise GraphError(f"each edge may be given once, got {pair} twice")
        seen.add(pair)
    return tuple(sorted(seen))


def _digest(areas: Sequence[Area], edges: Iterable[Edge], *, n_bytes: int) -> str:
    text = ",".join(f"{a.size}:{a.role}" for a in areas) + "|" + ",".join(f"{i}-{j}" for i, j in edges)
    return hashlib.blake2b(text.encode("ascii"), digest_size=n_bytes).hexdigest()
