"""What is composed level by level holds for the matrices of the whole network."""

from dataclasses import replace

import numpy as np
import pytest
from support.small_networks import Small, random_skew, random_small

from topo_search.errors import InputError
from topo_search.model.assembly import Assembly, compose_feedback, compose_small_gain
from topo_search.seeds import generator


def stacked(*matrices):
    n = sum(map(len, matrices))
    whole, first = np.zeros((n, n)), 0
    for matrix in matrices:
        whole[first : first + len(matrix), first : first + len(matrix)] = matrix
        first += len(matrix)
    return whole


def joined(networks, *, linear=None, nonlinear=None):
    """The networks side by side, with matrices between them."""
    whole = Small(
        sizes=tuple(size for network in networks for size in network.sizes),
        weights=stacked(*(network.weights for network in networks)),
        nonlinear=stacked(*(network.nonlinear for network in networks)),
        linear=stacked(*(network.linear for network in networks)),
        gauge=stacked(*(network.gauge for network in networks)),
        speeds=np.concatenate([network.speeds for network in networks]),
    )
    if linear is not None:
        whole.linear = whole.linear + linear
    if nonlinear is not None:
        whole.nonlinear = whole.nonlinear + nonlinear
    return whole


def between(rng, networks, strength):
    units = [sum(network.sizes) for network in networks]
    return random_small(rng, units, area=0.0, coupling=strength).nonlinear


def leaf(rng, sizes=(2, 1), feedback=5.0):
    """Areas joined by negative feedback, and the assembly that describes them."""
    network = random_small(rng, sizes, area=0.2, coupling=0.0)
    network.linear = random_skew(rng, sizes, feedback * rng.random())
    return network, describe(network)


def describe(network):
    return Assembly(
        sizes=network.sizes,
        rate=network.rate,
        area_norm=np.linalg.norm(network.weights, 2),
        coupling_norm=np.linalg.norm(network.linear, 2),
    )


def in_its_metric(network, assembly):
    return network.scaled(assembly.scales)


@pytest.mark.parametrize("case", range(20))
def test_feedback_at_two_levels_keeps_the_least_rate(case):
    rng = generator("two levels", case)
    halves = []
    for _ in range(2):
        leaves = [leaf(rng, sizes) for sizes in ((2, 1), (1, 1))]
        cross = random_skew(rng, [sum(network.sizes) for network, _ in leaves], 3.0)
        halves.append((joined([n for n, _ in leaves], linear=cross), compose_feedback([a for _, a in leaves], cross)))
    cross = random_skew(rng, [5, 5], 7.0)
    network = joined([n for n, _ in halves], linear=cross)
    whole = compose_feedback([a for _, a in halves], cross)
    assert whole.sizes == (2, 1, 1, 1) * 2
    assert whole.rate == min(assembly.rate for _, assembly in halves) == pytest.approx(network.rate, abs=1e-10)
    assert np.linalg.norm(network.linear, 2) <= whole.coupling_norm
    assert whole.coupling_norm <= max(a.coupling_norm for _, a in halves) + 7.0 + 1e-7
    assert np.linalg.norm(network.weights, 2) <= whole.area_norm + 1e-12
    assert (whole.depth, whole.scales) == (2, (1.0,) * 8)


@pytest.mark.parametrize("case", range(40))
def test_small_gain_over_assemblies_never_exceeds_the_exact_rate(case):
    rng = generator("small gain levels", case)
    parts = [leaf(rng, sizes) for sizes in ((2, 1), (1, 1), (2,))]
    cross = between(rng, [n for n, _ in parts], 0.06)
    cross[:3] *= 20
    cross[:, :3] /= 20
    network = joined([n for n, _ in parts], nonlinear=cross)
    whole = compose_small_gain([a for _, a in parts], cross)
    scaled = in_its_metric(network, whole)
    assert 0 < whole.rate <= scaled.rate
    # Scales are uniform within an assembly, so that its feedback is still skew.
    assert len(set(whole.scales[:2])) == len(set(whole.scales[2:4])) == 1
    assert np.array_equal(scaled.linear, -scaled.linear.T)
    assert np.linalg.norm(scaled.weights + scaled.nonlinear, 2) <= whole.area_norm
    assert np.linalg.norm(scaled.linear, 2) <= whole.coupling_norm + 1e-9


@pytest.mark.parametrize("case", range(20))
def test_three_levels_of_both_kinds(case):
    rng = generator("three levels", case)
    pairs = []
    for _ in range(2):
        parts = [leaf(rng, (1, 1)) for _ in range(2)]
        cross = between(rng, [n for n, _ in parts], 0.1) * np.array([5, 5, 0.2, 0.2])[:, None]
        pairs.append((joined([n for n, _ in parts], nonlinear=cross), compose_small_gain([a for _, a in parts], cross)))
    # In the coordinates of the two metrics; the second level is skew there, and only there.
    level = random_skew(rng, [4, 4], 6.0)
    networks = [in_its_metric(network, assembly) for network, assembly in pairs]
    second = compose_feedback([a for _, a in pairs], level)
    network = joined(networks, linear=level)
    assert 0 < second.rate <= network.rate + 1e-10
    single = leaf(rng, (2,))
    cross = between(rng, [network, single[0]], 0.01)
    whole = compose_small_gain([second, single[1]], cross)
    top = joined([network, single[0]], nonlinear=cross)
    outer = np.array(whole.scales) / np.array([*second.scales, 1.0])
    assert 0 < whole.rate <= top.scaled(outer).rate + 1e-10
    assert whole.depth == 3


def test_time_constants_are_those_of_the_assemblies():
    rng = generator("tau")
    (fast, one), (slow, other) = leaf(rng), leaf(rng)
    one, other = replace(one, tau=0.5), replace(other, tau=2.0)
    cross = random_skew(rng, [3, 3], 4.0)
    whole = compose_feedback([one, other], cross)
    # tau_i y' = J_i y in units of the slower one: its coupling is unchanged, the faster one's is 4 times as strong.
    fast.speeds, fast.linear = fast.speeds * 4, fast.linear * 4
    network = joined([fast, slow], linear=cross)
    assert whole.tau == 2.0
    assert whole.rate == pytest.approx(network.rate, abs=1e-10)
    assert np.linalg.norm(network.linear, 2) <= whole.coupling_norm
    spent = between(rng, [fast, slow], 0.05)
    assert (
        0
        < compose_small_gain([one, other], spent).rate
        <= joined([fast, slow], nonlinear=spent).scaled(compose_small_gain([one, other], spent).scales).rate
    )


def test_bad_compositions_are_refused():
    one = Assembly(sizes=(2,), rate=0.5)
    skew = np.zeros((4, 4))
    skew[0, 2], skew[2, 0] = 1, -1
    assert compose_feedback([one, one], skew).rate == 0.5
    inside = skew.copy()
    inside[0, 1], inside[1, 0] = 1, -1
    for make, cross, message in [
        (compose_feedback, np.abs(skew), "exactly skew"),
        (compose_feedback, inside, "zero within each"),
        (compose_feedback, np.zeros((3, 3)), "shape (4, 4)"),
        (compose_small_gain, skew * np.nan, "finite matrix"),
        (compose_small_gain, np.abs(skew), "must leave a positive rate"),
    ]:
        with pytest.raises(InputError) as error:
            make([one, one], cross)
        assert message in str(error.value)
    with pytest.raises(InputError, match="at least one assembly"):
        compose_feedback([], np.zeros((0, 0)))


@pytest.mark.parametrize(
    "values",
    [
        {"rate": 0.0},
        {"rate": np.nan},
        {"tau": -1.0},
        {"area_norm": -1.0},
        {"coupling_norm": np.inf},
        {"sizes": (0,)},
        {"sizes": ()},
        {"scales": (1.0, 2.0)},
        {"scales": (0.0,)},
    ],
)
def test_what_describes_no_contracting_network_is_refused(values):
    with pytest.raises(InputError):
        Assembly(**{"sizes": (2,), "rate": 0.5, **values})
