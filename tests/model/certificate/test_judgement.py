"""What a verdict refuses and records beyond the first theory: gauges, couplings of other kinds, speeds."""

import json
from dataclasses import replace

import numpy as np
import pytest
from support.matrices import random_matrices
from support.stepping import INTEGRATORS, random_network, worst_vertex

from topo_search.errors import InputError
from topo_search.graph import Area, ModuleGraph
from topo_search.model import NetworkConfig, build_network, certify_matrices
from topo_search.model.certificate import factor as factor_module
from topo_search.model.certificate import factor_is_confirmed
from topo_search.model.certificate.verdict import memory_steps
from topo_search.seeds import generator

SIZES, EDGES = (2, 3, 2), ((0, 1),)


def network(**changes):
    options = {"area_norm": 0.7, "coupling_norm": 1.0, "h": 0.1, "integrator": "euler"}
    return replace(random_matrices(generator("judged", 0), SIZES, EDGES, **options), **changes)


def on(rows, columns, value=0.1):
    matrix = np.zeros((7, 7))
    matrix[rows, columns] = value
    return matrix


FIRST, SECOND, THIRD = slice(0, 2), slice(2, 5), slice(5, 7)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"gauge": np.eye(7) + on(FIRST, SECOND)}, "gauge joins units of different areas"),
        ({"nonlinear": on(FIRST, THIRD)}, "the nonlinear coupling joins areas where the graph has no edge"),
        ({"nonlinear": on(FIRST, FIRST)}, "the nonlinear coupling joins areas"),
        ({"symmetric": on(SECOND, THIRD) + on(THIRD, SECOND)}, "the symmetric coupling joins areas"),
        ({"symmetric": on(SECOND, FIRST)}, "is not symmetric"),
        ({"symmetric": on(SECOND, FIRST) + on(FIRST, SECOND, 0.1 + 1e-16)}, "is not symmetric"),
    ],
)
def test_matrices_that_are_not_of_the_graph_are_refused(changes, match):
    certificate = certify_matrices(network(**changes))
    assert not certificate.certified
    assert match in certificate.reason


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"gauge": np.eye(6)}, r"gauge cannot be judged: expected shape \(7, 7\)"),
        ({"nonlinear": np.full((7, 7), np.nan)}, "nonlinear cannot be judged.*finite"),
        ({"symmetric": np.full((7, 7), np.inf)}, "symmetric cannot be judged.*finite"),
        ({"speeds": np.ones((7, 7))}, r"speeds cannot be judged: expected shape \(7,\)"),
        ({"speeds": np.zeros(7)}, "speeds cannot be judged: expected positive"),
        ({"speeds": -np.ones(7)}, "speeds cannot be judged: expected positive"),
        ({"speeds": np.full(7, 10.1)}, "speeds cannot be judged: expected positive numbers of at most tau / dt"),
        ({"speeds": np.full(7, np.nan)}, "speeds cannot be judged.*finite"),
        ({"integrator": "leapfrog"}, "integrator 'leapfrog' cannot be judged"),
        ({"integrator": "imex", "steps": np.eye(7)}, "none for euler, imex and resolvent"),
    ],
)
def test_what_cannot_be_judged_is_an_error_of_one_line(changes, match):
    with pytest.raises(InputError, match=match) as error:
        certify_matrices(network(**changes))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_certificates_are_json_of_finite_numbers_and_the_same_each_time(integrator):
    for case in range(15):
        drawn = random_network(generator("json", case), integrator)
        certificate = certify_matrices(drawn)
        assert json.loads(json.dumps(certificate.as_dict(), allow_nan=False))["bound"] == certificate.bound
        assert certify_matrices(drawn) == certificate


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_recorded_factors_are_confirmed_by_their_own_multipliers_and_no_better_ones_are(integrator):
    for case in range(25):
        drawn = random_network(generator("claims", case), integrator)
        certificate = certify_matrices(drawn)
        claim = {"multipliers": certificate.multipliers, "scales": certificate.scales}
        assert factor_is_confirmed(drawn, certificate.rho, **claim)
        assert factor_is_confirmed(drawn, certificate.rho + 0.1, **claim)
        assert not factor_is_confirmed(drawn, certificate.rho - 1e-6, **claim)
        assert not factor_is_confirmed(drawn, certificate.rho, (), certificate.scales)
        assert not factor_is_confirmed(drawn, float("nan"), **claim)
        assert not factor_is_confirmed(drawn, certificate.rho, [-1.0] * len(certificate.multipliers))
        # Others confirm no factor that a pattern of active units contradicts.
        for multiplier in (1e-3, 0.1, 1.0):
            others = [multiplier] * len(certificate.multipliers)
            assert not factor_is_confirmed(drawn, worst_vertex(drawn)[0] - 1e-6, others)


@pytest.mark.parametrize("integrator", ["resolvent", "imex"])
def test_what_a_truncated_series_leaves_out_is_part_of_the_factor(integrator):
    areas = [Area(size=6, is_input=index == 0, is_output=index == 30) for index in range(60)]
    graph = ModuleGraph(areas, [(index, index + 1) for index in range(59)])
    config = NetworkConfig(dt=0.03, coupling_scale=0.3, integrator=integrator)
    matrices = build_network(graph, config, channels=2, classes=3, seed=0).matrices()
    assert matrices.series is not None
    radius, coefficients = matrices.series
    h, skew, identity = 0.03, matrices.coupling - matrices.coupling.T, np.eye(360)
    scaled = (h if integrator == "resolvent" else h / 2) * skew
    before, now = identity, scaled / radius
    total = coefficients[0] * before
    for coefficient in coefficients[1:]:
        total = total + coefficient * now
        before, now = now, 2 * (scaled / radius) @ now + before
    exact = np.linalg.inv(identity - scaled)
    executed, stated = total, exact
    if integrator == "imex":
        # With all units inactive, in the coordinates (I - h K / 2) y.
        half, change = identity - scaled, -h * identity
        executed = half @ (total @ (2 * identity + change) - identity) @ exact
        stated = half @ (exact @ (2 * identity + change) - identity) @ exact
    certificate = certify_matrices(matrices)
    without = certify_matrices(replace(matrices, series=None))
    assert 0 < np.linalg.norm(executed - stated, 2) <= certificate.step_residual <= 2e-6
    assert certificate.rho - without.rho >= 0.9 * certificate.step_residual * without.rho
    assert without.step_residual < 1e-12
    assert certificate.certified


def test_memory_is_counted_until_a_hundredth_is_left():
    for rho in (0.1, 0.5, 0.99, 0.9999):
        steps = memory_steps(rho)
        assert rho**steps <= 0.01 * (1 + 1e-12) < rho ** (steps - 1)
    assert memory_steps(1.0) is None
    assert memory_steps(2.0) is None


def test_no_weights_and_no_coupling_are_certified_exactly():
    zero = np.zeros((7, 7))
    for integrator in ("euler", "imex", "resolvent"):
        certificate = certify_matrices(network(area_weights=zero, coupling=zero, integrator=integrator))
        assert certificate.rho == pytest.approx(0.9, abs=1e-8)
        assert certificate.rate == pytest.approx(1, abs=1e-8)
        assert len(certificate.multipliers) == 7


def test_scales_of_areas_certify_what_the_identity_cannot():
    """One area drives another strongly and hears it weakly: test 12 at the level of a network."""
    weights = 0.1 * np.eye(2)
    coupling = np.array([[0.0, 0.01], [10.0, 0.0]])
    pair = replace(network(), sizes=(1, 1), area_weights=weights, coupling=np.zeros((2, 2)), nonlinear=coupling)
    certificate = certify_matrices(pair)
    assert certificate.certified
    assert certificate.bound == "small_gain"
    assert certificate.scales[0] / certificate.scales[1] > 100
    assert certificate.rate > 0
    flow = -np.eye(2) + weights + coupling
    assert np.linalg.eigvalsh(flow + flow.T)[-1] > 0, "the identity is no metric of it"
    # With feedback beside it scales are not free.
    beside = certify_matrices(replace(pair, coupling=np.array([[0.0, 0.0], [1e-3, 0.0]])))
    assert not beside.certified
    assert beside.scales == ()


def test_a_bound_that_is_contradicted_certifies_nothing(monkeypatch):
    wrong = replace(network(integrator="resolvent"), area_weights=np.diag([0.9] * 7))
    honest = factor_module.local_factors

    def broken(frame, multipliers):
        found = honest(frame, multipliers)
        return replace(found, factors=0.9 * found.factors)

    assert certify_matrices(wrong).certified
    monkeypatch.setattr(factor_module, "local_factors", broken)
    monkeypatch.setattr(factor_module, "_found", lambda form: 0.99)
    certificate = certify_matrices(wrong)
    assert not certificate.certified
    assert "the bounds contradict each other" in certificate.reason
