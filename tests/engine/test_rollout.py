import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.plain_loop import plain_loop

from topo_search.engine import AreaLayout, Dynamics, cayley_step, cayley_transform, rollout

NETWORKS = {
    "equal, sparse": AreaLayout.of([5] * 7, [(0, 1), (1, 4), (2, 6), (3, 4)]),
    "equal, dense": AreaLayout.of([4] * 4, [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]),
    "mixed": AreaLayout.of([3, 3, 7, 1, 5, 2, 2], [(0, 2), (2, 3), (4, 5), (1, 6)]),
    "no edge": AreaLayout.of([3, 4], []),
    "one area": AreaLayout.of([6], []),
}


def make(layout, *, channels=3, steps=7, batch=5, dtype=torch.float64, seed=0):
    rng = torch.Generator().manual_seed(seed)

    def draw(*shape, scale=1.0):
        return (torch.randn(*shape, generator=rng, dtype=torch.float64) * scale).to(dtype)

    return {
        "inputs": draw(steps, batch, channels),
        "input_weights": draw(layout.n_units, channels),
        "bias": draw(layout.n_units, scale=0.3),
        "area_weights": draw(layout.n_area_weights, scale=0.3),
        "forward": draw(layout.n_coupling, scale=0.7),
        "initial": draw(batch, layout.n_units),
    }


def compare(
    layout, integrator, activation, *, all_states, free=False, saturation=None, seed=0, tolerance=1e-11, **shape
):
    tensors = {k: v.requires_grad_() for k, v in make(layout, seed=seed, **shape).items()}
    back = None
    if free:
        back = make(layout, seed=seed + 1, **shape)["forward"].requires_grad_()
        tensors["backward"] = back
    h = 0.3
    lower = layout.dense_coupling(tensors["forward"])
    coupling = lower - lower.t() if back is None else lower + layout.dense_coupling(back).t()
    expected = plain_loop(
        tensors["inputs"],
        tensors["input_weights"],
        tensors["bias"],
        layout.dense_area_weights(tensors["area_weights"]),
        coupling,
        integrator=integrator,
        h=h,
        activation=activation,
        saturation=saturation,
        initial=tensors["initial"],
    )
    actual = rollout(
        Dynamics(layout, integrator, h, activation), saturation=saturation, all_states=all_states, **tensors
    )
    expected = expected if all_states else expected[-1]
    assert torch.allclose(actual, expected, rtol=0, atol=tolerance)
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    names = list(tensors)
    ours = torch.autograd.grad((actual * weights).sum(), [tensors[n] for n in names], allow_unused=True)
    theirs = torch.autograd.grad((expected * weights).sum(), [tensors[n] for n in names], allow_unused=True)
    for name, our, their in zip(names, ours, theirs, strict=True):
        mine, truth = (torch.zeros_like(tensors[name]) if g is None else g for g in (our, their))
        scale = max(1.0, float(truth.abs().max())) if truth.numel() else 1.0
        assert torch.allclose(mine, truth, rtol=0, atol=tolerance * 10 * scale), name


@pytest.mark.parametrize("all_states", [False, True])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("integrator", ["cayley", "euler"])
@pytest.mark.parametrize("network", NETWORKS)
def test_states_and_gradients_equal_autograd(network, integrator, activation, all_states):
    compare(NETWORKS[network], integrator, activation, all_states=all_states)


@pytest.mark.parametrize("network", NETWORKS)
def test_free_feedback_equals_autograd(network):
    compare(NETWORKS[network], "euler", "relu", all_states=True, free=True)


@pytest.mark.parametrize("integrator", ["cayley", "euler"])
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
    compare(
        AreaLayout.of(sizes, edges),
        data.draw(st.sampled_from(["cayley", "euler"])),
        data.draw(st.sampled_from(["relu", "tanh"])),
        all_states=data.draw(st.booleans()),
        channels=data.draw(st.integers(1, 4)),
        steps=data.draw(st.integers(1, 9)),
        batch=data.draw(st.sampled_from([1, 2, 7])),
        seed=data.draw(st.integers(0, 99)),
    )


@pytest.mark.parametrize("integrator", ["cayley", "euler"])
def test_gradcheck(integrator):
    layout = AreaLayout.of([2, 3, 2], [(0, 1), (1, 2)])
    tensors = make(layout, steps=4, batch=3)
    names = [n for n in tensors if n != "inputs"]

    def last_state(*values):
        return rollout(
            Dynamics(layout, integrator, 0.2, "tanh"), tensors["inputs"], **dict(zip(names, values, strict=True))
        )

    assert torch.autograd.gradcheck(last_state, [tensors[n].requires_grad_() for n in names])


@pytest.mark.parametrize("integrator", ["cayley", "euler"])
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


@pytest.mark.parametrize("integrator", ["cayley", "euler"])
@pytest.mark.parametrize("steps", [1, 63, 64, 65, 200])
def test_without_gradients_the_loop_forgets_and_gives_the_same_bits(integrator, steps):
    layout = NETWORKS["mixed"]
    tensors = make(layout, steps=steps, dtype=torch.float32)
    dynamics = Dynamics(layout, integrator, 0.1, "relu")
    kept = rollout(dynamics, **tensors)
    with torch.no_grad():
        assert torch.equal(rollout(dynamics, **tensors), kept)


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


def test_cayley_follows_the_differential_equation_at_first_order():
    layout = AreaLayout.of([4, 4], [(0, 1)])
    tensors = make(layout, steps=1)

    def state_at_one(steps):
        repeated = {**tensors, "inputs": tensors["inputs"].expand(steps, -1, -1)}
        return rollout(Dynamics(layout, "cayley", 1 / steps, "tanh"), **repeated)

    truth = state_at_one(6400)
    errors = [float((state_at_one(steps) - truth).norm()) for steps in (50, 100, 200)]
    assert 1.8 < errors[0] / errors[1] < 2.2
    assert 1.8 < errors[1] / errors[2] < 2.2


def test_bad_calls_are_refused():
    layout = AreaLayout.of([2, 2], [(0, 1)])
    tensors = make(layout)
    dynamics = Dynamics(layout, "cayley", 0.1, "relu")
    with pytest.raises(ValueError, match="skew coupling"):
        rollout(dynamics, backward=tensors["forward"], **tensors)
    with pytest.raises(ValueError, match="shape"):
        rollout(dynamics, **{**tensors, "inputs": tensors["inputs"][:, :, 0]})
