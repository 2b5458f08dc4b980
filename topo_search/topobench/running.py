"""Many replays of several strategies, and what they come to."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from topo_search.analysis import regret_quartiles
from topo_search.errors import InputError, RunFailedError
from topo_search.topobench.replay import Benchmark, Replay, find_strategy, replay

__all__ = ["CHECKPOINTS", "Summary", "regret_curves", "run_replays", "summarise"]

CHECKPOINTS = (25, 50, 100)
"""Costs at which mean regret is reported."""

# Replays that a worker takes at a time: few enough that progress is seen and no worker is left with all the rest.
CHUNK = 5

_benchmarks: dict[str, Benchmark] = {}
"""This worker's benchmark; filled by the initialiser of the worker process, empty everywhere else."""


@dataclass(frozen=True)
class Summary:
    """Replays of one strategy.

    Attributes:
        strategy: name.
        replays: how many.
        median: of the evaluations to the threshold, those that never got there counted as the number of classes.
        q25: their lower quartile.
        q75: their upper quartile.
        never: share of replays that never got there.
        found: median of the evaluations until the best score that can be seen was seen; the number of evaluations where
            a replay ended before.
        regret: mean regret after so many evaluations.
        drawn: share of evaluations that the strategy had nothing new for, so that a random graph was taken.
    """

    strategy: str
    replays: int
    median: float
    q25: float
    q75: float
    never: float
    found: float
    regret: dict[int, float]
    drawn: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**asdict(self), "regret": {str(cost): value for cost, value in self.regret.items()}}


def summarise(replays: Sequence[Replay]) -> Summary:
    """What the replays of one strategy come to."""
    counts = np.array([entry.count for entry in replays])
    q25, median, q75 = np.percentile(counts, [25, 50, 75])
    trials = sum(len(entry.classes) for entry in replays)
    return Summary(
        strategy=replays[0].strategy,
        replays=len(replays),
        median=float(median),
        q25=float(q25),
        q75=float(q75),
        never=float(np.mean([not entry.reached for entry in replays])),
        found=float(np.median([len(entry.classes) for entry in replays])),
        regret={cost: float(np.mean([entry.regret_at(cost) for entry in replays])) for cost in CHECKPOINTS},
        drawn=sum(entry.drawn for entry in replays) / trials,
    )


def regret_curves(replays: Sequence[Replay], costs: Sequence[float]) -> NDArray[np.float64]:
    """Quartiles of regret over replays at each cost, ``(3, len(costs))``: 25, 50 and 75 %."""
    return np.stack(regret_quartiles([[entry.regret_at(cost) for cost in costs] for entry in replays]))


def _start_worker(benchmark: Benchmark) -> None:
    _benchmarks["this"] = benchmark


def _work(strategy: str, numbers: range, options: Mapping[str, Any]) -> list[Replay]:
    return _replays(_benchmarks["this"], strategy, numbers, options)


def _replays(benchmark: Benchmark, strategy: str, numbers: range, options: Mapping[str, Any]) -> list[Replay]:
    # Sums of linear algebra libraries depend on their threads, and a strategy's choices may hang on the last digit.
    with threadpool_limits(1):
        return [replay(strategy, benchmark, number=number, **options) for number in numbers]


def run_replays(
    benchmark: Benchmark,
    strategies: Sequence[str],
    *,
    replays: int = 200,
    lag: int = 0,
    to_the_end: bool = False,
    workers: int = 1,
    on_done: Callable[[str, int], None] | None = None,
) -> dict[str, list[Replay]]:
    """Replay strategies, each so many times; the same for any number of workers.

    Args:
        benchmark: table, edge budget and ladder.
        strategies: names.
        replays: of each; replay r sees seed r modulo the table's seeds.
        lag: see :func:`replay`.
        to_the_end: see :func:`replay`.
        workers: processes.
        on_done: told a strategy and how many of its replays ended.

    Raises:
        InputError: if a strategy is unknown, named twice or cannot be replayed, or a number is out of range.
        RunFailedError: if a worker process was lost.
    """
    if len(set(strategies)) != len(strategies) or not strategies:
        raise InputError(f"strategies must name each once, got {', '.join(strategies) or 'none'}")
    for name, value, low in (("replays", replays, 1), ("lag", lag, 0), ("workers", workers, 1)):
        if value < low:
            raise InputError(f"{name} must be at least {low}, got {value}")
    for strategy in strategies:
        find_strategy(strategy)
    chunks = [
        (strategy, range(start, min(start + CHUNK, replays)))
        for strategy in strategies
        for start in range(0, replays, CHUNK)
    ]
    found: dict[str, list[Replay]] = {strategy: [] for strategy in strategies}
    options = {"lag": lag, "to_the_end": to_the_end}
    for (strategy, _), entries in zip(chunks, _in_order(benchmark, chunks, options, workers), strict=True):
        found[strategy] += entries
        if on_done is not None:
            on_done(strategy, len(found[strategy]))
    return found


def _in_order(
    benchmark: Benchmark, chunks: Sequence[tuple[str, range]], options: Mapping[str, Any], workers: int
) -> Iterator[list[Replay]]:
    if workers == 1:
        yield from (_replays(benchmark, strategy, numbers, options) for strategy, numbers in chunks)
        return
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(benchmark,),
    )
    try:
        futures = [pool.submit(_work, strategy, numbers, options) for strategy, numbers in chunks]
        for future in futures:
            yield future.result()
    except BrokenProcessPool:
        raise RunFailedError("a worker process was lost: see its error above; with one worker there are none") from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
