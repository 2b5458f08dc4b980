"""Gauges, symmetric and nonlinear couplings, speeds, mixed activations: the reference against the step as written."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.calls import layouts
from support.full_frame import dense_parts, full_call, leaves, phi, written_states
from support.native import needs_native

from topo_search.engine import AreaLayout, Dynamics, rollouts

LAYOUT = AreaLayout.of([3, 1, 4, 2], [(0, 1), (0, 2), (2, 3)])
WRITTEN = ("cayley", "euler", "imex", "resolvent")
PARTS = ("gauge", "symmetric", "nonlinear", "saturation")


def compare(call):
    expected = written_states(call)
    (actual,) = rollouts([replace(call, all_states=True)], engine="reference")
    assert torch.allclose(actual, expected, rtol=1e-10, atol=1e-10)
    (last,) = rollouts([call], engine="reference")
    assert torch.equal(last, actual[-1])
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = {name: tensor for name, tensor in leaves(call).items() if tensor.numel() > 0}
    wanted = torch.autograd.grad((expected * weights).sum(), list(found.values()), materialize_grads=True)
    given = torch.autograd.grad((actual * weights).sum(), list(found.values()), materialize_grads=True)
    for name, one, other in zip(found, wanted, given, strict=True):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-9), name


@pytest.mark.parametrize("parts", [(), *((part,) for part in PARTS), PARTS])
@pytest.mark.parametrize("integrator", WRITTEN)
def test_each_part_alone_and_all_together(integrator, parts):
    compare(full_call(LAYOUT, integrator, parts=parts))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_network(data):
    layout = data.draw(layouts())
    layout = AreaLayout.of([min(size, 5) for size in layout.sizes], layout.edges)
    areas = len(layout.sizes)
    integrator = data.draw(st.sampled_from([*WRITTEN, "free"]))
    parts = set(data.draw(st.lists(st.sampled_from(PARTS), unique=True))) | (
        {"free"} if integrator == "free" else set()
    )
    compare(
        full_call(
            layout,
            "euler" if integrator == "free" else integrator,
            parts=parts,
            h=data.draw(st.floats(0.05, 1.0)),
            activation=tuple(data.draw(st.lists(st.sampled_from(["relu", "tanh"]), min_size=areas, max_size=areas))),
            speeds=data.draw(st.none() | st.tuples(*[st.floats(0.05, 1.0)] * areas)),
            lengths=data.draw(st.none() | st.just(torch.tensor([4, 0, 2]))),
            seed=data.draw(st.integers(0, 999)),
        )
    )


@pytest.mark.parametrize("integrator", WRITTEN)
def test_gradcheck(integrator):
    layout = AreaLayout.of([2, 1], [(0, 1)])
    call = full_call(layout, integrator, parts=PARTS, speeds=(0.5, 2.0), steps=3, batch=2)
    names = list(leaves(call))

    def states(*tensors):
        return rollouts([replace(call, **dict(zip(names, tensors, strict=True)))], engine="reference")[0]

    assert torch.autograd.gradcheck(states, [getattr(call, name) for name in names])


def settled(integrator, *, norm=3.0):
    """A contracting network, and where it comes to rest under a constant input."""
    call = full_call(LAYOUT, integrator, parts=(), h=0.05, batch=2, speeds=(1.0, 0.5, 0.7, 1.0))
    with torch.no_grad():
        call.area_weights.mul_(0.2)
        call.forward.mul_(norm / 3)
        constant = call.inputs[:1].expand(4000, -1, -1)
        (states,) = rollouts([replace(call, inputs=constant)], engine="reference")
    return call, states


def drift(call, state, skew=None):
    """``r (-y + W phi(y) + u) + K y``, the right-hand side of the differential equation."""
    speeds, inner, _, coupling, _ = dense_parts(call)
    u = call.inputs[0] @ call.input_weights.t() + call.bias
    return speeds * (-state + phi(call, state) @ inner.t() + u) + state @ (coupling if skew is None else skew).t()


@torch.no_grad()
@pytest.mark.parametrize("integrator", ["euler", "imex", "resolvent"])
def test_a_network_rests_where_its_differential_equation_does(integrator):
    call, state = settled(integrator)
    assert float(drift(call, state).abs().max()) < 1e-9


@torch.no_grad()
def test_cayley_steps_rest_where_a_changed_coupling_does():
    call, state = settled("cayley")
    assert float(drift(call, state).abs().max()) > 1e-3
    # At y = Q x the state satisfies the equation of K (I + h K / 2)^-1.
    _, _, _, skew, _ = dense_parts(call)
    identity, h = torch.eye(len(skew), dtype=skew.dtype), call.dynamics.h
    turned = torch.linalg.solve(identity - h / 2 * skew, identity + h / 2 * skew)
    effective = skew @ torch.linalg.inv(identity + h / 2 * skew)
    assert float(drift(call, state @ turned.t(), effective).abs().max()) < 1e-9


@pytest.mark.parametrize(("integrator", "order"), [("imex", 1), ("resolvent", 1)])
def test_new_steps_follow_the_differential_equation_at_first_order(integrator, order):
    call = full_call(LAYOUT, integrator, parts=(), steps=1)

    @torch.no_grad()
    def at_one(steps):
        inputs = call.inputs[:1].expand(steps, -1, -1)
        dynamics = Dynamics(LAYOUT, integrator, 1 / steps, "tanh")
        return rollouts([replace(call, dynamics=dynamics, inputs=inputs)], engine="reference")[0]

    truth = at_one(6400)
    errors = [float((at_one(steps) - truth).norm()) for steps in (50, 100, 200)]
    assert 1.8 < errors[0] / errors[1] < 2.2
    assert 1.8 < errors[1] / errors[2] < 2.2


@needs_native
@pytest.mark.parametrize("part", ["gauge", "nonlinear", "symmetric"])
def test_the_native_engine_leaves_these_networks_to_the_reference(part):
    call = full_call(LAYOUT, "cayley", parts=(part,))
    narrow = replace(call, **{name: tensor.detach().float() for name, tensor in leaves(call).items()})
    with pytest.raises(ValueError, match=r"non-diagonal metric, nonlinear or, but for Euler, imperfect feedback"):
        rollouts([narrow], engine="native")
    (states,) = rollouts([narrow])
    assert torch.allclose(states.double(), written_states(call)[-1], atol=1e-4)


@needs_native
def test_the_native_engine_takes_a_symmetric_part_into_eulers_coupling():
    call = full_call(LAYOUT, "euler", parts=("symmetric",))
    narrow = replace(call, **{n: t.detach().float().requires_grad_() for n, t in leaves(call).items()})
    (states,) = rollouts([narrow], engine="native")
    assert torch.allclose(states.double(), written_states(call)[-1], atol=1e-5)
    wanted = torch.autograd.grad(written_states(call)[-1].sum(), [call.symmetric, call.forward])
    found = torch.autograd.grad(states.sum(), [narrow.symmetric, narrow.forward])
    for one, other in zip(wanted, found, strict=True):
        assert torch.allclose(one, other.double(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"activation": ("relu",)}, "one for each of 4 areas, got 1"),
        ({"speeds": (1.0,)}, "one for each of 4 areas, got 1"),
        ({"speeds": (1.0, 1.0, 0.0, 1.0)}, r"h times a speed must lie in \(0, 1\]"),
        ({"speeds": (1.0, 1.0, 11.0, 1.0)}, r"h times a speed must lie in \(0, 1\]"),
    ],
)
def test_dynamics_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Dynamics(**{"layout": LAYOUT, "integrator": "cayley", "h": 0.1, "activation": "relu", **arguments})


def test_a_nonlinear_coupling_needs_both_directions():
    call = full_call(LAYOUT, "cayley", parts=("nonlinear",))
    with pytest.raises(ValueError, match="expected both nonlinear blocks or none"):
        replace(call, nonlinear_backward=None)
