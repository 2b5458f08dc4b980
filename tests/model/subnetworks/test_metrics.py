"""Diagonal metrics by optimisation: conditioning at a rate (Theorem 1), least norm (Theorem 5), and what has none."""

from itertools import product

import numpy as np
import pytest
from support.vertices import area_rate

from topo_search.errors import InputError
from topo_search.model.recipes import RescaledRecipe
from topo_search.model.subnetworks import (
    exact_metric,
    find_diagonal_metric,
    resolvent_for,
    sample_rescaled,
    theorem1_metric,
    to_metric_coordinates,
)


def magnitude_rate(weights, metric):
    inner = np.sqrt(metric)[:, None] * np.abs(weights) / np.sqrt(metric)[None, :]
    return 1 - np.linalg.eigvalsh((inner + inner.T) / 2)[-1]


def spread(metric):
    return np.ptp(np.log(metric))


def random_weights(seed, size=12):
    return sample_rescaled(size, RescaledRecipe(density=0.15, magnitude=3.0, radius=0.8), np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(12))
def test_the_exact_metric_keeps_the_rate_and_conditions_better(seed):
    weights = random_weights(seed)
    for rate in (0.02, magnitude_rate(weights, theorem1_metric(weights)), 0.15):
        closed = theorem1_metric(weights, resolvent=resolvent_for(weights, rate))
        assert magnitude_rate(weights, closed) >= rate
        best = exact_metric(weights, rate=rate)
        assert magnitude_rate(weights, best) >= rate
        assert spread(best) <= spread(closed) + 1e-9
        assert np.log(best).mean() == pytest.approx(0, abs=1e-9)


def test_no_metric_near_the_exact_one_is_better():
    rng = np.random.default_rng(0)
    for seed in range(4):
        weights = random_weights(seed, size=6)
        if magnitude_rate(weights, np.ones(6)) >= 0.1:
            continue
        best = exact_metric(weights, rate=0.1)
        x = np.log(best)
        for _ in range(3000):
            other = x + rng.normal(size=6) * rng.choice([0.3, 0.03, 0.003])
            assert spread(np.exp(other)) > spread(best) - 1e-6 or magnitude_rate(weights, np.exp(other)) < 0.1


def test_the_exact_metric_of_two_units_is_by_hand():
    # e^x A e^-x has the one entry 6 e^(x0 - x1), so lmax of its symmetric part is 3 e^(x0 - x1) = 1 - rate.
    metric = exact_metric(np.array([[0.0, -6.0], [0.0, 0.0]]), rate=0.25)
    assert metric[1] / metric[0] == pytest.approx((3 / 0.75) ** 2, rel=1e-6)


def test_weights_that_the_identity_suits_get_it():
    weights = np.array([[0.0, 0.1], [-0.1, 0.0]])
    assert spread(exact_metric(weights, rate=0.5)) == pytest.approx(0, abs=1e-6)
    assert exact_metric(np.diag([0.3, -7.0, 0.0]), rate=0.5).tolist() == [1.0, 1.0, 1.0]
    assert resolvent_for(np.zeros((2, 2)), 0.5) < np.inf


def test_rates_beyond_the_spectral_radius_are_refused():
    weights = np.array([[0.0, 0.9], [0.9, 0.0]])
    for call in (lambda: exact_metric(weights, rate=0.1001), lambda: resolvent_for(weights, 0.2)):
        with pytest.raises(InputError, match=r"expected a rate below 0\.1"):
            call()
    with pytest.raises(InputError, match="square matrix of finite numbers"):
        resolvent_for(np.full((2, 2), np.nan), 0.1)


def test_a_larger_resolvent_costs_rate_and_buys_conditioning():
    weights = random_weights(3)
    resolvents = [resolvent_for(weights, rate) for rate in (0.15, 0.1, 0.05, 0.0)]
    assert resolvents == sorted(resolvents)
    spreads = [spread(theorem1_metric(weights, resolvent=s)) for s in resolvents]
    assert spreads == sorted(spreads, reverse=True)


@pytest.mark.parametrize("seed", range(10))
def test_the_least_norm_is_found(seed):
    rng = np.random.default_rng(seed)
    inner = rng.normal(size=(3, 3))
    inner *= 0.7 / np.linalg.norm(inner, 2)
    scale = np.exp(rng.normal(size=3))
    weights = scale[:, None] * inner / scale[None, :]
    found = np.linalg.norm(to_metric_coordinates(weights, find_diagonal_metric(weights)), 2)
    assert found <= 0.7 + 1e-9
    assert found >= np.abs(np.linalg.eigvals(weights)).max() - 1e-12
    # A grid over all metrics of three units has nothing better.
    steps = np.linspace(-4, 4, 81)
    grid = np.array([np.exp([a - (a + b) / 3, b - (a + b) / 3, -(a + b) / 3]) for a, b in product(steps, steps)])
    norms = np.linalg.norm(grid[:, :, None] * weights / grid[:, None, :], 2, axis=(1, 2))
    assert found <= norms.min() + 1e-4


def test_a_feedforward_chain_gets_as_small_a_norm_as_floating_point_allows():
    weights = np.array([[0.0, 6.0], [0.0, 0.0]])
    metric = find_diagonal_metric(weights)
    assert np.isfinite(metric).all()
    assert np.linalg.norm(to_metric_coordinates(weights, metric), 2) < 1e-6
    assert find_diagonal_metric(np.zeros((3, 3))).tolist() == [1.0, 1.0, 1.0]


def test_strong_rotation_has_no_metric_of_any_kind():
    rotation = np.array([[0.0, -1.0], [1.0, 0.0]])
    for strength in (1.0, 2.0):
        with pytest.raises(InputError, match="Theorem 5"):
            find_diagonal_metric(strength * rotation)
    with pytest.raises(InputError, match="Theorem 1"):
        theorem1_metric(2.0 * rotation)
    # Any constant metric [[a, b], [b, d]]: the best rate over a grid is 0.05, 0 and -0.05.
    for strength, rate in ((1.9, 0.05), (2.0, 0.0), (2.1, -0.05)):
        metrics = [
            np.array([[1.0, b * np.sqrt(d)], [b * np.sqrt(d), d]])
            for d in np.exp(np.linspace(-1, 1, 21))
            for b in np.linspace(-0.6, 0.6, 13)
        ]
        roots = [np.linalg.cholesky(metric).T for metric in metrics]
        best = max(area_rate(root @ (strength * rotation), np.linalg.inv(root)) for root in roots)
        assert best == pytest.approx(rate, abs=1e-9)


def test_sign_is_what_theorem_5_sees_and_theorem_1_does_not():
    # Orthogonal but for a factor: norm 0.9, and magnitudes of spectral radius 1.27.
    weights = 0.9 * np.array([[1.0, 1.0], [-1.0, 1.0]]) / np.sqrt(2)
    with pytest.raises(InputError, match="Theorem 1"):
        theorem1_metric(weights)
    inner = to_metric_coordinates(weights, find_diagonal_metric(weights))
    assert np.linalg.norm(inner, 2) == pytest.approx(0.9, abs=1e-6)
    assert area_rate(inner) >= 0.1
