"""The verdict on a network, from its matrices."""

from __future__ import annotations

import math

from threadpoolctl import threadpool_limits

from topo_search.model.certificate.area_bounds import area_rates
from topo_search.model.certificate.bounds import dead_modulus
from topo_search.model.certificate.eigen import MARGIN, largest_eigenvalue_bound, norm_bound
from topo_search.model.certificate.euler import EulerVerdict, euler_beside
from topo_search.model.certificate.factor import Factor, step_factor
from topo_search.model.certificate.frame import Frame, frame_of
from topo_search.model.certificate.network import NetworkMatrices, check_shapes, structure_defect
from topo_search.model.certificate.rate import Rate, network_rate
from topo_search.model.certificate.stored_step import coupling_step, imex_left_out
from topo_search.model.certificate.verdict import Certificate, memory_steps

__all__ = ["EDGE_ORDER", "certify_frame", "certify_matrices"]

EDGE_ORDER = "sorted, reversed at odd steps"
"""The order in which an edge-wise step applies its edges, recorded because it is part of the model."""

# How far a bound may lie on the wrong side of what was found before the two contradict each other.
CONTRADICTION = 1e-8


def certify_matrices(network: NetworkMatrices) -> Certificate:
    """Judge a network from its matrices.

    Args:
        network: the matrices, see :class:`NetworkMatrices`.

    Returns:
        The certificate; ``certified`` is False, with the reason, where no bound holds, where the matrices are not those
        of the graph, and always for the arms ``as_released`` and ``unconstrained``.

    Raises:
        InputError: if it cannot be judged: shapes that do not fit, NaN or infinity, an impossible dt.
    """
    check_shapes(network)
    return certify_frame(frame_of(network), network, defect=structure_defect(network))


def certify_frame(frame: Frame, network: NetworkMatrices, *, defect: str) -> Certificate:
    """Judge dynamics that were resolved already.

    On one thread: beside busy workers a second one is waited for far longer than it helps, and the last digits of what
    is found depend on the number of threads.

    Args:
        frame: the dynamics.
        network: how they are stepped, and which arm they are.
        defect: why the matrices are refused whatever the bounds say; empty if they are not.
    """
    with threadpool_limits(limits=1, user_api="blas"):
        return _judge(frame, network, defect)


def _judge(frame: Frame, network: NetworkMatrices, defect: str) -> Certificate:
    rate, factor = _best_metric(frame, network.integrator)
    step = coupling_step(frame, network)
    left_out = (factor.residual + imex_left_out(frame, network)) / factor.rho
    rho, found = factor.rho * (step.norm + left_out), factor.found * math.sqrt(max(0.0, 1 - step.defect))
    area_norm = max(norm_bound(frame.weights[area, area]) for area in frame.areas)
    strength = norm_bound(frame.linear)
    symmetric = 0.0 if frame.symmetric is None else max(0.0, largest_eigenvalue_bound(frame.symmetric))
    euler = euler_beside(frame, network.integrator, rate, factor, free=network.stability == "unconstrained")
    reason = (
        defect
        or step.reason
        or _arm_reason(network, area_norm, symmetric, rate)
        or _contradiction(rho, found, rate)
        or ("" if rho < 1 else _expansion(frame, network, rho, found, area_norm, strength, rate, euler))
    )
    return Certificate(
        certified=not reason,
        reason=reason,
        notes=step.notes,
        rate=rate.rate,
        rate_upper=rate.found,
        rho=rho,
        rho_lower=found,
        margin=1 - rho,
        memory_steps=memory_steps(rho),
        bound=factor.bound,
        multipliers=tuple(factor.multipliers.tolist()),
        scales=factor.scales,
        integrator=network.integrator,
        edge_order=EDGE_ORDER if network.integrator == "edge_cayley" else "",
        stability=network.stability,
        dt=network.dt,
        tau=network.tau,
        area_norm=area_norm,
        coupling_norm=strength,
        coupling_symmetric_part=symmetric,
        nonlinear_norm=0.0 if frame.nonlinear is None else norm_bound(frame.nonlinear),
        orthogonality_defect=step.defect,
        step_residual=step.residual + left_out,
        euler_certified=euler.certified,
        euler_rho=euler.rho,
        euler_largest_dt=euler.largest_dt * network.tau,
    )


def _best_metric(frame: Frame, integrator: str) -> tuple[Rate, Factor]:
    """Rate and factor in the identity metric or, where areas may be scaled against each other, in the better one."""
    areas = area_rates(frame)
    rate = network_rate(frame, areas)
    factor = step_factor(frame, integrator, rate)
    if not rate.offered:
        return rate, factor
    scaled = frame.scaled(rate.offered)
    other = network_rate(scaled, areas)
    other_factor = step_factor(scaled, integrator, other)
    return (other, other_factor) if other_factor.rho < factor.rho else (rate, factor)


def _arm_reason(network: NetworkMatrices, area_norm: float, symmetric: float, rate: Rate) -> str:
    if network.stability == "as_released":
        return (
            "the published arm as released: the identity is not a metric of these areas "
            f"(largest area norm {area_norm:.4g}, rate {rate.rate:.4g}); always labelled uncertified"
        )
    if network.stability == "unconstrained" and symmetric > 0:
        return (
            f"the coupling is not negative feedback: the symmetric part of L has eigenvalue {symmetric:.4g}, "
            f"at most {rate.areas:.4g} could be borne"
        )
    return ""


def _contradiction(rho: float, found: float, rate: Rate) -> str:
    """Why a verdict must not be believed: slopes were found that violate a bound. No input should lead here."""
    if found > rho * (1 + CONTRADICTION):
        return f"the bounds contradict each other: factor {rho:.9g} was confirmed and {found:.9g} was found"
    if rate.found < rate.rate - CONTRADICTION * max(1.0, abs(rate.rate)):
        return f"the bounds contradict each other: rate {rate.rate:.9g} was confirmed and {rate.found:.9g} was found"
    return ""


def _expansion(
    frame: Frame,
    network: NetworkMatrices,
    rho: float,
    found: float,
    area_norm: float,
    strength: float,
    rate: Rate,
    euler: EulerVerdict,
) -> str:
    """Why a factor of 1 or more is not certified."""
    impossible = ""
    if found >= 1:
        impossible = (
            f"; contraction in this metric is impossible: a pattern of active units expands by {found:.6g} a step"
        )
    plain = frame.gauge is None and frame.separable
    if plain and area_norm >= 1:
        return f"the weights of an area have norm {area_norm:.6g}: expected below 1{impossible}"
    if network.integrator != "euler":
        return f"{network.integrator} at dt {network.dt:g} is not certified: factor {rho:.6g} a step{impossible}"
    if plain and (frame.speeds == 1).all() and dead_modulus(frame.h, strength * (1 - 10 * MARGIN)) >= 1:
        modulus = dead_modulus(frame.h, strength)
        impossible = (
            f"; with no unit active a step has an eigenvalue of modulus {modulus:.6g}: it contracts in no metric"
        )
    return (
        f"forward Euler at dt {network.dt:g} is not certified: factor {rho:.6g} a step at coupling norm "
        f"{strength:.4g}; "
        f"largest certified dt {euler.largest_dt * network.tau:.4g} (continuous-time rate {rate.rate:.4g}){impossible}"
    )
