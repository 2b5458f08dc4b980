"""Bounds over all slopes by the S-procedure: one diagonal multiplier a unit.

For ``w = E V x`` with E diagonal in [-1, 1], ``w_i^2 <= (V x)_i^2``. So for every diagonal ``T > 0``

- a step ``F(E) = F0 + G E V`` has ``||F(E)||^2 <= lmax(V^T T V + F0^T (I - G T^-1 G^T)^-1 F0)`` if ``G T^-1 G^T < I``;
- ``lmax(sym J(D)) <= lmax(base + sym(B V) / 2 + (B T^-1 B^T + V^T T V) / 4)``, the slopes being ``(I + E) / 2``.

Both right-hand sides are convex in T. T is found by :mod:`topo_search.model.certificate.multipliers`; a bound holds for
any T, and what is claimed here has passed Cholesky factorisations with a margin.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from topo_search.model.certificate.eigen import MARGIN, Matrix, Vector, largest_eigenvalue_bound, positive_definite
from topo_search.model.certificate.step_forms import RateForm, StepForm

__all__ = ["Point", "RatePoint", "StepPoint", "point_of", "rate_bound", "step_bound", "step_is_bounded"]

# How near to singular I - G T^-1 G^T may come: its inverse must keep its digits.
INTERIOR = 1e-6


class Point(ABC):
    """A quadratic form at given multipliers, for eigenvectors and gradients; arrays have one leading axis, of problems.

    Attributes:
        feasible: of which problems the multipliers are admissible, ``(b,)``.
    """

    feasible: NDArray[np.bool_]

    @abstractmethod
    def apply(self, vectors: Matrix) -> Matrix:
        """The form times vectors, ``(b, n, k)``."""

    @abstractmethod
    def slopes(self, vectors: Matrix, weights: Matrix) -> Matrix:
        """The derivative of ``sum_k weights_k x_k^T M(T) x_k`` by T, ``(b, n)``; weights are ``(b, k)``."""


def _viewed(view: Matrix | None, vectors: Matrix) -> Matrix:
    return vectors if view is None else view @ vectors


def _viewed_back(view: Matrix | None, vectors: Matrix) -> Matrix:
    return vectors if view is None else view.swapaxes(-1, -2) @ vectors


def _weighted_squares(vectors: Matrix, weights: Matrix) -> Matrix:
    squares: Matrix = (vectors * vectors @ weights[..., None])[..., 0]
    return squares


class StepPoint(Point):
    """``V^T T V + F0^T (I - G T^-1 G^T)^-1 F0``."""

    def __init__(self, form: StepForm, multipliers: Matrix) -> None:
        self.form = form
        self.multipliers = multipliers
        self.feasible = np.ones(len(multipliers), dtype=bool)
        self._inverses = [self._inverse(part) for part in form.parts]

    def _inverse(self, part: slice) -> Matrix:
        gain = self.form.gain[..., part, part]
        inner = np.eye(gain.shape[-1]) - (gain / self.multipliers[..., None, part]) @ gain.swapaxes(-1, -2)
        for problem, matrix in enumerate(inner):
            if not positive_definite(matrix - INTERIOR * np.eye(len(matrix))):
                self.feasible[problem] = False
                inner[problem] = np.eye(len(matrix))
        return np.asarray(np.linalg.inv(inner), dtype=np.float64)

    def _by_parts(self, blocks: list[Matrix], vectors: Matrix) -> Matrix:
        if len(blocks) == 1:
            return blocks[0] @ vectors
        result = np.empty_like(vectors)
        for part, block in zip(self.form.parts, blocks, strict=True):
            result[..., part, :] = block @ vectors[..., part, :]
        return result

    def apply(self, vectors: Matrix) -> Matrix:
        """See :class:`Point`."""
        form, view = self.form, self.form.view
        viewed = _viewed_back(view, self.multipliers[..., None] * _viewed(view, vectors))
        return viewed + form.fixed.swapaxes(-1, -2) @ self._by_parts(self._inverses, form.fixed @ vectors)

    def slopes(self, vectors: Matrix, weights: Matrix) -> Matrix:
        """See :class:`Point`."""
        back = [self.form.gain[..., part, part].swapaxes(-1, -2) for part in self.form.parts]
        inner = self._by_parts(back, self._by_parts(self._inverses, self.form.fixed @ vectors))
        seen = _viewed(self.form.view, vectors)
        return _weighted_squares(seen, weights) - _weighted_squares(inner, weights) / self.multipliers**2


class RatePoint(Point):
    """``base + sym(B V) / 2 + (B T^-1 B^T + V^T T V) / 4``."""

    def __init__(self, form: RateForm, multipliers: Matrix) -> None:
        self.form = form
        self.multipliers = multipliers
        self.feasible = np.ones(len(multipliers), dtype=bool)

    def apply(self, vectors: Matrix) -> Matrix:
        """See :class:`Point`."""
        gain, view, scale = self.form.gain, self.form.view, self.multipliers[..., None]
        both = gain @ ((gain.swapaxes(-1, -2) @ vectors) / scale)
        both += _viewed_back(view, scale * _viewed(view, vectors))
        return self.form.centre @ vectors + 0.25 * both

    def slopes(self, vectors: Matrix, weights: Matrix) -> Matrix:
        """See :class:`Point`."""
        inner = self.form.gain.swapaxes(-1, -2) @ vectors
        seen = _viewed(self.form.view, vectors)
        return 0.25 * (_weighted_squares(seen, weights) - _weighted_squares(inner, weights) / self.multipliers**2)


def point_of(form: StepForm | RateForm, multipliers: Matrix) -> Point:
    """The quadratic form at these multipliers."""
    return StepPoint(form, multipliers) if isinstance(form, StepForm) else RatePoint(form, multipliers)


def step_bound(form: StepForm, multipliers: Vector) -> float:
    """A bound of ``||F(E)||_2`` over all E, confirmed by two Cholesky factorisations; infinite where T cannot serve.

    Args:
        form: of one problem, ``(n, n)``.
        multipliers: T, ``(n,)``, positive.
    """
    matrix = _step_matrix(form, multipliers)
    if matrix is None:
        return math.inf
    # A relative margin, for the quadratic form and again for its rounding.
    return math.sqrt(largest_eigenvalue_bound(matrix) + MARGIN * max(1.0, float(np.abs(matrix).max())))


def step_is_bounded(form: StepForm, multipliers: Vector, factor: float) -> bool:
    """Whether two Cholesky factorisations confirm ``||F(E)||_2 <= factor`` over all E."""
    matrix = _step_matrix(form, multipliers)
    if matrix is None or not math.isfinite(factor):
        return False
    return positive_definite((factor * factor - 0.5 * MARGIN) * np.eye(len(matrix)) - matrix)


def _step_matrix(form: StepForm, multipliers: Vector) -> Matrix | None:
    """``V^T T V + F0^T (I - G T^-1 G^T)^-1 F0``, or ``None`` where the first factorisation fails."""
    solved = np.empty_like(form.fixed)
    for part in form.parts:
        gain = form.gain[part, part]
        inner = np.eye(len(gain)) - (gain / multipliers[part]) @ gain.T
        if not positive_definite(inner - INTERIOR * np.eye(len(gain))):
            return None
        factor = linalg.cholesky(inner, lower=True, check_finite=False)
        solved[part] = linalg.solve_triangular(factor, form.fixed[part], lower=True, check_finite=False)
    matrix: Matrix = solved.T @ solved
    if form.view is None:
        matrix[np.diag_indices(len(matrix))] += multipliers
    else:
        matrix += form.view.T @ (multipliers[:, None] * form.view)
    return matrix if np.isfinite(matrix).all() else None


def rate_bound(form: RateForm, multipliers: Vector) -> float:
    """A confirmed bound of ``lmax(sym J(D))`` over all slopes.

    Args:
        form: of one problem, ``(n, n)``.
        multipliers: T, ``(n,)``, positive.
    """
    identity = np.eye(len(multipliers))
    matrix = RatePoint(form, multipliers[None]).apply(identity[None])[0]
    return largest_eigenvalue_bound(0.5 * (matrix + matrix.T))
