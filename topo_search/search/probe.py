"""Does the graph matter here? Signal, noise and rank agreement of a search space, and what a search would cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topo_search.errors import RunFailedError
from topo_search.graph import ModuleGraph, make_family
from topo_search.search.agreement import kendall_tau
from topo_search.search.evaluate import Request
from topo_search.search.history import Evaluation
from topo_search.search.ladder import bracket_epochs, bracket_shares
from topo_search.search.pool import Pool
from topo_search.search.progress import Progress, ProgressCallback
from topo_search.search.space import SearchSpace
from topo_search.seeds import generator, seed_for

__all__ = [
    "ProbeError",
    "ProbeResult",
    "RungAgreement",
    "probe_graphs",
    "run_probe",
    "search_seconds",
    "signal_and_noise",
]

BOOTSTRAP = 2000
Scores = NDArray[np.float64]


class ProbeError(RunFailedError):
    """Hardly any graph of the sample could be trained."""


@dataclass(frozen=True)
class RungAgreement:
    """How well short training ranks graphs.

    Attributes:
        epochs: of the rung.
        tau: Kendall's tau-b between one seed's score at the rung and the mean over seeds after full training, averaged
            over seeds.
        low: lower end of its 95 % interval (bootstrap over graphs).
        high: upper end.
        tau_other_seeds: the same against full training with the other seeds alone; lower, since the target has fewer
            seeds and shares no noise with the rung.
    """

    epochs: int
    tau: float
    low: float
    high: float
    tau_other_seeds: float


@dataclass(frozen=True)
class ProbeResult:
    """What a probe found; accuracies are on validation data.

    Attributes:
        graphs: random graphs that were trained, without those that diverged.
        seeds: paired seeds of each.
        diverged: graphs left out because a training diverged.
        mean: of accuracies after full training.
        worst: mean accuracy of the worst graph.
        best: mean accuracy of the best graph.
        signal: standard deviation between graphs beyond noise.
        signal_low: lower end of its 95 % interval (bootstrap over graphs).
        signal_high: upper end.
        noise: standard deviation left within a graph after the paired seeds' common part.
        ratio: signal over noise.
        rungs: agreement of every rung.
        seconds_per_epoch: of one training on one core of this machine.
        search_seconds: what the budget asked about would take.
        budget: that was asked about.
        workers: that it was computed for.
    """

    graphs: int
    seeds: int
    diverged: int
    mean: float
    worst: float
    best: float
    signal: float
    signal_low: float
    signal_high: float
    noise: float
    ratio: float
    rungs: tuple[RungAgreement, ...]
    seconds_per_epoch: float
    search_seconds: float
    budget: int
    workers: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def signal_and_noise(scores: Scores) -> tuple[float, float]:
    """Variance components of graphs by paired seeds, ``(graphs, seeds)``: standard deviations (signal, noise).

    The model is ``score = mean + graph + seed + noise``; noise is the residual's, signal is what the graphs' means vary
    beyond it (0 where they vary less).
    """
    n_graphs, n_seeds = scores.shape
    by_graph, by_seed = scores.mean(axis=1), scores.mean(axis=0)
    residual = scores - by_graph[:, None] - by_seed[None, :] + scores.mean()
    noise = float((residual**2).sum() / ((n_graphs - 1) * (n_seeds - 1)))
    between = float(by_graph.var(ddof=1))
    return float(np.sqrt(max(0.0, between - noise / n_seeds))), float(np.sqrt(noise))


def _tau(short: Scores, full: Scores, counts: NDArray[np.int64] | None = None) -> Scores:
    """Mean over seeds of Kendall's tau-b between a seed's column and a target column, a resample; 0 where undefined."""
    taus = [kendall_tau(short[:, seed], full[:, seed], counts=counts) for seed in range(short.shape[1])]
    return np.asarray(np.nan_to_num(taus).mean(axis=0), dtype=np.float64)


def _agreement(curves: Scores, epochs: int, rng: np.random.Generator) -> RungAgreement:
    """From learning curves ``(graphs, seeds, epochs)``."""
    short, final = curves[:, :, epochs - 1], curves[:, :, -1]
    n_graphs, n_seeds = final.shape
    mean = np.repeat(final.mean(axis=1, keepdims=True), n_seeds, axis=1)
    others = np.stack([np.delete(final, seed, axis=1).mean(axis=1) for seed in range(n_seeds)], axis=1)
    draws = [np.bincount(rng.integers(n_graphs, size=n_graphs), minlength=n_graphs) for _ in range(BOOTSTRAP // 4)]
    low, high = np.percentile(_tau(short, mean, np.array(draws)), [2.5, 97.5])
    return RungAgreement(epochs, float(_tau(short, mean)[0]), float(low), float(high), float(_tau(short, others)[0]))


def probe_graphs(space: SearchSpace, *, seed: int) -> list[ModuleGraph]:
    """The sample: different random graphs of the full edge budget, fewer if the space holds no more."""
    found: dict[str, ModuleGraph] = {}
    for attempt in range(20 * space.probe.graphs):
        graph = make_family("random_density", space.constraints, generator(seed, "probe graph", attempt))
        found.setdefault(graph.key, graph)
        if len(found) == space.probe.graphs:
            break
    return list(found.values())


def search_seconds(space: SearchSpace, *, budget: int, workers: int, seconds_per_epoch: float) -> float:
    """What a search with this budget would take, from the time of one epoch on one core.

    Every rung takes one in ``keep`` of the one before; then a sample is trained on to the top rung for the rank
    agreement, the best are scored again, and winners and controls trained in full. Start-up, the controls' different
    numbers of edges and controls matched in parameters are not counted, nor is what the sample has behind it.
    """
    ladder, finish = space.ladder, space.after
    costs = zip(bracket_shares(ladder), bracket_epochs(ladder), strict=True)
    epochs = budget * sum(share * cost for share, cost in costs)
    if len(ladder.rungs) > 1:
        epochs += min(finish.agreement, budget) * ladder.rungs[-1]
    trained = min(finish.rescored, budget) * finish.rescore_seeds
    trained += (min(finish.winners, budget) + finish.random_controls + finish.rewired_controls + 2) * finish.seeds
    epochs += trained * space.training.epochs
    return epochs * seconds_per_epoch / workers


def _summary(
    space: SearchSpace, kept: Sequence[Sequence[Evaluation]], *, diverged: int, seed: int, budget: int, workers: int
) -> ProbeResult:
    curves = np.array([[evaluation.curve for evaluation in row] for row in kept])
    final = curves[:, :, -1]
    rng = generator(seed, "probe bootstrap")
    draws = [signal_and_noise(final[rng.integers(len(final), size=len(final))])[0] for _ in range(BOOTSTRAP)]
    signal, noise = signal_and_noise(final)
    low, high = np.percentile(draws, [2.5, 97.5])
    per_epoch = float(np.median([e.seconds / len(e.curve) for row in kept for e in row]))
    return ProbeResult(
        graphs=len(kept),
        seeds=final.shape[1],
        diverged=diverged,
        mean=float(final.mean()),
        worst=float(final.mean(axis=1).min()),
        best=float(final.mean(axis=1).max()),
        signal=signal,
        signal_low=float(low),
        signal_high=float(high),
        noise=noise,
        ratio=signal / noise if noise > 0 else float("inf") if signal > 0 else 0.0,
        rungs=tuple(_agreement(curves, epochs, rng) for epochs in space.ladder.rungs),
        seconds_per_epoch=per_epoch,
        search_seconds=search_seconds(space, budget=budget, workers=workers, seconds_per_epoch=per_epoch),
        budget=budget,
        workers=workers,
    )


def run_probe(
    space: SearchSpace,
    pool: Pool,
    *,
    seed: int,
    budget: int,
    workers: int,
    on_progress: ProgressCallback | None = None,
) -> ProbeResult:
    """Train the sample in full with paired seeds and judge the space.

    Only validation data are read.

    Raises:
        ProbeError: if fewer than three graphs could be trained without diverging.
    """
    graphs = probe_graphs(space, seed=seed)
    seeds = [seed_for(seed, "probe", index) for index in range(space.probe.seeds)]
    requests = [
        (Request(graph=graph.to_json(), epochs=space.training.epochs, seed=s), f"probe {graph.key}")
        for graph in graphs
        for s in seeds
    ]

    def report(done: int) -> None:
        if on_progress is not None:
            on_progress(
                Progress(phase="probe", done=done, total=len(requests), running=pool.running, evaluated=pool.evaluated)
            )

    results = pool.run_all(requests, report)
    rows = [results[i * len(seeds) : (i + 1) * len(seeds)] for i in range(len(graphs))]
    kept = [row for row in rows if not any(evaluation.failed for evaluation in row)]
    if len(kept) < 3:
        reasons = sorted({evaluation.reason for row in rows for evaluation in row if evaluation.failed})
        raise ProbeError(f"only {len(kept)} of {len(graphs)} graphs could be trained ({', '.join(reasons)})")
    return _summary(space, kept, diverged=len(rows) - len(kept), seed=seed, budget=budget, workers=workers)
