"""Graphs that a search starts from: from files and folders into the space."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from topo_search.errors import InputError
from topo_search.graph import GraphConstraints, ModuleGraph
from topo_search.graph.adjacency_file import graph_of_matrix, read_adjacency
from topo_search.search import SearchSpace

__all__ = ["Start", "read_graph", "winner_graphs", "with_starts"]

Start = str | Path | ModuleGraph
"""A graph, or where one is: see :func:`with_starts`."""

_SUFFIXES = (".json", ".graphml", ".csv")


def with_starts(space: SearchSpace, start: Start | Sequence[Start]) -> SearchSpace:
    """A space whose ``search.start`` begins with the given graphs; those that it names already follow.

    Each of ``start`` is a graph, a ``.json`` or ``.graphml`` file of one, a ``.csv`` file of a symmetric matrix
    without header (0/1, or weights of which the strongest are kept, see
    :func:`topo_search.graph.adjacency_file.strongest_edges`), the folder of a saved network or that of a run, which
    stands for its winners. A graph given twice counts once.

    Raises:
        InputError: if there is no such file or folder, or a graph does not fit the space: other areas, too many edges,
            a forbidden edge, or an output area that cannot be reached.
    """
    entries = [start] if isinstance(start, str | Path | ModuleGraph) else list(start)
    graphs = [graph for entry in entries for graph in _graphs(entry, space)]
    if not graphs:
        return space
    edges = tuple(dict.fromkeys([*(graph.edges for graph in graphs), *space.search.start]))
    return space.model_copy(update={"search": space.search.model_copy(update={"start": edges})})


def _graphs(entry: Start, space: SearchSpace) -> list[ModuleGraph]:
    if isinstance(entry, ModuleGraph):
        return [_fitting(entry, "graph", space)]
    return [_fitting(read_graph(path, space.constraints), str(path), space) for path in _files(Path(entry))]


def _files(path: Path) -> list[Path]:
    """The graph files that a path stands for."""
    expected = "a .json, .graphml or .csv file, or the folder of a winner or a run"
    if path.is_dir():
        if (path / "graph.json").is_file():
            return [path / "graph.json"]
        winners = winner_graphs(path)
        if not winners:
            raise InputError(f"start {path} holds neither graph.json nor winners: expected {expected}")
        return winners
    if not path.is_file():
        raise InputError(f"no start {str(path)!r}: expected {expected}")
    if path.suffix.lower() not in _SUFFIXES:
        raise InputError(f"start {path} ends in {path.suffix!r}: expected {expected}")
    return [path]


def winner_graphs(folder: Path) -> list[Path]:
    """The graph files of a run's winners, best first; none where the folder is no run."""
    files = [file for file in folder.glob("winners/*/graph.json") if file.parent.name.isdigit()]
    return sorted(files, key=lambda file: int(file.parent.name))


def read_graph(path: Path, constraints: GraphConstraints) -> ModuleGraph:
    """A graph from a ``.json``, ``.graphml`` or ``.csv`` file; of a matrix of weights the strongest edges that fit.

    Raises:
        InputError: if the file cannot be read, or is a matrix of another size.
    """
    if path.suffix.lower() != ".csv":
        return ModuleGraph.load(path)
    matrix = read_adjacency(path)
    try:
        return graph_of_matrix(matrix, constraints)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _fitting(graph: ModuleGraph, where: str, space: SearchSpace) -> ModuleGraph:
    areas = space.constraints.areas
    reason = None
    if graph.n_areas == len(areas):
        # A start is kept as a list of edges, so a hub that has grown cannot be.
        for index, (area, expected) in enumerate(zip(graph.areas, areas, strict=True)):
            if area != expected:
                reason = (
                    f"area {index} must be {expected.role} of {expected.size} units as in the space, "
                    f"got {area.role} of {area.size}"
                )
                break
    reason = reason or space.constraints.violation(graph)
    if reason is None:
        return graph
    if graph.n_edges > space.constraints.edge_budget:
        reason += " (edges.max_edges; a .csv matrix of weights is cut to it)"
    raise InputError(f"start {where} does not fit space {space.name}: {reason}")
