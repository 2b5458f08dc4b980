"""The figure of ``benchmarks/euler_limit.py``: accuracy, coupling norm and certified factor by number of areas."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from topo_search.errors import InputError
from topo_search.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]

Row = dict[str, Any]

# Okabe and Ito's palette, told apart by colour-blind readers.
COLOURS = {
    "as_released": "#000000",
    "as_released_0.3": "#999999",
    "euler": "#D55E00",
    "euler_capped": "#E69F00",
    "cayley": "#0072B2",
    "cayley_0.99": "#CC79A7",
    "cayley_slow": "#6A3D9A",
    "euler_slow": "#8B4513",
    "imex": "#56B4E9",
    "resolvent": "#009E73",
}
CHANCE = 0.1


def draw(rows: list[Row], path: Path, *, limit: float) -> None:
    """Draw the rows of a report.

    Args:
        rows: see :func:`bench.limit_report.report`.
        path: PNG or SVG by its name.
        limit: coupling norm from which forward Euler contracts in no metric.

    Raises:
        InputError: if the name is of neither.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    kind = path.suffix.removeprefix(".")
    if kind not in {"png", "svg"}:
        raise InputError(f"figure {path}: expected a name that ends in .png or .svg")
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    accuracy, norms, factors = figure.subplots(1, 3)
    _accuracies(accuracy, rows)
    _norms(norms, rows, limit)
    _factors(factors, rows)
    # One legend for all: an arm has its colour in every panel.
    for axes in (accuracy, norms):
        axes.set_xticks(sorted({row["areas"] for row in rows}))
    figure.legend(*accuracy.get_legend_handles_labels(), loc="outside lower center", ncols=7, frameon=False, fontsize=9)
    content = io.BytesIO()
    figure.savefig(content, format=kind, dpi=160)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content.getvalue())


def _by_arm(rows: Iterable[Row]) -> dict[str, list[Row]]:
    arms: dict[str, list[Row]] = {arm: [] for arm in COLOURS}
    for row in rows:
        arms[row["arm"]].append(row)
    return {arm: found for arm, found in arms.items() if found}


def _mean_by_size(rows: list[Row], value: Callable[[Row], float | None]) -> tuple[list[int], list[float]]:
    """Sizes and means over seeds, where there is a value."""
    found: dict[int, list[float]] = {}
    for row in rows:
        measured = value(row)
        if measured is not None:
            found.setdefault(row["areas"], []).append(measured)
    sizes = sorted(found)
    return sizes, [fmean(found[size]) for size in sizes]


def _accuracies(axes: Axes, rows: list[Row]) -> None:
    for arm, found in _by_arm(rows).items():
        sizes, means = _mean_by_size(found, lambda row: row["accuracy"])
        axes.plot(sizes, means, "o-", color=COLOURS[arm], label=arm)
        diverged = [row["areas"] for row in found if row["status"] != "trained"]
        # A run that diverged classifies nothing.
        axes.plot(diverged, [0] * len(diverged), "x", color=COLOURS[arm])
    axes.axhline(CHANCE, color="0.7", linewidth=0.8, linestyle=":")
    axes.set(xlabel="areas", ylabel="validation accuracy", title="accuracy (x: diverged)", ylim=(-0.03, 1))


def _norms(axes: Axes, rows: list[Row], limit: float) -> None:
    for arm, found in _by_arm(rows).items():
        for key, style in (("norm_start", ":"), ("norm_end", "o-")):
            sizes, means = _mean_by_size(found, lambda row, key=key: row[key])  # type: ignore[misc]
            axes.plot(sizes, means, style, color=COLOURS[arm])
    axes.axhline(limit, color="0.3", linewidth=0.8, linestyle="--")
    label = f"Euler's limit {limit:.2f}"
    axes.annotate(label, (0.98, limit), xycoords=("axes fraction", "data"), ha="right", va="top", fontsize=9)
    axes.set(xlabel="areas", ylabel="norm of K", title="coupling norm (dotted: start)")


def _factors(axes: Axes, rows: list[Row]) -> None:
    largest = max(row["areas"] for row in rows)
    for arm, found in _by_arm(row for row in rows if row["areas"] == largest).items():
        for row in found:
            kept = [c for c in row["certificates"] if c["rho"] is not None]
            axes.plot([c["step"] for c in kept], [c["rho"] for c in kept], ".-", color=COLOURS[arm])
    axes.axhline(1, color="0.3", linewidth=0.8, linestyle="--")
    axes.set(xlabel="training step", ylabel="bound of the factor a step", title=f"certificate, {largest} areas")
    # The identity is not a metric of areas as released: their bound would hide all others.
    low, high = axes.get_ylim()
    axes.set_ylim(low, min(high, 1.1))
