"""What certificates accept and what they refuse."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.falsify import rotations
from support.matrices import cayley_of, edge_blocks, edge_units, random_matrices
from support.tiny import tiny_network

from topo_search.errors import InputError
from topo_search.graph import Area, ModuleGraph
from topo_search.model import NetworkConfig, build_network, certify_matrices, euler_cap, norm_bound
from topo_search.model.certificate import EDGE_ORDER

SIZES, EDGES = (3, 4, 2, 3), ((0, 1), (0, 2), (1, 3), (2, 3))


def make(*, integrator="cayley", area_norm=0.9, coupling_norm=4.0, h=0.2, seed=0, **others):
    """Areas are aligned: what the local step is certified to is then 1 - h (1 - s), neither more nor less."""
    rng = np.random.default_rng(seed)
    options = {"area_norm": area_norm, "coupling_norm": coupling_norm, "h": h, "integrator": integrator}
    return random_matrices(rng, SIZES, EDGES, aligned=True, **options, **others)


def refused(network, match):
    certificate = certify_matrices(network)
    assert not certificate.certified
    assert match in certificate.reason
    assert "\n" not in certificate.reason
    return certificate


# --- norms -----------------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(
    rows=st.integers(1, 30),
    columns=st.integers(1, 30),
    rank=st.integers(1, 30),
    seed=st.integers(0, 2**20),
    exponent=st.integers(-300, 150),
)
def test_norm_bound_is_above_and_tight(rows, columns, rank, seed, exponent):
    rng = np.random.default_rng(seed)
    matrix = (rng.normal(size=(rows, rank)) @ rng.normal(size=(rank, columns))) * 10.0**exponent
    truth = np.linalg.norm(matrix / np.abs(matrix).max(), 2) * np.abs(matrix).max()
    bound = norm_bound(matrix)
    # Strictly above, by more than the rounding of the singular values themselves.
    assert truth * (1 + 1e-12) < bound <= truth * (1 + 1e-8)


@pytest.mark.parametrize(
    ("matrix", "norm"),
    [
        (np.zeros((3, 3)), 0.0),
        (np.zeros((0, 0)), 0.0),
        (np.eye(40), 1.0),
        (np.full((5, 5), -2.0), 10.0),
        (np.array([[0.0, 6.0], [0.0, 0.0]]), 6.0),
        (np.diag([1.0, 1e-12, 1.0]), 1.0),
    ],
)
def test_norm_bound_of_known_matrices(matrix, norm):
    assert norm <= norm_bound(matrix) <= norm * (1 + 1e-8)


def test_norm_bound_of_multiples_of_the_identity_with_rounding_errors():
    rng = np.random.default_rng(0)
    for _ in range(1000):
        orthogonal = np.linalg.qr(rng.normal(size=(7, 7)))[0]
        assert norm_bound(0.25 * orthogonal.T @ orthogonal - np.eye(7)) == pytest.approx(0.75, rel=1e-8)


# --- Cayley ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coupling_norm", [0.0, 0.1, 8.0, 1e3, 1e6])
@pytest.mark.parametrize(("h", "s"), [(0.03, 0.9), (0.2, 0.5), (1.0, 0.99)])
def test_cayley_is_certified_at_any_strength_with_its_factor(h, s, coupling_norm):
    certificate = certify_matrices(make(area_norm=s, coupling_norm=coupling_norm, h=h))
    assert certificate.certified
    assert certificate.reason == ""
    assert certificate.notes == ()
    assert certificate.bound == "cayley"
    assert certificate.rho == pytest.approx(1 - h * (1 - s), abs=1e-6)
    assert certificate.rho >= 1 - h * (1 - s)
    assert certificate.area_norm == pytest.approx(s, rel=1e-8)
    assert certificate.coupling_norm == pytest.approx(coupling_norm, rel=1e-6)
    assert certificate.rate > 0


def test_the_factor_follows_the_largest_area():
    network = make(area_norm=0.5)
    weights = network.area_weights.copy()
    weights[7:9, 7:9] *= 1.8
    certificate = certify_matrices(replace(network, area_weights=weights))
    assert certificate.area_norm == pytest.approx(0.9)
    assert certificate.rho == pytest.approx(1 - 0.2 * 0.1, abs=1e-6)
    weights[7:9, 7:9] *= 0.99 / 0.9 * 1.02
    refused(replace(network, area_weights=weights), "expected below 1")


def test_time_is_counted_in_time_constants():
    fast, slow = make(h=0.2), make(h=0.2, dt=1.0, tau=5.0)
    one, other = certify_matrices(fast), certify_matrices(slow)
    assert other.certified
    assert other.rho == one.rho
    assert other.rate == one.rate
    assert other.euler_largest_dt == pytest.approx(5 * one.euler_largest_dt)
    # Steps made for another h are other steps; their area part would be judged at the wrong h.
    assert certify_matrices(replace(slow, tau=10.0)).rho == pytest.approx(1 - 0.1 * 0.1, abs=1e-6)


def test_scaled_coupling_with_kept_steps_is_remarked_and_certified():
    network = make()
    for factor in (0.5, 3.0, 1e3):
        certificate = certify_matrices(replace(network, coupling=factor * network.coupling))
        assert certificate.certified
        (note,) = certificate.notes
        assert f"{factor:g} times" in note
        assert certificate.rho == pytest.approx(1 - 0.2 * 0.1, abs=1e-6)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("factor", [1e8, 1e17, 1e30, 1e160])
def test_coupling_beyond_what_can_be_inverted_never_raises(factor):
    network = make()
    certificate = certify_matrices(replace(network, coupling=factor * network.coupling))
    assert certificate.certified or certificate.reason


def tampered_steps():
    network = make()
    q, n = network.steps, len(network.steps)
    rng = np.random.default_rng(1)
    order = np.concatenate([np.arange(7, 12), np.arange(7)])
    random = rng.normal(size=(n, n))
    reflected = np.eye(n)
    reflected[0, 0] = -1
    swapped = q.copy()
    swapped[[0, 1]] = q[[1, 0]]
    return {
        "transposed": q.T,
        "squared": q @ q,
        "identity": np.eye(n),
        "permuted": q[order][:, order],
        "two rows swapped": swapped,
        "negated": -q,
        "reflected": reflected @ q,
        "another orthogonal": np.linalg.qr(random)[0],
        "Cayley of another coupling": cayley_of(random - random.T, 0.2),
        "Cayley of another seed": make(seed=5).steps,
    }


# A warning on standard error beside the one line of a refusal would be noise.
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", list(tampered_steps()))
def test_orthogonal_steps_that_are_not_of_the_coupling_are_refused(name):
    certificate = refused(replace(make(), steps=tampered_steps()[name]), "not Cayley steps of the coupling")
    assert certificate.orthogonality_defect < 1e-10


@pytest.mark.parametrize("factor", [0.0, 0.5, 0.9999, 1.0001, 2.0])
def test_steps_that_are_not_orthogonal_are_refused(factor):
    network = make()
    certificate = refused(replace(network, steps=factor * network.steps), "not orthogonal")
    assert certificate.orthogonality_defect == pytest.approx(abs(factor**2 - 1), rel=1e-6)


def test_one_changed_entry_of_the_steps_is_refused():
    network = make()
    for change in (1e-3, -0.3, 1e4):
        steps = network.steps.copy()
        steps[2, 5] += change
        refused(replace(network, steps=steps), "not orthogonal")


def test_the_factor_pays_for_the_defect_of_the_steps():
    network = make(area_norm=0.99)
    certificate = certify_matrices(replace(network, steps=(1 + 6e-8) * network.steps))
    assert certificate.certified
    assert certificate.rho >= (1 + 6e-8) * (1 - 0.2 * 0.01) - 1e-12
    # Where the contraction is weaker than the defect nothing is certified.
    weak = make(area_norm=1 - 1e-7)
    assert certify_matrices(weak).certified
    refused(replace(weak, steps=(1 + 6e-8) * weak.steps), "factor")


def test_steps_that_expand_by_more_than_the_areas_contract_are_not_certified():
    certificate = refused(make(area_norm=1.0000001), "expected below 1")
    assert certificate.rho > 1


# --- edge-wise Cayley ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coupling_norm", [0.0, 0.1, 8.0, 1e3, 1e6])
@pytest.mark.parametrize(("h", "s"), [(0.03, 0.9), (0.2, 0.5), (1.0, 0.99)])
def test_edge_steps_are_certified_at_any_strength_with_their_factor(h, s, coupling_norm):
    certificate = certify_matrices(make(integrator="edge_cayley", area_norm=s, coupling_norm=coupling_norm, h=h))
    assert certificate.certified
    assert certificate.reason == ""
    assert certificate.notes == ()
    assert certificate.bound == certificate.integrator == "edge_cayley"
    assert certificate.edge_order == EDGE_ORDER
    assert certificate.rho == pytest.approx(1 - h * (1 - s), abs=1e-6)
    assert certificate.rho >= 1 - h * (1 - s)


def test_only_edge_steps_have_an_order():
    assert certify_matrices(make()).edge_order == certify_matrices(make(integrator="euler")).edge_order == ""


def tampered_edge_steps():
    """Orthogonal matrices all, but not those of the coupling."""
    rng = np.random.default_rng(1)

    def changed(index, edit):
        network = make(integrator="edge_cayley")
        blocks = edge_blocks(network)
        # A copy, so that an edit of a view of itself is what it says.
        blocks[index][...] = edit(blocks[index].copy(), blocks)
        return network.steps

    # The pairs of areas have 7, 5, 7 and 5 units.
    return {
        "one transposed": changed(0, lambda q, _: q.T),
        "one squared": changed(3, lambda q, _: q @ q),
        "one identity": changed(1, lambda q, _: np.eye(len(q))),
        "one of another edge": changed(2, lambda q, blocks: blocks[0]),
        "one negated": changed(2, lambda q, _: -q),
        "one with the other area first": changed(0, lambda q, _: np.roll(q, 3, axis=(0, 1))),
        "one with two rows swapped": changed(1, lambda q, _: q[[1, 0, 2, 3, 4]]),
        "one of another strength": changed(1, lambda q, _: strengthened(q, 2.0)),
        "one orthogonal": changed(0, lambda q, _: np.linalg.qr(rng.normal(size=(7, 7)))[0]),
        "all of another seed": make(integrator="edge_cayley", seed=5).steps,
        "all of another h": make(integrator="edge_cayley", seed=5, h=0.1).steps,
        "all identities": np.concatenate([np.eye(n).reshape(-1) for n in (7, 5, 7, 5)]),
        "turned within an area, back and forth": turned_within_an_area(2.0),
    }


def turned_within_an_area(factor):
    """Steps of a stronger coupling that also turn area 0: two edges do so in opposite directions, equally far."""
    network = make(integrator="edge_cayley")
    skew, blocks = factor * (network.coupling - network.coupling.T), edge_blocks(network)
    for edge, block in zip(EDGES, blocks, strict=True):
        units = edge_units(SIZES, edge)
        turned = skew[np.ix_(units, units)]
        if edge[0] == 0:
            turned[0, 1] = 1.0 if edge[1] == 1 else -1.0
            turned[1, 0] = -turned[0, 1]
        block[...] = cayley_of(turned, 0.2)
    return network.steps


def strengthened(step, factor):
    """The Cayley step of ``factor`` times the coupling that a step is of, at h = 0.2."""
    identity = np.eye(len(step))
    return cayley_of(factor * 10 * np.linalg.solve((step + identity).T, (step - identity).T).T, 0.2)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", list(tampered_edge_steps()))
def test_orthogonal_edge_steps_that_are_not_of_the_coupling_are_refused(name):
    network = replace(make(integrator="edge_cayley"), steps=tampered_edge_steps()[name])
    certificate = refused(network, "not Cayley steps of the coupling")
    assert certificate.orthogonality_defect < 1e-10


@pytest.mark.parametrize("edge", range(4))
@pytest.mark.parametrize("factor", [0.0, 0.5, 0.9999, 1.0001, 2.0])
def test_an_edge_step_that_is_not_orthogonal_is_refused(edge, factor):
    network = make(integrator="edge_cayley")
    edge_blocks(network)[edge][...] *= factor
    certificate = refused(network, "not orthogonal")
    assert certificate.orthogonality_defect == pytest.approx(abs(factor**2 - 1), rel=1e-6)


@pytest.mark.parametrize("entry", [0, 50, 100, -1])
def test_one_changed_entry_of_the_edge_steps_is_refused(entry):
    for change in (1e-3, -0.3, 1e4):
        network = make(integrator="edge_cayley")
        network.steps[entry] += change
        refused(network, "not orthogonal")


def test_a_scaled_coupling_with_kept_edge_steps_is_remarked_and_certified():
    network = make(integrator="edge_cayley")
    for factor in (0.5, 3.0, 1e3):
        certificate = certify_matrices(replace(network, coupling=factor * network.coupling))
        assert certificate.certified
        (note,) = certificate.notes
        assert f"{factor:g} times" in note
        assert certificate.rho == pytest.approx(1 - 0.2 * 0.1, abs=1e-6)
    # One edge alone, or one gone, is another coupling and not another strength.
    for factor in (0.0, 0.5, 3.0):
        coupling = network.coupling.copy()
        coupling[3:7, :3] *= factor
        refused(replace(network, coupling=coupling), "not Cayley steps of the coupling")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("factor", [1e8, 1e17, 1e30, 1e160])
def test_edge_coupling_beyond_what_can_be_inverted_never_raises(factor):
    network = make(integrator="edge_cayley")
    certificate = certify_matrices(replace(network, coupling=factor * network.coupling))
    assert certificate.certified or certificate.reason


def test_the_factor_pays_for_the_defect_of_every_edge():
    network = make(integrator="edge_cayley", area_norm=0.99)
    larger = replace(network, steps=(1 + 6e-8) * network.steps)
    certificate = certify_matrices(larger)
    assert certificate.certified
    assert certificate.orthogonality_defect == pytest.approx((1 + 6e-8) ** 8 - 1, rel=1e-4)
    assert certificate.rho >= (1 + 6e-8) ** 4 * (1 - 0.2 * 0.01) - 1e-12
    even, odd = rotations(larger)
    for product in (even, odd):
        assert np.linalg.norm(product.T @ product - np.eye(12), 2) <= certificate.orthogonality_defect
    # What the areas gain is less than what four edges cost, though more than one edge costs.
    weak = make(integrator="edge_cayley", area_norm=1 - 1e-6)
    assert certify_matrices(weak).certified
    refused(replace(weak, steps=(1 + 6e-8) * weak.steps), "factor")
    assert certify_matrices(replace(weak, steps=(1 + 4e-8) * weak.steps)).certified


def test_edge_steps_whose_product_overflows_cannot_be_judged():
    network = make(integrator="edge_cayley")
    with pytest.raises(InputError, match=r"coupling_steps cannot be judged.*overflow"):
        certify_matrices(replace(network, steps=1e50 * network.steps))


def test_edge_steps_of_a_graph_without_edges():
    network = replace(make(integrator="edge_cayley", coupling_norm=0.0), edges=(), steps=np.zeros(0))
    certificate = certify_matrices(replace(network, coupling=np.zeros((12, 12))))
    assert certificate.certified
    assert certificate.orthogonality_defect == 0


def test_edge_steps_are_judged_in_the_order_of_edges():
    network = make(integrator="edge_cayley")
    blocks = edge_blocks(network)
    order = [2, 1, 0, 3]
    refused(
        replace(network, steps=np.concatenate([blocks[e].reshape(-1) for e in order])),
        "not Cayley steps of the coupling",
    )


def test_edge_steps_of_another_shape_cannot_be_judged():
    network = make(integrator="edge_cayley")
    for steps in (network.steps[:-1], network.steps[None], np.eye(12), np.zeros(0)):
        with pytest.raises(InputError, match=r"steps cannot be judged: expected shape \(148,\)"):
            certify_matrices(replace(network, steps=steps))
    for bad in (np.nan, np.inf):
        steps = network.steps.copy()
        steps[5] = bad
        with pytest.raises(InputError, match=r"steps cannot be judged.*finite"):
            certify_matrices(replace(network, steps=steps))
    with pytest.raises(InputError, match="one an edge for edge_cayley"):
        certify_matrices(replace(network, steps=None))
    with pytest.raises(InputError, match=r"expected shape \(12, 12\)"):
        certify_matrices(replace(network, integrator="cayley"))


# --- Euler -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("h", [0.03, 0.2, 0.7])
@pytest.mark.parametrize("s", [0.3, 0.9, 0.97])
def test_euler_is_certified_below_its_cap_and_never_beyond_its_limit(s, h):
    cap = euler_cap(s, h)
    below = certify_matrices(make(integrator="euler", area_norm=s, coupling_norm=cap * (1 - 1e-5), h=h))
    assert below.certified
    assert below.euler_certified
    assert below.rho == below.euler_rho < 1
    assert below.bound == "s_procedure"
    # Beyond the limit of all metrics, which is that of areas without weights, nothing is.
    limit = euler_cap(0.0, h)
    above = refused(
        make(integrator="euler", area_norm=s, coupling_norm=limit * (1 + 1e-5), h=h), f"forward Euler at dt {h:g}"
    )
    assert "contracts in no metric" in above.reason
    assert not above.euler_certified
    assert above.rho > 1
    assert above.rho_lower >= 1
    assert above.rate > 0, "in continuous time it contracts still"


def test_published_caps():
    # Section 3e of the notes, column tri.
    assert euler_cap(0.5, 0.03) == pytest.approx(5.71, abs=0.005)
    assert euler_cap(0.9, 0.03) == pytest.approx(2.54, abs=0.005)
    assert euler_cap(0.97, 0.03) == pytest.approx(1.39, abs=0.005)
    # Without areas it is the limit that no metric can pass.
    assert euler_cap(0.0, 0.03) == pytest.approx(8.103, abs=0.001)


@pytest.mark.parametrize("tau", [1.0, 4.0])
@pytest.mark.parametrize(("s", "coupling_norm"), [(0.9, 4.0), (0.5, 1.0), (0.3, 9.5)])
def test_the_largest_dt_is_the_largest(s, coupling_norm, tau):
    network = make(integrator="euler", area_norm=s, coupling_norm=coupling_norm, h=0.5, dt=0.5 * tau, tau=tau)
    largest = certify_matrices(network).euler_largest_dt
    tri = 2 * (1 - s) / (1 + coupling_norm**2 - s**2)
    limit = min(1.0, 2 / (1 + coupling_norm**2))
    assert tri * (1 - 1e-6) < largest / tau <= limit
    assert certify_matrices(replace(network, dt=0.999 * largest)).certified
    assert not certify_matrices(replace(network, dt=1.2 * largest)).certified or 1.2 * largest > tau
    # A Cayley network of the same matrices names one too, by multipliers that are not made for it.
    beside = certify_matrices(make(area_norm=s, coupling_norm=coupling_norm, h=0.1)).euler_largest_dt
    assert tri * (1 - 1e-6) < beside <= largest / tau * (1 + 1e-3)


def test_the_largest_dt_is_at_most_tau_and_none_without_contracting_areas():
    assert certify_matrices(make(integrator="euler", coupling_norm=0.0, area_norm=0.5)).euler_largest_dt == 1
    assert certify_matrices(make(integrator="euler", coupling_norm=1.0, area_norm=1.2)).euler_largest_dt == 0
    assert not certify_matrices(make(integrator="euler", coupling_norm=0.0, area_norm=1.2)).euler_certified


def test_weights_that_only_look_stable_are_refused():
    # [[0, -c], [c, 0]] has eigenvalues on the imaginary axis for every c, but no metric from c = 2 on.
    def one_area(c):
        weights = np.array([[0.0, -c], [c, 0.0]])
        zero = np.zeros((2, 2))
        return replace(make(integrator="euler"), sizes=(2,), edges=(), area_weights=weights, coupling=zero)

    accepted = certify_matrices(one_area(1.9))
    assert accepted.rate == pytest.approx(0.05, abs=1e-7)
    assert certify_matrices(one_area(2.0)).rate <= 0
    assert certify_matrices(one_area(2.1)).rate == pytest.approx(-0.05, abs=1e-7)
    released = one_area(2.0)
    mirrored = replace(released, area_weights=released.area_weights.T.copy())
    for network in (released, mirrored, one_area(2.1)):
        refused(network, "expected below 1")


def test_weights_that_pass_an_elementwise_check_are_refused():
    weights = 1e4 * np.random.default_rng(0).normal(size=(12, 12))
    np.fill_diagonal(weights, 0.0)
    for integrator in ("cayley", "euler"):
        network = replace(make(integrator=integrator), sizes=(12,), edges=(), area_weights=weights)
        network = replace(network, coupling=np.zeros((12, 12)), steps=np.eye(12) if integrator == "cayley" else None)
        certificate = refused(network, "expected below 1")
        assert certificate.rate < -1e3
        assert certificate.rho > 1


# --- the arms --------------------------------------------------------------------------------------------------------


def test_the_four_arms_of_a_built_network():
    verdicts = {
        stability: tiny_network(stability=stability).certificate()
        for stability in ("certified", "continuous", "as_released", "unconstrained")
    }
    assert verdicts["certified"].certified
    assert not verdicts["continuous"].certified
    assert verdicts["continuous"].rate > 0
    assert "continuous-time rate" in verdicts["continuous"].reason
    assert "as released" in verdicts["as_released"].reason
    assert "uncertified" in verdicts["as_released"].reason
    assert "not negative feedback" in verdicts["unconstrained"].reason
    assert verdicts["unconstrained"].coupling_symmetric_part > 0.1
    assert verdicts["unconstrained"].euler_largest_dt == 0
    assert not verdicts["unconstrained"].euler_certified
    assert {v.stability: v.certified for v in verdicts.values()} == {
        "certified": True,
        "continuous": False,
        "as_released": False,
        "unconstrained": False,
    }
    for certificate in verdicts.values():
        assert json.loads(json.dumps(certificate.as_dict(), allow_nan=False))["stability"] == certificate.stability


def test_a_continuous_network_that_euler_can_follow_is_certified():
    network = make(integrator="euler", coupling_norm=1.0, area_norm=0.5, h=0.1, stability="continuous")
    assert certify_matrices(network).certified


def test_the_published_arm_is_never_certified():
    # Even where every bound would hold.
    network = make(integrator="euler", coupling_norm=0.1, area_norm=0.1, h=0.1, stability="as_released")
    certificate = refused(network, "as released")
    assert certificate.rho < 1


def test_free_feedback_is_judged_by_its_symmetric_part():
    skew = make(integrator="euler", coupling_norm=1.0, area_norm=0.5, h=0.05)
    full = skew.coupling - skew.coupling.T
    free = replace(skew, stability="unconstrained", coupling=full)
    assert certify_matrices(free).rate == pytest.approx(certify_matrices(skew).rate, abs=1e-8)
    tilted = full.copy()
    tilted[0, 4] += 3.0
    certificate = refused(replace(free, coupling=tilted), "not negative feedback")
    symmetric = (tilted + tilted.T) / 2
    assert certificate.coupling_symmetric_part == pytest.approx(np.linalg.eigvalsh(symmetric)[-1], abs=1e-7)
    # Vectors that the slowest area and the symmetric part expand most are not the same.
    assert certificate.rate >= certify_matrices(skew).rate - np.linalg.eigvalsh(symmetric)[-1] - 1e-6
    assert certificate.rate <= certificate.rate_upper
    assert certificate.rate < 0


def test_certified_euler_is_built_under_its_cap_at_every_strength():
    for scale in (0.0, 0.01, 1.0, 100.0):
        network = tiny_network(integrator="euler", coupling_scale=scale)
        certificate = network.certificate()
        assert certificate.certified
        assert certificate.coupling_norm <= euler_cap(0.9, 0.2)
    strong = tiny_network(integrator="euler", coupling_scale=100.0)
    assert strong.certificate().coupling_norm == pytest.approx(euler_cap(0.9, 0.2), rel=2e-4)


def full_graph(count):
    pairs = [(i, j) for i in range(count) for j in range(i + 1, count)]
    return ModuleGraph([Area(32, True, True)] * count, pairs)


@pytest.mark.slow
def test_published_all_to_all_is_beyond_euler_in_every_metric():
    config = NetworkConfig(stability="continuous", area_norm=0.3)
    network = build_network(full_graph(24), config, channels=3, classes=10, seed=0).matrices()
    certificate = refused(network, "forward Euler at dt 0.03")
    assert 9 < certificate.coupling_norm < 10
    # With all slopes 0 the step is normal of this modulus: no metric can help.
    assert np.hypot(0.97, 0.03 * certificate.coupling_norm) > 1.005
    assert certificate.rate > 0
    small = certify_matrices(replace(network, dt=0.005))
    assert small.certified
    assert small.rho < 1


# --- what is not of the graph, or cannot be judged -------------------------------------------------------------------


def test_area_weights_off_their_blocks_are_refused():
    network = make()
    weights = network.area_weights.copy()
    weights[0, 3] = 1e-30
    refused(replace(network, area_weights=weights), "area_weights join units of different areas")


@pytest.mark.parametrize("place", [(0, 4), (4, 4), (7, 3), (11, 0), (3, 0)])
def test_coupling_off_the_graph_is_refused(place):
    # Above the diagonal, inside an area, between areas that are not joined; (3, 0) is of the graph.
    network = make()
    coupling = network.coupling.copy()
    coupling[place] = 1e-30
    if place == (3, 0):
        certify_matrices(replace(network, coupling=coupling))
    else:
        refused(replace(network, coupling=coupling), "coupling joins areas where the graph has no edge")


def test_coupling_of_a_removed_edge_is_refused():
    refused(replace(make(), edges=EDGES[1:]), "no edge")
    refused(replace(make(integrator="euler", coupling_norm=0.1), edges=EDGES[:-1]), "no edge")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["area_weights", "coupling", "steps"])
def test_numbers_that_are_not_finite_cannot_be_judged(name, bad):
    network = make()
    matrix = getattr(network, name).copy()
    matrix[5, 0 if name != "area_weights" else 5] = bad
    with pytest.raises(InputError, match=rf"{name} cannot be judged.*finite"):
        certify_matrices(replace(network, **{name: matrix}))


@pytest.mark.parametrize("name", ["area_weights", "coupling", "steps"])
def test_shapes_that_do_not_fit_cannot_be_judged(name):
    network = make()
    for matrix in (getattr(network, name)[:-1], getattr(network, name)[:-1, :-1], getattr(network, name)[0]):
        with pytest.raises(InputError, match=rf"{name} cannot be judged: expected shape \(12, 12\)"):
            certify_matrices(replace(network, **{name: matrix}))


def test_steps_belong_to_cayley_alone():
    with pytest.raises(InputError, match="expected one matrix for cayley"):
        certify_matrices(replace(make(), steps=None))
    with pytest.raises(InputError, match="none for euler"):
        certify_matrices(replace(make(), integrator="euler"))


@pytest.mark.parametrize("times", [(0.0, 1.0), (-0.1, 1.0), (1.5, 1.0), (np.nan, 1.0), (0.1, np.inf), (0.1, np.nan)])
def test_impossible_steps_cannot_be_judged(times):
    with pytest.raises(InputError, match="dt and tau cannot be judged"):
        certify_matrices(replace(make(), dt=times[0], tau=times[1]))


def test_a_truncated_series_is_part_of_the_factor() -> None:
    areas = [Area(size=6, is_input=index == 0, is_output=index == 30) for index in range(60)]
    edges = [(index, index + 1) for index in range(59)]
    config = NetworkConfig(dt=0.03, coupling_scale=0.3)
    network = build_network(ModuleGraph(areas, edges), config, channels=2, classes=3, seed=0)
    matrices = network.matrices()
    assert matrices.series is not None
    radius, coefficients = matrices.series
    skew = matrices.coupling - matrices.coupling.T
    scaled, identity = 0.5 * config.h * skew, np.eye(len(skew))
    before, now = identity, scaled / radius
    total = coefficients[0] * before
    for coefficient in coefficients[1:]:
        total = total + coefficient * now
        before, now = now, 2 * (scaled / radius) @ now + before
    left_out = 2 * np.linalg.norm(total - np.linalg.inv(identity - scaled), 2)
    certificate = certify_matrices(matrices)
    assert 0 < left_out <= certificate.step_residual <= 1e-6
    without = certify_matrices(replace(matrices, series=None))
    assert without.step_residual == 0
    assert certificate.rho - without.rho == pytest.approx(certificate.step_residual * without.rho, rel=1e-3)
    assert certificate.certified
