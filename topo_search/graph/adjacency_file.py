"""Graphs from a matrix in a CSV file: 0/1, or weights such as those of a connectome."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from topo_search.graph.area import Edge, GraphError
from topo_search.graph.constraints import GraphConstraints
from topo_search.graph.module_graph import MAX_AREAS, ModuleGraph
from topo_search.graph.repair import repair
from topo_search.graph.serialization import read_text
from topo_search.seeds import generator

__all__ = ["graph_of_matrix", "read_adjacency", "strongest_edges"]


def read_adjacency(path: str | Path) -> NDArray[np.float64]:
    """Read a symmetric matrix of numbers.

    The file is comma-separated text with one row an area and neither a header nor names; empty lines are passed over.

    Returns:
        ``(p, p)``, finite, not negative, symmetric, with a zero diagonal.

    Raises:
        GraphError: If the file cannot be read, or the matrix is not as said; areas are counted from 0.
    """
    rows: list[list[float]] = []
    for number, line in enumerate(read_text(Path(path)).splitlines(), start=1):
        if line.strip():
            rows.append([_number(cell, f"{path}, line {number}") for cell in line.split(",")])
            if len(rows[-1]) != len(rows[0]):
                raise GraphError(f"{path}, line {number}: expected {len(rows[0])} numbers, got {len(rows[-1])}")
    if not rows or len(rows) != len(rows[0]) or len(rows) > MAX_AREAS:
        shape = f"{len(rows)} rows of {len(rows[0])}" if rows else "no row"
        raise GraphError(f"{path}: expected a square matrix of 1 to {MAX_AREAS} rows, got {shape}")
    matrix = np.array(rows)
    for i, j in np.argwhere(matrix != matrix.T).tolist():
        raise GraphError(
            f"{path}: entries ({i}, {j}) and ({j}, {i}) are {matrix[i, j]:g} and {matrix[j, i]:g}, expected a "
            "symmetric matrix: edges have no direction, so save (M + M.T) / 2, or what else is meant by a weight"
        )
    for i in np.flatnonzero(np.diagonal(matrix)).tolist():
        raise GraphError(f"{path}: entry ({i}, {i}) is {matrix[i, i]:g}, expected a zero diagonal: set it to 0")
    return matrix


def graph_of_matrix(matrix: NDArray[np.float64], constraints: GraphConstraints) -> ModuleGraph:
    """The graph that a matrix stands for between the areas of the constraints.

    A matrix of zeros and ones is the graph itself and is not checked further. Any other is one of weights, of which
    :func:`strongest_edges` are kept.

    Args:
        matrix: ``(p, p)``, as :func:`read_adjacency` returns it.
        constraints: For p areas.

    Raises:
        GraphError: If there is not one row an area, or no valid graph is found.
    """
    if len(matrix) != len(constraints.areas):
        raise GraphError(f"the matrix must have {len(constraints.areas)} rows, one an area, got {len(matrix)}")
    if np.isin(matrix, (0.0, 1.0)).all():
        return ModuleGraph.from_adjacency(matrix, constraints.areas)
    return ModuleGraph(constraints.areas, strongest_edges(matrix, constraints))


def strongest_edges(weights: NDArray[np.float64], constraints: GraphConstraints) -> tuple[Edge, ...]:
    """The edges of largest weight that make a valid graph.

    Edges rank by weight, equal ones by their areas. As many of the first are kept as leave room in the edge budget for
    what is missing to a connection; that takes few edges, with a weight where possible. The budget is then filled up in
    order of rank; edges without a weight fill nothing.

    Args:
        weights: ``(p, p)``, symmetric and not negative.
        constraints: For p areas; forbidden edges are passed over.

    Returns:
        The edges, ascending; the same for the same arguments.

    Raises:
        GraphError: If no connection within the budget is found.
    """
    weighted = [(i, j) for i, j in constraints.allowed_edges if weights[i, j] > 0]
    ranked = sorted(weighted, key=lambda edge: (-weights[edge], edge))
    budget = constraints.edge_budget
    chosen: set[Edge] = set()
    for count in range(min(budget, len(ranked)), -1, -1):
        first = set(ranked[:count])
        chosen = set(repair(first, constraints, generator(0, "strongest edges"), keep=first, prefer=ranked))
        if first <= chosen:
            break
    chosen.update([edge for edge in ranked if edge not in chosen][: budget - len(chosen)])
    return tuple(sorted(chosen))


def _number(cell: str, where: str) -> float:
    text = cell.strip()
    try:
        # Python also reads 1_000.
        value = float(text.replace("_", "?"))
    except ValueError:
        raise GraphError(f"{where}: expected numbers separated by commas, got {text[:40]!r}") from None
    if not np.isfinite(value) or value < 0:
        raise GraphError(f"{where}: expected finite numbers that are not negative, got {text[:40]}")
    return value
