"""The bounds themselves: their order, their exact cases, the largest step, and published figures."""

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from support.matrices import random_matrices, steps_of
from support.stepping import random_network, worst_vertex

from topo_search.model import NetworkMatrices, certify_matrices
from topo_search.model.certificate.bounds import (
    centred,
    dead_modulus,
    imex_closed_form,
    largest_step,
    naive,
    tri,
    tri_largest_step,
)
from topo_search.model.certificate.falsifier import largest_step_found, smallest_rate_found
from topo_search.model.certificate.frame import frame_of
from topo_search.model.certificate.s_procedure import rate_bound, step_bound, step_is_bounded
from topo_search.model.certificate.step_forms import RateForm, StepForm, euler_form, rate_form
from topo_search.seeds import generator

SIZES, EDGES = (2, 3, 2), ((0, 1), (1, 2))


def euler(case=0, *, s=0.7, sigma=2.0, h=0.1, sizes=SIZES, edges=EDGES):
    return random_matrices(
        generator("bounds", case), sizes, edges, area_norm=s, coupling_norm=sigma, h=h, integrator="euler"
    )


def one_area(weights, *, h=0.05, **others):
    n = len(weights)
    fields = {"coupling": np.zeros((n, n)), "steps": None, "integrator": "euler", "dt": h, "tau": 1.0}
    return NetworkMatrices(sizes=(n,), edges=(), area_weights=weights, stability="continuous", **{**fields, **others})


def test_bounds_of_euler_steps_are_ordered_and_all_above_the_truth():
    for case in range(60):
        rng = generator("order", case)
        s, sigma, h = rng.uniform(0.05, 1.2), 10 ** rng.uniform(-1, 1), 10 ** rng.uniform(-2, 0)
        network = euler(case, s=s, sigma=sigma, h=h)
        certificate, truth = certify_matrices(network), worst_vertex(network)[0]
        middle = centred(euler_form(frame_of(network)))
        assert truth - 1e-12 <= certificate.rho <= middle + 1e-8 <= tri(h, s, sigma) + 2e-8
        assert naive(certificate.rate, h, s, sigma) >= truth - 1e-9
        assert dead_modulus(h, sigma) <= truth + 1e-12
        assert largest_step_found(euler_form(frame_of(network))) == pytest.approx(truth, rel=1e-9)


def test_without_weights_the_bound_is_the_modulus_of_the_linear_step():
    for sigma, h in product((0.5, 3.0, 9.0), (0.03, 0.3)):
        network = replace(euler(sigma=sigma, h=h), area_weights=np.zeros((7, 7)))
        certificate = certify_matrices(network)
        assert certificate.rho == pytest.approx(math.hypot(1 - h, h * sigma), rel=1e-8)
        assert certificate.rate == pytest.approx(1, abs=1e-8)


@pytest.mark.parametrize("multiplier", [1e-3, 0.1, 1.0, 30.0])
def test_any_multipliers_give_a_bound(multiplier):
    for case in range(40):
        network = random_network(generator("any", case), "euler")
        form, flow = euler_form(frame_of(network)), rate_form(frame_of(network))
        multipliers = multiplier * generator("T", case).uniform(0.2, 5, len(form.fixed)) * network.dt
        truth, rate = worst_vertex(network)
        bound = step_bound(form, multipliers)
        assert bound >= truth - 1e-12
        assert not step_is_bounded(form, multipliers, truth - 1e-6)
        if math.isfinite(bound):
            assert step_is_bounded(form, multipliers, bound + 1e-9)
        assert -rate_bound(flow, multipliers) <= rate + 1e-10


def test_the_falsifier_ascends_to_the_worst_pattern_beyond_enumeration():
    found, enumerated = [], []
    for case in range(12):
        network = euler(case, s=0.95, sigma=1.0, h=0.5, sizes=(4, 4, 3), edges=((0, 1), (1, 2)))
        form = euler_form(frame_of(network))
        found.append(largest_step_found(form))
        enumerated.append(worst_vertex(network)[0])
        assert smallest_rate_found(rate_form(frame_of(network))) >= worst_vertex(network)[1] - 1e-9
    assert all(low <= high + 1e-9 for low, high in zip(found, enumerated, strict=True))
    assert np.median(np.array(enumerated) - np.array(found)) < 1e-6


def test_the_largest_step_is_the_end_of_the_interval_that_multipliers_certify():
    for case in range(40):
        frame = frame_of(random_network(generator("interval", case), "euler"))
        slope = frame.drift + frame.skew + 0.5 * (frame.gain if frame.gauge is None else frame.gain @ frame.gauge)
        multipliers = generator("T0", case).uniform(0.05, 1.0, len(slope))
        end = largest_step(slope, 0.5 * frame.gain, frame.gauge, multipliers)

        def bounded(h, frame=frame, slope=slope, multipliers=multipliers):
            form = StepForm(np.eye(len(slope)) + h * slope, 0.5 * h * frame.gain, frame.gauge, frame.gain_parts)
            return step_bound(form, h * multipliers) <= 1

        flow = RateForm(frame.drift, frame.gain, frame.gauge)
        assert (end > 0) == (rate_bound(flow, 2 * multipliers) < -1e-9)
        if end > 1e-4:
            assert all(bounded(share * end) for share in (0.1, 0.5, 0.9, 0.999))
            assert not any(bounded(share * end) for share in (1.001, 1.3, 3.0))


def test_certified_dt_holds_for_every_smaller_step():
    for case in range(25):
        network = random_network(generator("largest", case), "euler")
        largest = certify_matrices(network).euler_largest_dt
        if network.speeds is None:
            assert largest <= 1
        for share in (0.05, 0.4, 0.999):
            if largest > 0:
                assert worst_vertex(replace(network, dt=share * largest))[0] < 1
                assert certify_matrices(replace(network, dt=share * largest)).certified


def test_the_imex_closed_form_is_a_bound_and_the_certificate_is_no_worse():
    for case in range(60):
        rng = generator("imex", case)
        s, sigma, h = rng.uniform(0.05, 0.95), 10 ** rng.uniform(-1, 2), 10 ** rng.uniform(-2, 0)
        network = replace(euler(case, s=s, sigma=sigma, h=h), integrator="imex")
        closed, truth = imex_closed_form(h, s, sigma), worst_vertex(network)[0]
        certificate = certify_matrices(network)
        assert truth - 1e-9 <= certificate.rho
        assert closed >= truth - 1e-9
        assert certificate.rho <= closed + 1e-7
        b = h * sigma / 2
        condition = s * (math.hypot(1, b) + math.hypot(1 - h, b)) < 2 - h
        assert math.isfinite(closed) == condition


@pytest.mark.parametrize("sigma", [1e9, 1e14])
@pytest.mark.parametrize("integrator", ["imex", "resolvent"])
def test_couplings_beyond_float64_are_certified_by_what_needs_no_inverse_or_not_at_all(integrator, sigma):
    certificate = certify_matrices(replace(euler(s=0.3, sigma=sigma), integrator=integrator))
    if integrator == "resolvent":
        assert certificate.certified
        assert certificate.rho <= 1 - 0.1 * 0.7 + 1e-8
    else:
        # With b past counting IMEX no longer contracts what the coupling turns: rho tends to 1 from below, or passes.
        assert certificate.rho >= 0.99


def test_tri_gives_the_published_largest_step():
    assert tri_largest_step(0.5, 3.0) == pytest.approx(2 * 0.5 / (1 + 9 - 0.25))
    assert tri_largest_step(1.0, 0.0) == 0.0
    assert tri(tri_largest_step(0.5, 3.0), 0.5, 3.0) == pytest.approx(1)


# --- theorems --------------------------------------------------------------------------------------------------------


def test_reducible_weights_contract_in_their_metric_and_not_in_the_identity():
    """Test 2."""
    weights = np.array([[0.0, 6.0], [0.0, 0.0]])
    refused = certify_matrices(one_area(weights))
    assert refused.rate == pytest.approx(-2, abs=1e-7)
    assert not refused.certified
    root = np.sqrt([1 / 7, 7.0])
    accepted = certify_matrices(one_area(root[:, None] * weights / root))
    assert accepted.certified
    assert accepted.rate > 0.1


def symmetric_area(rng, n, *, b):
    """Theorem 2: weights in metric coordinates and V, of ``W = U diag(e) U^T``, ``e <= b``."""
    vectors = np.linalg.qr(rng.normal(size=(n, n)))[0]
    values = np.concatenate([[b], rng.uniform(-4, b, n - 1)])
    theta = 1 + np.sqrt(1 - values / b)
    return vectors * (values / theta) @ vectors.T, vectors * theta @ vectors.T


@pytest.mark.parametrize("b", [0.3, 0.9])
def test_theorem_2_has_its_exact_rate(b):
    """Test 3: ``1 - b``, met with all units active."""
    for case in range(20):
        weights, gauge = symmetric_area(generator("theorem 2", case), 5, b=b)
        certificate = certify_matrices(one_area(weights, gauge=gauge))
        flow = -np.eye(5) + weights @ gauge
        assert -np.linalg.eigvalsh(flow + flow.T)[-1] / 2 == pytest.approx(1 - b, abs=1e-9)
        assert certificate.rate == pytest.approx(1 - b, abs=1e-6)
        assert certificate.rate <= 1 - b + 1e-9
    weights, gauge = symmetric_area(generator("theorem 2", 0), 5, b=0.9)
    assert not certify_matrices(one_area(1.01 / 0.9 * weights, gauge=gauge)).certified


@pytest.mark.parametrize("slope", [1.0, 10.0])
def test_theorem_3_has_rate_one(slope):
    """Test 4: ``W = -P1 Q P2``, with ``Q = C C^T``, ``V = P1 C`` and ``F W = -C^T P2``."""
    for case in range(20):
        rng = generator("theorem 3", case)
        first, second = rng.uniform(0.5, 2, (2, 5))
        root = np.tril(rng.normal(size=(5, 5)), -1) * 0.3 + np.diag(rng.uniform(0.5, 1.5, 5))
        network = one_area(-slope * root.T * second, gauge=first[:, None] * root, h=0.005)
        certificate = certify_matrices(network)
        assert certificate.rate == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("c", "rate"), [(1.9, 0.05), (2.0, 0.0), (2.1, -0.05)])
def test_no_metric_bears_two_units_that_turn_each_other_faster_than_twice_their_decay(c, rate):
    """Test 5."""
    certificate = certify_matrices(one_area(np.array([[0.0, -c], [c, 0.0]]), h=1e-3))
    assert certificate.rate == pytest.approx(rate, abs=1e-7)
    assert certificate.rate_upper == pytest.approx(rate, abs=1e-7)
    assert certificate.certified == (c < 2)


def test_imperfect_feedback_is_borne_up_to_the_areas_rates():
    """Test 14: ``S = c Lambda^(1/2) R Lambda^(1/2) / lmax(R)`` with rates Lambda of areas that are exact."""
    for case in range(20):
        rng = generator("imperfect", case)
        network = random_matrices(rng, SIZES, EDGES, area_norm=0.5, coupling_norm=2.0, h=1e-3, integrator="euler")
        norms = np.repeat(rng.uniform(0.1, 0.9, 3), SIZES)
        free = np.zeros((7, 7))
        free[2:5, :2], free[5:, 2:5] = rng.normal(size=(3, 2)), rng.normal(size=(2, 3))
        free += free.T
        root = np.sqrt(1 - norms)
        symmetric = root[:, None] * free * root / np.linalg.eigvalsh(free)[-1]
        symmetric = np.tril(symmetric, -1) + np.tril(symmetric, -1).T

        def judged(share, network=network, norms=norms, symmetric=symmetric):
            return certify_matrices(replace(network, area_weights=np.diag(norms), symmetric=share * symmetric))

        assert judged(0.95).rate >= 0.05 * (1 - norms.max()) - 1e-9
        assert judged(0.95).certified
        assert judged(1.01).rate < 0
        assert not judged(1.01).certified


def test_pruning_an_edge_can_cost_euler_its_certificate():
    """Test 15: the skew conference matrix of order 4 without weights, and without one of its edges."""
    conference = np.array([[0, 1, 1, 1], [-1, 0, -1, 1], [-1, 1, 0, -1], [-1, -1, 1, 0]], dtype=float)
    edges = tuple((i, j) for i in range(4) for j in range(i + 1, 4))
    network = NetworkMatrices((1,) * 4, edges, np.zeros((4, 4)), np.tril(conference), None, "euler", 0.45, 1.0, "x")
    before = certify_matrices(network)
    assert before.certified
    assert before.coupling_norm == pytest.approx(math.sqrt(3))
    after = []
    for i, j in edges:
        pruned = np.tril(conference)
        pruned[j, i] = 0.0
        after.append(certify_matrices(replace(network, coupling=pruned)))
    worst = max(after, key=lambda certificate: certificate.coupling_norm)
    assert worst.coupling_norm == pytest.approx(2)
    assert not worst.certified
    assert worst.rate == pytest.approx(before.rate)
    assert "no metric" in worst.reason


# --- published figures -----------------------------------------------------------------------------------------------


def workspace_network(count, *, s, sigma, h=0.03, hub=True):
    """Areas of 32 units of the sparse recipe, in a global workspace or all-to-all."""
    from topo_search.model import SparseRecipe, sparse_area

    rng = generator("published", count)
    sizes = (32,) * count
    edges = tuple((i, j) for i in range(1 if hub else count) for j in range(i + 1, count))
    network = random_matrices(rng, sizes, edges, area_norm=1.0, coupling_norm=sigma, h=h, integrator="euler")
    weights = np.zeros_like(network.area_weights)
    for area in range(count):
        place = slice(32 * area, 32 * area + 32)
        weights[place, place] = sparse_area(32, SparseRecipe(), rng, norm=s).weights
    return replace(network, area_weights=weights, stability="continuous")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("s", "hub", "tri_cap", "cap", "impossible"), [(0.5, True, 5.71, 6.96, 6.98), (0.9, False, 2.54, 5.26, 5.42)]
)
def test_caps_of_the_coupling_are_those_measured_before(s, hub, tri_cap, cap, impossible):
    """One-seed figures of 16 areas of 32 at dt = 0.03, so of this order."""
    below = certify_matrices(workspace_network(16, s=s, sigma=cap - 0.25, hub=hub))
    assert below.certified
    assert tri(0.03, s, below.coupling_norm) > 1, "the simple bound ends far below"
    assert below.coupling_norm > tri_cap
    above = certify_matrices(workspace_network(16, s=s, sigma=impossible + 0.35, hub=hub))
    assert above.rho_lower > 1
    assert "contraction in this metric is impossible" in above.reason


def test_steps_of_every_stored_kind_are_made_as_documented():
    for integrator in ("cayley", "edge_cayley"):
        network = random_network(generator("steps", 3), integrator)
        assert np.array_equal(network.steps, steps_of(network))
