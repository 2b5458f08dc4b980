"""The time loop in plain PyTorch with a hand-written backward pass: the truth that every faster engine must match.

Autograd through T steps would record some ten nodes a step and keep every intermediate; here one node holds the states
and walks them backwards. States are kept unit-major, ``(units, batch)``, so that the blocks of areas are contiguous
views and one batched product advances all areas of one size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from topo_search.engine.blocks import AreaProducts, coupling_form
from topo_search.engine.layout import AreaLayout
from topo_search.engine.lengths import check_lengths, ended_before

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
    ended: Sequence[Tensor | None]
    """For each step, the sequences that ended before it and are held, bool ``(B,)``; ``None`` where there is none."""


def _hold(state: Tensor, following: Tensor, ended: Tensor | None) -> None:
    """Put the state of sequences that have ended in the place of the following one, in place."""
    if ended is not None:
        torch.where(ended, state, following, out=following)


def _take_held(adjoint: Tensor, ended: Tensor | None) -> Tensor | None:
    """The part of an adjoint that goes past a step, to the state before it; it is removed, in place."""
    if ended is None:
        return None
    held = adjoint.masked_fill(~ended, 0)
    adjoint.masked_fill_(ended, 0)
    return held


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
            _hold(x, following, settings.ended[t])
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
            held = _take_held(after, settings.ended[t])
            coupling.accumulate(after, x)
            if area_total is not None:
                areas.accumulate(area_total, after, phi.value(x, activity))
            phi.times_slope(areas.transpose(after, adjoint), x)
            coupling.add_transpose(adjoint, after)
            adjoint.add_(after, alpha=1 - h)
            if held is not None:
                adjoint.add_(held)
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
        steps: Tensor,
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
            torch.mm(steps[t % len(steps)], states[t], out=y)
            areas.add(following, phi.value(y, activity))
            following.add_(y, alpha=1 - h)
            _hold(states[t], following, settings.ended[t])
        ctx.settings, ctx.has_initial = settings, initial is not None
        ctx.save_for_backward(inputs, input_weights, area_weights, steps, saturation, states, rotated)
        return _output(states, settings.all_states)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        inputs, input_weights, area_weights, steps, saturation, states, rotated = ctx.saved_tensors
        settings: _Settings = ctx.settings
        h = settings.h
        phi = _Nonlinearity(settings.activation, saturation)
        areas = AreaProducts(settings.layout, area_weights, h)
        steps_t = steps.transpose(1, 2).contiguous()
        steps_total = torch.zeros_like(steps)
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
            held = _take_held(after, settings.ended[t])
            if area_total is not None:
                areas.accumulate(area_total, after, phi.value(y, activity))
            phi.times_slope(areas.transpose(after, inner), y).add_(after, alpha=1 - h)
            steps_total[t % len(steps)].addmm_(inner, states[t].t())
            torch.mm(steps_t[t % len(steps)], inner, out=adjoint)
            if held is not None:
                adjoint.add_(held)
        gradients = _input_gradients(ctx, adjoints, inputs, input_weights, h)
        first = adjoint.t().contiguous() if ctx.has_initial and ctx.needs_input_grad[5] else None
        return (*gradients, None if area_total is None else h * area_total, steps_total, first, None, None)


def _settle(
    inputs: Tensor, lengths: Tensor | None, layout: AreaLayout, h: float, activation: Activation, all_states: bool
) -> tuple[Tensor, _Settings]:
    """Inputs and settings of a rollout; inputs past a sequence's end become 0, so that padding may be anything."""
    steps, batch, _ = inputs.shape
    ended: list[Tensor | None] = [None] * steps
    if lengths is not None:
        check_lengths(lengths, steps, batch)
        past = ended_before(lengths.to(inputs.device), steps)
        inputs = inputs.masked_fill(past[:, :, None], 0)
        shortest = int(lengths.min())
        ended[shortest:] = past[shortest:].unbind()
    return inputs, _Settings(layout, h, activation, all_states, ended)


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
    lengths: Tensor | None = None,
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
        lengths: steps of each sequence, ``(B,)``, int64, 0 to T; all T where not given. A sequence is held in its state
            from its end on, and its inputs past the end are not used.
        all_states: return every state instead of the last.

    Returns:
        ``(B, N)``, or ``(T, B, N)`` with ``all_states``.

    Raises:
        ValueError: if ``lengths`` are of another dtype, shape or range.

    Source: the update of Ennis, Kozachkov and Slotine, section S.3, in metric coordinates.
    """
    inputs, settings = _settle(inputs, lengths, layout, h, activation, all_states)
    result: Tensor = _EulerRollout.apply(
        inputs, input_weights, bias, area_weights, forward, backward, initial, saturation, settings
    )
    return result


def cayley_rollout(
    inputs: Tensor,
    input_weights: Tensor,
    bias: Tensor,
    area_weights: Tensor,
    steps: Tensor,
    *,
    layout: AreaLayout,
    h: float,
    activation: Activation = "relu",
    saturation: Tensor | None = None,
    initial: Tensor | None = None,
    lengths: Tensor | None = None,
    all_states: bool = False,
) -> Tensor:
    """Cayley steps, ``y = Q x``, ``x+ = y + h (-y + W phi(y) + u)``, with their exact gradient.

    Args, result and errors as :func:`euler_rollout`, with step matrices Q in place of the coupling: ``(k, N, N)``,
    applied in turn, step t taking the matrix ``t mod k``. One for whole-matrix steps (see
    :func:`topo_search.engine.integrators.cayley_step`), two for edge-wise ones (see
    :func:`topo_search.engine.edge_cayley.edge_cayley_steps`).
    """
    inputs, settings = _settle(inputs, lengths, layout, h, activation, all_states)
    result: Tensor = _CayleyRollout.apply(
        inputs, input_weights, bias, area_weights, steps, initial, saturation, settings
    )
    return result
