"""The time loop in plain PyTorch with a hand-written backward pass: the truth that every faster engine must match.

Autograd through T steps would record some ten nodes a step and keep every intermediate; here one node holds the states
and walks them backwards. States are kept unit-major, ``(units, batch)``, so that the blocks of areas are contiguous
views and one batched product advances all areas of one size.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from topo_search.engine.blocks import AreaProducts, coupling_form
from topo_search.engine.layout import AreaLayout

__all__ = ["Activation", "cayley_rollout", "euler_rollout"]

Activation = Literal["relu", "tanh"]


class _Nonlinearity:
    """``phi`` and its slope; for tanh each unit saturates at its own level ``a``: ``phi(y) = a tanh(y / a)``.

    In metric coordinates ``y = M^(1/2) x`` a unit's tanh becomes ``m^(1/2) tanh(m^(-1/2) y)``; ReLU is unchanged
    because it is positively homogeneous. The slope stays in [0, 1] either way.
    """

    def __init__(self, name: Activation, saturation: Tensor | None) -> None:
        self.relu = name == "relu"
        self.level = None if saturation is None else saturation[:, None]

    def value(self, y: Tensor, out: Tensor) -> Tensor:
        if self.relu:
            return torch.clamp_min(y, 0, out=out)
        if self.level is None:
            return torch.tanh(y, out=out)
        return torch.div(y, self.level, out=out).tanh_().mul_(self.level)

    def times_slope(self, gradient: Tensor, y: Tensor) -> Tensor:
        if self.relu:
            return gradient.mul_(y > 0)
        scaled = torch.tanh(y if self.level is None else y / self.level)
        return gradient.mul_(1 - scaled.square_())


class _Settings(NamedTuple):
    layout: AreaLayout
    h: float
    activation: Activation
    all_states: bool


def _driven_states(inputs: Tensor, input_weights: Tensor, bias: Tensor, initial: Tensor | None, h: float) -> Tensor:
    """Buffer ``(T + 1, N, B)``: the initial state, and the input's part ``h u_t`` of every later one."""
    steps, batch, _ = inputs.shape
    states = input_weights.new_empty(steps + 1, input_weights.shape[0], batch)
    if initial is None:
        states[0].zero_()
    else:
        states[0].copy_(initial.t())
    weights = (h * input_weights).expand(steps, -1, -1)
    torch.baddbmm((h * bias)[:, None], weights, inputs.transpose(1, 2), out=states[1:])
    return states


def _output(states: Tensor, all_states: bool) -> Tensor:
    return states[1:].transpose(1, 2).contiguous() if all_states else states[-1].t().contiguous()


def _input_gradients(ctx: Any, adjoints: Tensor, inputs: Tensor, input_weights: Tensor, h: float) -> list[Any]:
    """Gradients of inputs, input weights and bias from the adjoints ``(T, N, B)`` of the states after each step."""
    needs = ctx.needs_input_grad
    return [
        h * torch.matmul(input_weights.t(), adjoints).transpose(1, 2) if needs[0] else None,
        h * torch.bmm(adjoints, inputs).sum(0) if needs[1] else None,
        h * adjoints.sum((0, 2)) if needs[2] else None,
    ]


class _EulerRollout(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        input_weights: Tensor,
        bias: Tensor,
        area_weights: Tensor,
        forward: Tensor,
        backward: Tensor,
        initial: Tensor | None,
        saturation: Tensor | None,
        settings: _Settings,
    ) -> Tensor:
        h = settings.h
        phi = _Nonlinearity(settings.activation, saturation)
        areas = AreaProducts(settings.layout, area_weights, h)
        coupling = coupling_form(settings.layout, forward, backward, h)
        states = _driven_states(inputs, input_weights, bias, initial, h)
        activity = torch.empty_like(states[0])
        for t in range(inputs.shape[0]):
            x, following = states[t], states[t + 1]
            areas.add(following, phi.value(x, activity))
            coupling.add(following, x)
            following.add_(x, alpha=1 - h)
        ctx.settings, ctx.has_initial = settings, initial is not None
        ctx.save_for_backward(inputs, input_weights, area_weights, forward, backward, saturation, states)
        return _output(states, settings.all_states)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        inputs, input_weights, area_weights, forward, backward, saturation, states = ctx.saved_tensors
        settings: _Settings = ctx.settings
        h = settings.h
        phi = _Nonlinearity(settings.activation, saturation)
        areas = AreaProducts(settings.layout, area_weights, h)
        coupling = coupling_form(settings.layout, forward, backward, h)
        area_total = torch.zeros_like(area_weights) if ctx.needs_input_grad[3] else None
        adjoints = torch.empty_like(states[1:])
        adjoint, activity = torch.zeros_like(states[0]), torch.empty_like(states[0])
        if not settings.all_states:
            adjoint.copy_(grad.t())
        for t in range(inputs.shape[0] - 1, -1, -1):
            x, after = states[t], adjoints[t]
            after.copy_(adjoint)
            if settings.all_states:
                after.add_(grad[t].t())
            coupling.accumulate(after, x)
            if area_total is not None:
                areas.accumulate(area_total, after, phi.value(x, activity))
            phi.times_slope(areas.transpose(after, adjoint), x)
            coupling.add_transpose(adjoint, after)
            adjoint.add_(after, alpha=1 - h)
        gradients = _input_gradients(ctx, adjoints, inputs, input_weights, h)
        up, down = coupling.gradients()
        first = adjoint.t().contiguous() if ctx.has_initial and ctx.needs_input_grad[6] else None
        return (*gradients, None if area_total is None else h * area_total, up, down, first, None, None)


class _CayleyRollout(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        input_weights: Tensor,
        bias: Tensor,
        area_weights: Tensor,
        step: Tensor,
        initial: Tensor | None,
        saturation: Tensor | None,
        settings: _Settings,
    ) -> Tensor:
        h = settings.h
        phi = _Nonlinearity(settings.activation, saturation)
        areas = AreaProducts(settings.layout, area_weights, h)
        states = _driven_states(inputs, input_weights, bias, initial, h)
        rotated = torch.empty_like(states[1:])
        activity = torch.empty_like(states[0])
        for t in range(inputs.shape[0]):
            y, following = rotated[t], states[t + 1]
            torch.mm(step, states[t], out=y)
            areas.add(following, phi.value(y, activity))
            following.add_(y, alpha=1 - h)
        ctx.settings, ctx.has_initial = settings, initial is not None
        ctx.save_for_backward(inputs, input_weights, area_weights, step, saturation, states, rotated)
        return _output(states, settings.all_states)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        inputs, input_weights, area_weights, step, saturation, states, rotated = ctx.saved_tensors
        settings: _Settings = ctx.settings
        h = settings.h
        phi = _Nonlinearity(settings.activation, saturation)
        areas = AreaProducts(settings.layout, area_weights, h)
        step_t = step.t().contiguous()
        step_total = torch.zeros_like(step)
        area_total = torch.zeros_like(area_weights) if ctx.needs_input_grad[3] else None
        adjoints = torch.empty_like(rotated)
        adjoint, inner = torch.zeros_like(states[0]), torch.empty_like(states[0])
        activity = torch.empty_like(states[0])
        if not settings.all_states:
            adjoint.copy_(grad.t())
        for t in range(inputs.shape[0] - 1, -1, -1):
            y, after = rotated[t], adjoints[t]
            after.copy_(adjoint)
            if settings.all_states:
                after.add_(grad[t].t())
            if area_total is not None:
                areas.accumulate(area_total, after, phi.value(y, activity))
            phi.times_slope(areas.transpose(after, inner), y).add_(after, alpha=1 - h)
            step_total.addmm_(inner, states[t].t())
            torch.mm(step_t, inner, out=adjoint)
        gradients = _input_gradients(ctx, adjoints, inputs, input_weights, h)
        first = adjoint.t().contiguous() if ctx.has_initial and ctx.needs_input_grad[5] else None
        return (*gradients, None if area_total is None else h * area_total, step_total, first, None, None)


def euler_rollout(
    inputs: Tensor,
    input_weights: Tensor,
    bias: Tensor,
    area_weights: Tensor,
    forward: Tensor,
    backward: Tensor,
    *,
    layout: AreaLayout,
    h: float,
    activation: Activation = "relu",
    saturation: Tensor | None = None,
    initial: Tensor | None = None,
    all_states: bool = False,
) -> Tensor:
    """Forward Euler, ``x+ = x + h (-x + W phi(x) + L x + u)``, with its exact gradient.

    Args:
        inputs: ``(T, B, C)``.
        input_weights: ``(N, C)``.
        bias: ``(N,)``, part of the drive ``u_t = W_in x_t + b``.
        area_weights: packed W, see :class:`AreaLayout`.
        forward: packed blocks ``L_ji`` of the edges (i, j), ``i < j``.
        backward: packed blocks ``L_ij^T``; negative feedback is ``backward = -forward``.
        layout: sizes and edges.
        h: ``dt / tau``.
        activation: ``relu`` or ``tanh``.
        saturation: for tanh, the level ``a`` of each unit, ``(N,)``; 1 where not given.
        initial: state before the first step, ``(B, N)``; zero where not given.
        all_states: return every state instead of the last.

    Returns:
        ``(B, N)``, or ``(T, B, N)`` with ``all_states``.

    Source: the update of Ennis, Kozachkov and Slotine, section S.3, in metric coordinates.
    """
    settings = _Settings(layout, h, activation, all_states)
    result: Tensor = _EulerRollout.apply(
        inputs, input_weights, bias, area_weights, forward, backward, initial, saturation, settings
    )
    return result


def cayley_rollout(
    inputs: Tensor,
    input_weights: Tensor,
    bias: Tensor,
    area_weights: Tensor,
    step: Tensor,
    *,
    layout: AreaLayout,
    h: float,
    activation: Activation = "relu",
    saturation: Tensor | None = None,
    initial: Tensor | None = None,
    all_states: bool = False,
) -> Tensor:
    """Whole-matrix Cayley steps, ``y = Q x``, ``x+ = y + h (-y + W phi(y) + u)``, with their exact gradient.

    Args and result as :func:`euler_rollout`, with the step matrix Q, ``(N, N)``, in place of the coupling (see
    :func:`topo_search.engine.integrators.cayley_step`).
    """
    settings = _Settings(layout, h, activation, all_states)
    result: Tensor = _CayleyRollout.apply(
        inputs, input_weights, bias, area_weights, step, initial, saturation, settings
    )
    return result
