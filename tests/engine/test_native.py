"""The native engine against the reference, on networks, batches and executions of any kind."""

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from support.calls import calls, converted, graph_of, leaves, make_call
from support.native import STATES, Execution, error, executions, held_against_reference, levels, needs_native

from topo_search.engine import INTEGRATORS, AreaLayout, Call, rollouts
from topo_search.engine.native import eliminable, native_rollouts
from topo_search.engine.native import rollout as native_module
from topo_search.engine.native.forms import STRENGTH_LIMIT

pytestmark = needs_native

STAR = AreaLayout.of([8] * 6, [(0, j) for j in range(1, 6)])
COMPLETE = AreaLayout.of([12] * 5, graph_of("complete", 5))
LARGE_COMPLETE = AreaLayout.of([40] * 9, graph_of("complete", 9))
LARGE_COVER = AreaLayout.of([40] * 9 + [90] * 3, [(i, j) for j in range(12) for i in range(min(j, 9))])


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(call=calls(), execution=executions())
def test_states_and_gradients_are_those_of_the_reference(call, execution):
    assume(held_against_reference(call, execution))


@pytest.mark.parametrize("level", levels())
@pytest.mark.parametrize("batch", [1, 16, 17, 32, 33, 64, 65, 130])
@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_every_width_of_a_slice(integrator, batch, level):
    layout = AreaLayout.of([16, 5, 33], [(0, 1), (0, 2), (1, 2)])
    for activation in ("relu", "tanh"):
        call = make_call(layout, integrator, activation, batch=batch, lengths=True, initial=True, all_states=True)
        assert held_against_reference(call, Execution(level, 1, 0))


@pytest.mark.parametrize("level", levels())
@pytest.mark.parametrize("size", [*range(1, 20), 31, 32, 33, 48, 64])
def test_every_height_of_a_tile(size, level):
    layout = AreaLayout.of([size, 3, size], [(0, 1), (1, 2), (0, 2)])
    for integrator, free in (("euler", True), ("cayley", False), ("edge_cayley", False)):
        assert held_against_reference(make_call(layout, integrator, free=free, initial=True), Execution(level, 1, 0))


@pytest.mark.parametrize("norm", [0.01, 1.0, 10.0, 30.0])
@pytest.mark.parametrize("integrator", ["cayley", "edge_cayley"])
@pytest.mark.parametrize("layout", [STAR, COMPLETE])
def test_a_strong_coupling_keeps_the_tolerance(layout, integrator, norm):
    call = make_call(layout, integrator, "tanh", h=1.0, norm=norm, steps=40, initial=True, all_states=True)
    assert held_against_reference(call, Execution(levels()[0], 1, 0))


@pytest.mark.parametrize("norm", [1.0, 30.0])
@pytest.mark.parametrize("layout", [LARGE_COVER, LARGE_COMPLETE])
def test_a_large_inverse_keeps_the_tolerance(layout, norm):
    form = native_module.direct_form(layout)
    assert form.name == ("dense" if layout is LARGE_COMPLETE else "cover")
    assert sum(layout.sizes[area] for area in form.cover) > native_module.OWN_INVERSE
    call = make_call(layout, "cayley", "tanh", h=1.0, norm=norm, initial=True, all_states=True)
    assert held_against_reference(call, Execution(levels()[0], 1, 0))


# A step contracts at any strength only while what is executed is orthogonal, so that these are no matter of taste.
@pytest.mark.parametrize(
    ("layout", "integrator"),
    [
        (STAR, "cayley"),
        (COMPLETE, "cayley"),
        (LARGE_COMPLETE, "cayley"),
        (LARGE_COVER, "cayley"),
        (STAR, "edge_cayley"),
        (COMPLETE, "edge_cayley"),
    ],
)
@pytest.mark.parametrize("norm", [1e3, 1e5])
def test_states_keep_the_tolerance_at_any_strength(layout, integrator, norm):
    call = make_call(layout, integrator, "tanh", h=1.0, norm=norm, steps=20, initial=True, all_states=True)
    (truth,) = rollouts([converted(call, torch.float64)], engine="reference")
    # Edge by edge the native engine would not keep it in float32, and says so.
    assert not eliminable(call.forward, 0.5)
    if integrator == "edge_cayley":
        with pytest.raises(ValueError, match="not accurate at so strong a coupling"):
            rollouts([call], engine="native")
    (states,) = rollouts([call], engine="auto" if integrator == "edge_cayley" else "native")
    assert error(states.detach(), truth.detach()) <= STATES


@pytest.mark.parametrize("layout", [STAR, COMPLETE, LARGE_COVER])
@pytest.mark.parametrize("integrator", ["cayley", "edge_cayley"])
def test_states_keep_the_tolerance_up_to_the_strength_at_which_areas_are_eliminated(layout, integrator):
    call = make_call(layout, integrator, "tanh", h=1.0, norm=1.0, steps=20, initial=True, all_states=True)
    with torch.no_grad():
        call.forward.mul_(0.999 * STRENGTH_LIMIT / (0.5 * 2**0.5 * call.forward.norm()))
    assert eliminable(call.forward, 0.5)
    (truth,) = rollouts([converted(call, torch.float64)], engine="reference")
    (states,) = rollouts([call], engine="native")
    assert error(states.detach(), truth.detach()) <= STATES


def test_a_small_leak_is_exact():
    # Of an uncoupled network without weights and bias the state shrinks by 1 - h.
    layout = AreaLayout.of([4], [])
    call = make_call(layout, h=1 - 1e-5, steps=1, channels=0, density=0.0, initial=True)
    still = converted(Call(**{**vars(call), "bias": torch.zeros(4)}), torch.float32)
    (states,) = rollouts([still], engine="native")
    assert error(states.detach(), 1e-5 * still.initial.detach().double()) <= STATES


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_an_input_without_channels(integrator):
    assert held_against_reference(make_call(STAR, integrator, channels=0, initial=True), Execution(levels()[0], 1, 0))


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_arrays_may_be_views(integrator):
    call = make_call(STAR, integrator, initial=True)
    (expected,) = rollouts([call], engine="native")
    strided = {}
    for name, tensor in leaves(call).items():
        wide = torch.full((*tensor.shape, 2), torch.nan)
        wide[..., 0] = tensor.detach()
        strided[name] = wide[..., 0]
        assert not strided[name].is_contiguous()
    views = Call(dynamics=call.dynamics, **strided)
    (states,) = rollouts([views], engine="native")
    assert torch.equal(states, expected)


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_gradients_are_made_only_where_asked_for(integrator):
    call = make_call(STAR, integrator, initial=True)
    everything = torch.autograd.grad(native_rollouts([call], fill_nan=True)[0].sum(), list(leaves(call).values()))
    for (name, leaf), expected in zip(leaves(call).items(), everything, strict=True):
        for other in leaves(call).values():
            other.requires_grad_(other is leaf)
        (states,) = native_rollouts([call], fill_nan=True)
        (gradient,) = torch.autograd.grad(states.sum(), [leaf])
        assert torch.equal(gradient, expected), name


def test_an_output_that_a_loss_does_not_use_has_no_gradient():
    used, unused = make_call(STAR, "euler"), make_call(STAR, "cayley", seed=1)
    states, _ = native_rollouts([used, unused], fill_nan=True)
    states.sum().backward()
    (alone,) = native_rollouts([converted(used, torch.float32)], fill_nan=True)
    assert torch.equal(states, alone)
    assert used.forward.grad.any()
    assert not any(leaf.grad.any() for leaf in leaves(unused).values())


def test_tanh_is_exact_to_rounding_everywhere():
    # One step of one uncoupled area with W = I, h = 1 and no input returns phi(x).
    x = torch.cat([torch.linspace(-12, 12, 4001), 10 ** torch.linspace(-30, 30, 999), torch.zeros(1)])
    layout = AreaLayout.of([1], [])
    call = make_call(layout, "euler", "tanh", h=1.0, steps=1, batch=len(x), channels=0)
    tensors = {**leaves(call), "bias": torch.zeros(1), "area_weights": torch.ones(1), "initial": x[:, None]}
    for level in levels():
        (states,) = native_rollouts([Call(dynamics=call.dynamics, **tensors)], level=level)
        states, truth = states.detach(), torch.tanh(x.double())
        assert float(((states[:, 0].double() - truth).abs() / truth.abs().clamp_min(1e-37)).max()) <= 3e-7
        assert error(states[:, 0], truth) <= 1.2e-7
