import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.rollouts import NETWORKS, compare, make

from topo_search.engine import (
    INTEGRATORS,
    AreaLayout,
    Dynamics,
    cayley_step,
    cayley_transform,
    edge_cayley_blocks,
    rollout,
)


@pytest.mark.parametrize("all_states", [False, True])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("network", NETWORKS)
def test_states_and_gradients_equal_autograd(network, integrator, activation, all_states):
    compare(NETWORKS[network], integrator, activation, all_states=all_states)


@pytest.mark.parametrize("network", NETWORKS)
def test_free_feedback_equals_autograd(network):
    compare(NETWORKS[network], "euler", "relu", all_states=True, free=True)


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_each_unit_saturates_at_its_own_level(integrator):
    layout = NETWORKS["mixed"]
    level = torch.linspace(0.1, 30, layout.n_units, dtype=torch.float64)
    compare(layout, integrator, "tanh", all_states=True, saturation=level)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_sizes_graph_batch_and_length(data):
    sizes = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=6))
    pairs = [(i, j) for i in range(len(sizes)) for j in range(i + 1, len(sizes))]
    edges = data.draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    steps, batch = data.draw(st.integers(1, 9)), data.draw(st.sampled_from([1, 2, 7]))
    ends = st.lists(st.integers(0, steps), min_size=batch, max_size=batch).map(torch.tensor)
    compare(
        AreaLayout.of(sizes, edges),
        data.draw(st.sampled_from(INTEGRATORS)),
        data.draw(st.sampled_from(["relu", "tanh"])),
        all_states=data.draw(st.booleans()),
        channels=data.draw(st.integers(1, 4)),
        steps=steps,
        batch=batch,
        lengths=data.draw(st.none() | ends),
        seed=data.draw(st.integers(0, 99)),
    )


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_gradcheck(integrator):
    layout = AreaLayout.of([2, 3, 2], [(0, 1), (1, 2)])
    tensors = make(layout, steps=4, batch=3)
    names = [n for n in tensors if n != "inputs"]

    def last_state(*values):
        return rollout(
            Dynamics(layout, integrator, 0.2, "tanh"), tensors["inputs"], **dict(zip(names, values, strict=True))
        )

    assert torch.autograd.gradcheck(last_state, [tensors[n].requires_grad_() for n in names])


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_float32_follows_float64(integrator):
    layout = NETWORKS["equal, sparse"]
    wide, narrow = make(layout), make(layout, dtype=torch.float32)
    dynamics = Dynamics(layout, integrator, 0.1, "relu")
    assert torch.allclose(rollout(dynamics, **narrow).double(), rollout(dynamics, **wide), atol=1e-5)


def test_all_states_end_with_the_last():
    layout = NETWORKS["mixed"]
    tensors = make(layout)
    dynamics = Dynamics(layout, "cayley", 0.1, "relu")
    assert torch.equal(rollout(dynamics, all_states=True, **tensors)[-1], rollout(dynamics, **tensors))


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("steps", [1, 63, 64, 65, 200])
def test_without_gradients_the_loop_forgets_and_gives_the_same_bits(integrator, steps):
    layout = NETWORKS["mixed"]
    tensors = make(layout, steps=steps, dtype=torch.float32)
    dynamics = Dynamics(layout, integrator, 0.1, "relu")
    kept = rollout(dynamics, **tensors)
    with torch.no_grad():
        assert torch.equal(rollout(dynamics, **tensors), kept)


def test_edge_steps_at_hand_give_the_same_states():
    layout = NETWORKS["mixed"]
    tensors = make(layout)
    dynamics = Dynamics(layout, "edge_cayley", 0.1, "relu")
    step = edge_cayley_blocks(layout, tensors["forward"], 0.1)
    assert torch.equal(rollout(dynamics, step=step, **tensors), rollout(dynamics, **tensors))


def test_a_step_at_hand_gives_the_same_states():
    layout = NETWORKS["mixed"]
    tensors = make(layout)
    lower = layout.dense_coupling(tensors["forward"])
    step = cayley_transform(lower - lower.t(), 0.1)
    dynamics = Dynamics(layout, "cayley", 0.1, "relu")
    assert torch.equal(rollout(dynamics, step=step, **tensors), rollout(dynamics, **tensors))


@pytest.mark.parametrize("strength", [1.0, 1e3])
def test_cayley_steps_are_orthogonal_at_any_strength(strength):
    lower = torch.randn(30, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).tril(-1) * strength
    step = cayley_transform(lower - lower.t(), 0.1)
    assert torch.allclose(step.t() @ step, torch.eye(30, dtype=torch.float64), atol=1e-12)


def test_cayley_gradient_needs_no_solve():
    skew = torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).tril(-1)
    assert torch.autograd.gradcheck(lambda b: cayley_step(b - b.t(), 0.4), skew.requires_grad_())


@pytest.mark.parametrize("integrator", ["cayley", "edge_cayley"])
def test_cayley_follows_the_differential_equation_at_first_order(integrator):
    layout = AreaLayout.of([4, 3, 4], [(0, 1), (0, 2), (1, 2)])
    tensors = make(layout, steps=1)

    def state_at_one(steps):
        repeated = {**tensors, "inputs": tensors["inputs"].expand(steps, -1, -1)}
        return rollout(Dynamics(layout, integrator, 1 / steps, "tanh"), **repeated)

    truth = state_at_one(6400)
    errors = [float((state_at_one(steps) - truth).norm()) for steps in (50, 100, 200)]
    assert 1.8 < errors[0] / errors[1] < 2.2
    assert 1.8 < errors[1] / errors[2] < 2.2


def test_bad_calls_are_refused():
    layout = AreaLayout.of([2, 2], [(0, 1)])
    tensors = make(layout)
    for integrator in ("cayley", "edge_cayley"):
        dynamics = Dynamics(layout, integrator, 0.1, "relu")
        with pytest.raises(ValueError, match=f"a step of {integrator} takes a skew coupling"):
            rollout(dynamics, backward=tensors["forward"], **tensors)
        with pytest.raises(ValueError, match=f"step of {integrator} must have shape"):
            rollout(dynamics, step=torch.eye(3), **tensors)
    with pytest.raises(ValueError, match="shape"):
        rollout(dynamics, **{**tensors, "inputs": tensors["inputs"][:, :, 0]})
