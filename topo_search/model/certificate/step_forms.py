"""What is to be bounded over all slopes, as matrices: the step of each integrator, and the rate.

The linearisation of one step is ``F(E) = F0 + G E V``, E diagonal in [-1, 1], with ``D = (I + E) / 2`` the slopes. All
arrays may have leading axes, over areas of one size that are judged side by side.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from topo_search.model.certificate.eigen import Matrix, norm_bound
from topo_search.model.certificate.frame import Frame

__all__ = ["RateForm", "StepForm", "euler_form", "imex_form", "local_form", "rate_form", "resolvent_form"]


@dataclass(frozen=True)
class StepForm:
    """``F(E) = F0 + G E V``.

    Attributes:
        fixed: F0, ``(..., n, n)``.
        gain: G, ``(..., n, n)``.
        view: V, ``(..., n, n)``; ``None`` for the identity.
        parts: the diagonal blocks of G.
    """

    fixed: Matrix
    gain: Matrix
    view: Matrix | None
    parts: tuple[slice, ...]

    @property
    def scale(self) -> float:
        """How much slopes can matter: what multipliers are looked for in fractions of."""
        return max(float(np.abs(self.gain).max(initial=0.0)), 1e-30) * 2


@dataclass(frozen=True)
class RateForm:
    """``sym J(D) = base + sym(B D V)``: the symmetric part of the Jacobian in continuous time.

    Attributes:
        base: ``-R + S``, ``(..., n, n)``.
        gain: B, ``(..., n, n)``.
        view: V, ``(..., n, n)``; ``None`` for the identity.
    """

    base: Matrix
    gain: Matrix
    view: Matrix | None

    @property
    def scale(self) -> float:
        """As of :class:`StepForm`."""
        return max(float(np.abs(self.gain).max(initial=0.0)), 1e-30)

    @cached_property
    def centre(self) -> Matrix:
        """``base + sym(B V) / 2``: all slopes one half."""
        product = self.gain if self.view is None else self.gain @ self.view
        return self.base + 0.25 * (product + product.swapaxes(-1, -2))


def rate_form(frame: Frame) -> RateForm:
    """The rate of the whole network; K is skew and does not appear."""
    return RateForm(frame.drift, frame.gain, frame.gauge)


def _local_fixed(frame: Frame) -> Matrix:
    """``I + h (-R + S) + (h / 2) R (W + C) V``."""
    product = frame.gain if frame.gauge is None else frame.gain @ frame.gauge
    return np.eye(len(product)) + frame.h * frame.drift + 0.5 * frame.h * product


def local_form(frame: Frame) -> StepForm:
    """The local map of Cayley and resolvent steps: Euler without K."""
    return StepForm(_local_fixed(frame), 0.5 * frame.h * frame.gain, frame.gauge, frame.gain_parts)


def euler_form(frame: Frame) -> StepForm:
    """One step of forward Euler."""
    return StepForm(
        _local_fixed(frame) + frame.h * frame.skew, 0.5 * frame.h * frame.gain, frame.gauge, frame.gain_parts
    )


def imex_form(frame: Frame) -> tuple[StepForm, float]:
    """One IMEX step in the coordinates ``z = (I - h K / 2) y``, and a bound of what rounding did to it.

    ``F = (I + h K / 2 + h (-R + S) + h R (W + C) D V) P`` with ``P = (I - h K / 2)^-1``; there the step contracts, that
    is in the metric ``I + (h^2 / 4) K^T K``.
    """
    identity = np.eye(len(frame.skew))
    half = identity - 0.5 * frame.h * frame.skew
    inverse: Matrix = np.asarray(np.linalg.inv(half), dtype=np.float64)
    residual = 2 * norm_bound(inverse @ half - identity)
    change = _local_fixed(frame) - identity
    # (I + hK/2) P = 2 P - I keeps its norm, 1, in float64 at every strength.
    form = StepForm(
        2 * inverse - identity + change @ inverse,
        0.5 * frame.h * frame.gain,
        inverse if frame.gauge is None else frame.gauge @ inverse,
        frame.gain_parts,
    )
    slack = 2 + norm_bound(change) + 0.5 * frame.h * norm_bound(frame.gain) * _view_norm(frame.gauge)
    return form, residual * slack


def resolvent_form(frame: Frame) -> StepForm:
    """One resolvent step, ``(I - h K)^-1`` after the local map."""
    local = local_form(frame)
    inverse = np.linalg.inv(np.eye(len(frame.skew)) - frame.h * frame.skew)
    return StepForm(inverse @ local.fixed, inverse @ local.gain, local.view, (slice(0, len(frame.skew)),))


def _view_norm(view: Matrix | None) -> float:
    return 1.0 if view is None else norm_bound(view)
