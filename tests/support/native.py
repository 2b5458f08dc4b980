"""The native engine run on calls, watched, and held against the reference in float64."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch
from hypothesis import strategies as st

from support.calls import converted, leaves
from topo_search.engine import cayley_transform, edge_cayley_steps, rollouts
from topo_search.engine.native import native_rollouts, native_status
from topo_search.engine.native import rollout as native_module

STATES, GRADIENTS = 1e-5, 1e-4
"""Largest error of states and of gradients, relative to the largest entry."""

needs_native = pytest.mark.skipif(native_status().module is None, reason=native_status().reason or "it serves")


def levels():
    """Instruction-set levels that this processor runs."""
    module = native_status().module
    return module.usable_levels() if module is not None else []


@contextmanager
def threads(count):
    """With so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Seen(Exception):  # noqa: N818
    """Ends a call before it runs."""


@contextmanager
def watched(start=None):
    """Arguments of the rollouts that native calls make meanwhile; ``start`` makes them in the module's place."""
    status, seen = native_status(), []
    make = status.module.Rollout if start is None else start

    def rollout(**arguments):
        seen.append(arguments)
        return make(**arguments)

    module = SimpleNamespace(Rollout=rollout, forward=status.module.forward, backward=status.module.backward)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native_module, "native_status", lambda: status._replace(module=module))
        yield seen


def passed(call, *, state_budget=0, keep=True):
    """What a call passes to the compiled module."""

    def stop(**arguments):
        raise _Seen

    with watched(stop) as seen, torch.set_grad_enabled(keep), suppress(_Seen):
        native_rollouts([call], state_budget=state_budget, fill_nan=True)
    return seen[0]


def planned(call, state_budget, *, keep=True):
    """The rollout of the compiled module that a call would run."""
    return native_status().module.Rollout(**passed(call, state_budget=state_budget, keep=keep) | {"fill_nan": False})


class Execution(NamedTuple):
    """What must not change a result."""

    level: str
    n_threads: int
    state_budget: int | None


def executions():
    """Level, threads and budget of states."""
    return st.builds(
        Execution, st.sampled_from(levels() or [""]), st.sampled_from([1, 2]), st.sampled_from([None, 0, 1, 100_000])
    )


def loss_weights(call, seed=7):
    """Fixed weights of the entries of the states, so that their sum is a loss."""
    return torch.randn(call.output_shape, generator=torch.Generator().manual_seed(seed))


def differentiated(states, call, weights):
    """Gradients of ``sum(states weights)``, by name."""
    # The reference does not use the empty coupling of a graph without edges.
    found = {name: tensor for name, tensor in leaves(call).items() if tensor.numel() > 0}
    gradients = torch.autograd.grad((states * weights.to(states.dtype)).sum(), list(found.values()))
    return dict(zip(found, gradients, strict=True))


def native(call_list, execution, weights):
    """States and gradients of several calls in one, by the native engine, its buffers filled with NaN."""
    with threads(execution.n_threads):
        states = native_rollouts(call_list, state_budget=execution.state_budget, fill_nan=True, level=execution.level)
        tensors = [tensor for call in call_list for tensor in leaves(call).values()]
        loss = sum((state * weight).sum() for state, weight in zip(states, weights, strict=True))
        gradients = iter(torch.autograd.grad(loss, tensors))
    by_name = [{name: next(gradients) for name in leaves(call)} for call in call_list]
    return [(state.detach(), found) for state, found in zip(states, by_name, strict=True)]


def before_activation(call, states):
    """What the activation is applied to at every step, ``(T, B, N)``, from all states."""
    layout, h = call.dynamics.layout, call.dynamics.h
    first = torch.zeros_like(states[:1]) if call.initial is None else call.initial[None]
    x = torch.cat([first, states[:-1]])
    if call.dynamics.integrator in ("euler", "imex", "resolvent"):
        return x
    if call.dynamics.integrator == "edge_cayley":
        turns = edge_cayley_steps(layout, call.forward, h)
    else:
        lower = layout.dense_coupling(call.forward)
        turns = (cayley_transform(lower - lower.t(), h),)
    return torch.stack([state @ turns[t % len(turns)].t() for t, state in enumerate(x)])


@torch.no_grad()
def away_from_kinks(call):
    """Sequences in which no unit comes within rounding of the kink of ReLU, bool ``(B,)``.

    The slope jumps there, so that two roundings of one state may differ in their gradients by much more than rounding.
    At exactly 0, a zero initial state, every engine takes slope 0.
    """
    if "relu" not in call.dynamics.activations:
        return torch.ones(call.inputs.shape[1], dtype=torch.bool)
    (states,) = rollouts([replace(call, all_states=True)], engine="reference")
    y = before_activation(call, states).abs()
    near = (y < STATES * y.amax(dim=(1, 2), keepdim=True)) & (y > 0)
    return ~near.any(dim=2).any(dim=0)


def error(actual, truth):
    """Largest difference relative to the largest entry; 0 for nothing."""
    if truth.numel() == 0:
        return 0.0
    difference, scale = float((actual.double() - truth).abs().max()), float(truth.abs().max())
    return difference / scale if scale > 0 else difference


def held_against_reference(call, execution):
    """Assert that states and gradients of the native engine are those of the reference in float64.

    Sequences that touch a kink are compared in their states only: their share of the loss is nothing.

    Returns:
        Whether there was a sequence whose gradients could be compared.
    """
    wide = converted(call, torch.float64)
    smooth = away_from_kinks(wide)
    weights = loss_weights(call) * smooth[:, None]
    (truth,) = rollouts([wide], engine="reference")
    expected = differentiated(truth, wide, weights)
    ((states, gradients),) = native([call], execution, [weights])
    assert states.dtype == torch.float32
    assert error(states, truth.detach()) <= STATES, f"states: {error(states, truth.detach()):.1e}"
    seen = call.dynamics.input_areas
    for name, wanted in expected.items():
        gradient = gradients[name]
        assert torch.isfinite(gradient).all(), name
        if name == "input_weights" and seen is not None:
            rows = call.dynamics.layout.units_of(seen) if seen else torch.empty(0, dtype=torch.int64)
            found = error(gradient[rows], wanted[rows])
        else:
            found = error(gradient, wanted)
        assert found <= GRADIENTS, f"{name}: {found:.1e}"
    return bool(smooth.any())
