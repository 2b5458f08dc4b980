"""What lies past the end of a sequence, and what one sequence holds, stays where it is."""

import pytest
import torch
from support.calls import converted, leaves, make_call
from support.native import Execution, levels, loss_weights, native, needs_native

from topo_search.engine import INTEGRATORS, AreaLayout, Call, rollouts

pytestmark = needs_native

LAYOUT = AreaLayout.of([5, 16, 9], [(0, 1), (1, 2)])
BATCH, STEPS = 70, 6


def replaced(call, **tensors):
    """The call with other tensors, and leaves of its own."""
    own = {**leaves(call), "lengths": call.lengths, **tensors}
    return converted(Call(dynamics=call.dynamics, all_states=call.all_states, **own), torch.float32)


@pytest.mark.parametrize("padding", [1e30, float("nan"), float("inf")])
@pytest.mark.parametrize("budget", [0, 1])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_padding_reaches_neither_states_nor_gradients(integrator, activation, budget, padding):
    call = make_call(LAYOUT, integrator, activation, batch=BATCH, steps=STEPS, lengths=True, all_states=True)
    past = (call.lengths <= torch.arange(STEPS)[:, None])[:, :, None]
    results = []
    for value in (0.0, padding):
        other = replaced(call, inputs=call.inputs.detach().masked_fill(past, value))
        results += native([other], Execution(levels()[0], 1, budget), [loss_weights(other)])
    (states, gradients), (other_states, other_gradients) = results
    assert torch.equal(states, other_states)
    for name, gradient in gradients.items():
        assert torch.equal(gradient, other_gradients[name]), name
    gradient = gradients["inputs"]
    assert not gradient[past.expand_as(gradient)].any()
    assert gradient[~past.expand_as(gradient)].all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("sequence", [0, 15, 16, 63, 64, 69])
@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_a_sequence_that_is_not_finite_stays_alone(integrator, sequence, bad):
    call = make_call(LAYOUT, integrator, batch=BATCH, steps=STEPS, initial=True, all_states=True)
    (expected,) = rollouts([call], engine="native")
    inputs = call.inputs.detach().clone()
    inputs[2, sequence] = bad
    (states,) = rollouts([replaced(call, inputs=inputs)], engine="native")
    others = torch.arange(BATCH) != sequence
    assert torch.equal(states[:, others], expected[:, others])
    assert torch.equal(states[:2, sequence], expected[:2, sequence])
    assert not states[-1, sequence].isfinite().any()


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_a_sequence_is_held_from_its_end_on(integrator):
    call = make_call(LAYOUT, integrator, batch=BATCH, steps=STEPS, initial=True, lengths=True, all_states=True)
    (every,) = rollouts([call], engine="native")
    lengths = call.lengths.tolist()
    assert {0, STEPS} <= set(lengths)
    for b, length in enumerate(lengths):
        last = call.initial[b] if length == 0 else every[length - 1, b]
        assert torch.equal(every[max(length, 1) - 1 :, b], last.expand(STEPS - max(length, 1) + 1, -1))
    whole = Call(dynamics=call.dynamics, all_states=True, **leaves(call))
    (free,) = rollouts([whole], engine="native")
    for b, length in enumerate(lengths):
        assert torch.equal(every[:length, b], free[:length, b])


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_sequences_that_are_all_empty(integrator):
    call = make_call(LAYOUT, integrator, batch=3, steps=STEPS, initial=True)
    call = replaced(call, lengths=torch.zeros(3, dtype=torch.int64))
    ((states, gradients),) = native([call], Execution(levels()[0], 1, 0), [loss_weights(call)])
    assert torch.equal(states, call.initial)
    assert torch.equal(gradients.pop("initial"), loss_weights(call))
    assert not any(gradient.any() for gradient in gradients.values())
