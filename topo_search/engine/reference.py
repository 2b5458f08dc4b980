"""The time loop in plain PyTorch with a hand-written backward pass: the truth that every faster engine must match.

Autograd through T steps would record some ten nodes a step and keep every intermediate; here one node holds the states
and walks them backwards. States are kept unit-major, ``(units, batch)``, so that the blocks of areas are contiguous
views and one batched product advances all areas of one size.

Every integrator is one of two orders of a *local* map and a matrix: ``M_t x`` first (Cayley steps), or after it
(resolvent and IMEX steps); Euler's coupling is part of the local map.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from topo_search.engine.blocks import AreaProducts, Coupling, coupling_form
from topo_search.engine.call import Call, Dynamics
from topo_search.engine.edge_cayley import edge_cayley_steps, edge_products
from topo_search.engine.integrators import cayley_step, resolvent_step
from topo_search.engine.lengths import check_lengths, ended_before
from topo_search.engine.nonlinearity import Nonlinearity

__all__ = ["reference_rollout", "step_matrices"]


class _Settings(NamedTuple):
    dynamics: Dynamics
    all_states: bool
    ended: Sequence[Tensor | None]
    """For each step, the sequences that ended before it and are held, bool ``(B,)``; ``None`` where there is none."""

    @property
    def turns(self) -> bool:
        """Whether a matrix is applied before the local map."""
        return self.dynamics.integrator in ("cayley", "edge_cayley")

    @property
    def settles(self) -> bool:
        """Whether a matrix is applied after the local map."""
        return self.dynamics.integrator in ("imex", "resolvent")

    @property
    def carry(self) -> float:
        """How often the state is added before a matrix and taken off after it: once for ``imex``."""
        return 1.0 if self.dynamics.integrator == "imex" else 0.0


class _Weights(NamedTuple):
    """Weights of the local map as autograd sees them, scaled by the areas' speeds but not by h."""

    area_weights: Tensor
    gauge: Tensor | None
    forward: Tensor | None
    backward: Tensor | None
    nonlinear_forward: Tensor | None
    nonlinear_backward: Tensor | None


class _Local:
    """``out += leak y + h (W phi(V y) + C phi(V y) + L y)`` and its adjoint, summing up gradients of the weights."""

    def __init__(self, settings: _Settings, weights: _Weights, saturation: Tensor | None) -> None:
        dynamics = settings.dynamics
        layout, self.h = dynamics.layout, dynamics.h
        self.weights = weights
        self.phi = Nonlinearity(dynamics, saturation)
        self.areas = AreaProducts(layout, weights.area_weights, self.h)
        self.gauge = None if weights.gauge is None else AreaProducts(layout, weights.gauge, 1.0)
        self.linear = _coupling(dynamics, weights.forward, weights.backward)
        self.nonlinear = _coupling(dynamics, weights.nonlinear_forward, weights.nonlinear_backward)
        kept = 1 + settings.carry
        sizes = torch.tensor(layout.sizes)
        leak = kept - self.h * torch.tensor(dynamics.area_speeds, dtype=torch.float64)
        like = weights.area_weights
        self.leak = leak.repeat_interleave(sizes)[:, None].to(like.device, like.dtype)

    def _before(self, y: Tensor) -> Tensor:
        """What the activation acts on, ``V y``."""
        if self.gauge is None:
            return y
        v = torch.zeros_like(y)
        self.gauge.add(v, y)
        return v

    def add(self, out: Tensor, y: Tensor, activity: Tensor) -> None:
        self.phi.value(self._before(y), activity)
        self.areas.add(out, activity)
        if self.nonlinear is not None:
            self.nonlinear.add(out, activity)
        if self.linear is not None:
            self.linear.add(out, y)
        out.addcmul_(self.leak, y)

    def start_gradients(self, need_areas: bool) -> None:
        self.area_total = torch.zeros_like(self.weights.area_weights) if need_areas else None
        self.gauge_total = None if self.weights.gauge is None else torch.zeros_like(self.weights.gauge)

    def adjoint(self, gradient: Tensor, y: Tensor, out: Tensor, activity: Tensor) -> Tensor:
        """``out``, the adjoint of y from that of the local map's result."""
        v = self._before(y)
        if self.area_total is not None or self.nonlinear is not None:
            self.phi.value(v, activity)
        if self.area_total is not None:
            self.areas.accumulate(self.area_total, gradient, activity)
        self.areas.transpose(gradient, out)
        if self.nonlinear is not None:
            self.nonlinear.accumulate(gradient, activity)
            self.nonlinear.add_transpose(out, gradient)
        self.phi.times_slope(out, v)
        if self.gauge is not None and self.gauge_total is not None:
            self.gauge.accumulate(self.gauge_total, out, y)
            out.copy_(self.gauge.transpose(out, torch.empty_like(out)))
        if self.linear is not None:
            self.linear.accumulate(gradient, y)
            self.linear.add_transpose(out, gradient)
        return out.addcmul_(self.leak, gradient)

    def gradients(self) -> list[Tensor | None]:
        """In order of :class:`_Weights`."""
        area = None if self.area_total is None else self.h * self.area_total
        linear = (None, None) if self.linear is None else self.linear.gradients()
        nonlinear = (None, None) if self.nonlinear is None else self.nonlinear.gradients()
        return [area, self.gauge_total, *linear, *nonlinear]


def _coupling(dynamics: Dynamics, forward: Tensor | None, backward: Tensor | None) -> Coupling | None:
    if forward is None or backward is None:
        return None
    return coupling_form(dynamics.layout, forward, backward, dynamics.h)


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


# Tensors before those of _Weights in the arguments of _Rollout.
LEADING = 5


class _Rollout(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        settings: _Settings,
        inputs: Tensor,
        input_weights: Tensor,
        bias: Tensor,
        initial: Tensor | None,
        matrices: Tensor | None,
        saturation: Tensor | None,
        *weights: Tensor | None,
    ) -> Tensor:
        local = _Local(settings, _Weights(*weights), saturation)  # type: ignore[arg-type]
        states = _driven_states(inputs, input_weights, bias, initial, settings.dynamics.h)
        # What a matrix leaves (turns) or acts on (settles).
        between = torch.empty_like(states[1:]) if matrices is not None else None
        activity = torch.empty_like(states[0])
        for t in range(inputs.shape[0]):
            x, following = states[t], states[t + 1]
            if matrices is None or between is None:
                local.add(following, x, activity)
            elif settings.turns:
                torch.mm(matrices[t % len(matrices)], x, out=between[t])
                local.add(following, between[t], activity)
            else:
                between[t].copy_(following)
                local.add(between[t], x, activity)
                torch.mm(matrices[0], between[t], out=following)
                following.sub_(x, alpha=settings.carry)
            _hold(x, following, settings.ended[t])
        ctx.settings, ctx.has_initial = settings, initial is not None
        ctx.save_for_backward(inputs, input_weights, matrices, saturation, states, between, *weights)
        if settings.all_states:
            return states[1:].transpose(1, 2).contiguous()
        return states[-1].t().contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        inputs, input_weights, matrices, saturation, states, between, *weights = ctx.saved_tensors
        settings: _Settings = ctx.settings
        needs = ctx.needs_input_grad
        local = _Local(settings, _Weights(*weights), saturation)
        local.start_gradients(needs[LEADING + 2])
        transposed = None if matrices is None else matrices.transpose(1, 2).contiguous()
        total = None if matrices is None else torch.zeros_like(matrices)
        adjoints = torch.empty_like(states[1:])
        adjoint, inner = torch.zeros_like(states[0]), torch.empty_like(states[0])
        activity = torch.empty_like(states[0])
        if not settings.all_states:
            adjoint.copy_(grad.t())
        for t in range(inputs.shape[0] - 1, -1, -1):
            x, local_adjoint = states[t], adjoints[t]
            if settings.all_states:
                adjoint.add_(grad[t].t())
            held = _take_held(adjoint, settings.ended[t])
            if total is None or transposed is None:
                local_adjoint.copy_(adjoint)
                local.adjoint(local_adjoint, x, adjoint, activity)
            elif settings.turns:
                local_adjoint.copy_(adjoint)
                local.adjoint(local_adjoint, between[t], inner, activity)
                total[t % len(total)].addmm_(inner, x.t())
                torch.mm(transposed[t % len(total)], inner, out=adjoint)
            else:
                total[0].addmm_(adjoint, between[t].t())
                torch.mm(transposed[0], adjoint, out=local_adjoint)
                local.adjoint(local_adjoint, x, inner, activity)
                torch.sub(inner, adjoint, alpha=settings.carry, out=adjoint)
            if held is not None:
                adjoint.add_(held)
        h = settings.dynamics.h
        return (
            None,
            h * torch.matmul(input_weights.t(), adjoints).transpose(1, 2) if needs[1] else None,
            h * torch.bmm(adjoints, inputs).sum(0) if needs[2] else None,
            h * adjoints.sum((0, 2)) if needs[3] else None,
            adjoint.t().contiguous() if ctx.has_initial and needs[4] else None,
            total,
            None,
            *local.gradients(),
        )


def _repeated(values: Sequence[float], counts: Sequence[int], like: Tensor) -> Tensor:
    repeated = torch.tensor(values, dtype=torch.float64).repeat_interleave(torch.tensor(counts, dtype=torch.int64))
    return repeated.to(like.device, like.dtype)


def _with_speeds(call: Call) -> dict[str, Tensor | None]:
    """The tensors that act inside areas, times the speed of the area that they act on; differentiable."""
    names = ("input_weights", "bias", "area_weights", "nonlinear_forward", "nonlinear_backward")
    tensors: dict[str, Tensor | None] = {name: getattr(call, name) for name in names}
    dynamics, layout = call.dynamics, call.dynamics.layout
    if dynamics.speeds is None:
        return tensors
    speeds = dynamics.speeds
    edges = [layout.sizes[i] * layout.sizes[j] for i, j in layout.edges]
    scales = {
        "input_weights": _repeated(speeds, layout.sizes, call.bias)[:, None],
        "bias": _repeated(speeds, layout.sizes, call.bias),
        "area_weights": _repeated(speeds, [n * n for n in layout.sizes], call.bias),
        "nonlinear_forward": _repeated([speeds[j] for _, j in layout.edges], edges, call.bias),
        "nonlinear_backward": _repeated([speeds[i] for i, _ in layout.edges], edges, call.bias),
    }
    return {name: None if tensor is None else tensor * scales[name] for name, tensor in tensors.items()}


def _linear(call: Call) -> tuple[Tensor | None, Tensor | None]:
    """The linear coupling that belongs to the local map: all of it for Euler, else its symmetric part."""
    if call.dynamics.integrator != "euler":
        return call.symmetric, call.symmetric
    backward = -call.forward if call.backward is None else call.backward
    if call.symmetric is None:
        return call.forward, backward
    return call.forward + call.symmetric, backward + call.symmetric


def step_matrices(call: Call) -> Tensor | None:
    """The matrices that the steps of a call apply in turn, ``(1, N, N)`` or ``(2, N, N)``; none for Euler.

    Differentiable in ``forward``, where the call does not bring its step matrix.
    """
    dynamics, step = call.dynamics, call.step
    if dynamics.integrator == "euler":
        return None
    if dynamics.integrator == "edge_cayley":
        layout, h = dynamics.layout, dynamics.h
        return torch.stack(edge_cayley_steps(layout, call.forward, h) if step is None else edge_products(layout, step))
    if step is None:
        lower = dynamics.layout.dense_coupling(call.forward)
        skew = lower - lower.t()
        cayley = dynamics.integrator == "cayley"
        step = cayley_step(skew, dynamics.h) if cayley else resolvent_step(skew, dynamics.implicit)
    return step[None]


def reference_rollout(call: Call, *, matrices: Tensor | None = None) -> Tensor:
    """Run a network over a batch of sequences, with the exact gradient of every tensor of the call.

    Args:
        call: the network and its batch.
        matrices: what :func:`step_matrices` makes of the call, where it is at hand already.

    Returns:
        ``(B, N)``, or ``(T, B, N)`` with ``all_states``.

    Raises:
        ValueError: if ``lengths`` are of another dtype, shape or range.

    Source: the update of Ennis, Kozachkov and Slotine, section S.3, in metric coordinates, for Euler; the other steps
    are described in :mod:`topo_search.engine.integrators`.
    """
    inputs = call.inputs
    steps, batch, _ = inputs.shape
    ended: list[Tensor | None] = [None] * steps
    if call.lengths is not None:
        check_lengths(call.lengths, steps, batch)
        past = ended_before(call.lengths.to(inputs.device), steps)
        # Padding may be anything.
        inputs = inputs.masked_fill(past[:, :, None], 0)
        shortest = int(call.lengths.min())
        ended[shortest:] = past[shortest:].unbind()
    fast = _with_speeds(call)
    result: Tensor = _Rollout.apply(
        _Settings(call.dynamics, call.all_states, ended),
        inputs,
        fast["input_weights"],
        fast["bias"],
        call.initial,
        step_matrices(call) if matrices is None else matrices,
        call.saturation,
        fast["area_weights"],
        call.gauge,
        *_linear(call),
        fast["nonlinear_forward"],
        fast["nonlinear_backward"],
    )
    return result
