"""The compiled time loop as one differentiable function of the weights of one network or of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from topo_search.engine.call import Call
from topo_search.engine.layout import AreaLayout
from topo_search.engine.native.budget import state_budgets
from topo_search.engine.native.forms import Direct, dense_form, direct_form, eliminable, series_for
from topo_search.engine.native.loader import native_status

__all__ = ["native_rollouts"]

# Tensors of a call, in the order in which autograd sees them: Call.weights.
TENSORS = 7

# Up to so many rows the engine inverts by itself, in float64: a call to LAPACK costs more there.
OWN_INVERSE = 320

# As in kernel.hpp; a dense solve is one whose cover is all areas.
FORMS = {"euler": 1, "cover": 2, "series": 3, "edges": 4}
SCHEMES = {"resolvent": 1, "imex": 2}


@lru_cache(maxsize=4096)
def _solved_units(layout: AreaLayout) -> tuple[Tensor, Tensor]:
    """Units of the cover and of the other areas."""
    cover = direct_form(layout).cover
    others = [area for area in range(len(layout.sizes)) if area not in cover]
    none = torch.empty(0, dtype=torch.int64)
    return layout.units_of(cover), layout.units_of(others) if others else none


def _schur_inverse(layout: AreaLayout, direct: Direct, coupling: Tensor, c: float) -> Tensor:
    """Inverse of ``S = I - c K_HH + c^2 K_RH^T K_RH``; its symmetric part is at least I, so it exists.

    Made in float64 and rounded, as the step is then orthogonal within rounding at any coupling strength. A coupling
    that is not finite gives NaN.
    """
    lower = layout.dense_coupling(coupling.double())
    skew = (lower - lower.t()).mul_(c)
    if direct.name == "dense":
        system = skew.neg_()
    else:
        solved, explicit = _solved_units(layout)
        columns = skew.index_select(1, solved)
        rows = columns.index_select(0, explicit)
        system = torch.addmm(columns.index_select(0, solved), rows.t(), rows, beta=-1)
    system.diagonal().add_(1)
    inverse: Tensor = torch.linalg.inv_ex(system).inverse
    return inverse.float().contiguous()


def _array(tensor: Tensor | None) -> np.ndarray[Any, Any] | None:
    return None if tensor is None else tensor.detach().contiguous().numpy()


def _program(call: Call) -> dict[str, Any]:
    """Which form is executed, and its matrices."""
    dynamics = call.dynamics
    layout, c = dynamics.layout, dynamics.implicit
    program: dict[str, Any] = {"form": FORMS["euler"], "cover": [], "series": [], "series_scale": 0.0, "matrix": None}
    program |= {"scheme": SCHEMES.get(dynamics.integrator, 0), "half": c}
    if dynamics.integrator == "euler":
        return program
    if not layout.edges:
        return program | {"form": FORMS["cover"]}
    coupling = call.forward.detach()
    if dynamics.integrator == "edge_cayley":
        return program | {"form": FORMS["edges"]}
    series = series_for(layout, coupling, c)
    if series is not None:
        scale = 2 * c / series.radius
        return program | {"form": FORMS["series"], "series": list(series.coefficients), "series_scale": scale}
    direct = direct_form(layout) if eliminable(coupling, c) else dense_form(layout)
    program |= {"form": FORMS["cover"], "cover": list(direct.cover)}
    if sum(layout.sizes[area] for area in direct.cover) > OWN_INVERSE:
        program["matrix"] = _array(_schur_inverse(layout, direct, coupling, c))
    return program


@lru_cache(maxsize=4096)
def _flat_edges(layout: AreaLayout) -> list[int]:
    return [area for edge in layout.edges for area in edge]


class _Settings(NamedTuple):
    calls: tuple[Call, ...]
    budgets: tuple[int, ...]
    keep: bool
    threads: int
    fill_nan: bool
    level: str


def _start(call: Call, budget: int, settings: _Settings) -> Any:
    module = native_status().module
    assert module is not None
    layout = call.dynamics.layout
    areas = call.dynamics.input_areas
    return module.Rollout(
        level=settings.level,
        sizes=list(layout.sizes),
        edges=_flat_edges(layout),
        seeing=list(range(len(layout.sizes)) if areas is None else areas),
        relu=[int(name == "relu") for name in call.dynamics.activations],
        speeds=list(call.dynamics.area_speeds),
        all_states=call.all_states,
        keep=settings.keep,
        fill_nan=settings.fill_nan,
        h=call.dynamics.h,
        state_budget=budget,
        inputs=_array(call.inputs),
        input_weights=_array(call.input_weights),
        bias=_array(call.bias),
        area_weights=_array(call.area_weights),
        forward=_array(call.forward),
        backward=_array(call.backward),
        saturation=_array(call.saturation),
        initial=_array(call.initial),
        lengths=_array(call.lengths),
        **_program(call),
    )


def _folded(call: Call) -> Call:
    """The same call with a symmetric part of the coupling, which Euler steps take as any other, in its blocks."""
    if call.symmetric is None:
        return call
    backward = -call.forward if call.backward is None else call.backward
    return replace(call, forward=call.forward + call.symmetric, backward=backward + call.symmetric, symmetric=None)


class _NativeRollouts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, settings: _Settings, *tensors: Tensor | None) -> tuple[Tensor, ...]:
        module = native_status().module
        assert module is not None
        started = [
            _start(call, budget, settings) for call, budget in zip(settings.calls, settings.budgets, strict=True)
        ]
        outputs = tuple(torch.empty(call.output_shape) for call in settings.calls)
        module.forward(started, [output.numpy() for output in outputs], settings.threads)
        if settings.keep:
            # The engine reads them where they lie; autograd sees to it that nobody writes there meanwhile.
            ctx.save_for_backward(*tensors)
            ctx.started, ctx.threads = started, settings.threads
            ctx.shapes = [None if tensor is None else tensor.shape for tensor in tensors]
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        module = native_status().module
        assert module is not None
        _ = ctx.saved_tensors
        made: list[Tensor | None] = []
        for index in range(len(ctx.started)):
            first = index * TENSORS
            needs = list(ctx.needs_input_grad[1 + first : 1 + first + TENSORS])
            # These sums are by-products; inputs, area weights and initial state cost extra, and only where asked for.
            needs[1] = needs[2] = needs[4] = needs[5] = True
            made += [
                torch.empty(shape) if need and shape is not None else None
                for need, shape in zip(needs, ctx.shapes[first : first + TENSORS], strict=True)
            ]
        arrays = [None if tensor is None else tensor.numpy() for tensor in made]
        targets = [arrays[first : first + TENSORS] for first in range(0, len(arrays), TENSORS)]
        module.backward(ctx.started, [grad.contiguous().numpy() for grad in grads], targets, ctx.threads)
        wanted = ctx.needs_input_grad[1:]
        return (None, *(gradient if need else None for gradient, need in zip(made, wanted, strict=True)))


def native_rollouts(
    calls: Sequence[Call], *, state_budget: int | None = None, fill_nan: bool = False, level: str | None = None
) -> tuple[Tensor, ...]:
    """Run one network or several in one call; differentiable in every tensor of weights.

    Networks, and slices of 64 sequences of one network, run side by side on ``torch.get_num_threads()`` threads; the
    results depend neither on that number nor on which networks share the call.

    Args:
        calls: networks and their batches, at least one; float32 on the CPU.
        state_budget: bytes of states kept for the backward pass, of all calls together; what does not fit is computed
            again. A quarter of the free memory where ``None``, no limit where 0.
        fill_nan: fill every buffer with NaN first (for tests: nothing may be read before it was written).
        level: instruction-set level; the best that the processor runs where not given.

    Returns:
        For each call the last states ``(B, N)``, or ``(T, B, N)`` with ``all_states``.

    Raises:
        RuntimeError: if the compiled engine does not serve.
    """
    status = native_status()
    if status.module is None:
        raise RuntimeError(f"the compiled engine does not serve: {status.reason}")
    calls = [_folded(call) for call in calls]
    tensors = [tensor for call in calls for tensor in call.weights]
    # Asked here: inside the function gradients are always off.
    keep = torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors)
    budgets = state_budgets(calls, state_budget) if keep else (0,) * len(calls)
    settings = _Settings(tuple(calls), budgets, keep, torch.get_num_threads(), fill_nan, level or status.level)
    result: tuple[Tensor, ...] = _NativeRollouts.apply(settings, *tensors)
    return result
