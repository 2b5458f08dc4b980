"""No certificate of a small network contradicts any pattern of active units, whatever parts the network has."""

from collections import Counter

import numpy as np
import pytest
from support.stepping import INTEGRATORS, advance, part, random_network, scaling, skew_of, worst_vertex

from topo_search.model import certify_matrices
from topo_search.seeds import generator


def check(case: int) -> tuple[str, bool, float]:
    integrator = INTEGRATORS[case % len(INTEGRATORS)]
    network = random_network(generator("every pattern", case), integrator)
    certificate = certify_matrices(network)
    factor, rate = worst_vertex(network, certificate.scales)
    assert certificate.rho >= factor - 1e-12
    assert certificate.rho_lower <= factor + 1e-9
    assert certificate.rate <= rate + 1e-10
    assert certificate.rate_upper >= rate - 1e-9
    assert certificate.certified == (certificate.rho < 1), certificate.reason
    assert certificate.margin == 1 - certificate.rho
    assert len(certificate.multipliers) == len(network.area_weights)
    if certificate.rho_lower >= 1:
        assert "expands by" in certificate.reason or "no metric" in certificate.reason
    return certificate.bound, certificate.certified, certificate.rho - factor


def check_all(count: int) -> None:
    found = [check(case) for case in range(count)]
    bounds = Counter(bound for bound, _, _ in found)
    assert min(bounds[name] for name in ("s_procedure", "cayley", "edge_cayley", "imex", "resolvent")) > count / 10
    assert bounds["small_gain"] > 0
    certified = sum(certified for _, certified, _ in found)
    assert count / 4 < certified < count * 3 / 4 + count / 5, "both verdicts must occur"
    # The S-procedure is nearly exact for networks of this size.
    assert np.median([gap for _, _, gap in found]) < 1e-5


def test_certificates_of_hundreds_of_random_networks_hold_at_every_vertex():
    check_all(400)


@pytest.mark.slow
def test_certificates_of_thousands_of_random_networks_hold_at_every_vertex():
    check_all(5000)


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_trajectories_approach_by_the_certified_factor_at_every_step(integrator):
    """Test 8: pairs of trajectories under one random input, in plain NumPy."""
    tight, certified = 0.0, 0
    for case in range(60):
        network = random_network(generator("trajectories", case), integrator)
        certificate = certify_matrices(network)
        if not certificate.certified:
            continue
        certified += 1
        rng, n = generator("pairs", case), len(network.area_weights)
        metric = np.diag(scaling(network, certificate.scales)[:, 0])
        if integrator == "imex":
            metric = metric @ (np.eye(n) - network.dt / 2 * skew_of(network))
        one, other = rng.normal(size=(2, n, 4)) * np.array([1e-2, 1.0, 1e2, 1e4])
        for time in range(40):
            drive = rng.normal(size=(n, 1))
            before = np.linalg.norm(metric @ (one - other), axis=0)
            one, other = advance(network, one, drive, time), advance(network, other, drive, time)
            after = np.linalg.norm(metric @ (one - other), axis=0)
            assert (after <= certificate.rho * before + 1e-11 * np.abs(one).max()).all()
            apart = before > 1e-6
            tight = max(tight, float((after[apart] / before[apart]).max(initial=0.0)) / certificate.rho)
    assert certified > 15
    assert tight > 0.98, "bounds that are never nearly met would show nothing"


def test_speeds_are_judged_in_their_own_metric():
    """Test 13: with time constants tau_i the metric is tau M; the same network seen in M expands."""
    for case in range(40):
        rng = generator("speeds", case)
        network = random_network(rng, "euler")
        if (
            network.speeds is None
            or not network.coupling.any()
            or any(getattr(network, name) is not None for name in ("gauge", "nonlinear", "symmetric"))
        ):
            continue
        certificate = certify_matrices(network)
        tau = 1 / part(network, "speeds")
        # y = tau^(1/2) x: in the units of x the feedback is tau^(-1) (tau^(1/2) K tau^(1/2)).
        root = np.sqrt(tau)
        skew = root[:, None] * skew_of(network) * root
        flow = (-np.eye(len(tau)) + skew) / tau[:, None]
        in_metric = root[:, None] * flow / root
        assert np.linalg.eigvalsh(in_metric + in_metric.T)[-1] / 2 <= -(1 / tau).min() + 1e-12
        assert certificate.rate <= (1 / tau).min() + 1e-9
    rates = np.array([1.0, 0.1])
    wrong = rates[:, None] * (-np.eye(2) + np.array([[0.0, 5.0], [-5.0, 0.0]]))
    assert np.linalg.eigvalsh(wrong + wrong.T)[-1] / 2 > 0.76
