"""The two search spaces of TopoBench-6, and where their tables lie."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml

from topo_search.errors import InputError
from topo_search.files import read_bytes
from topo_search.graph import ModuleGraph
from topo_search.search.space import SearchSpace
from topo_search.topobench.classes import ALLOWED_EDGES, ROLES, edges_of

__all__ = ["SEEDS", "check_space", "representative", "table_path", "topobench_space", "topobench_tasks"]

SEEDS = (0, 1, 2)
"""Seeds that every graph is trained with; the same for all graphs, so that scores are paired."""


def _folders() -> list[Path]:
    package = Path(__file__).resolve().parent
    # In a wheel the files lie inside the package; in a clone or an editable install, under benchmarks.
    places = (package.parent / "tables" / "topobench", package.parent.parent / "benchmarks" / "topobench")
    return [folder for folder in places if folder.is_dir()]


@cache
def _files() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder in _folders():
        for path in sorted(folder.glob("*.yaml")):
            found.setdefault(path.stem, path)
    return found


def topobench_tasks() -> tuple[str, ...]:
    """Names of the tasks, in alphabetical order."""
    return tuple(sorted(_files()))


def _file(task: str) -> Path:
    if task not in _files():
        raise InputError(f"unknown task {task!r}: expected one of {', '.join(topobench_tasks()) or 'none'}")
    return _files()[task]


def topobench_space(task: str) -> SearchSpace:
    """The search space of a task.

    Raises:
        InputError: if there is no such task.
    """
    path = _file(task)
    space = SearchSpace.model_validate(yaml.safe_load(read_bytes(path, "search space")))
    check_space(space)
    return space


def table_path(task: str) -> Path:
    """Where the table of a task lies, whether it has been made or not.

    Raises:
        InputError: if there is no such task.
    """
    return _file(task).with_suffix(".npz")


def check_space(space: SearchSpace) -> None:
    """Do nothing if the graphs of a space are those of TopoBench-6.

    Raises:
        InputError: if roles or allowed edges are others, graphs need not be connected, sizes vary, or hidden areas are
            not alike.
    """
    rules = space.constraints
    roles = tuple(area.role for area in rules.areas)
    hidden = {area.size for area in rules.areas if area.role == "hidden"}
    if roles != ROLES or rules.allowed_edges != ALLOWED_EDGES or not rules.connected:
        raise InputError(
            f"space {space.name}: expected areas {', '.join(ROLES)}, no edge from input to output and connected graphs"
        )
    if rules.hub_sizes or len(hidden) > 1 or space.network.areas:
        raise InputError(f"space {space.name}: expected areas of one size, and hidden areas that are alike")


def representative(space: SearchSpace, mask: int) -> ModuleGraph:
    """The graph of a mask in a space."""
    return ModuleGraph(space.constraints.areas, edges_of(mask))
