"""Scores of edges against what they say they are."""

import numpy as np
import pytest
import torch
from support.tiny import tiny_graph, tiny_network, tiny_task
from torch import nn

from topo_search.training import EDGE_CRITERIA, TrainingConfig, edge_scores, edge_start, train
from topo_search.training.edge_blocks import by_edge, edge_parameters, with_edges

TASK = tiny_task(train_size=40)
CONFIG = TrainingConfig(epochs=3, batch_size=16, learning_rate=0.02)


def whole_gradient(network):
    """Gradient of the mean loss over the whole training split in the coupling, by autograd alone."""
    inputs, labels = TASK.batch(TASK.train)
    network.zero_grad()
    nn.functional.cross_entropy(network(inputs), labels).backward()
    return network.coupling.grad.detach().clone()


def blocks(network, packed):
    return [block.reshape(-1) for block in network.layout.coupling_blocks(packed)]


@pytest.fixture(scope="module")
def trained():
    network = tiny_network()
    before, gradient = network.coupling.detach().clone(), whole_gradient(network)
    network.zero_grad()
    start = edge_start(network, TASK, seed=0)
    assert network.coupling.grad is None
    train(network, TASK, CONFIG, epochs=3, seed=0)
    return network, before, gradient, edge_scores(network, start, TASK, seed=0)


def test_scores_are_what_their_names_say(trained):
    network, before, gradient_before, scores = trained
    gradient, now = whole_gradient(network), network.coupling.detach()
    expected = {
        "magnitude": [b.abs().mean() for b in blocks(network, now)],
        "delta": [b.abs().mean() for b in blocks(network, now - before)],
        "relative_delta": [
            d.norm() / b.norm() for d, b in zip(blocks(network, now - before), blocks(network, before), strict=True)
        ],
        "gradient": [g.abs().mean() for g in blocks(network, gradient)],
        "taylor": [product.sum().abs() for product in blocks(network, gradient * now)],
        "snip": [product.abs().sum() for product in blocks(network, gradient_before * before)],
    }
    assert scores.keys() == expected.keys() == EDGE_CRITERIA.keys()
    for name, values in expected.items():
        assert len(scores[name]) == network.graph.n_edges
        np.testing.assert_allclose(scores[name], values, rtol=2e-4, atol=1e-7, err_msg=name)


def test_taylor_is_the_change_of_the_loss_without_the_edge_to_first_order(trained):
    network, *_ = trained
    inputs, labels = TASK.batch(TASK.train)
    network.zero_grad()
    scores = edge_scores(network, edge_start(network, TASK, seed=0), TASK, seed=0)
    share = 1e-2
    for edge, vector in enumerate(network.layout.coupling_blocks(network.coupling.detach())):
        losses = []
        with torch.no_grad():
            for factor in (1 + share, 1 - share):
                kept = vector.clone()
                vector.mul_(factor)
                losses.append(float(nn.functional.cross_entropy(network(inputs), labels)))
                vector.copy_(kept)
        slope = abs(losses[0] - losses[1]) / (2 * share)
        assert scores["taylor"][edge] == pytest.approx(slope, rel=0.05, abs=2e-4)


def test_untrained_edges_have_not_changed():
    network = tiny_network()
    scores = edge_scores(network, edge_start(network, TASK, seed=0), TASK, seed=0)
    assert set(scores["delta"]) == set(scores["relative_delta"]) == {0.0}
    assert min(scores["magnitude"]) > 0


def test_an_edge_that_came_later_began_at_zero():
    network = tiny_network()
    start = edge_start(network, TASK, seed=0)
    grown = with_edges(network, [*network.graph.edges[1:], (0, 3)])
    scores = edge_scores(grown, start, TASK, seed=0)
    new = grown.graph.edges.index((0, 3))
    assert scores["magnitude"][new] == scores["relative_delta"][new] == scores["snip"][new] == 0
    assert scores["gradient"][new] > 0
    with torch.no_grad():
        grown.layout.coupling_blocks(grown.coupling.detach())[new].fill_(0.1)
    assert edge_scores(grown, start, TASK, seed=0)["relative_delta"][new] == 1


@pytest.mark.parametrize(
    "options",
    [{"coupling": "both"}, {"stability": "unconstrained"}, {"imperfect_margin": 0.5}, {"integrator": "euler"}],
)
def test_every_kind_of_coupling_is_scored(options):
    network = tiny_network(**options)
    start = edge_start(network, TASK, seed=0)
    train(network, TASK, CONFIG, epochs=1, seed=0)
    scores = edge_scores(network, start, TASK, seed=0)
    assert all(np.isfinite(row).all() and min(row) >= 0 for row in scores.values())
    numbers = by_edge(network.layout, edge_parameters(network))
    width = len(edge_parameters(network))
    assert [len(numbers[edge]) for edge in network.graph.edges] == [
        width * network.graph.sizes[i] * network.graph.sizes[j] for i, j in network.graph.edges
    ]


@pytest.mark.parametrize(
    "options",
    [{}, {"coupling": "both"}, {"recipe": {"kind": "symmetric"}}, {"imperfect_margin": 0.5}, {"integrator": "euler"}],
)
def test_the_same_network_on_other_edges_keeps_what_both_have(options):
    network = tiny_network(**options)
    back = with_edges(with_edges(network, [*network.graph.edges, (0, 3)]), network.graph.edges)
    inputs, _ = TASK.batch(TASK.train)
    with torch.no_grad():
        # A coupling at its cap is brought there again, to the last bit or next to it.
        torch.testing.assert_close(network(inputs), back(inputs), rtol=1e-5 if "integrator" in options else 0, atol=0)
        if "coupling" not in options and "imperfect_margin" not in options:
            # A block of zeros does nothing.
            more = with_edges(network, [*network.graph.edges, (0, 3)])
            torch.testing.assert_close(network(inputs), more(inputs), rtol=1e-4, atol=1e-5)
    assert tiny_graph().edges == network.graph.edges
