"""Networks side by side: what shares a call, threads and memory change no bit."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.calls import calls, leaves, make_call
from support.native import Execution, levels, loss_weights, native, needs_native, threads

from topo_search.engine import AreaLayout, Call, rollouts

pytestmark = needs_native

PLAIN = Execution(levels()[0] if levels() else "", 1, 0)


def population():
    """Networks of different graphs, sizes, lengths, batches, integrators and outputs."""
    star = AreaLayout.of([6, 9, 4, 16], [(0, 1), (0, 2), (0, 3)])
    complete = AreaLayout.of([16] * 4, [(i, j) for j in range(4) for i in range(j)])
    return [
        make_call(star, "cayley", batch=70, steps=9, initial=True, seed=0),
        make_call(complete, "euler", "tanh", batch=130, steps=4, free=True, saturation=True, seed=1),
        make_call(AreaLayout.of([7], []), "cayley", batch=1, steps=12, seed=2),
        make_call(complete, "edge_cayley", batch=33, steps=7, all_states=True, lengths=True, seed=3),
        make_call(star, "euler", batch=64, steps=5, channels=1, input_areas=(1,), all_states=True, seed=4),
        make_call(complete, "cayley", "tanh", batch=17, steps=3, lengths=True, seed=5),
    ]


def same(one, other):
    """Whether states and gradients are the same bit for bit."""
    (states, gradients), (others, other_gradients) = one, other
    assert gradients.keys() == other_gradients.keys()
    return torch.equal(states, others) and all(torch.equal(gradients[n], other_gradients[n]) for n in gradients)


def alone(call, execution=PLAIN):
    return native([call], execution, [loss_weights(call)])[0]


def together(members, execution=PLAIN):
    return native(members, execution, [loss_weights(call) for call in members])


def test_a_population_equals_single_calls_bit_for_bit():
    members = population()
    expected = [alone(call) for call in members]
    assert all(states.isfinite().all() and states.any() for states, _ in expected)
    for order in (members, members[::-1], members[1::2]):
        for call, found in zip(order, together(order), strict=True):
            assert same(found, expected[members.index(call)])


@settings(max_examples=40, deadline=None, derandomize=True)
@given(members=st.lists(calls(), min_size=2, max_size=5), which=st.integers(0, 4), budget=st.integers(0, 100_000))
def test_what_else_is_in_the_call_changes_nothing(members, which, budget):
    call = members[which % len(members)]
    found = together(members, PLAIN._replace(state_budget=budget, n_threads=2))[which % len(members)]
    assert same(found, alone(call))


@pytest.mark.parametrize("level", levels())
def test_neither_threads_nor_memory_change_a_bit(level):
    members = population()
    expected = together(members, Execution(level, 1, 0))
    for n_threads in (1, 2, 3, 16):
        for budget in (0, 1, 200_000, None):
            found = together(members, Execution(level, n_threads, budget))
            assert all(same(one, other) for one, other in zip(found, expected, strict=True)), (n_threads, budget)


def test_a_sequence_does_not_depend_on_its_batch():
    # Within a slice of one width: another width sums over units in the same order, too.
    whole = make_call(AreaLayout.of([9, 5], [(0, 1)]), "cayley", batch=130, initial=True)
    (states,) = rollouts([whole], engine="native")
    for first, last in ((0, 64), (64, 128), (128, 130), (3, 4), (10, 40)):
        tensors = leaves(whole)
        tensors["inputs"] = tensors["inputs"][:, first:last]
        tensors["initial"] = tensors["initial"][first:last]
        (part,) = rollouts([Call(dynamics=whole.dynamics, **tensors)], engine="native")
        assert torch.equal(part, states[first:last])


def test_a_network_may_be_in_the_call_twice_with_shared_weights():
    call = make_call(AreaLayout.of([9, 5], [(0, 1)]), "cayley")
    once = alone(call)
    weights = loss_weights(call)
    first, second = rollouts([call, call], engine="native")
    gradients = torch.autograd.grad(((first + second) * weights).sum(), list(leaves(call).values()))
    for gradient, single in zip(gradients, once[1].values(), strict=True):
        assert torch.equal(gradient, 2 * single)


def test_calls_from_threads_at_once():
    # The engine holds no lock and keeps buffers for later calls: two callers must not be given one buffer.
    from concurrent.futures import ThreadPoolExecutor

    members = population()
    expected = [alone(call) for call in members]
    with threads(1), ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            found = list(pool.map(lambda call: native([call], PLAIN, [loss_weights(call)])[0], members))
            assert all(same(one, other) for one, other in zip(found, expected, strict=True))
