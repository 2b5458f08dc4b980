"""Theorem 1: the recipe, its metric, and what must be refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.falsify import exact_rate

from topo_search.errors import InputError
from topo_search.model import (
    NetworkMatrices,
    SparseRecipe,
    certify_matrices,
    sample_sparse,
    sparse_area,
    theorem1_metric,
    to_metric_coordinates,
    weight_magnitudes,
)


def verdict(weights):
    """The certificate of one area in metric coordinates."""
    n = len(weights)
    return certify_matrices(
        NetworkMatrices(
            sizes=(n,),
            edges=(),
            area_weights=weights,
            coupling=np.zeros((n, n)),
            steps=None,
            integrator="euler",
            dt=0.05,
            tau=1.0,
            stability="continuous",
        )
    )


def random_sparse(rng, n, *, density, magnitude, diagonal=False):
    weights = np.where(rng.random((n, n)) < density, rng.uniform(-magnitude, magnitude, (n, n)), 0.0)
    if not diagonal:
        np.fill_diagonal(weights, 0.0)
    return weights


def spectral_radius(matrix):
    return np.abs(np.linalg.eigvals(matrix)).max()


@settings(max_examples=150, deadline=None)
@given(
    n=st.integers(1, 7),
    seed=st.integers(0, 2**20),
    density=st.floats(0.05, 0.9),
    magnitude=st.floats(0.1, 6.0),
    diagonal=st.booleans(),
)
def test_accepted_exactly_below_spectral_radius_one_with_a_true_rate(n, seed, density, magnitude, diagonal):
    weights = random_sparse(np.random.default_rng(seed), n, density=density, magnitude=magnitude, diagonal=diagonal)
    radius = spectral_radius(weight_magnitudes(weights))
    if abs(radius - 1) < 1e-3:
        return
    if radius > 1:
        with pytest.raises(InputError, match="spectral radius"):
            theorem1_metric(weights)
        return
    metric = theorem1_metric(weights)
    inner = to_metric_coordinates(weights, metric)
    rate = verdict(inner).rate
    assert 0 < rate <= exact_rate(inner) + 1e-8
    # The closed form, from its own definition.
    magnitudes = weight_magnitudes(weights)
    v = np.linalg.solve(np.eye(n) - magnitudes, np.ones(n))
    w = np.linalg.solve(np.eye(n) - magnitudes.T, np.ones(n))
    assert rate >= 0.5 * (1 / v + 1 / w).min() - 1e-6
    assert np.linalg.norm(weight_magnitudes(inner), 2) <= 1 + 1e-9


@settings(max_examples=60, deadline=None)
@given(n=st.integers(2, 7), seed=st.integers(0, 2**20), scale=st.floats(0.1, 4.0))
def test_the_rate_of_any_weights_is_never_above_the_worst_vertex(n, seed, scale):
    weights = scale * np.random.default_rng(seed).normal(size=(n, n)) / np.sqrt(n)
    assert verdict(weights).rate <= exact_rate(weights) + 1e-12


def test_reducible_weights_get_a_finite_metric_where_the_identity_is_none():
    weights = np.array([[0.0, 6.0], [0.0, 0.0]])
    assert verdict(weights).rate == pytest.approx(-2, abs=1e-6)
    assert not verdict(weights).certified
    metric = theorem1_metric(weights)
    assert np.isfinite(metric).all()
    inner = to_metric_coordinates(weights, metric)
    assert 0 < verdict(inner).rate <= exact_rate(inner)
    # By hand: v = (7, 1), w = (1, 7), so the ratio of the metric is 49.
    assert metric[1] / metric[0] == pytest.approx(49)


def test_a_metric_for_the_signed_weights_is_not_taken():
    # Its eigenvalues are +-0.99i, but those of its magnitudes reach 1.1.
    with pytest.raises(InputError, match="Theorem 1"):
        theorem1_metric(np.array([[0.0, 1.1], [-1.1, 0.0]]))


@pytest.mark.parametrize("off", [1.0, 1.0 + 1e-9, 3.0])
def test_spectral_radius_of_one_or_more_is_refused(off):
    with pytest.raises(InputError, match="below 1"):
        theorem1_metric(np.array([[0.0, off], [off, 0.0]]))


def test_negative_self_weights_do_no_harm_and_positive_ones_count():
    assert weight_magnitudes(np.array([[-5.0, -0.5], [0.2, 0.7]])).tolist() == [[0.0, 0.5], [0.2, 0.7]]
    theorem1_metric(np.array([[-5.0, -0.5], [0.2, 0.7]]))
    with pytest.raises(InputError):
        theorem1_metric(np.diag([0.2, 1.0]))


def test_the_resolvent_bounds_the_norm_of_the_magnitudes():
    weights = random_sparse(np.random.default_rng(4), 8, density=0.25, magnitude=1.5)
    radius = spectral_radius(np.abs(weights))
    assert 0.1 < radius < 1
    for resolvent in (radius * 1.001, 0.5 * (1 + radius), 1.0):
        inner = to_metric_coordinates(weights, theorem1_metric(weights, resolvent=resolvent))
        assert np.linalg.norm(np.abs(inner), 2) <= resolvent * (1 + 1e-9)
    with pytest.raises(InputError, match="spectral radius"):
        theorem1_metric(weights, resolvent=0.99 * radius)


def test_an_elementwise_check_would_pass_this():
    # The released construction multiplies elementwise by a diagonal matrix: any zero-diagonal weights pass.
    weights = 1e4 * np.random.default_rng(0).normal(size=(8, 8))
    np.fill_diagonal(weights, 0.0)
    with pytest.raises(InputError, match="Theorem 1"):
        theorem1_metric(weights)
    certificate = verdict(weights)
    assert not certificate.certified
    assert certificate.rate < -1e3


def test_rejection_keeps_the_recipe():
    recipe = SparseRecipe(density=0.1, magnitude=3.0)
    rng = np.random.default_rng(1)
    for _ in range(20):
        weights = sample_sparse(12, recipe, rng)
        assert not np.diag(weights).any()
        # round(0.1 * 144) = 14 entries, of which those that fell on the diagonal are gone.
        assert 14 - 12 <= np.count_nonzero(weights) <= 14
        assert np.abs(weights).max() <= 3.0
        assert spectral_radius(np.abs(weights)) < 1
    assert any(np.abs(sample_sparse(12, recipe, rng)).max() > 2 for _ in range(5))


def test_a_hopeless_recipe_ends_with_an_error_that_says_what_was_tried():
    recipe = SparseRecipe(density=0.87, magnitude=5.5, tries=7)

    class Counting:
        draws = 0
        rng = np.random.default_rng(0)

        def choice(self, *args, **options):
            self.draws += 1
            return self.rng.choice(*args, **options)

        def uniform(self, *args):
            return self.rng.uniform(*args)

    counting = Counting()
    with pytest.raises(InputError, match=r"10 units .* 7 tries .*density 0\.87 .*magnitude 5\.5"):
        sample_sparse(10, recipe, counting)
    assert counting.draws == 7


@pytest.mark.parametrize("norm", [0.3, 0.9, 0.99])
@pytest.mark.parametrize("size", [4, 16, 32])
def test_areas_are_rescaled_to_the_norm_and_the_metric_to_geometric_mean_one(size, norm):
    area = sparse_area(size, SparseRecipe(density=max(0.033, 2.1 / size**2)), np.random.default_rng(3), norm=norm)
    assert area.weights.any()
    assert np.linalg.norm(area.weights, 2) == pytest.approx(norm, rel=1e-12)
    assert np.log(area.metric).mean() == pytest.approx(0, abs=1e-9)
    assert area.metric.min() > 0


def test_rescaling_keeps_the_directions_of_the_weights():
    recipe = SparseRecipe(density=0.1, magnitude=3.0)
    area = sparse_area(12, recipe, np.random.default_rng(5), norm=0.9)
    drawn = sample_sparse(12, recipe, np.random.default_rng(5))
    back = to_metric_coordinates(area.weights, 1 / area.metric)
    factor = back[drawn != 0] / drawn[drawn != 0]
    assert np.ptp(factor) < 1e-9 * abs(factor[0])
    assert factor[0] > 0
    assert not back[drawn == 0].any()


def test_an_area_without_weights_stays_without():
    area = sparse_area(3, SparseRecipe(density=0.01), np.random.default_rng(0), norm=0.9)
    assert not area.weights.any()
    assert area.metric.tolist() == [1.0, 1.0, 1.0]


def test_as_released_keeps_the_draw_and_the_identity():
    recipe = SparseRecipe(density=0.05)
    area = sparse_area(16, recipe, np.random.default_rng(6), norm=None)
    assert np.array_equal(area.weights, sample_sparse(16, recipe, np.random.default_rng(6)))
    assert area.metric.tolist() == [1.0] * 16


def test_the_published_recipe_is_certified_in_its_metric_and_never_in_the_identity():
    rng = np.random.default_rng(11)
    for _ in range(10):
        weights = sample_sparse(32, SparseRecipe(), rng)
        inner = to_metric_coordinates(weights, theorem1_metric(weights))
        assert verdict(inner).rate > 0
        assert verdict(weights).rate < 0
        assert not verdict(weights).certified
