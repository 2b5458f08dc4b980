"""One entry to the time loop: picks the engine and the integrator."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from topo_search.engine.integrators import Integrator, cayley_step
from topo_search.engine.layout import AreaLayout
from topo_search.engine.reference import Activation, cayley_rollout, euler_rollout

__all__ = ["Dynamics", "rollout"]

# Steps kept at a time where no gradient will be asked for: evaluating long sequences then needs little memory.
SEGMENT = 64


@dataclass(frozen=True)
class Dynamics:
    """How a state advances: everything of the time loop that is not a weight.

    Args:
        layout: sizes and edges of the areas.
        integrator: ``cayley`` or ``euler``.
        h: step, ``dt / tau``, in ``(0, 1]``.
        activation: ``relu`` or ``tanh``.
    """

    layout: AreaLayout
    integrator: Integrator
    h: float
    activation: Activation


def rollout(
    dynamics: Dynamics,
    inputs: Tensor,
    *,
    input_weights: Tensor,
    bias: Tensor,
    area_weights: Tensor,
    forward: Tensor,
    backward: Tensor | None = None,
    step: Tensor | None = None,
    saturation: Tensor | None = None,
    initial: Tensor | None = None,
    all_states: bool = False,
) -> Tensor:
    """Run a network over a batch of sequences; differentiable in every tensor of weights.

    Args:
        dynamics: integrator, step, activation and layout.
        inputs: ``(T, B, C)``, T and B at least 1.
        input_weights: ``(N, C)``.
        bias: ``(N,)``.
        area_weights: packed W.
        forward: packed B, the blocks ``L_ji`` of the edges ``i < j``.
        backward: packed ``L_ij^T``; negative feedback, ``-forward``, where not given.
        step: for ``cayley``, the step matrix ``(N, N)`` when it is at hand already (evaluation over many batches);
            made from ``forward`` where not given.
        saturation: for tanh, each unit's level, ``(N,)``.
        initial: ``(B, N)``; zero where not given.
        all_states: return ``(T, B, N)`` instead of the last state ``(B, N)``.

    Raises:
        ValueError: if ``inputs`` are not three-dimensional or empty, or ``backward`` is given for ``cayley``, whose
            coupling is skew by construction.
    """
    if inputs.ndim != 3 or inputs.shape[0] < 1 or inputs.shape[1] < 1:
        raise ValueError(f"inputs must have shape (T, B, C) with T and B at least 1, got {tuple(inputs.shape)}")
    if dynamics.integrator == "cayley":
        if backward is not None:
            raise ValueError("backward blocks were given, but a cayley step takes a skew coupling")
        if step is None:
            lower = dynamics.layout.dense_coupling(forward)
            step = cayley_step(lower - lower.t(), dynamics.h)
        run = partial(cayley_rollout, step=step)
    else:
        run = partial(euler_rollout, forward=forward, backward=-forward if backward is None else backward)
    run = partial(
        run,
        input_weights=input_weights,
        bias=bias,
        area_weights=area_weights,
        layout=dynamics.layout,
        h=dynamics.h,
        activation=dynamics.activation,
        saturation=saturation,
    )
    if torch.is_grad_enabled() or all_states:
        return run(inputs, initial=initial, all_states=all_states)
    first, *others = torch.split(inputs, SEGMENT)
    state = run(first, initial=initial)
    for part in others:
        state = run(part, initial=state)
    return state
