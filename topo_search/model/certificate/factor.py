"""The certified factor of one step, for each integrator."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from topo_search.model.certificate.area_bounds import local_factors
from topo_search.model.certificate.bounds import centred, imex_closed_form, moderate
from topo_search.model.certificate.eigen import Vector, norm_bound
from topo_search.model.certificate.falsifier import largest_step_found
from topo_search.model.certificate.frame import Frame
from topo_search.model.certificate.multipliers import best_start, improve, rounded
from topo_search.model.certificate.rate import Rate
from topo_search.model.certificate.s_procedure import step_bound
from topo_search.model.certificate.step_forms import StepForm, euler_form, imex_form, local_form, resolvent_form

__all__ = ["Factor", "step_factor"]

# A closed form that is better by more than this shows that float64 could not follow.
DIGITS_LOST = 1e-6
# In the place of a factor that float64 cannot follow: finite, as records hold finite numbers.
HUGE = 1e100


@dataclass(frozen=True)
class Factor:
    """A factor of one step, without what a stored coupling step adds.

    Attributes:
        rho: certified.
        found: the largest that slopes were found to have.
        bound: what gave it.
        multipliers: T that confirm it, ``(N,)``, or empty.
        scales: of areas, empty where all are 1.
        residual: what the rounding of a matrix inverse may add to it.
    """

    rho: float
    found: float
    bound: str
    multipliers: Vector
    scales: tuple[float, ...]
    residual: float = 0.0


def step_factor(frame: Frame, integrator: str, rate: Rate) -> Factor:
    """The factor of one step.

    Args:
        frame: the dynamics.
        integrator: for Cayley steps the factor is that of the local map.
        rate: found in this frame; its multipliers are where the search for those of the step begins.
    """
    if integrator == "euler":
        return _whole(frame, euler_form(frame), rate, "s_procedure")
    if integrator == "imex":
        return _imex(frame, rate)
    local = _local(frame, integrator, rate)
    if integrator == "resolvent":
        # The implicit solve contracts too: what slopes do to the local map alone may not be reached.
        return replace(local, found=_found(resolvent_form(frame)))
    return local


def _local(frame: Frame, integrator: str, rate: Rate) -> Factor:
    """Area by area where areas meet in nothing but the coupling's own step."""
    if not frame.separable:
        return _whole(frame, local_form(frame), rate, integrator)
    local = local_factors(frame, rate.multipliers)
    return Factor(float(local.factors.max()), float(local.found.max()), integrator, local.multipliers, frame.scales)


def _whole(frame: Frame, form: StepForm, rate: Rate, bound: str) -> Factor:
    """The S-procedure on the whole network."""
    if not moderate(form.fixed, form.gain, form.view):
        return Factor(centred(form), 0.0, "centred", np.zeros(0), frame.scales)
    batch = StepForm(form.fixed[None], form.gain[None], None if form.view is None else form.view[None], form.parts)
    first = 0.5 * frame.h * rate.multipliers[None]
    gain, view = norm_bound(form.gain), 1.0 if form.view is None else norm_bound(form.view)
    uniform = np.full_like(first, max(gain / view * (norm_bound(form.fixed) + gain * view), 1e-20))
    start, _ = best_start(batch, [uniform, *(scale * first for scale in (0.7, 1.0, 1.5))])
    multipliers = rounded(improve(batch, start))[0]
    if frame.scales:
        bound = "small_gain"
    return Factor(step_bound(form, multipliers), _found(form), bound, multipliers, frame.scales)


def _imex(frame: Frame, rate: Rate) -> Factor:
    """In IMEX's own metric, ``I + (h^2 / 4) K^T K``."""
    if moderate(frame.linear, frame.gain):
        form, residual = imex_form(frame)
        found = _whole(frame, form, rate, "imex")
        judged = replace(found, residual=residual)
    else:
        judged = Factor(HUGE, 0.0, "imex", np.zeros(0), frame.scales)
    if frame.plain:
        largest = max(norm_bound(frame.weights[area, area]) for area in frame.areas)
        closed = imex_closed_form(frame.h, largest, norm_bound(frame.skew))
        if closed < judged.rho + judged.residual - DIGITS_LOST:
            # Exact at any strength, where the inverse has lost its digits.
            return replace(judged, rho=closed, multipliers=np.zeros(0), residual=0.0)
    return judged


def _found(form: StepForm) -> float:
    return largest_step_found(form) if moderate(form.fixed, form.gain, form.view) else 0.0
