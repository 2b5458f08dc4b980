"""What a difference between graphs is worth: intervals and tests for results over graphs and seeds, and regret.

Scores of several graphs with the same seeds form a table, graphs by seeds. Its entries are not independent: a row
shares a graph, a column shares area weights and batches. All here respects that.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from topo_search.analysis.intervals import DRAWS, TIE, Floats, Interval, as_table, mean_interval, resample_weights

__all__ = [
    "GroupComparison",
    "PairedDifference",
    "compare_groups",
    "evaluations_to_regret",
    "paired_difference",
    "regret_quartiles",
    "sign_flip_p",
]

# All patterns of signs are enumerated up to so many pairs, 65,536 of them; beyond, patterns are drawn.
EXACT_PAIRS = 16


@dataclass(frozen=True)
class PairedDifference:
    """A difference of two scores, pair by pair. What too few pairs cannot tell is nan.

    Attributes:
        mean: of the differences.
        sd: standard deviation of the differences.
        low: lower end of the 95 % interval of the mean (Student's t).
        high: upper end.
        n: pairs.
        p_t: of the paired t test, two-sided.
        p_wilcoxon: of the Wilcoxon signed-rank test, two-sided; exact for up to 50 pairs without ties or zeros.
        p_sign_flip: of the sign-flip permutation test, two-sided; see :func:`sign_flip_p`.
    """

    mean: float
    sd: float
    low: float
    high: float
    n: int
    p_t: float
    p_wilcoxon: float
    p_sign_flip: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON: ``None`` for nan."""
        return _plain(asdict(self))


@dataclass(frozen=True)
class GroupComparison:
    """A graph, or a group of graphs, against another group, all with the same seeds.

    Attributes:
        by_seed: difference of the groups' means, seed by seed. It says whether the difference would hold for further
            seeds with these very graphs.
        crossed: the same difference with an interval for further graphs and seeds alike.
        graphs: numbers of graphs in the first and the second group.
        beaten: share of graphs of the second group whose mean lies below the mean of the first group.
        p_graphs: where the first group is one graph: two-sided p of its rank among all graphs, if it were drawn as the
            others were; nan for a larger group.
    """

    by_seed: PairedDifference
    crossed: Interval
    graphs: tuple[int, int]
    beaten: float
    p_graphs: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON: ``None`` for nan."""
        return _plain(
            {
                **asdict(self.by_seed),
                "crossed_low": self.crossed.low,
                "crossed_high": self.crossed.high,
                "graphs": list(self.graphs),
                "beaten": self.beaten,
                "p_graphs": self.p_graphs,
            }
        )


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in values.items()}


def sign_flip_p(differences: ArrayLike, *, rng: np.random.Generator | None = None, draws: int = 20_000) -> float:
    """Two-sided p of the sign-flip test: how often is the mean as far off when pairs are exchanged at random?

    Exact for up to 16 pairs: all patterns of signs. The smallest p that n pairs can give is ``2 / 2^n``.

    Args:
        differences: ``(n,)``, at least one.
        rng: of drawn patterns, needed for more than 16 pairs.
        draws: so many patterns then.

    Raises:
        ValueError: if there is no difference, or no generator where one is needed.

    Source: Fisher, "The design of experiments" (1935).
    """
    values = np.asarray(differences, dtype=np.float64)
    n = len(values)
    if n == 0:
        raise ValueError("expected at least one difference, got none")
    observed = abs(values.sum())
    reach = observed - TIE * max(1.0, float(np.abs(values).sum()))
    if n <= EXACT_PAIRS:
        patterns = 1 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        return float(np.mean(np.abs(patterns @ values) >= reach))
    if rng is None:
        raise ValueError(f"{n} pairs are too many to enumerate: expected a generator for drawn patterns")
    patterns = rng.choice(np.array([-1.0, 1.0]), size=(draws, n))
    # The pattern that was observed is one of them: p is never 0.
    return float((1 + np.count_nonzero(np.abs(patterns @ values) >= reach)) / (1 + draws))


def paired_difference(
    first: ArrayLike, second: ArrayLike, *, rng: np.random.Generator | None = None
) -> PairedDifference:
    """First less second, pair by pair: with paired seeds what both share (area weights, batches) falls out.

    The t interval and test take the differences for normal; the other two tests do not. With few pairs trust the
    interval and the sign-flip test: three pairs cannot give a p below 0.25, whatever they show.

    Args:
        first: ``(n,)``.
        second: ``(n,)``, in the same order of seeds.
        rng: for the sign-flip test of more than 16 pairs.

    Raises:
        ValueError: if the two differ in length or are empty.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1 or len(a) == 0:
        raise ValueError(f"expected pairs (n,), at least one, got shapes {a.shape} and {b.shape}")
    differences = a - b
    n, mean = len(differences), float(differences.mean())
    # What is equal on paper may differ by rounding: that is no difference.
    differences = np.where(np.abs(differences) <= TIE, 0.0, differences)
    interval = mean_interval(differences)
    sd = float(differences.std(ddof=1)) if n > 1 else math.nan
    if n < 2:
        p_t = p_wilcoxon = math.nan
    elif not differences.any():
        p_t = p_wilcoxon = 1.0
    else:
        p_t = float(2 * stats.t.sf(abs(mean) / (sd / math.sqrt(n)), n - 1)) if sd > 0 else 0.0
        p_wilcoxon = float(stats.wilcoxon(differences).pvalue)
    p_sign_flip = sign_flip_p(differences, rng=rng) if n > 1 else math.nan
    return PairedDifference(mean, sd, interval.low, interval.high, n, p_t, p_wilcoxon, p_sign_flip)


def compare_groups(
    first: ArrayLike, second: ArrayLike, rng: np.random.Generator, *, draws: int = DRAWS
) -> GroupComparison:
    """A winner against its degree-preserving rewires, or any two groups of graphs, trained with the same seeds.

    Args:
        first: ``(graphs, seeds)``, or ``(seeds,)`` of one graph.
        second: ``(other graphs, seeds)``, in the same order of seeds.
        rng: of the bootstrap: graphs are drawn within each group, seeds for both groups at once.
        draws: of the bootstrap.

    Raises:
        ValueError: if a table is empty, or the numbers of seeds differ.
    """
    a, b = (as_table(np.atleast_2d(np.asarray(scores, dtype=np.float64))) for scores in (first, second))
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"expected the same seeds in both groups, got {a.shape[1]} and {b.shape[1]}")
    by_seed = paired_difference(a.mean(axis=0), b.mean(axis=0), rng=rng)
    crossed = Interval(by_seed.mean, math.nan, math.nan)
    if max(a.size, b.size) > 1:
        columns = resample_weights(a.shape[1], draws, rng)
        means = [np.einsum("dg,gs,ds->d", resample_weights(len(table), draws, rng), table, columns) for table in (a, b)]
        low, high = np.quantile(means[0] - means[1], [0.025, 0.975])
        crossed = Interval(by_seed.mean, float(low), float(high))
    own, others = a.mean(), b.mean(axis=1)
    beaten = float(np.mean(others < own - TIE))
    p_graphs = math.nan
    if len(a) == 1:
        above, below = np.count_nonzero(others >= own - TIE), np.count_nonzero(others <= own + TIE)
        p_graphs = min(1.0, 2 * (1 + min(above, below)) / (1 + len(others)))
    return GroupComparison(by_seed, crossed, (len(a), len(b)), beaten, float(p_graphs))


def regret_quartiles(regrets: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Quartiles of regret over replays, after each evaluation: 25 %, median, 75 %.

    Args:
        regrets: ``(replays, evaluations)``: best score of the space less the best found so far.

    Returns:
        Three arrays ``(evaluations,)``.

    Raises:
        ValueError: if the table is empty.
    """
    low, middle, high = np.quantile(as_table(regrets), [0.25, 0.5, 0.75], axis=0)
    return low, middle, high


def evaluations_to_regret(regrets: ArrayLike, threshold: float) -> NDArray[np.int64]:
    """Evaluations that each replay needs until its regret is, and stays, at most a threshold.

    Args:
        regrets: ``(replays, evaluations)``; it need not fall all the way, as where the true score of the best by noisy
            scores is judged.
        threshold: of regret.

    Returns:
        ``(replays,)``, counted from 1; the number of evaluations where the threshold is not reached, as a search that
        goes through the whole space needs them all.

    Raises:
        ValueError: if the table is empty.
    """
    table = as_table(regrets)
    above = table > threshold
    # The last evaluation above the threshold, counted from 1; 0 where there is none.
    last = np.where(above.any(axis=1), table.shape[1] - np.argmax(above[:, ::-1], axis=1), 0)
    return np.asarray(np.minimum(last + 1, table.shape[1]), dtype=np.int64)
