"""The networks that are timed, by name. Nothing heavy is imported until one of them is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from topo_search.graph import ModuleGraph

__all__ = ["CASES", "DEFAULT_SPACE", "SCALING_AREAS", "Case", "degree_4"]

SCALING_AREAS = (16, 32, 64, 128, 256)
SEED = 0


@dataclass(frozen=True)
class Case:
    """A network and the shape of its task; every area is input and output.

    Attributes:
        name: what ``--only`` takes.
        title: for people.
        areas: number of areas.
        family: of graphs, see :data:`topo_search.graph.FAMILIES`.
        parameters: of the family.
        batch: sequences, B.
        steps: time steps, T.
        channels: input channels, C.
        size: units of each area.
    """

    name: str
    title: str
    areas: int
    family: str
    parameters: Mapping[str, Any] = field(hash=False)
    batch: int
    steps: int
    channels: int
    size: int = 32

    def graph(self) -> ModuleGraph:
        """The graph; the same one each time."""
        from topo_search.graph import Area, GraphConstraints, make_family
        from topo_search.seeds import generator

        constraints = GraphConstraints(tuple(Area(self.size, is_input=True, is_output=True) for _ in range(self.areas)))
        rng = generator(SEED, "benchmark graph", self.name)
        return make_family(self.family, constraints, rng, **self.parameters)


def degree_4(areas: int, *, batch: int = 128, steps: int = 256) -> Case:
    """Areas of 32 units, each with four random neighbours."""
    title = f"{areas}x32, random regular, degree 4"
    return Case(f"deg4_{areas}", title, areas, "random_regular", {"degree": 4}, batch, steps, 1)


CASES: Mapping[str, Case] = {
    case.name: case
    for case in (
        Case("gw16", "16x32 global workspace", 16, "global_workspace", {"hub": 0}, 128, 784, 1),
        Case("half24", "24x32, half of all pairs", 24, "random_density", {"density": 0.5}, 128, 1024, 3),
        Case("all24", "24x32, all pairs", 24, "all_to_all", {}, 128, 1024, 3),
        Case("gw32", "32x32 global workspace", 32, "global_workspace", {"hub": 0}, 128, 1024, 3),
        degree_4(128),
        degree_4(256),
        Case("small8", "8x32, 10 edges", 8, "random_density", {"edges": 10}, 64, 64, 1),
        Case("small16", "16x32, 20 edges", 16, "random_density", {"edges": 20}, 16, 29, 12),
    )
}

DEFAULT_SPACE = Case(
    "default", "12x16, 16 edges, as in the default space", 12, "random_density", {"edges": 16}, 64, 24, 8, size=16
)
"""Sizes of the default search space; there fewer areas see the input."""
