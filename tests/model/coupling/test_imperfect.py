"""A symmetric part of the feedback stays below what the areas' rates bear."""

import numpy as np
import pytest
import torch
from support.small_networks import parts, random_skew, random_small

from topo_search.engine import AreaLayout
from topo_search.model.coupling import symmetric_feedback
from topo_search.seeds import generator

LAYOUT = AreaLayout((2, 1, 3), ((0, 1), (0, 2), (1, 2)))


def dense(packed, layout=LAYOUT):
    matrix, blocks, first = np.zeros((layout.n_units, layout.n_units)), parts(layout.sizes), 0
    for i, j in layout.edges:
        shape = (layout.sizes[j], layout.sizes[i])
        matrix[blocks[j], blocks[i]] = packed[first : first + shape[0] * shape[1]].reshape(shape)
        first += shape[0] * shape[1]
    return matrix + matrix.T


def draw(case):
    rng = generator("imperfect", case)
    raw = torch.tensor(rng.normal(size=LAYOUT.n_coupling) * 10 ** rng.uniform(-3, 3))
    return rng, raw, torch.tensor(rng.uniform(0.05, 1, 3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_whatever_the_parameters_the_rest_of_the_rate_is_kept(dtype):
    for case in range(300):
        _, raw, rates = draw(case)
        symmetric = dense(symmetric_feedback(LAYOUT, raw.to(dtype), rates, margin=0.05).numpy())
        bound = np.diag(np.repeat(rates.numpy(), LAYOUT.sizes))
        rounding = 1e-6 if dtype == torch.float32 else 1e-12
        assert np.linalg.eigvalsh(symmetric - 0.95 * bound)[-1] <= rounding
        assert np.linalg.eigvalsh(bound - symmetric)[0] >= 0.05 * float(rates.min()) - rounding


def test_networks_with_it_contract_and_slightly_more_of_it_does_not():
    for case in range(60):
        rng, raw, _ = draw(case)
        network = random_small(rng, LAYOUT.sizes, area=0.15, coupling=0.0, speeds=True)
        skew = random_skew(rng, LAYOUT.sizes, 10.0)
        rates = torch.tensor(network.area_rates)
        kept = {}
        for scale in (0.95, 1.01):
            # At the boundary: R large, so that the largest eigenvalue is the whole of the rates.
            symmetric = dense(symmetric_feedback(LAYOUT, raw * 1e6, rates, margin=0.01).numpy()) * scale / 0.99
            bound = np.diag(np.repeat(rates.numpy(), LAYOUT.sizes))
            kept[scale] = np.linalg.eigvalsh(bound - symmetric)[0]
            network.linear = skew + symmetric
            assert network.rate >= kept[scale] - 1e-12
        assert kept[0.95] > 0 > kept[1.01]


def test_the_condition_is_exact_where_only_rates_are_known():
    # Areas without weights contract at exactly their speeds.
    _, raw, rates = draw(7)
    symmetric = dense(symmetric_feedback(LAYOUT, raw * 1e6, rates, margin=0.01).numpy()) / 0.99
    speeds = np.diag(np.repeat(rates.numpy(), LAYOUT.sizes))
    assert np.linalg.eigvalsh(-speeds + 1.01 * symmetric)[-1] > 0 > np.linalg.eigvalsh(-speeds + 0.95 * symmetric)[-1]


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
def test_gradients_are_those_of_finite_differences(scale):
    for case in range(5):
        rng, _, rates = draw(case)
        raw = torch.tensor(rng.normal(size=LAYOUT.n_coupling) * scale, requires_grad=True)

        def feedback(raw, rates):
            return symmetric_feedback(LAYOUT, raw, rates, margin=0.1)

        assert torch.autograd.gradcheck(feedback, (raw, rates.requires_grad_()), eps=1e-7 * scale, atol=1e-5)


def test_gradients_are_finite_for_no_coupling_and_a_repeated_eigenvalue():
    pairs = AreaLayout((1, 1, 1, 1), ((0, 1), (2, 3)))
    for raw in (torch.zeros(2, dtype=torch.float64), torch.full((2,), 4.0, dtype=torch.float64)):
        raw.requires_grad_()
        symmetric_feedback(pairs, raw, torch.ones(4), margin=0.1).square().sum().backward()
        assert bool(torch.isfinite(raw.grad).all())


def test_impossible_settings_are_refused_and_divergence_is_let_through():
    _, raw, rates = draw(0)
    with pytest.raises(ValueError, match="margin"):
        symmetric_feedback(LAYOUT, raw, rates, margin=0.0)
    with pytest.raises(ValueError, match="positive numbers"):
        symmetric_feedback(LAYOUT, raw, rates[:2], margin=0.1)
    assert bool(symmetric_feedback(LAYOUT, raw * torch.nan, rates, margin=0.1).isnan().all())
    alone = AreaLayout((2, 2), ())
    assert symmetric_feedback(alone, torch.zeros(0), torch.ones(2), margin=0.1).numel() == 0
