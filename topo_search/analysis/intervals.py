"""Means with confidence intervals: of independent values, and of tables of graphs by seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

__all__ = ["DRAWS", "TIE", "Floats", "Interval", "as_table", "bootstrap_mean", "mean_interval", "resample_weights"]

Floats = NDArray[np.float64]
DRAWS = 5000
# Sums that are equal on paper differ by rounding; what is so close counts as equal.
TIE = 1e-12


@dataclass(frozen=True)
class Interval:
    """An estimate with a confidence interval; nan where there are too few values for one.

    Attributes:
        estimate: the value.
        low: lower end.
        high: upper end.
        level: share of samples in which such an interval holds the truth.
    """

    estimate: float
    low: float
    high: float
    level: float = 0.95


def mean_interval(values: ArrayLike, *, level: float = 0.95) -> Interval:
    """Mean of independent values with Student's t interval.

    Args:
        values: ``(n,)``, at least one; the interval needs two.
        level: of confidence, between 0 and 1.

    Raises:
        ValueError: if there is no value or the level is not as said.
    """
    _check_level(level)
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or len(sample) == 0:
        raise ValueError(f"expected values (n,), at least one, got shape {sample.shape}")
    mean = float(sample.mean())
    if len(sample) < 2:
        return Interval(mean, math.nan, math.nan, level)
    half = float(stats.t.ppf(0.5 + level / 2, len(sample) - 1)) * float(sample.std(ddof=1)) / math.sqrt(len(sample))
    return Interval(mean, mean - half, mean + half, level)


def bootstrap_mean(
    scores: ArrayLike,
    rng: np.random.Generator,
    *,
    level: float = 0.95,
    method: Literal["percentile", "bca"] = "percentile",
    draws: int = DRAWS,
) -> Interval:
    """Mean of a table of graphs by seeds, with an interval for other graphs and other seeds.

    Each draw takes graphs and seeds anew, both with replacement, and the mean of the table that they span. To draw
    single entries instead would take every entry for independent and give an interval that is far too short. A table of
    one row is drawn over seeds alone, one of one column over graphs alone. With few rows or columns the interval is too
    short: a bootstrap of n values has a variance of (n - 1) / n of what it should.

    Args:
        scores: ``(graphs, seeds)``.
        rng: of the draws.
        level: of confidence, between 0 and 1.
        method: ``percentile``, or ``bca``, corrected for bias and skewness.
        draws: of the bootstrap.

    Returns:
        The mean; the ends are nan for a single entry.

    Raises:
        ValueError: if the table is empty or not a table, or the level is not as said.

    Sources: Owen, "The pigeonhole bootstrap" (2007), for tables, where it is shown to be somewhat conservative; Efron,
    "Better bootstrap confidence intervals" (1987). The acceleration adds up the influences of graphs and of seeds.
    """
    _check_level(level)
    table = as_table(scores)
    estimate = float(table.mean())
    if table.size == 1:
        return Interval(estimate, math.nan, math.nan, level)
    rows, columns = resample_weights(table.shape[0], draws, rng), resample_weights(table.shape[1], draws, rng)
    means = np.einsum("dg,gs,ds->d", rows, table, columns)
    tail = (1 - level) / 2
    ends = np.array([tail, 1 - tail])
    if method == "bca":
        ends = _bca_ends(ends, means, table)
    low, high = np.quantile(means, ends)
    return Interval(estimate, float(low), float(high), level)


def resample_weights(n: int, draws: int, rng: np.random.Generator) -> Floats:
    """Weights of ``n`` members in each of many resamples, ``(draws, n)``; each row sums to 1."""
    return rng.multinomial(n, np.full(n, 1 / n), size=draws) / n


def _bca_ends(ends: Floats, means: Floats, table: Floats) -> Floats:
    estimate = table.mean()
    # Draws that equal the estimate count half, so that a symmetric table needs no correction.
    below = np.mean(means < estimate - TIE) + np.mean(np.abs(means - estimate) <= TIE) / 2
    if not 0 < below < 1:
        return ends
    influences = [
        (table.mean(axis=axis) - estimate) / table.shape[1 - axis] for axis in (0, 1) if table.shape[1 - axis] > 1
    ]
    every = np.concatenate(influences)
    scale = float((every**2).sum()) ** 1.5
    acceleration = float((every**3).sum()) / (6 * scale) if scale > 0 else 0.0
    bias = stats.norm.ppf(below)
    shifted = bias + stats.norm.ppf(ends)
    return np.asarray(stats.norm.cdf(bias + shifted / (1 - acceleration * shifted)), dtype=np.float64)


def as_table(scores: ArrayLike) -> Floats:
    """Scores as a table of numbers.

    Raises:
        ValueError: if they are no table or hold nothing.
    """
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or table.size == 0:
        raise ValueError(f"expected a table with rows and columns, got shape {table.shape}")
    return table


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
