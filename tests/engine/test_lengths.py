"""Sequences of different lengths: held after their own end, exactly."""

import pytest
import torch
from support.rollouts import NETWORKS, compare, make

from topo_search.engine import INTEGRATORS, Dynamics, rollout

# Of 7 steps: none, one, odd, even and all; and shortest lengths of 0, of some and of all steps.
LENGTHS = {
    "from none to all": [0, 1, 7, 4, 3],
    "some": [5, 2, 6, 3, 2],
    "all": [7] * 5,
    "none": [0] * 5,
}


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("all_states", [False, True])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_held_states_and_gradients_equal_autograd(integrator, activation, all_states, lengths):
    compare(NETWORKS["mixed"], integrator, activation, all_states=all_states, lengths=torch.tensor(LENGTHS[lengths]))


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_every_form_of_the_coupling_holds(network, integrator):
    compare(NETWORKS[network], integrator, "relu", all_states=True, lengths=torch.tensor(LENGTHS["some"]))


def test_free_feedback_and_levels_hold():
    layout, lengths = NETWORKS["mixed"], torch.tensor(LENGTHS["from none to all"])
    compare(layout, "euler", "relu", all_states=True, free=True, lengths=lengths)
    level = torch.linspace(0.1, 30, layout.n_units, dtype=torch.float64)
    for integrator in INTEGRATORS:
        compare(layout, integrator, "tanh", all_states=False, saturation=level, lengths=lengths)


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_each_sequence_ends_as_if_it_were_alone(integrator):
    tensors = make(NETWORKS["mixed"])
    dynamics = Dynamics(NETWORKS["mixed"], integrator, 0.1, "relu")
    lengths = LENGTHS["from none to all"]
    last = rollout(dynamics, lengths=torch.tensor(lengths), **tensors)
    every = rollout(dynamics, lengths=torch.tensor(lengths), all_states=True, **tensors)
    assert torch.equal(every[-1], last)
    assert torch.equal(last[0], tensors["initial"][0])
    for b, length in enumerate(lengths[1:], start=1):
        own = {**tensors, "inputs": tensors["inputs"][:length, b : b + 1], "initial": tensors["initial"][b : b + 1]}
        assert torch.allclose(last[b], rollout(dynamics, **own)[0], rtol=0, atol=1e-13)
        assert torch.equal(every[length - 1 :, b], last[b].expand(7 - length + 1, -1))
        assert not torch.equal(last[b], tensors["initial"][b])


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_without_an_initial_state_length_0_ends_at_zero(integrator):
    tensors = {name: tensor for name, tensor in make(NETWORKS["mixed"]).items() if name != "initial"}
    dynamics = Dynamics(NETWORKS["mixed"], integrator, 0.1, "relu")
    assert not rollout(dynamics, lengths=torch.zeros(5, dtype=torch.int64), **tensors).any()


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_lengths_that_are_all_the_steps_change_no_bit(integrator):
    tensors = make(NETWORKS["equal, sparse"], dtype=torch.float32)
    dynamics = Dynamics(NETWORKS["equal, sparse"], integrator, 0.1, "relu")
    assert torch.equal(rollout(dynamics, lengths=torch.full((5,), 7), **tensors), rollout(dynamics, **tensors))


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("padding", [1e30, float("nan"), float("inf")])
def test_padding_reaches_neither_states_nor_gradients(integrator, padding):
    layout, lengths = NETWORKS["mixed"], torch.tensor(LENGTHS["some"])
    dynamics = Dynamics(layout, integrator, 0.1, "tanh")
    past = (lengths <= torch.arange(7)[:, None])[:, :, None]
    results = []
    for value in (0.0, padding):
        tensors = make(layout)
        tensors["inputs"] = tensors["inputs"].masked_fill(past, value)
        leaves = [tensor.requires_grad_() for tensor in tensors.values()]
        states = rollout(dynamics, lengths=lengths, all_states=True, **tensors)
        results.append([states, *torch.autograd.grad(states.square().sum(), leaves)])
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)
    gradient = results[1][1]
    assert not gradient[past.expand_as(gradient)].any()
    assert gradient[~past.expand_as(gradient)].all()


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("steps", [1, 63, 64, 65, 200])
def test_without_gradients_segments_give_the_same_bits(integrator, steps):
    layout = NETWORKS["mixed"]
    tensors = make(layout, steps=steps, dtype=torch.float32)
    dynamics = Dynamics(layout, integrator, 0.1, "relu")
    for ends in ([steps] * 5, [0, steps, min(64, steps), min(65, steps), steps // 2], [0] * 5):
        lengths = torch.tensor(ends)
        kept = rollout(dynamics, lengths=lengths, **tensors)
        with torch.no_grad():
            assert torch.equal(rollout(dynamics, lengths=lengths, **tensors), kept)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        (torch.tensor([1.0] * 5), "int64"),
        (torch.tensor([1] * 5, dtype=torch.int32), "int64"),
        (torch.tensor([True] * 5), "int64"),
        (torch.tensor([1] * 4), r"shape \(5,\)"),
        (torch.tensor([[1] * 5]), r"shape \(5,\)"),
        (torch.tensor(3), r"shape \(5,\)"),
        (torch.tensor([1, 2, 3, 4, -1]), r"0 \.\. 7, .* got -1 \.\. 4"),
        (torch.tensor([1, 2, 8, 4, 0]), r"0 \.\. 7, .* got 0 \.\. 8"),
    ],
)
@pytest.mark.parametrize("gradients", [True, False])
def test_lengths_that_do_not_fit_are_refused(lengths, message, gradients):
    layout = NETWORKS["mixed"]
    tensors = make(layout)
    with torch.set_grad_enabled(gradients):
        for integrator in INTEGRATORS:
            with pytest.raises(ValueError, match=message):
                rollout(Dynamics(layout, integrator, 0.1, "relu"), lengths=lengths, **tensors)
