"""Networks joined into one keep what they do, and what is certified of them."""

import numpy as np
import pytest
import torch
from support.tiny import tiny_network

from topo_search.errors import InputError
from topo_search.graph import Area, GraphError, ModuleGraph
from topo_search.model import join_networks, judge_saved, load_network, save_network

PAIR = ModuleGraph([Area(3, True, True), Area(5, False, True)], [(0, 1)])
CROSS = [((0, 3), (1, 0)), ((1, 1), (0, 1))]


def inputs():
    return torch.randn(8, 4, 6, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"integrator": "resolvent"},
        {"coupling": "nonlinear", "coupling_scale": 9.0},
        {"imperfect_margin": 0.3, "coupling_scale": 9.0},
        {"coupling": "both", "coupling_scale": 9.0},
        {"recipe": {"kind": "svd"}},
    ],
)
def test_without_edges_between_them_logits_are_the_mean(options):
    one, other = tiny_network(seed=1, **options), tiny_network(seed=2, graph=PAIR, **options)
    whole = join_networks([one, other], [], seed=0)
    assert torch.allclose(whole(inputs()), (one(inputs()) + other(inputs())) / 2, atol=1e-5)


def test_a_joined_network_contracts_at_the_rate_of_its_slowest_part():
    parts = [tiny_network(seed=1), tiny_network(seed=2, graph=PAIR)]
    whole = join_networks(parts, CROSS, seed=3)
    assert whole.graph.n_edges == sum(part.graph.n_edges for part in parts) + 2
    assert whole.certificate().certified
    assert whole.certificate().rate == pytest.approx(min(part.certificate().rate for part in parts), abs=1e-6)
    strongest, flat = (np.linalg.norm(n, 2) for n in (cross_part(whole, parts), skew(whole)))
    assert flat <= max(np.linalg.norm(skew(part), 2) for part in parts) + strongest + 1e-6


def skew(network):
    return network.dense_coupling().detach().double().numpy()


def cross_part(whole, parts):
    matrix, start = skew(whole).copy(), 0
    for part in parts:
        n = part.layout.n_units
        matrix[start : start + n, start : start + n] = 0
        start += n
    assert matrix.any()
    return matrix


def test_joining_goes_to_any_depth_and_is_saved_like_any_other(tmp_path):
    pair = join_networks([tiny_network(seed=1), tiny_network(seed=2)], CROSS[:1], seed=3)
    whole = join_networks([pair, tiny_network(seed=4), pair], [((0, 7), (1, 0)), ((1, 3), (2, 2))], seed=5).eval()
    assert whole.graph.n_areas == 20
    assert save_network(tmp_path, whole).certified
    assert judge_saved(tmp_path).certified
    with torch.no_grad():
        assert torch.equal(load_network(tmp_path)(inputs()), whole(inputs()))
    whole.train()(inputs()).sum().backward()
    assert whole.coupling.grad.any()


def test_areas_keep_their_own_settings():
    slow = tiny_network(seed=1, areas={1: {"tau": 4.0, "activation": "tanh"}})
    dense = tiny_network(seed=2, recipe={"kind": "symmetric"})
    whole = join_networks([slow, dense], CROSS, seed=0)
    assert whole.dynamics.area_speeds == (1, 0.25, 1, 1, 1, 1, 1, 1)
    assert whole.dynamics.activations[:3] == ("relu", "tanh", "relu")
    units = slow.layout.n_units
    assert np.array_equal(whole.matrices().gauge[:units, :units], np.eye(units))
    assert np.array_equal(whole.matrices().gauge[units:, units:], dense.matrices().gauge)


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"dt": 0.1}, "network 1 has another dt than network 0"),
        ({"integrator": "resolvent"}, "network 1 has another integrator"),
        ({"channels": 5}, "network 1 has 5 channels and 2 classes: expected 6 and 2"),
        ({"recipe": {"kind": "svd", "trainable": True}}, "network 1 has trained areas"),
    ],
)
def test_networks_that_do_not_fit_are_refused(others, message):
    with pytest.raises(InputError, match=message):
        join_networks([tiny_network(), tiny_network(**others)], [], seed=0)


def test_no_network_and_edges_that_cannot_be_are_refused():
    with pytest.raises(InputError, match="at least one network"):
        join_networks([], [], seed=0)
    with pytest.raises(GraphError, match="must join two of them"):
        join_networks([tiny_network(), tiny_network()], [((0, 1), (0, 2))], seed=0)
