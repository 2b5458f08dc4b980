"""The coupling's own step as it is stored and executed: its norm, and whether it is refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from topo_search.errors import InputError
from topo_search.model.certificate.bounds import centred
from topo_search.model.certificate.coupling_steps import StepPair, edge_step_pairs, steps_defect
from topo_search.model.certificate.eigen import MARGIN, norm_bound
from topo_search.model.certificate.frame import Frame
from topo_search.model.certificate.network import NetworkMatrices
from topo_search.model.certificate.step_forms import local_form

__all__ = ["CouplingStep", "coupling_step", "imex_left_out", "series_residual"]


class CouplingStep(NamedTuple):
    """What the coupling's own step does, where it is taken before or after the local map.

    Attributes:
        norm: a bound of its norm, of which the residual is a part.
        defect: of orthogonality.
        residual: what a truncated series leaves out.
        reason: why it is refused; empty if it is not.
        notes: remarks.
    """

    norm: float = 1.0
    defect: float = 0.0
    residual: float = 0.0
    reason: str = ""
    notes: tuple[str, ...] = ()


def coupling_step(frame: Frame, network: NetworkMatrices) -> CouplingStep:
    """Judge the coupling's own step: of Cayley integrators as it is stored, of the resolvent as it is executed."""
    residual = 0.0
    if network.integrator == "resolvent":
        residual = _left_out(frame, network, frame.h)
        return CouplingStep(1 + residual, residual=residual)
    if network.steps is None:
        return CouplingStep()
    if network.integrator == "cayley":
        # y = 2 z - x, z from the series.
        residual = 2 * _left_out(frame, network, 0.5 * frame.h)
    pairs = [StepPair(network.steps, frame.skew)]
    if network.integrator == "edge_cayley":
        pairs = edge_step_pairs(network.steps, frame.skew, network.sizes, network.edges)
    defects = [norm_bound(step.T @ step - np.eye(len(step))) for step, _ in pairs]
    defect = _product_defect(defects)
    reason, note = steps_defect(pairs, frame.h, max(defects, default=0.0))
    # The margin also covers the rounding of Q^T Q, which a margin relative to so small a defect would not.
    norm = math.sqrt(1 + defect) * (1 + MARGIN) + residual
    return CouplingStep(norm, defect, residual, reason, (note,) if note else ())


def imex_left_out(frame: Frame, network: NetworkMatrices) -> float:
    """What a truncated series may add to the factor of an IMEX step, in its own metric; 0 for other integrators.

    ``y+ = P (2 y + f(y)) - y`` with ``P + Delta`` for P: in coordinates ``(I - h K / 2) y`` the step differs by
    ``(I - h K / 2) Delta (2 I + f') P``.
    """
    if network.integrator != "imex" or network.series is None:
        return 0.0
    reach = 0.5 * frame.h * norm_bound(frame.skew)
    return math.hypot(1, reach) * (1 + centred(local_form(frame))) * _left_out(frame, network, 0.5 * frame.h)


def _left_out(frame: Frame, network: NetworkMatrices, c: float) -> float:
    """Norm of what the executed ``(I - c K)^-1`` may lack."""
    return 0.0 if network.series is None else series_residual(*network.series, reach=c * norm_bound(frame.skew))


def _product_defect(defects: Sequence[float]) -> float:
    """A bound of ``||Q^T Q - I||_2`` of a product of matrices with these defects: ``prod (1 + defect) - 1``.

    Singular values of the product lie between ``prod sqrt(1 - defect)`` and ``prod sqrt(1 + defect)``, in any order.
    """
    total = 0.0
    for defect in defects:
        total += defect + defect * total
    if not math.isfinite(total):
        raise InputError("coupling_steps cannot be judged: expected orthogonal matrices, found entries that overflow")
    return total


def series_residual(radius: float, coefficients: Sequence[float], reach: float) -> float:
    """A bound of ``||p(c K) - (I - c K)^-1||_2`` for a skew K with ``c ||K||_2 = reach``.

    ``p = sum a_k P_k(c K / radius)``, ``P_0 = I, P_1 = X, P_k+1 = 2 X P_k + P_k-1``. K is normal with eigenvalues on
    the imaginary axis, so the norm is the largest deviation there; it is evaluated on a fine grid and doubled.
    """
    t = np.linspace(0.0, max(reach, np.finfo(float).tiny) / radius, 4097) * 1j
    before, now = np.ones_like(t), t
    total = coefficients[0] * before
    for coefficient in coefficients[1:]:
        total = total + coefficient * now
        before, now = now, 2 * t * now + before
    return 2 * float(np.abs(total - 1 / (1 - radius * t)).max())
