"""Small-gain rates against the rates of every pattern of slopes, and the counterexamples that must be refused."""

import networkx as nx
import numpy as np
import pytest
from support.small_networks import parts, random_skew, random_small

from topo_search.errors import InputError
from topo_search.model.certificate.small_gain import (
    composed_rate,
    edge_limit,
    gain_matrix,
    small_gain_bounds,
    small_gain_factor,
    small_gain_rate,
)
from topo_search.seeds import generator

SIZES = [(1, 1, 1), (2, 1, 2), (1, 3, 1), (2, 2), (1, 1, 1, 1, 1), (3, 2)]


def draw(case, **options):
    """A random network whose coupling is anything from far too weak to far too strong."""
    rng = generator("small gain", case)
    return random_small(
        rng,
        SIZES[case % len(SIZES)],
        area=0.3,
        coupling=float(10 ** rng.uniform(-2, 0.3)),
        density=float(rng.choice([0.4, 1.0])),
        **options,
    )


def star(p, into, out_of):
    """Areas of one unit: area 0 drives the others by ``out_of``, and they drive it by ``into``."""
    coupling = np.zeros((p, p))
    coupling[0, 1:], coupling[1:, 0] = into, out_of
    return coupling


def named(bounds):
    return {found.bound: found for found in bounds}


def assert_below_the_exact_rates(cases, **options):
    positive = 0
    for case in cases:
        network = draw(case, **options)
        coupling = network.speeds[:, None] * network.nonlinear
        gauge = network.gauge if options.get("gauge") else None
        rates = network.area_rates
        for found in small_gain_bounds(rates, coupling, network.sizes, free_scales=True, gauge=gauge):
            assert found.rate <= network.scaled(found.scales).rate, (case, found)
            assert min(found.scales) == pytest.approx(1)
            assert found.bound == "scaled" or set(found.scales) == {1.0}
            positive += found.rate > 0
    # Otherwise the cases would show nothing.
    assert positive > len(cases) / 10


@pytest.mark.parametrize("options", [{}, {"speeds": True}, {"gauge": True}, {"gauge": True, "speeds": True}])
def test_no_bound_exceeds_the_exact_rate(options):
    assert_below_the_exact_rates(range(200), **options)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"gauge": True, "speeds": True}])
def test_no_bound_exceeds_the_exact_rate_over_thousands_of_networks(options):
    assert_below_the_exact_rates(range(200, 3000), **options)


def test_negative_feedback_on_top_is_free_in_the_unscaled_metric():
    for case in range(100):
        network = draw(case)
        network.linear = random_skew(generator("skew", case), network.sizes, 50.0)
        found = small_gain_rate(network.area_rates, network.nonlinear, network.sizes, free_scales=False)
        assert found.bound != "scaled"
        assert found.rate <= network.rate + 1e-12 * 50


def test_the_bounds_are_those_of_the_formulas():
    rng = generator("formulas")
    network = random_small(rng, (3, 2, 4), area=0.1, coupling=0.05)
    rates, coupling, blocks = np.array([0.9, 0.5, 0.7]), network.nonlinear, parts(network.sizes)
    norms = np.array([[np.linalg.norm(coupling[a, b], 2) for b in blocks] for a in blocks])
    aligned = np.array([[np.linalg.norm(coupling[a, b] + coupling[b, a].T, 2) for b in blocks] for a in blocks])
    found = named(small_gain_bounds(rates, coupling, network.sizes, free_scales=True))

    def least(matrix):
        return np.linalg.eigvalsh(np.diag(rates) - matrix)[0]

    whole = np.diag(np.repeat(rates, network.sizes)) - (coupling + coupling.T) / 4
    expected = {
        "arithmetic": least((norms + norms.T) / 2),
        "aligned": least((aligned + norms + norms.T) / 4),
        "whole": np.linalg.eigvalsh(whole)[0] - np.linalg.norm(coupling, 2) / 2,
    }
    for name, rate in expected.items():
        assert found[name].rate == pytest.approx(rate, abs=1e-7)
        assert found[name].rate <= rate
    metzler = norms - np.diag(rates)
    assert found["scaled"].rate >= -0.98 * np.linalg.eigvals(metzler).real.max() - 1e-7
    assert small_gain_rate(rates, coupling, network.sizes, free_scales=True).rate == max(
        bound.rate for bound in found.values()
    )
    assert gain_matrix(coupling, network.sizes) == pytest.approx(norms, rel=1e-8)


@pytest.mark.parametrize("p", [2, 5, 17])
def test_the_star_of_aligned_blocks_attains_the_bound(p):
    rate, limit = 0.7, 0.7 / np.sqrt(p - 1)
    coupling = star(p, limit, limit)
    # All units active: the symmetric part of the coupling takes all of the rate.
    assert np.linalg.eigvalsh(coupling)[-1] == pytest.approx(rate, abs=1e-12)
    assert edge_limit((coupling > 0).astype(int), rate) == pytest.approx(limit, rel=1e-8)
    for strength, accepted in [(1.0, False), (0.999, True), (1.001, False)]:
        found = small_gain_rate(np.full(p, rate), strength * coupling, [1] * p, free_scales=True)
        assert (found.rate > 0) == accepted, strength


def test_counting_only_the_leaves_is_refused():
    # With p the number of leaves, l < lambda / sqrt(p - 1) admits networks that expand.
    leaves = 5
    coupling = star(leaves + 1, *(0.999 / np.sqrt(leaves - 1),) * 2)
    assert 1 - np.linalg.eigvalsh(coupling)[-1] == pytest.approx(-0.117, abs=1e-3)
    assert small_gain_rate(np.ones(leaves + 1), coupling, [1] * (leaves + 1), free_scales=True).rate <= 0


def test_reading_the_condition_for_symmetric_parts_is_refused():
    # Both blocks are skew, so that their own symmetric parts vanish; that of the whole coupling does not.
    block = 3 * np.array([[0.0, 1.0], [-1.0, 0.0]])
    coupling = np.block([[np.zeros((2, 2)), block.T], [block, np.zeros((2, 2))]])
    assert not (block + block.T).any()
    assert np.linalg.eigvalsh((coupling + coupling.T) / 2)[-1] == pytest.approx(3)
    for found in small_gain_bounds(np.ones(2), coupling, [2, 2], free_scales=True):
        assert found.rate <= -2 + 1e-12


def test_skew_pairs_may_be_twice_as_strong():
    p = 6
    coupling = star(p, -1.0, 1.0) * 1.9 / np.sqrt(p - 1)
    found = named(small_gain_bounds(np.ones(p), coupling, [1] * p, free_scales=False))
    assert found["arithmetic"].rate == pytest.approx(1 - 1.9, abs=1e-7)
    assert found["aligned"].rate == pytest.approx(1 - 1.9 / 2, abs=1e-7)


def test_free_scales_take_the_geometric_mean_of_the_two_directions():
    found = named(small_gain_bounds(np.ones(6), star(6, 10.0, 0.01), [1] * 6, free_scales=True))
    assert found["arithmetic"].rate == pytest.approx(1 - 11.19, abs=5e-3)
    assert found["scaled"].rate >= 0.98 * (1 - np.sqrt(0.5)) - 1e-7
    assert found["scaled"].rate <= 1 - np.sqrt(0.5)
    assert small_gain_rate(np.ones(6), star(6, 10.0, 0.01), [1] * 6, free_scales=False).rate < 0


@pytest.mark.parametrize("gain", [1.0, 50.0, 1e4])
def test_feed_forward_graphs_are_certified_at_any_gain(gain):
    p = 8
    coupling = gain * np.tril(generator("feed-forward").random((p, p)), -1)
    found = small_gain_rate(np.full(p, 0.2), coupling, [1] * p, free_scales=True)
    assert found.bound == "scaled"
    root = np.sqrt(found.scales)
    scaled = coupling * (root[:, None] / root)
    assert 0 < found.rate <= 0.2 - np.linalg.eigvalsh((scaled + scaled.T) / 2)[-1]


def test_the_whole_bound_is_best_for_dense_graphs():
    rng = generator("dense")
    sizes = [32] * 16
    network = random_small(rng, sizes, area=0.0, coupling=1 / np.sqrt(32))
    found = named(small_gain_bounds(np.ones(16), network.nonlinear, sizes, free_scales=False))
    spent = {name: 1 - bound.rate for name, bound in found.items()}
    assert spent == {
        "arithmetic": pytest.approx(28.6, abs=0.4),
        "aligned": pytest.approx(24.5, abs=0.4),
        "whole": pytest.approx(6.5, abs=0.3),
    }


@pytest.mark.parametrize("gauge", [False, True])
@pytest.mark.parametrize("free_scales", [False, True])
def test_no_factor_is_below_the_exact_one(gauge, free_scales):
    certified = 0
    for case in range(200):
        network, h = draw(case, gauge=gauge, speeds=True), float(generator("h", case).uniform(0.05, 1))
        coupling = h * network.speeds[:, None] * network.nonlinear
        found = small_gain_factor(
            network.area_factors(h),
            coupling,
            network.sizes,
            free_scales=free_scales,
            gauge=network.gauge if gauge else None,
        )
        assert found.factor >= network.scaled(found.scales).factor(h), case
        certified += found.factor < 1
    assert certified > 10


def test_euler_inherits_small_gain_couplings():
    norms, h, coupling = np.array([0.5, 0.3, 0.6, 0.2]), 0.4, star(4, 2.0, 0.02)
    radius = np.linalg.eigvals(np.diag(norms) + coupling).real.max()
    found = small_gain_factor(1 - h * (1 - norms), h * coupling, [1] * 4)
    assert 1 - h * (1 - radius) <= found.factor <= 1 - 0.98 * h * (1 - radius) + 1e-7


def test_composed_rates_are_those_of_areas_with_the_same_gains():
    gains = star(4, 3.0, 0.05)
    composed = composed_rate(np.array([1.0, 0.8, 0.9, 0.7]), gains)
    units = small_gain_rate(np.array([1.0, 0.8, 0.9, 0.7]), gains, [1] * 4, free_scales=True)
    assert composed.bound == "scaled"
    assert composed.rate == pytest.approx(units.rate, abs=1e-6)
    assert composed_rate(np.ones(2), np.array([[0.0, 5.0], [5.0, 0.0]])).rate == pytest.approx(-4, abs=1e-7)


def test_the_limit_of_an_edge_follows_from_the_graph():
    radii = {nx.star_graph(8): np.sqrt(8), nx.complete_graph(9): 8, nx.cycle_graph(9): 2, nx.petersen_graph(): 3}
    for graph, radius in radii.items():
        assert edge_limit(nx.to_numpy_array(graph), 0.5) == pytest.approx(0.5 / radius, rel=1e-8)
    assert edge_limit(np.zeros((3, 3)), 0.5) == np.inf


@pytest.mark.parametrize(
    ("rates", "coupling", "sizes", "message"),
    [
        (np.ones(2), np.zeros((3, 3)), [1, 1, 1], "expected (3,) rates"),
        (np.ones(3), np.zeros((2, 3)), [1, 1, 1], "coupling of shape (3, 3)"),
        (np.ones(2), np.array([[0, np.nan], [0, 0]]), [1, 1], "NaN or infinity"),
        (np.array([1, np.inf]), np.zeros((2, 2)), [1, 1], "NaN or infinity"),
    ],
)
def test_what_cannot_be_judged_is_said_in_one_line(rates, coupling, sizes, message):
    with pytest.raises(InputError) as error:
        small_gain_rate(rates, coupling, sizes, free_scales=True)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
