"""Each area by itself: its certified rate and the factor of its local step. Areas of one size are judged at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from topo_search.model.certificate.bounds import centred, moderate
from topo_search.model.certificate.eigen import (
    Matrix,
    Vector,
    largest_eigenvalue_bound,
    norm_bound,
    symmetric_part,
    weight_magnitudes,
)
from topo_search.model.certificate.falsifier import largest_step_found, smallest_rate_found
from topo_search.model.certificate.frame import Frame
from topo_search.model.certificate.multipliers import balanced_multipliers, best_start, best_uniform, improve, rounded
from topo_search.model.certificate.s_procedure import rate_bound, step_bound
from topo_search.model.certificate.step_forms import RateForm, StepForm

__all__ = ["AreaRates", "LocalFactors", "area_rates", "local_factors"]


@dataclass(frozen=True)
class AreaRates:
    """Rates in units of ``1 / tau``, speeds included.

    Attributes:
        rates: certified, ``(p,)``.
        found: upper bounds, from slopes that were found, ``(p,)``.
        multipliers: T of the S-procedure for the rate, ``(N,)``.
    """

    rates: Vector
    found: Vector
    multipliers: Vector


@dataclass(frozen=True)
class LocalFactors:
    """Factors of the local maps, the steps without any coupling.

    Attributes:
        factors: certified, ``(p,)``.
        found: lower bounds, from slopes that were found, ``(p,)``.
        multipliers: T of the S-procedure for the step, ``(N,)``.
    """

    factors: Vector
    found: Vector
    multipliers: Vector


def area_rates(frame: Frame) -> AreaRates:
    """The rate of each area: the best of Theorem 5 (circle), Theorem 1 (magnitudes) and the S-procedure."""
    result = AreaRates(np.zeros(len(frame.sizes)), np.zeros(len(frame.sizes)), np.ones(len(frame.weights)))
    for areas, units in _groups(frame):
        gain, view, speeds = _blocks(frame, units)
        form = RateForm(-_diagonals(speeds), gain, view)
        multipliers = balanced_multipliers(form)
        if moderate(gain, view):
            uniform = _circle(form) if view is None else best_uniform(form, _circle(form)[:, 0])
            start, _ = best_start(form, [uniform, *(scale * multipliers for scale in (0.5, 1.0, 2.0))])
            multipliers = rounded(improve(form, start))
        for index, area in enumerate(areas):
            single = RateForm(form.base[index], gain[index], None if view is None else view[index])
            result.multipliers[units[index]] = multipliers[index]
            result.rates[area] = _area_rate(single, multipliers[index])
            result.found[area] = smallest_rate_found(single)
    return result


def local_factors(frame: Frame, rate_multipliers: Vector) -> LocalFactors:
    """The factor of each area's local map.

    Args:
        frame: the dynamics.
        rate_multipliers: of :func:`area_rates`; half of them, times h, serve well for small h.
    """
    result = LocalFactors(np.zeros(len(frame.sizes)), np.zeros(len(frame.sizes)), np.ones(len(frame.weights)))
    h = frame.h
    for areas, units in _groups(frame):
        gain, view, speeds = _blocks(frame, units)
        fixed = _diagonals(1 - h * speeds) + 0.5 * h * (gain if view is None else gain @ view)
        form = StepForm(fixed, 0.5 * h * gain, view, (slice(0, units.shape[1]),))
        multipliers = 0.5 * h * rate_multipliers[units]
        if moderate(gain, view):
            start, _ = best_start(form, [_centred(form), *(scale * multipliers for scale in (1.0, 1.5))])
            multipliers = rounded(improve(form, start))
        for index, area in enumerate(areas):
            single = StepForm(fixed[index], form.gain[index], None if view is None else view[index], form.parts)
            result.multipliers[units[index]] = multipliers[index]
            result.factors[area] = step_bound(single, multipliers[index]) if moderate(gain, view) else centred(single)
            result.found[area] = largest_step_found(single)
    return result


def _groups(frame: Frame) -> Iterator[tuple[list[int], NDArray[np.intp]]]:
    """Areas of one size, with their units ``(areas, size)``."""
    for size in sorted(set(frame.sizes)):
        areas = [area for area, other in enumerate(frame.sizes) if other == size]
        yield areas, np.array([np.arange(frame.areas[area].start, frame.areas[area].stop) for area in areas])


def _blocks(frame: Frame, units: NDArray[np.intp]) -> tuple[Matrix, Matrix | None, Matrix]:
    """``R W`` and V of areas, ``(areas, size, size)``, and their speeds ``(areas, size)``."""
    rows, columns = units[:, :, None], units[:, None, :]
    speeds = frame.speeds[units]
    view = None if frame.gauge is None else frame.gauge[rows, columns]
    return speeds[..., None] * frame.weights[rows, columns], view, speeds


def _diagonals(values: Matrix) -> Matrix:
    """``(areas, size)`` as diagonal matrices."""
    matrices: Matrix = values[..., None] * np.eye(values.shape[-1])
    return matrices


def _norms(matrices: Matrix | None) -> Matrix:
    return np.ones(1) if matrices is None else np.asarray(np.linalg.norm(matrices, 2, axis=(-2, -1)), dtype=np.float64)


def _uniform(form: RateForm | StepForm, values: Matrix) -> Matrix:
    return np.maximum(values, 1e-20)[:, None] * np.ones(form.gain.shape[-1])


def _circle(form: RateForm) -> Matrix:
    """The uniform multiplier ``||B|| / ||V||``, which gives Theorem 5 in its circle form."""
    return _uniform(form, _norms(form.gain) / _norms(form.view))


def _centred(form: StepForm) -> Matrix:
    """The uniform multiplier that gives ``||F0|| + ||G|| ||V||``."""
    gain, view = _norms(form.gain), _norms(form.view)
    return _uniform(form, gain / view * (_norms(form.fixed) + gain * view))


def _area_rate(form: RateForm, multipliers: Vector) -> float:
    if not moderate(form.gain, form.view):
        return -norm_bound(form.gain) * (1.0 if form.view is None else norm_bound(form.view))
    best = rate_bound(form, multipliers)
    if form.view is None:
        circle = largest_eigenvalue_bound(form.base + 0.5 * symmetric_part(form.gain)) + 0.5 * norm_bound(form.gain)
        magnitude = largest_eigenvalue_bound(form.base + symmetric_part(weight_magnitudes(form.gain)))
        best = min(best, circle, magnitude)
    return -best
