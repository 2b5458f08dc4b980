"""Results as tables on a terminal: mean, spread and n, never a bare figure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from topo_search.analysis import GroupComparison, Interval, bootstrap_mean, compare_groups, mean_interval
from topo_search.search import Comparison, GraphScores, ProbeResult
from topo_search.search.agreement import RankAgreement
from topo_search.seeds import generator

__all__ = [
    "KINDS",
    "accuracy_interval",
    "agreement_lines",
    "comparison_table",
    "duration",
    "group_comparison",
    "probe_table",
    "result_console",
    "verdict",
]

# Wide enough for every table where the output is a file or a pipe, which have no width of their own.
PLAIN_WIDTH = 120

KINDS = {
    "random": "random, same number of edges",
    "random_parameters": "random, same parameters",
    "rewired": "rewired winner, same degrees",
    "global_workspace": "global workspace",
    "all_edges": "all allowed edges",
}
# The kinds of control that the verdict names.
PAIRED = ("random", "random_parameters", "rewired")
# Fewer values give an interval that says nothing: with two, Student's t is 13 standard errors wide either way.
MIN_VALUES = 3


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


def accuracy_interval(kind: str, scores: Sequence[Sequence[float]]) -> Interval | None:
    """Mean test accuracy of graphs in full training with its 95 % interval; ``None`` where values are too few.

    Of one graph the interval is for further seeds (Student's t), of several for further graphs and seeds (bootstrap of
    both).

    Args:
        kind: of the graphs; it names the draws of the bootstrap.
        scores: of each graph, one a seed, as many for each.
    """
    if len(scores) >= MIN_VALUES:
        return bootstrap_mean(scores, generator("interval", kind))
    if len(scores) == 1 and len(scores[0]) >= MIN_VALUES:
        return mean_interval(scores[0])
    return None


def _interval(entries: Sequence[GraphScores]) -> str:
    """The interval for a table; empty where a training diverged."""
    if any(len(entry.test) < len(entry.seeds) for entry in entries):
        return ""
    interval = accuracy_interval(entries[0].kind, [entry.test for entry in entries])
    return "" if interval is None else f"{interval.low:.3f} - {interval.high:.3f}"


def comparison_table(comparison: Comparison) -> Table:
    """Winners and controls in full training.

    The spread of a single graph is over seeds; that of several graphs is over the graphs' means.
    """
    table = Table(
        title="Full training on fresh seeds, mean ± sd; the test part was read once for each", title_justify="left"
    )
    table.add_column("graph", no_wrap=True)
    for column in ("edges", "parameters", "validation", "test", "95 % interval"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("graphs x seeds", no_wrap=True)
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
    if len(entries) == 1:
        validation, test = entries[0].validation, entries[0].test
    else:
        validation = tuple(statistics.fmean(entry.validation) for entry in entries if entry.validation)
        test = tuple(entry.test_mean for entry in entries if entry.test)
    parameters = sorted({e.parameters for entry in entries for e in entry.evaluations if not e.failed})
    edges = sorted({entry.graph.n_edges for entry in entries})
    table.add_row(
        label,
        "-".join(map(str, dict.fromkeys((edges[0], edges[-1])))),
        "-".join(map(str, dict.fromkeys((parameters[0], parameters[-1])))) if parameters else "",
        _spread(validation),
        _spread(test),
        _interval(entries),
        f"{len(entries)} x {len(entries[0].seeds)}",
    )


def group_comparison(comparison: Comparison, kind: str) -> GroupComparison | None:
    """The best winner against the controls of a kind, in test accuracy; ``None`` where a training diverged."""
    scores = comparison.by_seed(kind)
    return None if scores is None else compare_groups(*scores, generator("group comparison", kind))


def verdict(comparison: Comparison) -> str:
    """The best winner against random graphs and against rewires of it, paired by seed; a line for each."""
    found = {kind: group_comparison(comparison, kind) for kind in PAIRED}
    compared = {kind: entry for kind, entry in found.items() if entry is not None}
    if not compared:
        return "no paired comparison with controls: a training diverged or there are none"
    seeds = next(iter(compared.values())).by_seed.n
    head = (
        f"winner 1 less the controls' mean, test accuracy paired by seed, n = {seeds} seed{'s' * (seeds > 1)} "
        "(95 % interval; p: t, sign flips):"
    )
    return "\n".join([head, *(f"  {KINDS[kind]:<28}  {_difference(entry)}" for kind, entry in compared.items())])


def _difference(entry: GroupComparison) -> str:
    paired, count = entry.by_seed, entry.graphs[1]
    # Three seeds cannot give a small p by flipping signs: both tests are shown, so that neither misleads.
    tests = f" ({paired.low:+.3f} to {paired.high:+.3f}), p {_p(paired.p_t)} and {_p(paired.p_sign_flip)}"
    return f"{paired.mean:+.3f}{tests if paired.n > 1 else ''}, above {round(entry.beaten * count)} of {count} graphs"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def agreement_lines(agreement: Sequence[RankAgreement]) -> list[str]:
    """How well each rung ranked the candidates of a search, a line for each."""
    return [
        f"rung of {entry.epochs} epochs ranks as {entry.against} epochs do: "
        + ("tau undefined, equal scores" if math.isnan(entry.tau) else f"tau {entry.tau:.2f}")
        + ("" if math.isnan(entry.tau) else f" ({entry.low:.2f} to {entry.high:.2f})")
        + f", n = {entry.n}"
        for entry in agreement
    ]


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
