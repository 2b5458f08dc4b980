"""Pictures of graphs of areas."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from topo_search.graph import Edge, ModuleGraph
from topo_search.report.drawing import ROLE_COLOURS, blank_figure, write_picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_graph", "graph_figure"]


def _columns(graph: ModuleGraph) -> list[list[int]]:
    """Input areas, hidden areas by their distance from the inputs, output areas; areas without an edge are left out."""
    import networkx as nx

    inputs = set(graph.input_areas)
    outputs = set(graph.output_areas) - inputs
    distance = nx.multi_source_dijkstra_path_length(graph.graph, inputs, weight=None) if inputs else {}
    far = 1 + max(distance.values(), default=0)
    by_distance: dict[int, list[int]] = {}
    for area in range(graph.n_areas):
        if area not in inputs | outputs and graph.degree(area):
            by_distance.setdefault(int(distance.get(area, far)), []).append(area)
    hidden = [by_distance[d] for d in sorted(by_distance)]
    return [column for column in (sorted(inputs), *hidden, sorted(outputs)) if column]


def _positions(graph: ModuleGraph) -> dict[int, tuple[float, float]]:
    """Places in the unit square: columns from left to right, each sorted by the mean height of its neighbours."""
    columns = _columns(graph)
    placed: dict[int, tuple[float, float]] = {}

    def height(area: int) -> float:
        known = [placed[other][1] for other in graph.neighbors(area) if other in placed]
        return sum(known) / len(known) if known else 0.5

    for _ in range(4):  # A few sweeps settle the order: later ones know the columns on both sides.
        for index, column in enumerate(columns):
            order = sorted(column, key=lambda area: (-height(area), area)) if index else column
            for place, area in enumerate(order):
                placed[area] = (index / max(1, len(columns) - 1), 1 - (place + 0.5) / len(order))
    alone = [area for area in range(graph.n_areas) if area not in placed]
    for place, area in enumerate(alone):
        placed[area] = ((place + 0.5) / len(alone), -0.15)
    return placed


def _passes_an_area(edge: Edge, positions: dict[int, tuple[float, float]]) -> bool:
    (x0, y0), (x1, y1) = positions[edge[0]], positions[edge[1]]
    between = [(x, y) for x, y in positions.values() if min(x0, x1) < x < max(x0, x1)]
    return any(abs(y0 + (y1 - y0) * (x - x0) / (x1 - x0) - y) < 0.08 for x, y in between)


def graph_figure(graph: ModuleGraph, *, title: str = "") -> Figure:
    """A figure of a graph: areas by role (colour) and size, edges as lines. Needs no display."""
    import networkx as nx
    from matplotlib.lines import Line2D

    figure = blank_figure(6.4, 4.2)
    axes = figure.add_subplot()
    positions = _positions(graph)
    roles = [area.role for area in graph.areas]
    largest = max(graph.sizes)
    # Edges inside a column, and those that pass an area between their ends, are bent: they would run behind it.
    within = [(i, j) for i, j in graph.edges if positions[i][0] == positions[j][0]]
    passing = [edge for edge in graph.edges if edge not in within and _passes_an_area(edge, positions)]
    straight = [edge for edge in graph.edges if edge not in within and edge not in passing]
    for edges, bend in ((straight, 0.0), (within, 0.35), (passing, 0.18)):
        nx.draw_networkx_edges(
            graph.graph,
            positions,
            edgelist=edges,
            ax=axes,
            edge_color="#555555",
            width=1.6,
            arrows=True,
            arrowstyle="-",
            connectionstyle=f"arc3,rad={bend}",
        )
    nx.draw_networkx_nodes(
        graph.graph,
        positions,
        nodelist=range(graph.n_areas),
        ax=axes,
        node_color=[ROLE_COLOURS[role] for role in roles],
        node_size=[520 * (size / largest) ** 0.5 for size in graph.sizes],
        edgecolors="#333333",
        linewidths=1.0,
    )
    nx.draw_networkx_labels(graph.graph, positions, ax=axes, font_size=9)
    shown = [role for role in ROLE_COLOURS if role in roles]
    handles = [
        Line2D([], [], marker="o", linestyle="", color=ROLE_COLOURS[role], markeredgecolor="#333333", label=role)
        for role in shown
    ]
    axes.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, -0.08), ncols=len(shown), frameon=False)
    axes.set_axis_off()
    if title:
        axes.set_title(title, fontsize=11)
    return figure


def draw_graph(graph: ModuleGraph, path: Path, *, title: str = "") -> None:
    """Write a picture of a graph; the format goes by the suffix (``.svg``, ``.png``, ``.pdf``).

    The same graph gives the same file: ids are fixed, dates and versions left out.
    """
    write_picture(graph_figure(graph, title=title), path)
