"""The continuous-time contraction rate of a whole network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from topo_search.model.certificate.area_bounds import AreaRates
from topo_search.model.certificate.bounds import moderate
from topo_search.model.certificate.eigen import Vector, largest_eigenvalue_bound, norm_bound
from topo_search.model.certificate.falsifier import smallest_rate_found
from topo_search.model.certificate.frame import Frame
from topo_search.model.certificate.multipliers import balanced_multipliers, best_start, improve, rounded
from topo_search.model.certificate.s_procedure import rate_bound
from topo_search.model.certificate.small_gain import small_gain_rate
from topo_search.model.certificate.step_forms import RateForm, rate_form

__all__ = ["Rate", "network_rate"]


@dataclass(frozen=True)
class Rate:
    """A contraction rate, in units of ``1 / tau``.

    Attributes:
        rate: certified, in the metric of the frame.
        found: the smallest that slopes were found to have there.
        areas: the smallest rate of an area by itself.
        multipliers: T, ``(N,)``, a start for the multipliers of a step.
        offered: scales of areas in which more may be certified; empty for none.
    """

    rate: float
    found: float
    areas: float
    multipliers: Vector
    offered: tuple[float, ...] = ()


def network_rate(frame: Frame, areas: AreaRates) -> Rate:
    """The best rate that is certified.

    A skew coupling costs nothing. A symmetric part S costs ``lmin(Lambda - S)``. A nonlinear coupling is judged by
    small gain, unscaled wherever there is a linear coupling, and by the S-procedure on the whole of ``W + C``.

    Args:
        frame: the dynamics.
        areas: rates of areas by themselves, which scales of areas do not change.
    """
    slowest = float(areas.rates.min())
    if frame.separable:
        return Rate(slowest, float(areas.found.min()), slowest, areas.multipliers)
    rates: list[float] = []
    multipliers = areas.multipliers
    offered: tuple[float, ...] = ()
    if frame.nonlinear is None:
        rates.append(_with_symmetric_part(frame, areas.rates))
    else:
        unscaled, offered = _small_gain(frame, areas.rates)
        rates.append(unscaled)
    form = rate_form(frame)
    if moderate(form.gain, form.view, form.base):
        whole, multipliers = _whole(form, areas.multipliers)
        rates.append(whole)
    return Rate(max(rates), smallest_rate_found(form), slowest, multipliers, offered)


def _with_symmetric_part(frame: Frame, rates: Vector) -> float:
    """``lmin(Lambda - S)``."""
    difference = -np.diag(np.repeat(rates, frame.sizes))
    return -largest_eigenvalue_bound(difference if frame.symmetric is None else difference + frame.symmetric)


def _small_gain(frame: Frame, rates: Vector) -> tuple[float, tuple[float, ...]]:
    """The small-gain rate in the frame's own metric, and scales of areas in which it is larger."""
    assert frame.nonlinear is not None
    coupling = frame.speeds[:, None] * frame.nonlinear
    offered: tuple[float, ...] = ()
    if frame.scalable:
        best = small_gain_rate(rates, coupling, frame.sizes, free_scales=True, gauge=frame.gauge)
        offered = best.scales if best.bound == "scaled" else ()
    found = small_gain_rate(rates, coupling, frame.sizes, free_scales=False, gauge=frame.gauge).rate
    symmetric = 0.0 if frame.symmetric is None else max(0.0, largest_eigenvalue_bound(frame.symmetric))
    return found - symmetric, offered


def _whole(form: RateForm, start: Vector) -> tuple[float, Vector]:
    """The S-procedure on the whole network."""
    batch = RateForm(form.base[None], form.gain[None], None if form.view is None else form.view[None])
    balanced = balanced_multipliers(batch)
    uniform = np.full_like(balanced, norm_bound(form.gain) / (1.0 if form.view is None else norm_bound(form.view)))
    first, _ = best_start(batch, [start[None], balanced, 2 * balanced, np.maximum(uniform, 1e-20)])
    multipliers: Vector = rounded(improve(batch, first))[0]
    return -rate_bound(form, multipliers), multipliers
