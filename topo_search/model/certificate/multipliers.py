"""The search for good multipliers: a smoothed largest eigenvalue, minimised over log T.

The largest eigenvalue ``lmax(M(T))`` is convex in T but has a corner wherever eigenvalues meet, which is where the
optimum lies. ``m log sum exp(eigenvalue / m)`` is smooth; it is minimised for a falling temperature m, from the
eigenvectors of the leading eigenvalues. Nothing here is part of a claim: any T gives a bound.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import optimize

from topo_search.model.certificate.eigen import Matrix, Vector
from topo_search.model.certificate.leading import Leading
from topo_search.model.certificate.s_procedure import point_of
from topo_search.model.certificate.step_forms import RateForm, StepForm

__all__ = ["balanced_multipliers", "best_start", "best_uniform", "improve", "rounded"]

TEMPERATURES = (0.2, 0.06, 0.02, 0.006)
ITERATIONS = 60
# A line of the search that gains less, in units of what slopes can matter at all, ends a temperature.
TOLERANCE = 3e-6
# Of the search for a multiplier that all units share: half its width in logarithms, and its steps.
SPAN = 5.0
SECTIONS = 32
GOLDEN = 0.5 * (5**0.5 - 1)
# Multipliers of units that no other unit listens to go to 0: this share of the largest is near enough.
SMALLEST = 1e-9


def balanced_multipliers(form: StepForm | RateForm) -> Matrix:
    """``T_i = ||G e_i|| / ||e_i^T V||``, ``(b, n)``: best for each unit by itself."""
    columns = np.linalg.norm(form.gain, axis=-2)
    rows = np.ones_like(columns) if form.view is None else np.linalg.norm(form.view, axis=-1)
    multipliers: Matrix = columns / np.maximum(rows, np.finfo(float).tiny)
    return _positive(multipliers)


def best_start(form: StepForm | RateForm, candidates: Sequence[Matrix]) -> tuple[Matrix, Matrix]:
    """Of candidates ``(b, n)`` the best for each problem, with its largest eigenvalue ``(b,)``."""
    best, values = candidates[0], _largest(form, candidates[0])
    for candidate in candidates[1:]:
        value = _largest(form, candidate)
        best = np.where((value < values)[:, None], candidate, best)
        values = np.minimum(value, values)
    return best, values


def best_uniform(form: StepForm | RateForm, guess: Matrix) -> Matrix:
    """The best multiplier that all units share, by golden section, ``(b, n)``; exact for Theorem 2.

    Args:
        form: of b problems.
        guess: one of the right order, ``(b,)``.
    """
    units = np.ones(form.gain.shape[-1])
    low, high = np.log(guess) - SPAN, np.log(guess) + SPAN
    for _ in range(SECTIONS):
        inner = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        left, right = (_largest(form, np.exp(logarithm)[:, None] * units) for logarithm in inner)
        # Too small a multiplier cannot serve at all: then both are infinite, and the larger ones are looked at.
        smaller = left < right
        low, high = np.where(smaller, low, inner[0]), np.where(smaller, inner[1], high)
    multipliers: Matrix = np.exp(0.5 * (low + high))[:, None] * units
    return multipliers


def improve(form: StepForm | RateForm, start: Matrix) -> Matrix:
    """Multipliers no worse than those given, ``(b, n)``; problems are independent of each other."""
    if not form.gain.any():
        return start
    search = _Search(form, start)
    position = np.log(start)
    for temperature in TEMPERATURES:
        found = optimize.minimize(
            search.smoothed,
            position.reshape(-1),
            args=(temperature,),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": ITERATIONS, "maxcor": 15, "ftol": TOLERANCE, "gtol": 0.0},
        )
        position = found.x.reshape(start.shape)
    return search.best


def rounded(multipliers: Matrix) -> Matrix:
    """To six digits, so that the last bits of a search do not reach what is stored."""
    exponent = 10.0 ** (5 - np.floor(np.log10(multipliers)))
    return np.asarray(np.round(multipliers * exponent) / exponent, dtype=np.float64)


def _positive(multipliers: Matrix) -> Matrix:
    largest = np.maximum(multipliers.max(axis=-1, keepdims=True), 1e-20)
    return np.asarray(np.maximum(multipliers, SMALLEST * largest), dtype=np.float64)


def _largest(form: StepForm | RateForm, multipliers: Matrix) -> Vector:
    point = point_of(form, multipliers)
    values, _ = Leading(multipliers.shape).of(point)
    return np.where(point.feasible, values[:, -1], np.inf)


class _Search:
    """The smoothed objective in units of the form's scale, with the best multipliers seen for each problem."""

    def __init__(self, form: StepForm | RateForm, start: Matrix) -> None:
        self.form = form
        self.best = start
        self._values = np.full(len(start), np.inf)
        self._leading = Leading(start.shape)
        self._origin: float | None = None
        self._highest = 0.0

    def smoothed(self, position: Vector, temperature: float) -> tuple[float, Vector]:
        """Sum over problems of ``m log sum exp(eigenvalue / m)``, and its gradient by log T."""
        multipliers = np.exp(position.reshape(self.best.shape))
        point = point_of(self.form, multipliers)
        if not point.feasible.all():
            # A wall: larger multipliers lead away from it.
            return self._highest + 1.0, -np.ones_like(position)
        values, vectors = self._leading.of(point)
        top = values[:, -1]
        better = top < self._values
        self.best = np.where(better[:, None], multipliers, self.best)
        self._values = np.minimum(top, self._values)
        if self._origin is None:
            self._origin = float(top.sum())
        shares = np.exp((values - top[:, None]) / (temperature * self.form.scale))
        total = shares.sum(axis=1)
        gradient = multipliers * point.slopes(vectors, shares / total[:, None]) / self.form.scale
        value = (float(top.sum()) - self._origin) / self.form.scale + temperature * float(np.log(total).sum())
        self._highest = max(self._highest, value)
        return value, gradient.reshape(-1)
