"""Results as tables on a terminal: mean, spread and n, never a bare figure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from topo_search.search import Comparison, GraphScores, ProbeResult

__all__ = ["comparison_table", "duration", "probe_table", "result_console", "verdict"]

# Wide enough for every table where the output is a file or a pipe, which have no width of their own.
PLAIN_WIDTH = 120

KINDS = {
    "random": "random, same number of edges",
    "rewired": "rewired winner, same degrees",
    "global_workspace": "global workspace",
    "all_edges": "all allowed edges",
}


def duration(seconds: float) -> str:
    """A time for people: ``42 s``, ``3 min 05 s``, ``2 h 10 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def result_console() -> Console:
    """A console on standard output."""
    console = Console()
    return console if console.is_terminal else Console(width=PLAIN_WIDTH)


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "diverged"
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{statistics.fmean(values):.3f} ± {statistics.stdev(values):.3f}"


def comparison_table(comparison: Comparison) -> Table:
    """Winners and controls in full training.

    The spread of a single graph is over seeds; that of several graphs is over the graphs' means.
    """
    table = Table(title="Full training on fresh seeds; the test part was read once for each", title_justify="left")
    table.add_column("graph", no_wrap=True)
    for column in ("edges", "parameters", "validation", "test, mean ± sd"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("n", no_wrap=True)
    for entry in comparison.of_kind("winner"):
        _add(table, f"winner {entry.rank}", [entry])
    for kind, label in KINDS.items():
        entries = comparison.of_kind(kind)
        if entries:
            _add(table, label, entries)
        if len(entries) > 1:
            best = max(entries, key=lambda entry: (not math.isnan(entry.test_mean), entry.test_mean))
            _add(table, f"  the best of them, {best.graph.key[:8]}", [best])
    return table


def _add(table: Table, label: str, entries: Sequence[GraphScores]) -> None:
    seeds = len(entries[0].seeds)
    if len(entries) == 1:
        validation, test, count = entries[0].validation, entries[0].test, f"{seeds} seeds"
    else:
        validation = tuple(statistics.fmean(entry.validation) for entry in entries if entry.validation)
        test = tuple(entry.test_mean for entry in entries if entry.test)
        count = f"{len(entries)} graphs x {seeds} seeds"
    parameters = sorted({e.parameters for entry in entries for e in entry.evaluations if not e.failed})
    edges = sorted({entry.graph.n_edges for entry in entries})
    table.add_row(
        label,
        "-".join(map(str, dict.fromkeys((edges[0], edges[-1])))),
        "-".join(map(str, dict.fromkeys((parameters[0], parameters[-1])))) if parameters else "",
        _spread(validation),
        _spread(test),
        count,
    )


def verdict(comparison: Comparison) -> str:
    """The best winner against the random controls, in one line, paired by seed."""
    gain = comparison.paired_gain("random")
    if gain is None:
        return "no paired comparison with random graphs: a training diverged or there are none"
    mean, deviation, seeds = gain
    spread = "" if math.isnan(deviation) else f" ± {deviation:.3f} sd"
    return (
        f"best winner less the mean random graph, test accuracy paired by seed: {mean:+.3f}{spread} (n = {seeds} seeds)"
    )


def probe_table(result: ProbeResult) -> Table:
    """What a probe found."""
    table = Table(title=f"{result.graphs} random graphs, {result.seeds} paired seeds each", title_justify="left")
    table.add_column("quantity")
    table.add_column("value", justify="right")
    table.add_column("95 % interval over graphs", justify="right")
    table.add_row("validation accuracy after full training", f"{result.mean:.3f}", "")
    table.add_row("worst and best graph", f"{result.worst:.3f} - {result.best:.3f}", "")
    table.add_row(
        "signal (sd between graphs)", f"{result.signal:.4f}", f"{result.signal_low:.4f} - {result.signal_high:.4f}"
    )
    table.add_row("noise (sd within a graph)", f"{result.noise:.4f}", "")
    table.add_row("signal / noise", f"{result.ratio:.2f}", "")
    for rung in result.rungs:
        table.add_row(
            f"tau of {rung.epochs} epochs with full training", f"{rung.tau:.2f}", f"{rung.low:.2f} - {rung.high:.2f}"
        )
    for rung in result.rungs:
        table.add_row(f"  the same, against the other seeds, {rung.epochs} epochs", f"{rung.tau_other_seeds:.2f}", "")
    table.add_row("seconds an epoch, one core", f"{result.seconds_per_epoch:.3f}", "")
    table.add_row(f"a search of {result.budget}, {result.workers} workers", duration(result.search_seconds), "")
    return table
