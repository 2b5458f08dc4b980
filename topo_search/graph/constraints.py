"""What a graph must respect: its areas, forbidden edges, an edge budget, and paths from inputs to outputs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

from topo_search.graph.area import MAX_AREA_SIZE, ROLES, Area, Edge, GraphError, as_integer
from topo_search.graph.module_graph import ModuleGraph
from topo_search.graph.steiner import EXACT_TERMINALS, steiner_tree

__all__ = ["GraphConstraints"]


@dataclass(frozen=True)
class GraphConstraints:
    """The rules of a search space. A graph is valid when ``violation`` finds nothing.

    Attributes:
        areas: The p areas with their base sizes and roles.
        forbidden: Edges (i, j), i < j, that no graph may have.
        max_edges: Edge budget; None for no limit.
        hub_sizes: Sizes (units) that an area may take beside its own when a hub grows or shrinks.
        connected: Whether any two areas must be joined by a path, not only inputs and outputs.

    Raises:
        GraphError: If a field is not as said, or no valid graph exists: an output area cannot be reached from an input
            area over allowed edges, or not within the budget.
    """

    areas: tuple[Area, ...]
    forbidden: frozenset[Edge] = frozenset()
    max_edges: int | None = None
    hub_sizes: tuple[int, ...] = ()
    connected: bool = False

    def __post_init__(self) -> None:
        # The graph's own checks hold for areas and for forbidden pairs.
        normal = ModuleGraph(self.areas, sorted(self.forbidden))
        object.__setattr__(self, "areas", normal.areas)
        object.__setattr__(self, "forbidden", frozenset(normal.edges))
        sizes = {as_integer(size, "hub_sizes entry", low=1, high=MAX_AREA_SIZE) for size in self.hub_sizes}
        object.__setattr__(self, "hub_sizes", tuple(sorted(sizes)))
        if self.max_edges is not None:
            object.__setattr__(self, "max_edges", as_integer(self.max_edges, "max_edges", low=0))
        needed = self.min_edges
        if self.max_edges is not None and self.max_edges < needed:
            raise GraphError(f"max_edges must be at least {needed} to connect {self._ends}, got {self.max_edges}")

    @classmethod
    def build(
        cls,
        areas: Sequence[Area],
        *,
        forbidden_roles: Iterable[tuple[str, str]] = (),
        forbidden_pairs: Iterable[tuple[int, int]] = (),
        max_edges: int | None = None,
        hub_sizes: Iterable[int] = (),
        connected: bool = False,
    ) -> GraphConstraints:
        """Make constraints from roles and pairs.

        Args:
            areas: The p areas.
            forbidden_roles: Pairs of roles ("input", "hidden", "output", "input+output"), in either order, whose areas
                may not be joined. "input" and "output" stand for every area with that flag, so each also covers
                "input+output"; "input+output" stands for areas with both flags.
            forbidden_pairs: Pairs of area indices in either order that may not be joined; repeats are allowed.
            max_edges: Edge budget; None for no limit.
            hub_sizes: Sizes (units) that an area may take beside its own.
            connected: Whether any two areas must be joined by a path.

        Raises:
            GraphError: If a role or pair is not as said, or no valid graph exists.
        """
        areas = tuple(areas)
        forbidden: set[Edge] = set()
        for roles in dict.fromkeys(forbidden_roles):
            if isinstance(roles, str) or len(roles) != 2 or any(role not in ROLES for role in roles):
                raise GraphError(f"forbidden_roles must hold pairs of {', '.join(ROLES)}, got {str(roles)[:80]!r}")
            first, second = roles
            for i, j in combinations(range(len(areas)), 2):
                if (_plays(areas[i], first) and _plays(areas[j], second)) or (
                    _plays(areas[i], second) and _plays(areas[j], first)
                ):
                    forbidden.add((i, j))
        for pair in forbidden_pairs:
            forbidden.update(ModuleGraph(areas, [pair]).edges)
        return cls(areas, frozenset(forbidden), max_edges, tuple(hub_sizes), connected)

    @cached_property
    def allowed_edges(self) -> tuple[Edge, ...]:
        """Every pair of areas that is not forbidden, ascending."""
        return tuple(pair for pair in combinations(range(len(self.areas)), 2) if pair not in self.forbidden)

    @cached_property
    def terminals(self) -> tuple[int, ...]:
        """Areas that a valid graph connects.

        All areas where the graph must be connected; else all input and output areas, none when either kind is missing.
        """
        if self.connected:
            return tuple(range(len(self.areas)))
        inputs = {i for i, area in enumerate(self.areas) if area.is_input}
        outputs = {i for i, area in enumerate(self.areas) if area.is_output}
        return tuple(sorted(inputs | outputs)) if inputs and outputs else ()

    @cached_property
    def min_edges(self) -> int:
        """Fewest allowed edges that connect the terminals.

        Exact up to 10 input and output areas. With more, a lower bound: one less than their number, or their number
        when they cannot connect without a further area.
        """
        if not self.connects(self.allowed_edges):
            raise GraphError(f"no valid graph exists: the allowed edges do not connect {self._ends}")
        terminals = set(self.terminals)
        if len(terminals) <= EXACT_TERMINALS:
            tree = steiner_tree(len(self.areas), dict.fromkeys(self.allowed_edges, 1.0), self.terminals)
            assert tree is not None, "areas that the allowed edges connect have a tree"
            return len(tree)
        inside = [(i, j) for i, j in self.allowed_edges if i in terminals and j in terminals]
        return len(terminals) - 1 if self.connects(inside) else len(terminals)

    @property
    def _ends(self) -> str:
        return "all areas" if self.connected else "every input area to every output area"

    @property
    def edge_budget(self) -> int:
        """Most edges that a valid graph can have."""
        allowed = len(self.allowed_edges)
        return allowed if self.max_edges is None else min(self.max_edges, allowed)

    def connects(self, edges: Collection[Edge]) -> bool:
        """Whether all terminals are joined over these edges: every output area can be reached from every input area."""
        if len(self.terminals) < 2:
            return True
        reached = _reached(self.terminals[0], edges, len(self.areas))
        return all(reached >> area & 1 for area in self.terminals)

    def sizes_of(self, area: int) -> tuple[int, ...]:
        """Sizes (units) that the area may take, ascending."""
        return tuple(sorted({self.areas[area].size, *self.hub_sizes}))

    def violation(self, graph: ModuleGraph) -> str | None:
        """Say in one line why the graph is not valid; None when it is."""
        return self._area_violation(graph) or self._edge_violation(graph) or self._path_violation(graph)

    def _area_violation(self, graph: ModuleGraph) -> str | None:
        if graph.n_areas != len(self.areas):
            return f"the graph must have {len(self.areas)} areas, got {graph.n_areas}"
        for index, (area, base) in enumerate(zip(graph.areas, self.areas, strict=True)):
            if area.role != base.role:
                return f"area {index} must have the role {base.role!r}, got {area.role!r}"
            if area.size != base.size and area.size not in self.hub_sizes:
                sizes = ", ".join(map(str, self.sizes_of(index)))
                return f"area {index} must have a size among {sizes}, got {area.size}"
        return None

    def _edge_violation(self, graph: ModuleGraph) -> str | None:
        for edge in graph.edges:
            if edge in self.forbidden:
                return f"edge {edge} joins a forbidden pair of areas"
        if self.max_edges is not None and graph.n_edges > self.max_edges:
            return f"the graph may have at most {self.max_edges} edges, got {graph.n_edges}"
        return None

    def _path_violation(self, graph: ModuleGraph) -> str | None:
        if self.connects(graph.edges):
            return None
        if self.connected:
            reached = _reached(0, graph.edges, graph.n_areas)
            apart = next(area for area in range(graph.n_areas) if not reached >> area & 1)
            return f"area {apart} cannot be reached from area 0: the graph must be connected"
        lost = (
            (start, end)
            for start in graph.input_areas
            for end in graph.output_areas
            if not _reached(start, graph.edges, graph.n_areas) >> end & 1
        )
        start, end = next(lost)
        return f"output area {end} cannot be reached from input area {start}"

    def check(self, graph: ModuleGraph, *, ignore_budget: bool = False) -> None:
        """Do nothing if the graph is valid, or valid but for the edge budget where that is asked for.

        Raises:
            GraphError: If it is not, with the reason of ``violation``.
        """
        rules = replace(self, max_edges=None) if ignore_budget else self
        reason = rules.violation(graph)
        if reason is not None:
            raise GraphError(f"graph {graph.key}: {reason}")


def _reached(start: int, edges: Collection[Edge], n_areas: int) -> int:
    """Bit mask of the areas that can be reached from ``start``, itself included."""
    neighbours = [0] * n_areas
    for i, j in edges:
        neighbours[i] |= 1 << j
        neighbours[j] |= 1 << i
    seen = front = 1 << start
    while front:
        low = front & -front
        new = neighbours[low.bit_length() - 1] & ~seen
        seen |= new
        front = (front ^ low) | new
    return seen


def _plays(area: Area, role: str) -> bool:
    if role == "input":
        return area.is_input
    if role == "output":
        return area.is_output
    return area.role == role
