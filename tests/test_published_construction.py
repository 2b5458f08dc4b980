"""What the page on the published metric construction says, on the functions that make its figures."""

import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.linalg import expm

from topo_search.errors import InputError
from topo_search.model.subnetworks import sample_sparse, theorem1_metric
from topo_search.seeds import generator

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "docs" / "demonstrations"))
import published_metric as shown

CHAIN = np.array([[0.0, 6.0], [0.0, 0.0]])


def exact_rate(weights, metric):
    """Rate in a diagonal metric, from every pattern of active units."""
    root = np.sqrt(metric)
    inner = root[:, None] * weights / root
    n = len(weights)
    worst = max(np.linalg.eigvalsh((inner * on + (inner * on).T) / 2)[-1] for on in product((0.0, 1.0), repeat=n))
    return 1 - worst


def wild(n=12):
    weights = 1e4 * generator(0, "wild").standard_normal((n, n))
    np.fill_diagonal(weights, 0)
    return weights


def test_elementwise_products_accept_every_matrix_with_zero_diagonal():
    for weights in (wild(), CHAIN, np.zeros((3, 3))):
        accepted, metric = shown.released_check(weights)
        assert accepted
        assert np.array_equal(metric, 0.5 * np.eye(len(weights)))


def test_matrix_products_and_theorem_1_refuse_what_does_not_contract():
    assert exact_rate(wild(8), np.ones(8)) < -1e3
    assert shown.matrix_check(wild(), 0.5 * np.eye(12)) > 1e4
    with pytest.raises(InputError, match="Theorem 1"):
        shown.theorem1_rate(wild())


def test_the_fallback_integral_is_a_half_for_every_unit():
    shifted = np.abs(CHAIN) - np.eye(2)
    value, _ = quad(lambda t: (np.exp(shifted.T * t) * np.eye(2) * np.exp(shifted * t))[1, 1], 0, 100)
    assert value == pytest.approx(shown.released_check(CHAIN)[1][1, 1])
    # With matrix exponentials it is a metric of this area, and is not a multiple of the identity.
    entries = [
        [quad(lambda t, i=i, j=j: (expm(shifted.T * t) @ expm(shifted * t))[i, j], 0, np.inf)[0] for j in range(2)]
        for i in range(2)
    ]
    metric = np.array(entries)
    assert shown.matrix_check(CHAIN, metric) == pytest.approx(-1)
    assert metric[1, 1] / metric[0, 0] > 10


def test_two_units_in_a_chain_contract_and_not_in_the_identity():
    assert exact_rate(CHAIN, np.ones(2)) == pytest.approx(-2)
    assert shown.identity_rate(CHAIN, np.random.default_rng(0)) == pytest.approx(-2)
    metric = theorem1_metric(CHAIN)
    assert np.isfinite(metric).all()
    assert 0 < shown.theorem1_rate(CHAIN) <= exact_rate(CHAIN, metric) + 1e-12


def test_the_condition_with_matrix_products_is_that_of_lyapunov():
    # In the metric of Theorem 1 it holds, in the identity it does not.
    shifted = np.abs(CHAIN) - np.eye(2)
    assert shown.matrix_check(CHAIN, np.diag(theorem1_metric(CHAIN))) < 0 < shown.matrix_check(CHAIN, 0.5 * np.eye(2))
    assert np.linalg.eigvalsh(0.5 * (shifted + shifted.T))[-1] == pytest.approx(
        shown.matrix_check(CHAIN, 0.5 * np.eye(2))
    )


@pytest.mark.parametrize("seed", range(5))
def test_no_pattern_contradicts_the_bound_in_the_identity(seed):
    rng = np.random.default_rng(seed)
    weights = rng.normal(0, 2, (9, 9)) * (rng.random((9, 9)) < 0.3)
    np.fill_diagonal(weights, 0)
    found = shown.identity_rate(weights, rng)
    exact = exact_rate(weights, np.ones(9))
    assert exact - 1e-9 <= found <= exact + 0.2


def test_accepted_areas_contract_in_their_own_metric_and_not_in_the_identity():
    rng = generator(1, "areas")
    for _ in range(5):
        weights = sample_sparse(shown.SIZE, shown.RECIPE, rng)
        assert shown.theorem1_rate(weights) > 0
        # With only unit j active sym(W D) has the eigenvalue |W e_j| / 2.
        assert 1 - np.linalg.norm(weights, axis=0).max() / 2 < 0
        assert shown.identity_rate(weights, rng) < 0


def test_at_initialisation_only_the_correct_metric_leaves_every_tested_jacobian_stable():
    blocks, coupling = shown.network(4, 0, 0)
    assert np.array_equal(coupling, -coupling.T)
    assert np.count_nonzero(np.linalg.norm(coupling.reshape(4, 32, 4, 32), axis=(1, 3))) == 2 * 3
    released = shown.abscissa(blocks, coupling, generator(0, "patterns"))
    inner = [shown.to_metric_coordinates(block, theorem1_metric(block)) for block in blocks]
    correct = shown.abscissa(inner, coupling, generator(0, "patterns"))
    assert correct < 0 < released
