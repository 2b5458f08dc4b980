"""Theorems 2 and 3: the metric is not diagonal, so it is checked in original coordinates too."""

import numpy as np
import pytest
import torch
from support.vertices import area_factor, area_rate, rate_in_metric

from topo_search.model.recipes import ProductRecipe, SymmetricRecipe
from topo_search.model.subnetworks import raw_size, realise


def made(recipe, size, seed, *, norm=0.8, scale=1.0):
    """``W'``, V and what they stand for in original coordinates: the weights and the metric."""
    raw = torch.as_tensor(scale * np.random.default_rng(seed).normal(size=raw_size(recipe, size)))
    inner, gauge = (part.numpy() for part in realise(recipe, size, raw, torch.ones_like(raw), norm))
    inverse = np.linalg.inv(gauge)
    return inner, gauge, gauge @ inner, inverse.T @ inverse


@pytest.mark.parametrize("seed", range(20))
def test_symmetric_weights_have_the_metric_of_theorem_2(seed):
    recipe = SymmetricRecipe(lowest=2.0)
    inner, gauge, weights, metric = made(recipe, 6, seed, scale=2.0)
    np.testing.assert_allclose(weights, weights.T, atol=1e-12)
    eigenvalues, vectors = np.linalg.eigh((weights + weights.T) / 2)
    assert -2.0 - 1e-9 <= eigenvalues[0] <= eigenvalues[-1] <= 0.8 + 1e-12
    theta = 1 + np.sqrt(1 - eigenvalues / 0.8)
    np.testing.assert_allclose(metric, vectors @ np.diag(theta**-2) @ vectors.T, atol=1e-9)
    assert rate_in_metric(weights, metric) == pytest.approx(area_rate(inner, gauge), abs=1e-9)
    assert rate_in_metric(weights, metric) >= 0.2 - 1e-9
    # The identity would not do for all of them.
    assert np.linalg.cond(metric) > 1


def test_the_symmetric_rate_is_attained_where_an_eigenvalue_reaches_the_norm():
    raw = torch.as_tensor(np.random.default_rng(0).normal(size=raw_size(SymmetricRecipe(), 5)))
    raw[-1] = -60.0
    inner, gauge = realise(SymmetricRecipe(), 5, raw, torch.ones_like(raw), 0.8)
    assert area_rate(inner.numpy(), gauge.numpy()) == pytest.approx(0.2, abs=1e-9)


def test_the_inverse_metric_is_not_a_metric():
    _, _, weights, metric = made(SymmetricRecipe(lowest=20.0), 6, 1, norm=0.95, scale=3.0)
    assert rate_in_metric(weights, metric) >= 0.05 - 1e-9
    assert rate_in_metric(weights, np.linalg.inv(metric)) < 0


@pytest.mark.parametrize("slope", [1.0, 10.0])
@pytest.mark.parametrize("seed", range(10))
def test_products_contract_at_rate_one_at_any_slope(seed, slope):
    inner, gauge, weights, metric = made(ProductRecipe(), 6, seed)
    assert area_rate(inner, gauge, slope) == pytest.approx(1.0, abs=1e-9)
    assert rate_in_metric(slope * weights, metric) == pytest.approx(1.0, abs=1e-6)
    # W = -P1 Q P2: its columns times p1 / p2 make a negative definite matrix. C is lower triangular, so the gains'
    # ratio is that of the diagonals.
    ratio = np.diag(gauge) / -np.diag(inner)
    squared = weights * ratio
    np.testing.assert_allclose(squared, squared.T, atol=1e-12)
    assert np.linalg.eigvalsh((squared + squared.T) / 2).max() < 0


@pytest.mark.parametrize("strength", [0.5, 2.0, 15.0])
def test_the_strength_of_a_product_bounds_its_step(strength):
    reached = 0.0
    for seed in range(20):
        inner, gauge, weights, _ = made(ProductRecipe(strength=strength), 6, seed, scale=3.0)
        largest = np.abs(np.linalg.eigvals(weights)).max()
        reached = max(reached, largest)
        assert largest <= strength * (1 + 1e-9)
        for h in (0.03, 0.1, 0.4):
            expected = max(1 - h, h * (1 + strength) - 1)
            assert area_factor(inner, gauge, h) <= expected + 1e-9
    assert reached == pytest.approx(strength)
