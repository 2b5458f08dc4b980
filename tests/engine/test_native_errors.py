"""What is refused before the native engine runs, and which engine serves then."""

import importlib
from contextlib import suppress
from dataclasses import fields

import pytest
import torch
from support.calls import converted, leaves, make_call
from support.native import needs_native

from topo_search.engine import INTEGRATORS, AreaLayout, Call, rollouts, serving_engine
from topo_search.engine.native import NativeStatus, native_rollouts
from topo_search.engine.native import rollout as native_module

pytestmark = needs_native

LAYOUT = AreaLayout.of([3, 4], [(0, 1)])
# The function of this name hides the module.
ENTRY = importlib.import_module("topo_search.engine.rollout")


def changed(integrator="euler", **others):
    call = make_call(LAYOUT, integrator)
    return lambda: Call(**{**{f.name: getattr(call, f.name) for f in fields(call)}, **others})


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        (
            changed(inputs=torch.zeros(6, 3)),
            r"inputs must have shape \(T, B, C\) with T and B at least 1, got \(6, 3\)",
        ),
        (changed(inputs=torch.zeros(0, 5, 3)), "T and B at least 1, got"),
        (changed(inputs=torch.zeros(6, 0, 3)), "T and B at least 1, got"),
        (changed(inputs=torch.zeros(6, 5, 2)), r"input_weights of euler must have shape \(7, 2\), got \(7, 3\)"),
        (changed(input_weights=torch.zeros(3, 7)), r"input_weights of euler must have shape \(7, 3\)"),
        (changed(bias=torch.zeros(6)), r"bias of euler must have shape \(7,\), got \(6,\)"),
        (changed(area_weights=torch.zeros(49)), r"area_weights of euler must have shape \(25,\), got \(49,\)"),
        (changed(forward=torch.zeros(4, 3)), r"forward of euler must have shape \(12,\), got \(4, 3\)"),
        (changed(backward=torch.zeros(11)), r"backward of euler must have shape \(12,\), got \(11,\)"),
        (changed("cayley", backward=torch.zeros(12)), "backward blocks were given, but a step of cayley"),
        (changed("edge_cayley", backward=torch.zeros(12)), "backward blocks were given, but a step of edge_cayley"),
        (changed("cayley", step=torch.zeros(49)), r"step of cayley must have shape \(7, 7\), got \(49,\)"),
        (changed("edge_cayley", step=torch.zeros(7, 7)), r"step of edge_cayley must have shape \(49,\), got \(7, 7\)"),
        (changed(saturation=torch.ones(7, 1)), r"saturation of euler must have shape \(7,\), got \(7, 1\)"),
        (changed(initial=torch.zeros(7)), r"initial of euler must have shape \(5, 7\), got \(7,\)"),
        (changed(lengths=torch.ones(5)), r"lengths must be int64 of shape \(5,\), got torch.float32"),
        (changed(lengths=torch.ones(4, dtype=torch.int64)), r"lengths must be int64 of shape \(5,\)"),
        (changed(lengths=torch.tensor([1, 2, 3, 4, 7])), r"lengths must lie in 0 \.\. 6, .* got 1 \.\. 7"),
    ],
)
def test_a_call_that_does_not_fit_is_refused(refused, message):
    with pytest.raises(ValueError, match=message) as caught:
        refused()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("engine", ["auto", "native", "reference"])
def test_there_must_be_a_call(engine):
    with pytest.raises(ValueError, match="no call to run"):
        rollouts([], engine=engine)


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_float64_is_left_to_the_reference(integrator):
    call = converted(make_call(LAYOUT, integrator), torch.float64)
    assert serving_engine(call.forward) == "reference"
    (states,) = rollouts([call])
    assert states.dtype == torch.float64
    assert torch.equal(states, rollouts([call], engine="reference")[0])
    with pytest.raises(ValueError, match="native engine was asked for, but it runs on the CPU in float32"):
        rollouts([call], engine="native")


def test_float32_is_run_by_the_native_engine(monkeypatch):
    call = make_call(LAYOUT)
    assert serving_engine(call.forward) == "native"
    expected = native_rollouts([call])[0]
    monkeypatch.setattr(ENTRY, "_reference", None)
    assert torch.equal(rollouts([call])[0], expected)


def test_one_call_for_the_reference_takes_all_of_them_there():
    narrow, wide = make_call(LAYOUT), converted(make_call(LAYOUT), torch.float64)
    first, second = rollouts([narrow, wide])
    assert torch.equal(first, rollouts([narrow], engine="reference")[0])
    assert second.dtype == torch.float64


def test_where_the_engine_is_missing_the_reference_serves_and_the_reason_is_said(monkeypatch):
    missing = NativeStatus(None, "", "the compiled engine was not built: install a compiler")
    monkeypatch.setattr(ENTRY, "native_status", lambda: missing)
    monkeypatch.setattr(native_module, "native_status", lambda: missing)
    call = make_call(LAYOUT)
    assert serving_engine(call.forward) == "reference"
    assert torch.equal(rollouts([call])[0], rollouts([call], engine="reference")[0])
    with pytest.raises(ValueError, match="asked for, but the compiled engine was not built: install a compiler"):
        rollouts([call], engine="native")
    with pytest.raises(RuntimeError, match="does not serve: the compiled engine was not built"):
        native_rollouts([call])


def test_a_level_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="level sse was not compiled or does not run on this processor"):
        native_rollouts([make_call(LAYOUT)], level="sse")


def test_a_second_backward_pass_is_refused():
    # States are overwritten on the way back.
    call = make_call(LAYOUT)
    (states,) = rollouts([call], engine="native")
    states.sum().backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="runs backward once"):
        states.sum().backward()


def test_gradients_of_gradients_are_refused():
    call = make_call(LAYOUT)
    (states,) = rollouts([call], engine="native")
    (gradient,) = torch.autograd.grad(states.square().sum(), [call.forward], create_graph=True)
    with pytest.raises(RuntimeError, match=r"once_differentiable|does not require grad"):
        gradient.sum().backward()


@pytest.mark.parametrize(
    "name",
    [
        "inputs",
        "input_weights",
        "area_weights",
        "forward",
    ],
)
def test_weights_changed_before_the_backward_pass_cannot_go_unnoticed(name):
    # The reference refuses the backward pass; an engine that copied what it needs may go on as if nothing were changed.
    call = make_call(LAYOUT, "euler", initial=True)
    expected = torch.autograd.grad(native_rollouts([call])[0].sum(), list(leaves(call).values()))
    (states,) = native_rollouts([call])
    with torch.no_grad():
        getattr(call, name).zero_()
    found = None
    with suppress(RuntimeError):
        found = torch.autograd.grad(states.sum(), list(leaves(call).values()))
    assert found is None or all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("sizes", [[3, 4], [4, 4], [8] * 40])
@pytest.mark.parametrize("integrator", ["euler", "cayley", "edge_cayley"])
def test_weights_that_are_not_finite_give_a_state_that_is_not_instead_of_an_error(integrator, sizes, bad):
    # Training looks at the state and the loss to see that a candidate diverged.
    layout = AreaLayout.of(sizes, [(a, a + 1) for a in range(len(sizes) - 1)])
    for name in ("forward", "area_weights", "bias", "input_weights"):
        call = make_call(layout, integrator, density=1.0)
        with torch.no_grad():
            getattr(call, name).view(-1)[0] = bad
        (states,) = rollouts([call], engine="native")
        torch.autograd.grad(states.sum(), list(leaves(call).values()))
        assert bad == float("inf") or not states.isfinite().all()
