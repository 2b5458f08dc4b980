"""The figures of a page. No text of a run's own stands in them, so none of it has to be escaped there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from topo_search.graph import ModuleGraph
from topo_search.report.drawing import COLOURS, ROLE_COLOURS, blank_figure
from topo_search.report.page.findings import EdgeUse, TrainedGroup
from topo_search.report.page.record import RunRecord
from topo_search.search import Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["curves_figure", "edge_use_figure", "edges_figure", "progress_figure", "trained_figure"]

GREY = "#9A9A9A"
# More marks than this are drawn as one bitmap: as SVG they would make a page of megabytes.
MAX_MARKS = 1500
# More curves than this are a grey area.
MAX_CURVES = 200


def progress_figure(record: RunRecord) -> Figure:
    """Score of each candidate by number of the proposal, coloured by its highest rung, and the best at the top rung."""
    figure = blank_figure(8.6, 3.6)
    axes = figure.add_subplot()
    candidates = sorted(record.candidates, key=lambda trial: trial.number)
    _by_rung(axes, record, candidates, [float(trial.number) for trial in candidates])
    top = [trial for trial in candidates if trial.rung == len(record.space.ladder.rungs) - 1]
    if top:
        best = np.maximum.accumulate([_score(trial) for trial in top])
        numbers = [trial.number for trial in top]
        axes.step([*numbers, record.trials[-1].number], [*best, best[-1]], where="post", color="#333333", lw=1.2)
    failed = [trial.number for trial in record.trials if trial.failed]
    if failed:
        axes.plot(failed, np.zeros(len(failed)), "|", color="#333333", transform=axes.get_xaxis_transform(), ms=9)
    axes.set(xlabel="proposal", ylabel="validation accuracy")
    return figure


def edges_figure(record: RunRecord) -> Figure:
    """Score against number of edges, and the best at the top rung with at most so many edges."""
    from matplotlib.ticker import MaxNLocator

    figure = blank_figure(8.6, 3.6)
    axes = figure.add_subplot()
    candidates = sorted(record.candidates, key=lambda trial: trial.number)
    # A fixed jitter keeps the points of one number of edges apart and the picture the same.
    jitter = np.random.default_rng(0).uniform(-0.25, 0.25, len(candidates))
    edges = [trial.graph.n_edges for trial in candidates]
    _by_rung(axes, record, candidates, (np.array(edges) + jitter).tolist())
    top = sorted(
        (t for t in candidates if t.rung == len(record.space.ladder.rungs) - 1), key=lambda trial: trial.graph.n_edges
    )
    if len({trial.graph.n_edges for trial in top}) > 1:
        best = np.maximum.accumulate([_score(trial) for trial in top])
        axes.step([trial.graph.n_edges for trial in top], best, where="post", color="#333333", lw=1.2)
    axes.set(xlabel="edges", ylabel="validation accuracy")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def _score(trial: Trial) -> float:
    return trial.results[trial.rung].score


def _by_rung(axes: Axes, record: RunRecord, trials: Sequence[Trial], places: Sequence[float]) -> None:
    for rung, epochs in enumerate(record.space.ladder.rungs):
        chosen = [(x, _score(trial)) for x, trial in zip(places, trials, strict=True) if trial.rung == rung]
        if chosen:
            x, y = zip(*chosen, strict=True)
            axes.scatter(
                x,
                y,
                s=12,
                color=COLOURS[rung % len(COLOURS)],
                linewidths=0,
                label=f"{epochs} epochs",
                rasterized=len(chosen) > MAX_MARKS,
            )
    if trials:
        _legend_above(axes, len(record.space.ladder.rungs))


def _legend_above(axes: Axes, columns: int) -> None:
    """Outside the axes, where it hides no mark."""
    axes.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, borderpad=0.2)


def curves_figure(record: RunRecord) -> Figure:
    """Validation accuracy after each epoch, of the candidates at the top rung; winners in colour."""
    figure = blank_figure(8.6, 3.6)
    axes = figure.add_subplot()
    ranks = {winner.metrics.trial: winner.rank for winner in record.winners}
    top = [trial for trial in record.candidates if trial.rung == len(record.space.ladder.rungs) - 1]
    for trial in top[:MAX_CURVES]:
        if trial.number not in ranks:
            _curve(axes, trial, color=GREY, lw=0.6, alpha=0.5, label=None)
    for trial in sorted(top, key=lambda trial: ranks.get(trial.number, 0), reverse=True):
        if trial.number in ranks:
            rank = ranks[trial.number]
            _curve(axes, trial, color=COLOURS[(rank - 1) % len(COLOURS)], lw=1.6, alpha=1.0, label=f"winner {rank}")
    for epochs in record.space.ladder.rungs:
        axes.axvline(epochs, color=GREY, lw=0.8, ls=":")
    axes.set(xlabel="epoch", ylabel="validation accuracy")
    if ranks:
        handles, labels = axes.get_legend_handles_labels()
        axes.legend(handles[::-1], labels[::-1], frameon=False, fontsize=8, loc="lower right")
    return figure


def _curve(axes: Axes, trial: Trial, *, color: str, lw: float, alpha: float, label: str | None) -> None:
    curve = trial.results[trial.rung].curve
    axes.plot(range(1, len(curve) + 1), curve, color=color, lw=lw, alpha=alpha, label=label)


def edge_use_figure(use: EdgeUse, graph: ModuleGraph) -> Figure:
    """Share of the best candidates that have each edge, and how much larger it is than among all candidates.

    Args:
        use: of the edges.
        graph: any of the candidates: it tells the roles of the areas.
    """
    figure = blank_figure(8.6, 4.1)
    change = use.best - use.every
    limit = max(0.01, float(np.nanmax(np.abs(change))))
    panels = (
        (use.best, "viridis", 0.0, 1.0, f"share of the best {use.n_best}"),
        (change, "PuOr_r", -limit, limit, f"less the share of all {use.n_every}"),
    )
    for column, (values, colours, low, high, title) in enumerate(panels):
        axes = figure.add_subplot(1, 2, column + 1)
        image = axes.imshow(values, cmap=colours, vmin=low, vmax=high, interpolation="nearest")
        figure.colorbar(image, ax=axes, shrink=0.8)
        axes.set_title(title, fontsize=10)
        _name_areas(axes, graph)
    return figure


def _name_areas(axes: Axes, graph: ModuleGraph) -> None:
    """Numbers of areas at both axes, on the colour of their role."""
    step = max(1, math.ceil(graph.n_areas / 24))
    places = range(0, graph.n_areas, step)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(places, [str(place) for place in places], fontsize=7)
        for place, label in zip(places, axis.get_ticklabels(), strict=True):
            colour = ROLE_COLOURS[graph.areas[place].role]
            label.set_bbox({"facecolor": colour, "edgecolor": "none", "pad": 1.5, "alpha": 0.8})
    axes.tick_params(length=0)
    axes.set(xlabel="area", ylabel="area")


def trained_figure(groups: Sequence[TrainedGroup]) -> Figure:
    """Test accuracy in full training: a small dot a graph and seed, a large one the mean with its 95 % interval."""
    figure = blank_figure(8.6, 0.9 + 0.42 * len(groups))
    axes = figure.add_subplot()
    for place, group in enumerate(groups):
        colour = COLOURS[1] if group.kind == "winner" else COLOURS[0]
        for row, scores in enumerate(group.test):
            # Graphs of one kind side by side, from above to below; a single one beside its interval.
            offset = -0.2 if len(group.test) == 1 else 0.3 * (2 * row / (len(group.test) - 1) - 1)
            axes.scatter(scores, [place + offset] * len(scores), s=14, color=colour, alpha=0.45, linewidths=0)
        if not math.isnan(group.test_mean):
            axes.plot(group.test_mean, place, "o", color=colour, ms=6)
        if group.interval is not None:
            axes.plot([group.interval.low, group.interval.high], [place, place], color=colour, lw=1.6)
    axes.set_yticks(range(len(groups)), [group.label for group in groups], fontsize=8)
    axes.set(xlabel="test accuracy", ylim=(len(groups) - 0.5, -0.5))
    axes.grid(axis="x", color="#E4E4E4", lw=0.8)
    axes.set_axisbelow(True)
    return figure
