"""How well short training ranked the candidates of a search: Kendall's tau between each rung and the top one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from topo_search.search.decisions import Job
from topo_search.search.driver import SearchDriver
from topo_search.search.history import Evaluation, Trial
from topo_search.search.progress import Progress, ProgressCallback
from topo_search.seeds import generator

__all__ = ["RankAgreement", "agreement_sample", "kendall_tau", "measure_agreement", "rank_agreement"]

# Of a rank correlation three pairs say next to nothing, two nothing at all.
MIN_TRIALS = 3
BOOTSTRAP = 2000


@dataclass(frozen=True)
class RankAgreement:
    """How well a rung ranks candidates.

    Attributes:
        epochs: of the rung.
        against: epochs of the top rung, which it is compared with.
        tau: Kendall's tau-b between the scores after these two numbers of epochs, -1 to 1; nan where one of them is the
            same for all.
        low: lower end of its 95 % interval (bootstrap over candidates, percentiles).
        high: upper end.
        n: candidates.
    """

    epochs: int
    against: int
    tau: float
    low: float
    high: float
    n: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON: ``None`` for nan."""
        return {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in asdict(self).items()
        }


def kendall_tau(first: ArrayLike, second: ArrayLike, *, counts: ArrayLike | None = None) -> NDArray[np.float64]:
    """Kendall's tau-b of two scores, of the sample itself and of resamples of it.

    Args:
        first: ``(n,)``.
        second: ``(n,)``.
        counts: ``(draws, n)``: how often each member is in each resample; the sample itself where not given.

    Returns:
        ``(draws,)``, or ``(1,)``; nan where all members have the same value in one of the scores.
    """
    signs = [np.sign(np.subtract.outer(values, values)) for values in (np.asarray(first), np.asarray(second))]
    weights = np.ones((1, len(signs[0]))) if counts is None else np.asarray(counts, dtype=np.float64)

    def pairs(products: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.sum((weights @ products) * weights, axis=1), dtype=np.float64)

    scale = np.sqrt(pairs(signs[0] ** 2) * pairs(signs[1] ** 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(scale > 0, pairs(signs[0] * signs[1]) / scale, np.nan), dtype=np.float64)


def rank_agreement(curves: ArrayLike, rungs: Sequence[int], rng: np.random.Generator) -> tuple[RankAgreement, ...]:
    """Agreement of every rung below the top one.

    A short training is the beginning of a longer one, so the score at a rung is read off the curve.

    Args:
        curves: ``(n, rungs[-1])``, score of each candidate after each epoch.
        rungs: epochs, increasing.
        rng: of the bootstrap.
    """
    scores = np.asarray(curves, dtype=np.float64)
    count = len(scores)
    draws = rng.multinomial(count, np.full(count, 1 / count), size=BOOTSTRAP)
    found = []
    for epochs in rungs[:-1]:
        short, full = scores[:, epochs - 1], scores[:, rungs[-1] - 1]
        tau = float(kendall_tau(short, full)[0])
        taus = kendall_tau(short, full, counts=draws)
        taus = taus[~np.isnan(taus)]
        low, high = np.percentile(taus, [2.5, 97.5]) if len(taus) else (np.nan, np.nan)
        found.append(RankAgreement(epochs, rungs[-1], tau, float(low), float(high), count))
    return tuple(found)


def agreement_sample(trials: Sequence[Trial], *, count: int, seed: int) -> list[Trial]:
    """So many of these trials, fewer if there are no more, each as likely as any other; in order of proposal."""
    ordered = sorted(trials, key=lambda trial: trial.number)
    chosen = generator(seed, "rank agreement").permutation(len(ordered))[:count]
    return [ordered[index] for index in sorted(chosen)]


def measure_agreement(
    driver: SearchDriver, *, on_progress: ProgressCallback | None = None
) -> tuple[RankAgreement, ...]:
    """Train a sample of the search's candidates on to the top rung and say how well the lower rungs ranked them.

    The sample is drawn from all candidates with a score, not from the good ones: among those that were promoted a rung
    would look better or worse than it is. Each is trained as the search would have, inheritance included; what was
    trained that far costs nothing. Candidates that diverge on the way are left out.

    Returns:
        One a rung below the top; empty with a single rung, where it is off, or with fewer than three candidates.
    """
    space, pool = driver.space, driver.pool
    rungs, top = space.ladder.rungs, len(space.ladder.rungs) - 1
    if top == 0 or space.after.agreement == 0:
        return ()
    sample = agreement_sample(driver.history.scored(), count=space.after.agreement, seed=driver.seed)
    open_ = [trial for trial in sample if trial.rung < top and not trial.failed]
    requests = [
        (
            driver.request(Job(0, trial.number, top, driver.decisions.inherits(trial.number))),
            f"rank agreement, trial {trial.number}",
        )
        for trial in open_
    ]

    def report(done: int) -> None:
        if on_progress is not None:
            on_progress(
                Progress(
                    phase="rank agreement",
                    done=done,
                    total=len(requests),
                    running=pool.running,
                    evaluated=pool.evaluated,
                )
            )

    report(0)
    trained = pool.run_all(requests, report)
    results: list[Evaluation] = [trial.results[top] for trial in sample if trial.rung == top]
    curves = [evaluation.curve for evaluation in (*results, *trained) if not evaluation.failed]
    if len(curves) < MIN_TRIALS:
        return ()
    return rank_agreement(curves, rungs, generator(driver.seed, "rank agreement bootstrap"))
