"""What forward Euler would do to the same network, beside the verdict on its own integrator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from topo_search.model.certificate.bounds import largest_step, moderate, tri_largest_step
from topo_search.model.certificate.eigen import Matrix, Vector, norm_bound
from topo_search.model.certificate.factor import Factor
from topo_search.model.certificate.frame import Frame
from topo_search.model.certificate.multipliers import improve
from topo_search.model.certificate.rate import Rate
from topo_search.model.certificate.s_procedure import step_bound, step_is_bounded
from topo_search.model.certificate.step_forms import StepForm

__all__ = ["EulerVerdict", "euler_beside"]

# Above this size the multipliers of the rate are tried at one scale only.
LARGE = 1024


@dataclass(frozen=True)
class EulerVerdict:
    """Forward Euler.

    Attributes:
        certified: at this h.
        rho: its factor.
        largest_dt: h up to which it is certified, in units of tau; 0 when there is none.
    """

    certified: bool
    rho: float
    largest_dt: float


def euler_beside(frame: Frame, integrator: str, rate: Rate, factor: Factor, *, free: bool) -> EulerVerdict:
    """Judge forward Euler.

    Args:
        frame: the dynamics.
        integrator: of the network; for ``euler`` the factor is known.
        rate: found in this frame; its multipliers certify an interval of steps from 0 whenever they certify a rate.
        factor: of the network's own integrator.
        free: no negative feedback: then nothing is certified.
    """
    largest, family, multipliers = _largest_dt(frame, integrator, rate, factor)
    rho = factor.rho
    if integrator != "euler":
        view = 1.0 if frame.gauge is None else norm_bound(frame.gauge)
        step = np.eye(len(frame.skew)) + frame.h * (frame.drift + frame.linear)
        rho = norm_bound(step) + frame.h * norm_bound(frame.gain) * view
        if multipliers is not None:
            # They certify every step up to the largest one.
            rho = min(rho, step_bound(family.form(frame.h), frame.h * multipliers))
    return EulerVerdict(rho < 1 and not free, rho, 0.0 if free else largest)


def _largest_dt(frame: Frame, integrator: str, rate: Rate, factor: Factor) -> tuple[float, _Family, Vector | None]:
    """The largest certified h, and multipliers for ``h = 1`` that certify it where they do better than norms."""
    longest = min(1.0, 1 / float(frame.speeds.max()))
    largest, chosen = 0.0, None
    if frame.plain:
        area_norm = max(norm_bound(frame.weights[area, area]) for area in frame.areas)
        largest = tri_largest_step(area_norm, norm_bound(frame.skew))
    slope = frame.drift + frame.skew + 0.5 * (frame.gain if frame.gauge is None else frame.gain @ frame.gauge)
    family = _Family(slope, 0.5 * frame.gain, frame.gauge, frame.gain_parts)
    if not moderate(slope, family.gain, frame.gauge):
        return largest, family, None
    scales = (1.0,) if len(slope) > LARGE else (0.6, 0.8, 1.0, 1.25, 1.6)
    candidates = [0.5 * scale * rate.multipliers for scale in scales]
    if integrator == "euler" and len(factor.multipliers):
        candidates.append(factor.multipliers / frame.h)
    for multipliers in candidates:
        step = family.certified_step(multipliers, longest)
        if step > largest:
            largest, chosen = step, multipliers
    if integrator == "euler" and 0 < largest < longest and len(slope) <= LARGE:
        # Once more with multipliers that are made for a step of that size.
        form = family.form(largest)
        start = min(candidates, key=lambda multipliers: step_bound(form, largest * multipliers))
        batch = StepForm(form.fixed[None], form.gain[None], None if form.view is None else form.view[None], form.parts)
        best = improve(batch, largest * start[None])[0] / largest
        largest = max(largest, family.certified_step(best, longest))
    return largest, family, chosen


@dataclass(frozen=True)
class _Family:
    """Euler steps ``I + h A + h G E V`` of every h."""

    slope: Matrix
    gain: Matrix
    view: Matrix | None
    parts: tuple[slice, ...]

    def form(self, step: float) -> StepForm:
        return StepForm(np.eye(len(self.slope)) + step * self.slope, step * self.gain, self.view, self.parts)

    def certified_step(self, multipliers: Vector, longest: float) -> float:
        """The largest step that multipliers ``h T`` certify, confirmed by Cholesky factorisations; 0 for none."""
        step = min(longest, (1 - 1e-6) * largest_step(self.slope, self.gain, self.view, multipliers))
        return step if step > 0 and step_is_bounded(self.form(step), step * multipliers, 1.0) else 0.0
