"""Pictures of graphs of areas."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from topo_search.files import write_atomically
from topo_search.graph import ModuleGraph

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_graph", "graph_figure"]

# Okabe and Ito's palette, told apart by colour-blind readers.
ROLE_COLOURS = {"input": "#56B4E9", "hidden": "#D9D9D9", "output": "#E69F00", "input+output": "#009E73"}


def _positions(graph: ModuleGraph) -> dict[int, tuple[float, float]]:
    """Input areas left, output areas right, hidden areas between them by distance from the inputs."""
    import networkx as nx

    inputs, outputs = set(graph.input_areas), set(graph.output_areas)
    start = {area: (0.0 if area in inputs else 1.0 if area in outputs else 0.5, 0.0) for area in graph.graph}
    columns = [sorted(inputs), sorted(set(graph.graph) - inputs - outputs), sorted(outputs - inputs)]
    for column in columns:
        for place, area in enumerate(column):
            start[area] = (start[area][0], (place + 0.5) / len(column))
    if len(columns[1]) < 2:
        return start
    fixed = [*columns[0], *columns[2]]
    moved = nx.spring_layout(graph.graph, pos=start, fixed=fixed or None, seed=0, k=0.35, iterations=80)
    return {int(area): (float(x), float(y)) for area, (x, y) in moved.items()}


def graph_figure(graph: ModuleGraph, *, title: str = "") -> Figure:
    """A figure of a graph: areas by role (colour) and size, edges as lines. Needs no display."""
    import networkx as nx
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    positions = _positions(graph)
    roles = [area.role for area in graph.areas]
    largest = max(graph.sizes)
    nx.draw_networkx_edges(graph.graph, positions, ax=axes, edge_color="#555555", width=1.6)
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

    The same graph gives the same file: ids and dates are fixed.
    """
    import matplotlib as mpl

    kind = path.suffix.lstrip(".") or "svg"
    buffer = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else None
    with mpl.rc_context({"svg.hashsalt": "topo_search"}):
        graph_figure(graph, title=title).savefig(buffer, format=kind, metadata=metadata, dpi=160)
    write_atomically(path, buffer.getvalue())
