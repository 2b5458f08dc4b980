"""What a certificate records."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["FORGOTTEN", "Certificate", "memory_steps"]

FORGOTTEN = 0.01
"""Share of a distance below which it counts as forgotten."""


@dataclass(frozen=True)
class Certificate:
    """What is certified of a network, or why it is not.

    Attributes:
        certified: contracting in discrete time, with its integrator at its dt.
        reason: why not; empty when certified.
        notes: remarks that do not change the verdict.
        rate: continuous-time contraction rate in the metric, per time constant; positive means certified.
        rate_upper: the smallest rate that a pattern of active units was found to have: no certificate in this metric
            can give more.
        rho: certified factor a step of the integrator in use; below 1 means certified.
        rho_lower: the largest factor a step that a pattern of active units was found to have in this metric: no
            certificate can give less, and from 1 on none exists.
        margin: ``1 - rho``.
        memory_steps: steps after which a distance has certainly fallen below a hundredth; ``None`` where rho is not
            below 1.
        bound: how ``rho`` was found: ``cayley``, ``edge_cayley``, ``resolvent`` or ``imex`` for these integrators; for
            Euler ``s_procedure``, ``centred`` where numbers are too large for it; ``small_gain`` in a scaled metric.
        multipliers: T of the S-procedure that confirms ``rho``, one a unit; empty where there is none.
        scales: c of the metric ``blockdiag(c_i I)``, one an area; empty where all are 1.
        integrator: ``cayley``, ``edge_cayley``, ``resolvent``, ``imex`` or ``euler``.
        edge_order: the order in which ``edge_cayley`` applies the edges; empty for the others. The certificate holds in
            any order, the network's outputs do not.
        stability: the arm.
        dt: step.
        tau: time constant.
        area_norm: s, the largest spectral norm of an area's weights.
        coupling_norm: norm of the linear coupling, ``||K + S||_2``.
        coupling_symmetric_part: largest eigenvalue of the symmetric part of the linear coupling; 0 for negative
            feedback.
        nonlinear_norm: norm of the nonlinear coupling, ``||C||_2``; 0 where there is none.
        orthogonality_defect: ``||Q^T Q - I||_2`` of the stored step matrix; for ``edge_cayley`` a bound of it for the
            product of all ``Q_e``; 0 where there is none.
        step_residual: a bound of how far, in norm, the coupling's step as executed or as judged may lie from the stated
            one, because a series was truncated or (``imex``) a matrix inverted; ``rho`` contains it as a share.
        euler_certified: whether forward Euler at this dt is, or would be, certified.
        euler_rho: its factor.
        euler_largest_dt: a dt up to which forward Euler is certified, by the multipliers of the rate; 0 when there is
            none.
    """

    certified: bool
    reason: str
    notes: tuple[str, ...]
    rate: float
    rate_upper: float
    rho: float
    rho_lower: float
    margin: float
    memory_steps: int | None
    bound: str
    multipliers: tuple[float, ...]
    scales: tuple[float, ...]
    integrator: str
    edge_order: str
    stability: str
    dt: float
    tau: float
    area_norm: float
    coupling_norm: float
    coupling_symmetric_part: float
    nonlinear_norm: float
    orthogonality_defect: float
    step_residual: float
    euler_certified: bool
    euler_rho: float
    euler_largest_dt: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; every number is finite."""
        lists = {name: list(getattr(self, name)) for name in ("notes", "multipliers", "scales")}
        return {**asdict(self), **lists}


def memory_steps(rho: float) -> int | None:
    """Steps after which ``rho^T`` is below :data:`FORGOTTEN`; ``None`` where rho is not below 1."""
    if not rho < 1:
        return None
    return math.ceil(math.log(FORGOTTEN) / math.log(rho)) if rho > 0 else 1
