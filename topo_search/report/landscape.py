"""Pictures of TopoBench-6: the landscape of a table, and regret of replayed strategies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from topo_search.report.drawing import COLOURS, ROLE_COLOURS, blank_figure, write_picture
from topo_search.topobench import Landscape, Replay, Table, edges_of, regret_curves
from topo_search.topobench.classes import ROLES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_landscape", "draw_regret", "landscape_figure", "regret_figure"]

# Inputs on the left, the output on the right, hidden areas between; no three places in a row that an edge would pass.
PLACES = ((0.0, 0.85), (0.0, 0.15), (0.5, 1.0), (0.62, 0.5), (0.5, 0.0), (1.0, 0.5))


def landscape_figure(table: Table, landscape: Landscape) -> Figure:
    """Accuracy against edges, coloured by path length; agreement by epoch; the best graph of each number of edges."""
    figure = blank_figure(10.0, 6.4)
    grid = figure.add_gridspec(2, 1, height_ratios=(2.1, 1.0))
    top = grid[0].subgridspec(1, 2, width_ratios=(1.5, 1.0))
    _draw_accuracy(figure, figure.add_subplot(top[0]), table)
    _draw_agreement(figure.add_subplot(top[1]), landscape)
    best = grid[1].subgridspec(1, len(landscape.by_edges))
    for column, entry in enumerate(landscape.by_edges):
        axes = figure.add_subplot(best[column])
        _draw_small(axes, entry.best_mask)
        axes.set_title(f"{entry.edges} edges\n{entry.best:.3f}", fontsize=8)
    return figure


def _draw_accuracy(figure: Figure, axes: Axes, table: Table) -> None:
    mean = table.scores().mean(axis=1)
    paths = [_mean_path(mask) for mask in table.masks.tolist()]
    # A fixed jitter keeps the points of one number of edges apart and the picture the same.
    jitter = np.random.default_rng(0).uniform(-0.28, 0.28, len(mean))
    points = axes.scatter(table.edges + jitter, mean, c=paths, s=9, cmap="viridis_r", linewidths=0)
    figure.colorbar(points, ax=axes, label="mean edges from input to output", pad=0.01)
    counts = sorted(set(table.edges.tolist()))
    axes.plot(counts, [mean[table.edges == count].mean() for count in counts], color="#333333", lw=1, label="mean")
    axes.set(xlabel="edges", ylabel=f"validation accuracy, mean of {len(table.seeds)} seeds")
    axes.legend(frameon=False, loc="lower right")


def _mean_path(mask: int) -> float:
    """Mean number of edges on a shortest path from an input area to the output area."""
    import networkx as nx

    distances = nx.single_source_shortest_path_length(nx.Graph(edges_of(mask)), ROLES.index("output"))
    inputs = [area for area, role in enumerate(ROLES) if role == "input"]
    return sum(distances[area] for area in inputs) / len(inputs)


def _draw_agreement(axes: Axes, landscape: Landscape) -> None:
    epochs = [entry.epochs for entry in landscape.agreement]
    axes.plot(epochs, [entry.tau for entry in landscape.agreement], color=COLOURS[0])
    for rung in landscape.rungs:
        axes.axvline(rung, color="#999999", lw=0.8, ls=":")
    axes.set(xlabel="epochs of one seed", ylabel="Kendall's tau with the other seeds in full", ylim=(0, 1))


def _draw_small(axes: Axes, mask: int) -> None:
    for i, j in edges_of(mask):
        axes.plot(*zip(PLACES[i], PLACES[j], strict=True), color="#555555", lw=1.2, zorder=1)
    x, y = zip(*PLACES, strict=True)
    axes.scatter(x, y, s=42, c=[ROLE_COLOURS[role] for role in ROLES], edgecolors="#333333", linewidths=0.8, zorder=2)
    axes.set(xlim=(-0.2, 1.2), ylim=(-0.2, 1.2), aspect="equal")
    axes.set_axis_off()


def regret_figure(replays: Mapping[str, Sequence[Replay]], *, threshold: float, cost_label: str) -> Figure:
    """Regret against evaluations, one line a strategy: median over replays, with the quartiles as a band."""
    figure = blank_figure(6.8, 4.4)
    axes = figure.add_subplot()
    longest = max(float(entry.cost[-1]) for entries in replays.values() for entry in entries)
    costs = np.unique(np.geomspace(1, max(2.0, longest), 160).round(2))
    for index, (strategy, entries) in enumerate(replays.items()):
        low, middle, high = regret_curves(entries, costs.tolist())
        colour = COLOURS[index % len(COLOURS)]
        axes.plot(costs, middle, color=colour, ls="--" if index >= len(COLOURS) else "-", label=strategy)
        axes.fill_between(costs, low, high, color=colour, alpha=0.12, linewidth=0)
    axes.axhline(threshold, color="#999999", lw=0.8, ls=":")
    axes.set(xscale="log", xlabel=cost_label, ylabel="regret in validation accuracy", xlim=(1, max(2.0, longest)))
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=8)
    return figure


def draw_landscape(table: Table, landscape: Landscape, path: Path) -> None:
    """Write :func:`landscape_figure`; the format goes by the suffix (``.svg``, ``.png``, ``.pdf``)."""
    write_picture(landscape_figure(table, landscape), path)


def draw_regret(
    replays: Mapping[str, Sequence[Replay]], path: Path, *, threshold: float, cost_label: str = "evaluations"
) -> None:
    """Write :func:`regret_figure`; the format goes by the suffix (``.svg``, ``.png``, ``.pdf``)."""
    write_picture(regret_figure(replays, threshold=threshold, cost_label=cost_label), path)
