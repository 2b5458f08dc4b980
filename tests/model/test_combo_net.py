"""Building networks: the paper's parameter counts, routing, common random numbers, what is refused."""

import pytest
import torch
from support.tiny import tiny_graph, tiny_network

from topo_search.engine import edge_cayley_blocks
from topo_search.errors import InputError
from topo_search.graph import Area, ModuleGraph
from topo_search.model import NetworkConfig, SparseRecipe, build_network


def joined(hubs, leaves, *, size=32, hub_size=None):
    """``hubs`` hubs joined to each other and to each of ``leaves`` areas; every area is input and output."""
    areas = [Area(hub_size or size, True, True)] * hubs + [Area(size, True, True)] * leaves
    edges = [(i, j) for i in range(hubs) for j in range(i + 1, hubs + leaves)]
    return ModuleGraph(areas, edges)


def first_edges(areas, count):
    pairs = [(i, j) for i in range(areas) for j in range(i + 1, areas)]
    return ModuleGraph([Area(32, True, True)] * areas, pairs[:count])


PUBLISHED = {
    "16x32 global workspace": (joined(1, 15), 22_538),
    "24x32 global workspace (printed 34,313)": (joined(1, 23), 34_314),
    "16x32 all-to-all": (joined(16, 0), 130_058),
    "10x32 all-to-all": (joined(10, 0), 50_570),
    "24x32 all-to-all": (joined(24, 0), 293_386),
    "24x32 with 13 edges": (first_edges(24, 13), 24_074),
    "24x32 with 129 edges": (first_edges(24, 129), 142_858),
    "32x32 with 165 edges": (first_edges(32, 165), 183_306),
    "hub of 64 and 24x32": (joined(1, 24, hub_size=64), 60_810),
    "hub of 128 and 32x32": (joined(1, 32, hub_size=128), 147_210),
    "2 hubs of 32 and 24x32": (joined(2, 24), 61_834),
    "4 hubs of 32 and 32x32": (joined(4, 32), 153_354),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_trainable_parameters_are_those_of_the_paper(name):
    graph, expected = PUBLISHED[name]
    hub = SparseRecipe(density=0.01, magnitude=5.0)
    network = build_network(graph, NetworkConfig(recipes={64: hub, 128: hub}), channels=3, classes=10, seed=0)
    assert network.n_parameters == expected
    assert expected == 14 * graph.n_units + 10 + sum(graph.sizes[i] * graph.sizes[j] for i, j in graph.edges)
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert trained == {"coupling", "input_weights", "input_bias", "readout_weights", "readout_bias"}


def test_without_negative_feedback_both_directions_are_trained():
    config = NetworkConfig(stability="unconstrained")
    assert build_network(joined(1, 15), config, channels=3, classes=10, seed=0).n_parameters == 37_898


def test_a_recipe_by_size_is_taken():
    config = NetworkConfig(recipe=SparseRecipe(density=0.25), recipes={5: SparseRecipe(density=0.9, tries=1)})
    with pytest.raises(InputError, match=r"5 units .* density 0\.9 .*network\.recipe"):
        build_network(tiny_graph(), config, channels=6, classes=2, seed=0)


def test_input_areas_see_only_their_channels_and_only_output_areas_are_read():
    graph = ModuleGraph([Area(3, is_input=True), Area(2, is_input=True), Area(4, is_output=True)], [(0, 2), (1, 2)])
    network = build_network(
        graph,
        NetworkConfig(dt=0.2, recipe=SparseRecipe(density=0.2, magnitude=1)),
        channels=4,
        classes=2,
        seed=0,
        routing={0: [3, 1]},
    )
    seen = network.dense_input_weights() != 0
    assert seen[:3].any(0).tolist() == [False, True, False, True]
    assert seen[3:5].all()
    assert not seen[5:].any()
    assert network.input_weights.numel() == 3 * 2 + 2 * 4
    assert network.readout_weights.shape == (2, 4)
    states = torch.randn(5, 9)
    changed = states.clone()
    changed[:, :5] += 1
    assert torch.equal(network.readout(states), network.readout(changed))
    assert not torch.equal(network.readout(states), network.readout(states + 1))


def test_routed_channels_keep_their_order():
    graph = ModuleGraph([Area(2, is_input=True, is_output=True)], [])
    config = NetworkConfig(recipe=SparseRecipe(density=0.2, magnitude=1))
    forwards = build_network(graph, config, channels=3, classes=2, seed=0, routing={0: [0, 2]})
    backwards = build_network(graph, config, channels=3, classes=2, seed=0, routing={0: [2, 0]})
    assert torch.equal(forwards.dense_input_weights()[:, [0, 2]], backwards.dense_input_weights()[:, [2, 0]])


@pytest.mark.parametrize("seen", [[], [0, 0], [6], [-1]])
def test_channels_that_do_not_exist_are_refused(seen):
    with pytest.raises(InputError, match="area 0 sees channels"):
        build_network(tiny_graph(), NetworkConfig(), channels=6, classes=2, seed=0, routing={0: seen})


def test_channels_for_an_area_that_is_no_input_are_refused():
    with pytest.raises(InputError, match="area 1 is given input channels but is not an input area"):
        build_network(tiny_graph(), NetworkConfig(), channels=6, classes=2, seed=0, routing={1: [0]})


@pytest.mark.parametrize("roles", [(True, False), (False, True)])
def test_a_network_needs_input_and_output(roles):
    with pytest.raises(InputError, match="input area and an output area"):
        build_network(ModuleGraph([Area(4, *roles)], []), NetworkConfig(), channels=1, classes=2, seed=0)


def test_shared_blocks_are_shared_bit_for_bit():
    one = tiny_network(graph=tiny_graph().with_edges([(0, 1), (1, 3), (2, 3)]))
    other = tiny_network(graph=tiny_graph().with_edges([(0, 2), (0, 3), (1, 2), (1, 3)]))
    for name in ("area_weights", "metric", "input_weights", "input_bias", "readout_weights", "readout_bias"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name
    blocks = [
        dict(zip(n.graph.edges, n.layout.coupling_blocks(n.coupling.detach()), strict=True)) for n in (one, other)
    ]
    assert torch.equal(blocks[0][1, 3], blocks[1][1, 3])
    # No two edges of one network hold the same draw, and none depends on how many were drawn before it.
    assert not torch.equal(blocks[1][1, 2].reshape(-1)[:9], blocks[1][0, 2].reshape(-1)[:9])
    alone = tiny_network(graph=tiny_graph().with_edges([(1, 3)]))
    assert torch.equal(alone.layout.coupling_blocks(alone.coupling.detach())[0], blocks[0][1, 3])


def test_free_feedback_shares_its_blocks_too():
    one = tiny_network(stability="unconstrained")
    other = tiny_network(stability="unconstrained", graph=tiny_graph().with_edges([(2, 3)]))
    assert torch.equal(one.coupling_back[-20:], other.coupling_back)
    assert not torch.equal(other.coupling, other.coupling_back)
    assert torch.equal(tiny_network().coupling, one.coupling)


def test_a_hub_of_another_size_changes_only_what_touches_it():
    small = tiny_network()
    areas = list(tiny_graph().areas)
    areas[1] = Area(4)
    large = tiny_network(graph=tiny_graph().with_areas(areas))
    for network in (small, large):
        network.blocks = dict(
            zip(network.graph.edges, network.layout.coupling_blocks(network.coupling.detach()), strict=True)
        )
    for area in (0, 2, 3):
        kept, units = (
            [n.layout.dense_area_weights(n.area_weights) for n in (small, large)],
            (small.layout.units(area), large.layout.units(area)),
        )
        assert torch.equal(kept[0][units[0], units[0]], kept[1][units[1], units[1]])
        assert torch.equal(small.metric[units[0]], large.metric[units[1]])
        assert torch.equal(small.input_bias[units[0]], large.input_bias[units[1]])
    assert torch.equal(small.input_weights, large.input_weights)
    assert torch.equal(small.readout_weights, large.readout_weights)
    assert torch.equal(small.readout_bias, large.readout_bias)
    # The deviation of the coupling follows the mean size (N(0, 1 / n)), so these are the same draws in other units.
    ratio = (small.graph.n_units / large.graph.n_units) ** 0.5
    for edge in ((0, 2), (2, 3)):
        assert torch.allclose(large.blocks[edge], small.blocks[edge] * ratio, rtol=1e-6, atol=0)
    assert small.blocks[0, 1].shape != large.blocks[0, 1].shape


def test_another_seed_changes_every_draw():
    one, other = tiny_network(seed=0), tiny_network(seed=1)
    for name, tensor in one.state_dict().items():
        same = (tensor == other.state_dict()[name]) & (tensor != 0)
        # Areas of few weights may have a metric of 1 in both.
        assert name == "metric" or not same.any(), name
    assert not torch.equal(one.metric, other.metric)


def test_the_same_seed_gives_the_same_network_whatever_else_is_drawn():
    one = tiny_network(seed=5).state_dict()
    torch.randn(7)
    tiny_network(seed=6)
    other = tiny_network(seed=5).state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_scales_of_the_draws():
    graph = joined(1, 11)
    config = NetworkConfig(coupling_scale=2.0, input_scale=3.0)
    network = build_network(graph, config, channels=4, classes=10, seed=0, routing={0: [1]})
    assert float(network.coupling.detach().std()) == pytest.approx(2 / 32**0.5, rel=0.05)
    dense = network.dense_input_weights().detach()
    assert 2.5 < float(dense[:32].abs().max()) <= 3
    assert float(dense[32:].abs().max()) == pytest.approx(1.5, rel=0.05)
    assert float(network.input_bias.detach().abs().max()) == pytest.approx(1.5, rel=0.05)
    assert float(network.readout_weights.detach().abs().max()) == pytest.approx(1 / 384**0.5, rel=0.05)


def test_the_step_matrix_follows_the_coupling():
    network = tiny_network()
    first = network.step_matrix()
    assert network.step_matrix() is first
    with torch.no_grad():
        network.coupling.mul_(1.5)
    second = network.step_matrix()
    assert not torch.equal(first, second)
    assert torch.allclose(second, tiny_network(coupling_scale=1.5).step_matrix(), atol=1e-6)
    assert network.double().step_matrix().dtype == torch.float64
    network.load_state_dict(tiny_network().double().state_dict())
    assert torch.allclose(network.step_matrix().float(), first, atol=1e-6)


def test_edge_steps_follow_the_coupling():
    network = tiny_network(integrator="edge_cayley")
    first = network.step_matrix()
    assert first.shape == (network.layout.n_edge_steps,)
    assert first.dtype == torch.float32
    assert network.step_matrix() is first
    assert torch.allclose(first, edge_cayley_blocks(network.layout, network.coupling, 0.2), atol=1e-6)
    with torch.no_grad():
        network.coupling.mul_(1.5)
    assert not torch.equal(first, network.step_matrix())
    assert network.double().step_matrix().dtype == torch.float64


@pytest.mark.parametrize("integrator", ["cayley", "edge_cayley", "euler"])
def test_with_and_without_gradients_the_logits_agree(integrator):
    network = tiny_network(integrator=integrator)
    inputs = torch.randn(9, 4, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        evaluated = network(inputs)
    assert torch.allclose(network(inputs), evaluated, atol=1e-5)
    assert torch.allclose(network(inputs, all_states=True)[-1], evaluated, atol=1e-5)


@pytest.mark.parametrize("integrator", ["cayley", "edge_cayley", "euler"])
def test_logits_are_those_of_each_sequence_at_its_own_end(integrator):
    network = tiny_network(integrator=integrator)
    inputs = torch.randn(9, 4, 6, generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([9, 0, 5, 2])
    logits = network(inputs, lengths=lengths)
    every = network(inputs, lengths=lengths, all_states=True)
    whole = network(inputs, all_states=True)
    assert torch.equal(every[-1], logits)
    assert torch.allclose(network.states(inputs, lengths=lengths)[1], torch.zeros(network.layout.n_units))
    for b, length in enumerate(lengths.tolist()):
        expected = network.readout_bias if length == 0 else whole[length - 1, b]
        assert torch.allclose(logits[b], expected, atol=1e-6)
    with torch.no_grad():
        assert torch.allclose(network(inputs, lengths=lengths), logits, atol=1e-5)


def test_the_step_matrix_follows_what_a_fused_optimiser_writes():
    network = tiny_network(integrator="cayley")
    before = network.step_matrix().clone()
    network.coupling.grad = torch.ones_like(network.coupling)
    torch.optim.Adam([network.coupling], lr=0.1, fused=True).step()
    after = network.step_matrix()
    assert float((after - before).abs().max()) > 1e-3
    assert network.certificate().certified
