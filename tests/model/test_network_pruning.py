"""Pruned networks against the same operation in original coordinates, and against every pattern of slopes."""

import numpy as np
import pytest
from support.small_networks import Small, parts, random_skew, random_small, rate_in, symmetric_area

from topo_search.errors import InputError
from topo_search.model import NetworkMatrices
from topo_search.model import network_pruning as pruning
from topo_search.model import pruning_rules as original
from topo_search.model.pruning_rules import OriginalForm
from topo_search.seeds import generator

SIZES = (3, 2, 2)
EDGES = ((0, 1), (0, 2), (1, 2))


def network_of(small, skew, *, symmetric=None, gauge=True):
    return NetworkMatrices(
        sizes=small.sizes,
        edges=EDGES,
        area_weights=small.weights,
        coupling=np.tril(skew),
        steps=None,
        integrator="euler",
        dt=0.1,
        tau=1.0,
        stability="certified",
        gauge=small.gauge if gauge else None,
        nonlinear=small.nonlinear,
        symmetric=symmetric,
        speeds=small.speeds,
    )


def small_of(network):
    n = sum(network.sizes)
    none = np.zeros((n, n))
    return Small(
        network.sizes,
        network.area_weights,
        none if network.nonlinear is None else network.nonlinear,
        network.coupling - network.coupling.T + (none if network.symmetric is None else network.symmetric),
        np.eye(n) if network.gauge is None else network.gauge,
        np.ones(n) if network.speeds is None else network.speeds,
    )


def draw(case, *, gauge):
    """A network with everything that a network can have."""
    rng = generator("network pruning", case)
    small = random_small(rng, SIZES, area=0.3, coupling=0.05, gauge=gauge, speeds=True)
    half = random_small(rng, SIZES, area=0.0, coupling=0.03).nonlinear
    return network_of(small, random_skew(rng, SIZES, 2.0), symmetric=half + half.T, gauge=gauge)


def theorem2(case):
    """Areas with non-diagonal metrics, in original and in metric coordinates."""
    rng = generator("theorem 2", case)
    n = sum(SIZES)
    weights, metric, change = np.zeros((n, n)), np.zeros((n, n)), np.zeros((n, n))
    for part, size in zip(parts(SIZES), SIZES, strict=True):
        weights[part, part], metric[part, part] = symmetric_area(rng, size, 0.2)
        change[part, part] = np.linalg.cholesky(metric[part, part]).T
    gauge = np.linalg.inv(change)
    form = OriginalForm(weights, gauge @ gauge.T, random_skew(rng, SIZES, 3.0))
    skew = change @ form.skew @ change.T
    small = Small(SIZES, change @ weights, np.zeros((n, n)), skew, gauge, np.ones(n))
    network = network_of(small, (skew - skew.T) / 2)
    return form, network


@pytest.mark.parametrize("gauge", [False, True])
def test_removing_units_and_areas_never_makes_a_rate_or_a_factor_worse(gauge):
    for case in range(15):
        network = draw(case, gauge=gauge)
        rate, factor = small_of(network).rate, small_of(network).factor(0.1)
        pruned = [pruning.remove_unit(network, unit) for unit in range(sum(SIZES))]
        pruned += [pruning.remove_area(network, area) for area in range(len(SIZES))]
        for rest in pruned:
            assert small_of(rest).rate >= rate - 1e-9
            assert small_of(rest).factor(0.1) <= factor + 1e-9
            assert (rest.gauge is None) == (not gauge)
            assert np.array_equal(rest.symmetric, rest.symmetric.T)
            assert not np.triu(rest.coupling).any()


@pytest.mark.parametrize("case", range(6))
def test_removing_units_is_what_it_is_in_original_coordinates(case):
    form, network = theorem2(case)
    for unit in range(sum(SIZES)):
        expected, rest = original.remove_unit(form, unit), pruning.remove_unit(network, unit)
        # P = V V^T, W = V W', K = V K' V^T.
        assert rest.gauge @ rest.gauge.T == pytest.approx(expected.inverse_metric, abs=1e-9)
        assert rest.gauge @ rest.area_weights == pytest.approx(expected.weights, abs=1e-9)
        skew = rest.coupling - rest.coupling.T
        assert rest.gauge @ skew @ rest.gauge.T == pytest.approx(expected.skew, abs=1e-9)
        metric = np.linalg.inv(expected.inverse_metric)
        assert small_of(rest).rate == pytest.approx(rate_in(metric, expected.weights, expected.coupling), abs=1e-8)


@pytest.mark.parametrize("case", range(6))
def test_removing_edges_and_pairs_is_what_it_is_in_original_coordinates(case):
    form, network = theorem2(case)
    for edge in EDGES:
        expected, rest = original.remove_edge(form, SIZES, edge), pruning.remove_edge(network, edge)
        assert rest.edges == tuple(kept for kept in EDGES if kept != edge)
        skew = rest.coupling - rest.coupling.T
        assert rest.gauge @ skew @ rest.gauge.T == pytest.approx(expected.skew, abs=1e-9)
    for a, b in [(0, 3), (4, 2), (6, 1), (3, 5)]:
        expected, rest = original.zero_pair(form, a, b), pruning.remove_pair(network, a, b)
        skew = rest.coupling - rest.coupling.T
        assert rest.gauge @ skew @ rest.gauge.T == pytest.approx(expected.skew, abs=1e-9)
        assert small_of(rest).rate >= small_of(network).rate - 1e-9


def test_without_a_gauge_entries_are_dropped_and_nothing_else_changes():
    network = draw(0, gauge=False)
    for unit in range(sum(SIZES)):
        rest, kept = pruning.remove_unit(network, unit), np.delete(np.arange(sum(SIZES)), unit)
        for name in ("area_weights", "coupling", "nonlinear", "symmetric"):
            assert np.array_equal(getattr(rest, name), getattr(network, name)[np.ix_(kept, kept)])
    pair = pruning.remove_pair(network, 4, 1).coupling
    assert pair[4, 1] == 0
    assert np.count_nonzero(pair != network.coupling) == 1
    assert np.array_equal(pruning.remove_pair(network, 1, 4).coupling, pair)


def test_an_area_takes_its_edges_along():
    rest = pruning.remove_area(draw(0, gauge=True), 0)
    assert (rest.sizes, rest.edges) == ((2, 2), ((0, 1),))
    assert len(rest.speeds) == len(rest.area_weights) == 4
    edge = pruning.remove_edge(draw(0, gauge=True), (0, 2))
    one, other = parts(SIZES)[0], parts(SIZES)[2]
    for matrix in (edge.coupling, edge.nonlinear, edge.symmetric):
        assert not matrix[one, other].any()
        assert not matrix[other, one].any()


def cayley(skew, h):
    return np.linalg.solve(np.eye(len(skew)) - h / 2 * skew, np.eye(len(skew)) + h / 2 * skew)


@pytest.mark.parametrize("integrator", ["cayley", "edge_cayley"])
def test_steps_are_those_of_the_coupling_that_is_left(integrator):
    whole = draw(3, gauge=True)
    n_steps = sum((SIZES[i] + SIZES[j]) ** 2 for i, j in EDGES)
    steps = np.zeros((7, 7)) if integrator == "cayley" else np.zeros(n_steps)
    network = NetworkMatrices(
        **{**whole.__dict__, "steps": steps, "integrator": integrator, "series": (1.0, (1.0, 0.5))}
    )
    pruned = [pruning.remove_unit(network, 1), pruning.remove_area(network, 1), pruning.remove_edge(network, (0, 1))]
    for rest in [*pruned, pruning.remove_pair(network, 0, 5)]:
        skew, blocks = rest.coupling - rest.coupling.T, parts(rest.sizes)
        expected = cayley(skew, 0.1)
        if integrator == "edge_cayley":
            pairs = [np.r_[blocks[i], blocks[j]] for i, j in rest.edges]
            expected = np.concatenate([cayley(skew[np.ix_(units, units)], 0.1).reshape(-1) for units in pairs])
        assert rest.steps == pytest.approx(expected, abs=1e-13)
        assert rest.series is None


def test_isometries_are_isometries():
    rng = generator("isometry")
    for gauge in (np.eye(4), rng.normal(size=(4, 4)), np.diag([1e-6, 1.0, 1e6, 3.0])):
        for unit in range(4):
            isometry = pruning.unit_isometry(gauge, unit)
            assert isometry @ isometry.T == pytest.approx(np.eye(3), abs=1e-14)
            rows = np.delete(gauge, unit, axis=0)
            assert (rows @ isometry.T) @ isometry == pytest.approx(rows, abs=1e-9)
    assert np.array_equal(pruning.unit_isometry(np.eye(3), 1), np.eye(3)[[0, 2]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda network: pruning.remove_unit(network, 7), "expected one of 0 to 6"),
        (lambda network: pruning.remove_area(network, -1), "expected one of 0 to 2"),
        (lambda network: pruning.remove_edge(network, (1, 0)), "no such edge"),
        (lambda network: pruning.remove_pair(network, 0, 1), "two areas joined"),
        (lambda network: pruning.remove_pair(network, 0, 7), "units 0 to 6"),
        (lambda network: pruning.remove_pair(pruning.remove_edge(network, (0, 1)), 0, 3), "two areas joined"),
    ],
)
def test_bad_requests_are_refused(call, message):
    with pytest.raises(InputError) as error:
        call(draw(0, gauge=True))
    assert message in str(error.value)


def test_the_last_unit_of_an_area_and_the_last_area_stay():
    network = draw(0, gauge=True)
    for _ in range(2):
        network = pruning.remove_unit(network, 0)
    with pytest.raises(InputError, match="it is all of area 0; remove the area"):
        pruning.remove_unit(network, 0)
    for _ in range(2):
        network = pruning.remove_area(network, 0)
    with pytest.raises(InputError, match="leaves another"):
        pruning.remove_area(network, 0)
