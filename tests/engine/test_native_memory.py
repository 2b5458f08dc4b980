"""Memory of states kept for the backward pass, and of buffers kept for later calls."""

from dataclasses import replace

import pytest
import torch
from support.calls import leaves, make_call
from support.native import Execution, levels, loss_weights, native, needs_native, planned, watched

from topo_search.engine import INTEGRATORS, AreaLayout, rollout, rollouts
from topo_search.engine.native import budget as budget_module
from topo_search.engine.native import native_status
from topo_search.engine.native.budget import SHARE, SMALL, available_memory, state_budgets

pytestmark = needs_native

LAYOUT = AreaLayout.of([8, 5, 8], [(0, 1), (1, 2)])


@pytest.mark.parametrize("batch", [5, 100])
@pytest.mark.parametrize("steps", [1, 2, 17, 1000])
@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_a_budget_is_kept_to(integrator, steps, batch):
    call = make_call(LAYOUT, integrator, steps=steps, batch=batch)
    full, least = planned(call, 0), planned(call, 1)
    assert full.segment == steps
    assert full.state_bytes >= 4 * steps * batch * LAYOUT.n_units
    assert least.state_bytes <= full.state_bytes
    before = 0
    for budget in [least.state_bytes, *range(least.state_bytes, full.state_bytes, full.state_bytes // 7)]:
        plan = planned(call, budget)
        assert before <= plan.state_bytes <= budget
        assert plan.segment < steps or plan.state_bytes == full.state_bytes
        before = plan.state_bytes
    assert planned(call, full.state_bytes).segment == steps
    assert planned(call, 10 * full.state_bytes).segment == steps


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_the_least_memory_grows_with_the_root_of_the_steps(integrator):
    least = [planned(make_call(LAYOUT, integrator, steps=steps), 1).state_bytes for steps in (100, 10_000)]
    assert 9 < least[1] / least[0] < 11


def test_a_long_training_fits_64_megabytes():
    layout = AreaLayout.of([32] * 24, [(i, j) for j in range(24) for i in range(j)])
    call = make_call(layout, steps=1024, batch=128)
    plan = planned(call, 64_000_000)
    assert 32_000_000 < plan.state_bytes <= 64_000_000


def test_without_a_backward_pass_little_is_kept():
    short, long = (planned(make_call(LAYOUT, steps=steps), 0, keep=False).state_bytes for steps in (100, 10_000))
    assert short == long < planned(make_call(LAYOUT, steps=100), 0).state_bytes / 5


def test_states_of_small_problems_are_kept_in_full():
    call = make_call(LAYOUT, steps=100)
    assert state_budgets([call, call], None) == (0, 0)
    with watched() as seen:
        rollouts([call], engine="native")
    assert [(given["keep"], given["state_budget"]) for given in seen] == [(True, 0)]


def test_a_budget_reaches_the_engine():
    call = make_call(LAYOUT, steps=100)
    with watched() as seen:
        rollout(call.dynamics, state_budget=30_000, **leaves(call))
        rollouts([call, call], state_budget=30_000)
    assert [(given["keep"], given["state_budget"]) for given in seen] == [
        (True, 30_000),
        (True, 15_000),
        (True, 15_000),
    ]


def test_tensors_without_gradients_are_not_kept():
    call = make_call(LAYOUT, steps=100)
    for leaf in leaves(call).values():
        leaf.requires_grad_(False)
    with watched() as seen:
        rollouts([call], engine="native")
    assert [given["keep"] for given in seen] == [False]


def test_nothing_is_kept_where_gradients_are_switched_off():
    with torch.no_grad(), watched() as seen:
        rollouts([make_call(LAYOUT, steps=100)], engine="native")
    assert [given["keep"] for given in seen] == [False]


def test_the_default_is_a_quarter_of_the_free_memory(monkeypatch):
    monkeypatch.setattr(budget_module, "available_memory", lambda: 400_000_000)
    short = make_call(LAYOUT, steps=1, batch=1, channels=1)
    # An array that takes no memory.
    long = replace(short, inputs=torch.zeros(1, 1, 1).expand(SMALL // 4, 1, 1))
    longer = replace(short, inputs=torch.zeros(1, 1, 1).expand(3 * (SMALL // 4), 1, 1))
    assert SHARE == 4
    assert state_budgets([long], None) == (100_000_000,)
    assert state_budgets([long, longer], None) == (25_000_000, 75_000_000)
    assert state_budgets([long, longer], 40_000) == (10_000, 30_000)
    assert state_budgets([long, longer], 0) == (0, 0)
    # No limit is spelt 0, so the smallest limit is one byte.
    assert state_budgets([short, longer], 1) == (1, 1)


def test_free_memory_is_that_of_this_machine():
    assert 1 << 20 < available_memory() < 1 << 50


def test_kept_buffers_are_given_back():
    module = native_status().module
    call = make_call(LAYOUT, steps=50)
    plain = Execution(levels()[0], 1, 0)
    before = native([call], plain, [loss_weights(call)])[0]
    assert module.release_memory() >= planned(call, 0).state_bytes
    module.release_memory()
    assert module.release_memory() == 0
    after = native([call], plain, [loss_weights(call)])[0]
    assert torch.equal(before[0], after[0])
    assert all(torch.equal(before[1][name], after[1][name]) for name in before[1])
