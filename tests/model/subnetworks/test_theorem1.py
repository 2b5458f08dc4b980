"""Theorem 1: verifiers by products alone, spectral radii by components, sampling without rejection."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.vertices import area_rate

from topo_search.errors import InputError
from topo_search.model.recipes import RescaledRecipe, SparseRecipe
from topo_search.model.subnetworks import (
    sample_rescaled,
    sample_sparse,
    schur_norm,
    spectral_radius,
    theorem1_metric,
    theorem1_rate,
    to_metric_coordinates,
)
from topo_search.model.subnetworks.perron import perron_root
from topo_search.model.subnetworks.resolvent import theorem1_weights


def random_sparse(rng, n, density, magnitude):
    return np.where(rng.random((n, n)) < density, rng.uniform(-magnitude, magnitude, (n, n)), 0.0)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    n=st.integers(1, 7),
    seed=st.integers(0, 2**20),
    density=st.floats(0.05, 1.0),
    magnitude=st.floats(0.05, 3.0),
)
def test_what_positive_vectors_prove_is_true(n, seed, density, magnitude):
    rng = np.random.default_rng(seed)
    weights = random_sparse(rng, n, density, magnitude)
    v, w = np.exp(rng.normal(size=(2, n)))
    inner = to_metric_coordinates(weights, w / v)
    assert theorem1_rate(weights, v, w) <= area_rate(inner) + 1e-12
    off_diagonal = inner - np.diag(np.diag(inner).clip(max=0))
    assert np.linalg.norm(np.abs(off_diagonal), 2) <= schur_norm(weights, v, w) * (1 + 1e-12)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(n=st.integers(1, 10), seed=st.integers(0, 2**20), density=st.floats(0.05, 0.6), magnitude=st.floats(0.1, 4))
def test_the_resolvent_proves_a_positive_rate_exactly_below_radius_one(n, seed, density, magnitude):
    weights = random_sparse(np.random.default_rng(seed), n, density, magnitude)
    np.fill_diagonal(weights, 0.0)
    magnitudes = np.abs(weights)
    radius = np.abs(np.linalg.eigvals(magnitudes)).max()
    if abs(radius - 1) < 1e-6:
        return
    identity = np.eye(n)
    try:
        v, w = np.linalg.solve([identity - magnitudes, identity - magnitudes.T], np.ones((2, n, 1)))[..., 0]
    except np.linalg.LinAlgError:
        v = w = -np.ones(n)
    if radius > 1:
        assert min(v.min(), w.min()) < 0
        return
    rate = theorem1_rate(weights, v, w)
    assert rate > 0
    assert rate == pytest.approx((1 / v + 1 / w).min() / 2, rel=1e-6)
    if n <= 7:
        assert rate <= area_rate(to_metric_coordinates(weights, w / v)) + 1e-9


@pytest.mark.parametrize(
    ("weights", "v", "w"),
    [
        (np.zeros((2, 2)), np.ones(3), np.ones(2)),
        (np.zeros((2, 2)), np.ones(2), np.array([1.0, 0.0])),
        (np.zeros((2, 2)), np.array([1.0, np.nan]), np.ones(2)),
        (np.zeros((2, 3)), np.ones(2), np.ones(2)),
        (np.full((2, 2), np.inf), np.ones(2), np.ones(2)),
    ],
)
def test_vectors_that_prove_nothing_are_refused(weights, v, w):
    for verifier in (theorem1_rate, schur_norm):
        with pytest.raises(InputError, match="expected"):
            verifier(weights, v, w)


def test_the_spectral_radius_by_components_is_that_of_the_whole():
    rng = np.random.default_rng(0)
    for _ in range(300):
        n = int(rng.integers(1, 12))
        magnitudes = np.abs(random_sparse(rng, n, rng.uniform(0.05, 0.5), 3.0))
        if rng.random() < 0.5:
            np.fill_diagonal(magnitudes, 0.0)
        # Without cycles the plain eigenvalues are not exactly 0: their n-th power is rounding.
        whole = np.abs(np.linalg.eigvals(magnitudes)).max()
        assert spectral_radius(magnitudes) == pytest.approx(whole, abs=1e-6, rel=1e-6)


def test_a_matrix_without_cycles_has_radius_zero_exactly():
    rng = np.random.default_rng(1)
    order = rng.permutation(30)
    magnitudes = np.tril(rng.uniform(1, 5, (30, 30)), -1)[np.ix_(order, order)]
    assert spectral_radius(magnitudes) == 0
    root = perron_root(magnitudes)
    assert root.radius == 0
    assert not root.left.any()
    assert not root.right.any()


def test_the_derivative_of_the_spectral_radius_is_that_of_differences():
    rng = np.random.default_rng(2)
    checked = 0
    for _ in range(50):
        magnitudes = np.abs(random_sparse(rng, 7, 0.3, 3.0))
        root = perron_root(magnitudes)
        if root.radius == 0:
            continue
        direction = rng.uniform(-1, 1, (7, 7)) * magnitudes
        step = 1e-6
        above, below = (np.abs(np.linalg.eigvals(magnitudes + s * direction)).max() for s in (step, -step))
        assert root.left @ direction @ root.right == pytest.approx((above - below) / (2 * step), abs=1e-4)
        checked += 1
    assert checked > 25


def test_a_defective_root_has_no_derivative_but_a_radius():
    root = perron_root(np.array([[2.0, 1e3], [1e-300, 2.0]]))
    assert root.radius == pytest.approx(2)
    assert not root.left.any()


def test_weights_beyond_the_theorem_are_brought_into_it_in_their_direction():
    weights = torch.as_tensor(random_sparse(np.random.default_rng(3), 8, 0.4, 5.0))
    assert spectral_radius(np.abs(weights.numpy())) > 1
    inner, log_metric = theorem1_weights(weights, 0.9)
    back = to_metric_coordinates(inner.numpy(), np.exp(-log_metric.numpy()))
    present = weights.numpy() != 0
    ratio = back[present] / weights.numpy()[present]
    assert ratio.min() > 0
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-9)
    # Its metric is the closed form of the weights at radius 0.99.
    scaled = weights.numpy() * 0.99 / spectral_radius(np.abs(weights.numpy()))
    magnitudes = np.abs(scaled)
    v = np.linalg.solve(np.eye(8) - magnitudes, np.ones(8))
    w = np.linalg.solve(np.eye(8) - magnitudes.T, np.ones(8))
    np.testing.assert_allclose(np.diff(log_metric.numpy()), np.diff(np.log(w / v)), rtol=1e-6, atol=1e-9)


def test_rescaled_draws_have_the_radius_or_no_cycle():
    rng = np.random.default_rng(4)
    recipe = RescaledRecipe(density=0.06, magnitude=2.0, radius=0.7)
    cyclic = 0
    for _ in range(60):
        weights = sample_rescaled(16, recipe, rng)
        assert not np.diag(weights).any()
        radius = np.abs(np.linalg.eigvals(np.abs(weights))).max()
        if np.linalg.matrix_power((weights != 0).astype(int), 16).any():
            assert radius == pytest.approx(0.7, abs=1e-6)
            cyclic += 1
        else:
            assert spectral_radius(np.abs(weights)) == 0
            assert np.abs(weights).max() <= 2.0
        theorem1_metric(weights)
    assert 5 < cyclic < 55


@pytest.mark.parametrize(
    ("size", "density", "magnitude", "accepted", "acyclic"),
    [(32, 0.033, 6.0, 0.311, 0.86), (32, 0.033, 3.0, 0.427, 0.61), (16, 0.033, 6.0, 0.889, 0.99)],
)
def test_rejection_selects_graphs_without_cycles(size, density, magnitude, accepted, acyclic):
    recipe = SparseRecipe(density=density, magnitude=magnitude, tries=10_000)
    rng = np.random.default_rng(5)

    class Counting:
        tries = 0

        def choice(self, *args, **options):
            self.tries += 1
            return rng.choice(*args, **options)

        def uniform(self, *args):
            return rng.uniform(*args)

    counting = Counting()
    drawn = [sample_sparse(size, recipe, counting) for _ in range(250)]
    # Four standard deviations of the estimates.
    assert 250 / counting.tries == pytest.approx(accepted, abs=4 * np.sqrt(accepted * (1 - accepted) / counting.tries))
    share = np.mean([not np.linalg.matrix_power((w != 0).astype(float), size).any() for w in drawn])
    assert share == pytest.approx(acyclic, abs=4 * np.sqrt(acyclic * (1 - acyclic) / 250) + 0.02)
