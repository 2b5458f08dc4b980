"""Where a learning curve is heading: a power law fitted to it, and how high it may still rise."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

__all__ = ["MIN_POINTS", "upper_bound"]

# Three numbers are fitted; with fewer points nothing is left to say how well.
MIN_POINTS = 4
# Exponents of the power law that are tried: from hardly bent to nearly a step.
EXPONENTS = np.geomspace(0.05, 4.0, 200)
EXPONENTS.flags.writeable = False
# Less rise than this is rounding: the curve is flat.
FLAT = 1e-9


def upper_bound(curve: Sequence[float], epochs: int, *, deviations: float) -> float:
    """How high a curve may be after so many epochs: a power law's value there and ``deviations`` residuals more.

    ``a - b e^-c`` is fitted by least squares: for each exponent c of a fixed grid, a and b follow in closed form; the
    best c is taken. So the fit is the same everywhere and cannot fail to converge. The residual is
    ``sqrt(sum of squares / (points - 3))``.

    Args:
        curve: score after each epoch, from the first.
        epochs: where to look, at least the length of the curve.
        deviations: residuals added, 0 or more.

    Returns:
        The bound; infinite for fewer than :data:`MIN_POINTS` points, and for a curve that does not rise: a power law
        says nothing of a training that has yet to begin to learn.

    Source: the family pow3 of Domhan, Springenberg and Hutter, "Speeding up automatic hyperparameter optimization of
    deep neural networks by extrapolation of learning curves" (2015). Departs from it: one family instead of eleven, and
    a multiple of the residual instead of a posterior by Markov chains.
    """
    values = np.asarray(curve, dtype=np.float64)
    if len(values) < MIN_POINTS or not np.isfinite(values).all():
        return math.inf
    steps = np.arange(1, len(values) + 1, dtype=np.float64)
    bends = -(steps[None, :] ** -EXPONENTS[:, None])
    bent = bends - bends.mean(axis=1, keepdims=True)
    rises = bent @ (values - values.mean()) / (bent**2).sum(axis=1)
    levels = values.mean() - rises * bends.mean(axis=1)
    squares = ((levels[:, None] + rises[:, None] * bends - values) ** 2).sum(axis=1)
    best = int(np.argmin(squares))
    if rises[best] <= FLAT:
        return math.inf
    residual = math.sqrt(squares[best] / (len(values) - 3))
    return float(levels[best] - rises[best] * epochs ** -EXPONENTS[best]) + deviations * residual
