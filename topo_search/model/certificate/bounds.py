"""Simple bounds of one Euler step, in increasing tightness, and the largest step that multipliers certify.

``h`` is the step, ``s`` the largest norm of an area's weights, ``sigma`` the norm of the skew coupling, ``lambda`` the
continuous-time rate; areas have the identity metric, and speeds are 1.
"""

from __future__ import annotations

import math

import numpy as np

from topo_search.model.certificate.eigen import (
    Matrix,
    Vector,
    largest_eigenvalue,
    norm_bound,
    positive_definite,
)
from topo_search.model.certificate.step_forms import StepForm

__all__ = [
    "centred",
    "dead_modulus",
    "imex_closed_form",
    "largest_step",
    "moderate",
    "naive",
    "tri",
    "tri_largest_step",
]


def naive(rate: float, h: float, s: float, sigma: float) -> float:
    """``sqrt(1 - 2 h lambda + h^2 (2 lambda - 1 + (s + sigma)^2))``, for ``0 < h <= 1``."""
    return math.sqrt(1 - 2 * h * rate + h * h * (2 * rate - 1 + (s + sigma) ** 2))


def tri(h: float, s: float, sigma: float) -> float:
    """``sqrt((1 - h)^2 + h^2 sigma^2) + h s``, by the triangle inequality."""
    return math.hypot(1 - h, h * sigma) + h * s


def centred(form: StepForm) -> float:
    """``||F0||_2 + ||G||_2 ||V||_2``: slopes taken from one half."""
    view = 1.0 if form.view is None else norm_bound(form.view)
    return norm_bound(form.fixed) + norm_bound(form.gain) * view


def dead_modulus(h: float, sigma: float) -> float:
    """``sqrt((1 - h)^2 + h^2 sigma^2)``: the largest modulus of an eigenvalue of Euler's step where no unit is active.

    From 1 on, Euler contracts in no metric.
    """
    return math.hypot(1 - h, h * sigma)


def imex_closed_form(h: float, s: float, sigma: float) -> float:
    """``(sqrt((1 - h)^2 + b^2) + h s) / sqrt(1 + b^2)``, ``b = h sigma / 2``, where that is below 1; else infinite.

    The ratio of one step for a disturbance that the coupling turns with strength b grows with b as long as the bound is
    below 1, so the strongest coupling decides.
    """
    b = 0.5 * h * sigma
    factor = (math.hypot(1 - h, b) + h * s) / math.hypot(1, b)
    return factor * (1 + 1e-12) if factor < 1 else math.inf


def tri_largest_step(s: float, sigma: float) -> float:
    """The h at which :func:`tri` reaches 1, ``2 (1 - s) / (1 + sigma^2 - s^2)``, at most 1; 0 when there is none."""
    if s >= 1:
        return 0.0
    return min(1.0, 2 * (1 - s) / (1 + sigma * sigma - s**2))


def largest_step(slope: Matrix, gain: Matrix, view: Matrix | None, multipliers: Vector) -> float:
    """The largest h at which the multipliers ``h T`` certify ``F(E) = I + h A + h G E V``; 0 when there is none.

    With ``N = [[-2 sym A - V^T T V, -G], [-G^T, T]]`` the certificate is ``N >= h [A G]^T [A G]``: the steps that it
    holds for are an interval from 0, whose end is ``1 / lmax([A G] N^-1 [A G]^T)``, and it holds for none unless N is
    positive definite, that is unless the multipliers certify the continuous-time rate.

    Args:
        slope: A, ``(N, N)``.
        gain: G, ``(N, N)``.
        view: V, ``(N, N)``; ``None`` for the identity.
        multipliers: T, ``(N,)``, positive.
    """
    scaled = gain / multipliers
    seen = np.diag(multipliers) if view is None else view.T @ (multipliers[:, None] * view)
    # Schur's complement of T in N, and [A G] N^-1 [A G]^T through it.
    complement = -(slope + slope.T) - seen - scaled @ gain.T
    complement = 0.5 * (complement + complement.T)
    if not positive_definite(complement - 1e-12 * np.eye(len(complement))):
        return 0.0
    mixed = slope + scaled @ gain.T
    quadratic = mixed @ np.linalg.solve(complement, mixed.T) + scaled @ gain.T
    return 1 / max(largest_eigenvalue(0.5 * (quadratic + quadratic.T)), np.finfo(float).tiny)


def moderate(*matrices: Matrix | None) -> bool:
    """Whether products of these matrices stay within the range of float64."""
    return all(matrix is None or float(np.abs(matrix).max(initial=0.0)) < 1e60 for matrix in matrices)
