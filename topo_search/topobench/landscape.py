"""What separates the best graphs from the others, from a table."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from topo_search.errors import InputError
from topo_search.graph import describe
from topo_search.search import signal_and_noise
from topo_search.seeds import generator
from topo_search.topobench.descriptors import DESCRIPTORS, describe_roles
from topo_search.topobench.space import representative
from topo_search.topobench.table import Table

__all__ = [
    "REGRESSORS",
    "Agreement",
    "EdgeCount",
    "Estimate",
    "Landscape",
    "study_landscape",
]

BOOTSTRAP = 200

REGRESSORS = (
    "edges",
    "input_output_path",
    "disjoint_paths",
    "output_degree",
    "inputs_joined",
    "dead_ends",
    "hub_share",
)
"""Descriptors of the rank regression: few, and none a function of the others."""


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval, by bootstrap over graphs."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Agreement:
    """How well accuracy after so many epochs ranks graphs.

    Attributes:
        epochs: of the shorter training.
        tau: Kendall's tau-b between a seed's accuracy then and the other seeds' mean after full training, averaged over
            seeds. At the last epoch this is how well one seed ranks graphs at all.
    """

    epochs: int
    tau: float


@dataclass(frozen=True)
class EdgeCount:
    """Graphs of one number of edges.

    Attributes:
        edges: how many.
        classes: graphs that have so many.
        mean: mean accuracy.
        best: mean accuracy over seeds of the best of them.
        best_mask: its canonical mask.
        signal: standard deviation between graphs beyond noise; NaN for fewer than three graphs.
        noise: standard deviation within a graph after the paired seeds' common part; NaN likewise.
    """

    edges: int
    classes: int
    mean: float
    best: float
    best_mask: int
    signal: float
    noise: float


@dataclass(frozen=True)
class Landscape:
    """What a table says of the space.

    Attributes:
        classes: graphs.
        mean: mean accuracy after full training.
        worst: mean accuracy over seeds of the worst graph.
        best: mean accuracy over seeds of the best graph.
        signal: standard deviation between graphs beyond noise.
        noise: standard deviation within a graph.
        reliability: share of the variance of graphs' means over seeds that is signal.
        near_best: graphs whose mean is within 0.005 of the best.
        failed: trainings without a score.
        certified: share of judged networks that are certified; NaN where none was judged.
        tau: Kendall's tau-b of each descriptor with mean accuracy.
        tau_same_edges: the same within each number of edges, averaged by the number of pairs; NaN for the edges
            themselves.
        regression: standardised coefficients of the rank regression.
        explained: share of the variance of ranks that the regression explains.
        by_edges: graphs of each number of edges.
        agreement: after each epoch.
        rungs: epochs that suggest themselves for a ladder of three rungs: the first at which the agreement reaches 0.7
            and 0.9 of the last epoch's, and the last.
    """

    classes: int
    mean: float
    worst: float
    best: float
    signal: float
    noise: float
    reliability: float
    near_best: int
    failed: int
    certified: float
    tau: dict[str, Estimate]
    tau_same_edges: dict[str, Estimate]
    regression: dict[str, Estimate]
    explained: Estimate
    by_edges: tuple[EdgeCount, ...]
    agreement: tuple[Agreement, ...]
    rungs: tuple[int, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; numbers that are not defined are ``None``."""
        plain: dict[str, Any] = _without_nan(asdict(self))
        return plain


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and np.isnan(value) else value


def study_landscape(table: Table, *, bootstrap: int = BOOTSTRAP) -> Landscape:
    """Correlations, best graphs and agreement of short trainings, from a table.

    Args:
        table: of every class, or of every class up to some number of edges, with two seeds or more.
        bootstrap: draws of graphs behind each interval.

    Raises:
        InputError: if classes are missing or there is one seed.
    """
    if not table.complete_to or table.complete_to < table.edges.max() or len(table.seeds) < 2:
        raise InputError("a landscape needs a table of two seeds or more without gaps: every class up to some edges")
    scores = table.scores()
    mean = scores.mean(axis=1)
    described = _descriptors(table)
    edges = described["edges"]
    rng = generator("topobench", "landscape")
    draws = [rng.integers(len(mean), size=len(mean)) for _ in range(bootstrap)]
    signal, noise = signal_and_noise(scores)
    agreement = _agreement(table)
    judged = table.certified >= 0
    coefficients = [_regress(described, mean, rows) for rows in (np.arange(len(mean)), *draws)]
    return Landscape(
        classes=len(mean),
        mean=float(mean.mean()),
        worst=float(mean.min()),
        best=float(mean.max()),
        signal=signal,
        noise=noise,
        reliability=signal**2 / (signal**2 + noise**2 / len(table.seeds)) if signal > 0 else 0.0,
        near_best=int((mean >= mean.max() - 0.005).sum()),
        failed=int((table.reason != "").sum()),
        certified=float((table.certified[judged] == 1).mean()) if judged.any() else float("nan"),
        tau={
            name: _interval([_tau(described[name][r], mean[r]) for r in (np.arange(len(mean)), *draws)])
            for name in DESCRIPTORS
        },
        tau_same_edges={
            name: _interval(
                [_tau_within(described[name][r], mean[r], edges[r]) for r in (np.arange(len(mean)), *draws)]
            )
            for name in DESCRIPTORS
            if name != "edges"
        },
        regression={name: _interval([row[i] for row in coefficients]) for i, name in enumerate(REGRESSORS)},
        explained=_interval([row[-1] for row in coefficients]),
        by_edges=tuple(_edge_count(table, count) for count in sorted(set(table.edges.tolist()))),
        agreement=agreement,
        rungs=_rungs(agreement),
    )


def _descriptors(table: Table) -> dict[str, NDArray[np.float64]]:
    graphs = [representative(table.space, mask) for mask in table.masks.tolist()]
    rows = [{**describe(graph), **describe_roles(graph)} for graph in graphs]
    return {name: np.array([row[name] for row in rows]) for name in DESCRIPTORS}


def _interval(values: list[float]) -> Estimate:
    """The first value with the interval of the others."""
    low, high = np.percentile(values[1:], [2.5, 97.5]) if len(values) > 1 else (float("nan"), float("nan"))
    return Estimate(float(values[0]), float(low), float(high))


def _tau(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(np.nan_to_num(stats.kendalltau(a, b).statistic))


def _tau_within(a: NDArray[np.float64], b: NDArray[np.float64], strata: NDArray[np.float64]) -> float:
    """Tau within each stratum, averaged by its number of pairs; strata with one value of the descriptor have none."""
    total = weight = 0.0
    for stratum in np.unique(strata):
        rows = strata == stratum
        if np.ptp(a[rows]) > 0 and np.ptp(b[rows]) > 0:
            pairs = rows.sum() * (rows.sum() - 1) / 2
            total, weight = total + pairs * _tau(a[rows], b[rows]), weight + pairs
    return total / weight if weight else 0.0


def _regress(
    described: dict[str, NDArray[np.float64]], mean: NDArray[np.float64], rows: NDArray[np.int64]
) -> list[float]:
    """Coefficients of the least-squares regression of standardised ranks, then the share of variance explained."""

    def ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
        ranked = stats.rankdata(values)
        centred: NDArray[np.float64] = (ranked - ranked.mean()) / (ranked.std() or 1.0)
        return centred

    design = np.column_stack([ranks(described[name][rows]) for name in REGRESSORS])
    target = ranks(mean[rows])
    coefficients, *_ = np.linalg.lstsq(design, target, rcond=None)
    left = target - design @ coefficients
    return [*coefficients.tolist(), 1 - float(left @ left) / float(target @ target or 1.0)]


def _agreement(table: Table) -> tuple[Agreement, ...]:
    full, seeds = table.scores(), range(len(table.seeds))
    others = [np.delete(full, seed, axis=1).mean(axis=1) for seed in seeds]
    return tuple(
        Agreement(epoch, float(np.mean([_tau(table.scores(epoch)[:, seed], others[seed]) for seed in seeds])))
        for epoch in range(1, table.epochs + 1)
    )


def _rungs(agreement: tuple[Agreement, ...]) -> tuple[int, ...]:
    last = agreement[-1]
    firsts = [next(entry.epochs for entry in agreement if entry.tau >= share * last.tau) for share in (0.7, 0.9)]
    return tuple(sorted({*firsts, last.epochs}))


def _edge_count(table: Table, edges: int) -> EdgeCount:
    rows = np.flatnonzero(table.edges == edges)
    scores = table.scores()[rows]
    mean = scores.mean(axis=1)
    signal, noise = signal_and_noise(scores) if len(rows) > 2 else (float("nan"), float("nan"))
    best = int(mean.argmax())
    return EdgeCount(
        edges=edges,
        classes=len(rows),
        mean=float(mean.mean()),
        best=float(mean[best]),
        best_mask=int(table.masks[rows[best]]),
        signal=signal,
        noise=noise,
    )
