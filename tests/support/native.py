"""Calls of random networks for the native engine, held against the reference in float64."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch
from hypothesis import strategies as st

from topo_search.engine import (
    INTEGRATORS,
    AreaLayout,
    Call,
    Dynamics,
    cayley_transform,
    edge_cayley_steps,
    rollouts,
)
from topo_search.engine.native import native_rollouts, native_status
from topo_search.engine.native import rollout as native_module
from topo_search.engine.native.forms import coupling_norm

STATES, GRADIENTS = 1e-5, 1e-4
"""Largest error of states and of gradients, relative to the largest entry."""

LEAVES = ("inputs", "input_weights", "bias", "area_weights", "forward", "backward", "initial")

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


def graph_of(kind, areas, *, hub=0, chosen=()):
    """Edges of a graph of a kind."""
    pairs = [(i, j) for i in range(areas) for j in range(i + 1, areas)]
    return {"none": [], "star": [pair for pair in pairs if hub in pair], "complete": pairs, "random": chosen}[kind]


@st.composite
def layouts(draw):
    """1 to 7 areas of 1 to 40 units, mixed or of one size, and any graph."""
    areas = draw(st.sampled_from(range(1, 8)))
    mixed = st.lists(st.integers(1, 40), min_size=areas, max_size=areas)
    one_size = st.sampled_from([16, 32]) | st.integers(1, 40)
    sizes = draw(mixed | one_size.map(lambda size: [size] * areas))
    pairs = graph_of("complete", areas)
    kind = draw(st.sampled_from(["none", "star", "complete", "random", "random"]))
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs and kind == "random" else []
    return AreaLayout.of(sizes, graph_of(kind, areas, hub=draw(st.integers(0, areas - 1)), chosen=chosen))


def make_call(
    layout,
    integrator="euler",
    activation="relu",
    *,
    h=0.3,
    norm=1.0,
    steps=6,
    batch=5,
    channels=3,
    density=0.3,
    free=False,
    saturation=False,
    initial=False,
    lengths=False,
    input_areas=None,
    all_states=False,
    seed=0,
):
    """A call with random weights, all of them leaves in float32; the skew coupling has the norm."""
    rng = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=rng)

    units = layout.n_units
    input_weights = draw(units, channels)
    if input_areas is not None:
        unseeing = [area for area in range(len(layout.sizes)) if area not in input_areas]
        for area in unseeing:
            input_weights[layout.units(area)] = 0
    kept = torch.rand(layout.n_area_weights, generator=rng) < density
    width = torch.cat([torch.full((size * size,), float(size)) for size in layout.sizes])
    forward, backward = draw(layout.n_coupling), draw(layout.n_coupling)
    found = coupling_norm(layout, forward) if layout.edges else 0.0
    forward, backward = (block * (norm / max(found, 1e-3)) for block in (forward, backward))
    call = Call(
        dynamics=Dynamics(layout, integrator, h, activation, input_areas),
        inputs=draw(steps, batch, channels),
        input_weights=input_weights,
        bias=0.3 * draw(units),
        area_weights=draw(layout.n_area_weights) * kept / (width * max(density, 0.01)).sqrt(),
        forward=forward,
        backward=backward if free else None,
        saturation=10 ** (3 * torch.rand(units, generator=rng) - 1.5) if saturation else None,
        initial=draw(batch, units) if initial else None,
        lengths=torch.randint(0, steps + 1, (batch,), generator=rng) if lengths else None,
        all_states=all_states,
    )
    for tensor in leaves(call).values():
        tensor.requires_grad_()
    return call


@st.composite
def calls(draw):
    """Networks and batches of any shape, small enough to try many."""
    layout = draw(layouts())
    integrator = draw(st.sampled_from([*INTEGRATORS, "cayley", "free"]))
    free = integrator == "free"
    euler = free or integrator == "euler"
    activation = draw(st.sampled_from(["relu", "tanh"]))
    # Without a leak a gradient passes through tanh alone: where it saturates, 1 - tanh^2 is lost to float32 anywhere.
    steps_h = st.floats(0.05, 0.9) if activation == "tanh" else st.floats(0.05, 0.9) | st.just(1.0)
    areas = st.sets(st.integers(0, len(layout.sizes) - 1)).map(lambda chosen: tuple(sorted(chosen)))
    return make_call(
        layout,
        "euler" if free else integrator,
        activation,
        h=draw(steps_h),
        norm=10 ** draw(st.floats(-2, 0.5 if euler else 1.5)),
        steps=draw(st.sampled_from(range(1, 13))),
        batch=draw(st.sampled_from([1, 3, 16, 17, 31, 33, 64, 67, 130])),
        channels=draw(st.sampled_from(range(6))),
        density=draw(st.sampled_from([0.0, 0.05, 1.0])),
        free=free,
        saturation=draw(st.booleans()),
        initial=draw(st.booleans()),
        lengths=draw(st.booleans()),
        input_areas=draw(st.none() | areas),
        all_states=draw(st.booleans()),
        seed=draw(st.integers(0, 9999)),
    )


def executions():
    """Level, threads and budget of states."""
    return st.builds(
        Execution, st.sampled_from(levels() or [""]), st.sampled_from([1, 2]), st.sampled_from([None, 0, 1, 100_000])
    )


def leaves(call):
    """What a call can be differentiated in, by name."""
    return {name: getattr(call, name) for name in LEAVES if getattr(call, name) is not None}


def converted(call, dtype):
    """The call in another precision, with leaves of its own."""
    floating = [field.name for field in fields(call) if field.name not in ("dynamics", "lengths", "all_states")]
    tensors = {name: getattr(call, name) for name in floating if getattr(call, name) is not None}
    changed = {name: tensor.detach().to(dtype, copy=True) for name, tensor in tensors.items()}
    return replace(call, **{name: t.requires_grad_(name in LEAVES) for name, t in changed.items()})


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
    if call.dynamics.integrator == "euler":
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
    if call.dynamics.activation != "relu":
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
