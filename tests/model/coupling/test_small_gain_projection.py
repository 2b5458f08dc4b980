"""Projected couplings are always certified, and their gradients are those of finite differences."""

import numpy as np
import pytest
import torch
from support.small_networks import parts, random_small

from topo_search.engine import AreaLayout
from topo_search.model.certificate.small_gain import small_gain_bounds, small_gain_factor
from topo_search.model.coupling import project_small_gain
from topo_search.seeds import generator

GRAPHS = [
    ((2, 3, 1), ((0, 1), (1, 2))),
    ((2, 2, 2, 2), ((0, 1), (0, 2), (0, 3))),
    ((1, 3, 2, 4), ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))),
    ((3, 2, 2, 1), ((0, 1), (2, 3))),
]
NAMES = {"scaled": ("scaled",), "aligned": ("aligned",), "whole": ("whole",), "norm": ("norm",)}
CHOICES = [*NAMES.values(), ("aligned", "whole"), ("scaled", "aligned", "whole")]


def dense(layout, forward, backward):
    """C, by the definition of the packing."""
    matrix = np.zeros((layout.n_units, layout.n_units))
    blocks, first = parts(layout.sizes), 0
    for i, j in layout.edges:
        shape = (layout.sizes[j], layout.sizes[i])
        last = first + shape[0] * shape[1]
        matrix[blocks[j], blocks[i]] = forward[first:last].reshape(shape)
        matrix[blocks[i], blocks[j]] = backward[first:last].reshape(shape).T
        first = last
    return matrix


def draw(case):
    rng = generator("projection", case)
    layout = AreaLayout(*GRAPHS[case % len(GRAPHS)])
    raws = [torch.tensor(rng.normal(size=layout.n_coupling) * 10 ** rng.uniform(-3, 3)) for _ in range(2)]
    for raw in raws:
        # Some directions of some edges are missing.
        raw[torch.tensor(rng.random(layout.n_coupling) < rng.choice([0.0, 0.5, 1.0], p=[0.6, 0.3, 0.1]))] = 0
    p = len(layout.sizes)
    return layout, *raws, torch.tensor(rng.uniform(0.05, 1, p)), torch.tensor(rng.uniform(0.3, 1, p))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bounds", CHOICES)
def test_whatever_the_parameters_a_named_bound_certifies_the_result(bounds, dtype):
    shrunk = 0
    for case in range(120):
        layout, forward, backward, rates, speeds = draw(case)
        forward, backward = forward.to(dtype), backward.to(dtype)
        new = project_small_gain(layout, forward, backward, rates, margin=1e-3, speeds=speeds, bounds=bounds)
        assert [one.dtype for one in new] == [dtype, dtype]
        coupling = np.repeat(speeds.numpy(), layout.sizes)[:, None] * dense(layout, *(one.numpy() for one in new))
        found = small_gain_bounds(rates.numpy(), coupling, layout.sizes, free_scales="scaled" in bounds)
        shown_by = {"whole" if name == "norm" else name for name in bounds}
        assert max(bound.rate for bound in found if bound.bound in shown_by) > 0, case
        unchanged = all(torch.equal(a, b) for a, b in zip(new, (forward, backward), strict=True))
        shrunk += not unchanged
    assert shrunk > 30


@pytest.mark.parametrize("bound", ["scaled", "norm"])
def test_explicit_steps_contract_too_at_every_step_size(bound):
    for case in range(40):
        layout, forward, backward, _, speeds = draw(case)
        network = random_small(generator("steps", case), layout.sizes, area=0.2, coupling=0.0)
        network.speeds = np.repeat(speeds.numpy(), layout.sizes)
        norms = np.array([np.linalg.norm(network.weights[part, part], 2) for part in parts(layout.sizes)])
        network.weights /= max(1, norms.max() / 0.95)
        rates = speeds * torch.tensor(1 - norms / max(1, norms.max() / 0.95))
        new = project_small_gain(layout, forward, backward, rates, margin=1e-3, speeds=speeds, bounds=(bound,))
        network.nonlinear = dense(layout, *(one.numpy() for one in new))
        for h in (0.03, 0.4, 1.0):
            factors = 1 - h * rates.numpy()
            step = h * network.speeds[:, None] * network.nonlinear
            found = small_gain_factor(factors, step, layout.sizes)
            if bound == "scaled":
                assert network.scaled(found.scales).factor(h) <= found.factor < 1
            else:
                assert network.factor(h) < 1


def test_the_limit_is_met_exactly_and_what_is_inside_is_left_alone():
    layout, forward, backward, rates, _ = draw(2)
    new = project_small_gain(layout, forward * 1e3, backward * 1e3, rates, margin=0.05)
    matrix, blocks = dense(layout, *(one.numpy() for one in new)), parts(layout.sizes)
    gains = np.array([[np.linalg.norm(matrix[a, b], 2) for b in blocks] for a in blocks]) / rates.numpy()[:, None]
    assert np.abs(np.linalg.eigvals(gains)).max() == pytest.approx(0.95, abs=1e-12)
    again = project_small_gain(layout, new[0] * 0.999, new[1] * 0.999, rates, margin=0.05)
    assert torch.equal(again[0], new[0] * 0.999)
    assert torch.equal(again[1], new[1] * 0.999)


def test_more_bounds_admit_larger_couplings():
    layout, forward, backward, rates, _ = draw(2)
    norms = {
        bounds: float(
            project_small_gain(layout, forward * 1e3, backward * 1e3, rates, margin=0.01, bounds=bounds)[0].norm()
        )
        for bounds in CHOICES
    }
    best = norms["scaled", "aligned", "whole"]
    assert best == max(norms[bounds] for bounds in NAMES.values()) == max(norms.values())
    assert norms["aligned", "whole"] == max(norms["aligned",], norms["whole",])


@pytest.mark.parametrize("bounds", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("case", range(8))
def test_gradients_are_those_of_finite_differences(case, bounds):
    layout, _, _, rates, speeds = draw(100 + case)
    rng = generator("gradients", case)
    arguments = [
        torch.tensor(rng.normal(size=layout.n_coupling), requires_grad=True),
        torch.tensor(rng.normal(size=layout.n_coupling), requires_grad=True),
        rates.clone().requires_grad_(),
    ]

    def projected(*tensors):
        return project_small_gain(layout, *tensors, margin=0.01, speeds=speeds, bounds=bounds)

    assert not torch.equal(projected(*arguments)[0], arguments[0])
    assert torch.autograd.gradcheck(projected, arguments, eps=1e-6, atol=1e-6)


@pytest.mark.parametrize("bounds", CHOICES)
@pytest.mark.parametrize("kind", ["zero", "forward only", "repeated", "rank one"])
def test_gradients_stay_finite_where_the_root_has_no_derivative(kind, bounds):
    layout = AreaLayout((2, 2, 2, 2), ((0, 1), (2, 3)))
    forward = torch.zeros(layout.n_coupling, dtype=torch.float64)
    backward = torch.zeros_like(forward)
    if kind == "repeated":
        # Two pairs of areas of the same strength, and blocks with equal singular values.
        forward = torch.eye(2, dtype=torch.float64).reshape(-1).repeat(2) * 3
        backward = forward.clone()
    elif kind == "forward only":
        forward += 3
    elif kind == "rank one":
        forward, backward = forward + 3, backward + 3
    forward.requires_grad_()
    backward.requires_grad_()
    new = project_small_gain(layout, forward, backward, torch.ones(4), margin=0.1, bounds=bounds)
    torch.cat(new).square().sum().backward()
    assert bool(torch.isfinite(forward.grad).all() and torch.isfinite(backward.grad).all())
    if kind == "forward only" and "scaled" in bounds:
        # Nothing comes back: a feed-forward graph is certified at any strength.
        assert torch.equal(new[0], forward)


def test_a_diverged_coupling_comes_back_as_it_is():
    layout = AreaLayout((1, 1), ((0, 1),))
    new = project_small_gain(layout, torch.tensor([torch.nan]), torch.tensor([1.0]), torch.ones(2), margin=0.1)
    assert bool(new[0].isnan().all())
    alone = AreaLayout((1, 1), ())
    empty = torch.zeros(0)
    assert project_small_gain(alone, empty, empty, torch.ones(2), margin=0.1) == (empty, empty)


def test_impossible_settings_are_refused():
    layout, forward, backward, rates, _ = draw(0)
    for margin in (0.0, 1.0):
        with pytest.raises(ValueError, match="margin"):
            project_small_gain(layout, forward, backward, rates, margin=margin)
    with pytest.raises(ValueError, match="at least one bound"):
        project_small_gain(layout, forward, backward, rates, margin=0.1, bounds=())
    with pytest.raises(ValueError, match="positive numbers"):
        project_small_gain(layout, forward, backward, rates - 5, margin=0.1)
